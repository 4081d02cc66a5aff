//! What a proxy in a cluster is told: what its Gateway needs, and where its pod is.

use meltemi_tests::kubernetes::{ApiServer, Controller};
use meltemi_tests::{Meltemi, until};
use serde_json::Value;

fn gateway(namespace: &str, name: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  servers:\n  \
         - name: redis\n    bind: 127.0.0.1\n    port: {{number: 0, name: tcp-redis, protocol: TCP}}\n    \
         hosts: ['*']\n"
    )
}

fn service(name: &str, address: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
         ports: [{{name: tcp-redis, port: 6379}}]\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: tcp-redis, port: 7000, protocol: TCP}}]\n\
         endpoints: [{{addresses: ['{address}'], conditions: {{ready: true}}}}]\n"
    )
}

/// Everything goes to the service; where it says so, with a copy for another.
fn redis(gateway: &str, service: &str, mirror: Option<&str>) -> String {
    let mirror = mirror.map_or_else(String::new, |host| {
        format!("    mirror: [{{route: {{host: {host}}}, percentage: {{value: 100}}}}]\n")
    });
    format!(
        "---\napiVersion: redis.aeraki.io/v1alpha1\nkind: RedisService\n\
         metadata: {{name: {service}, namespace: shop}}\nspec:\n  host: [{service}]\n  \
         gateways: [{gateway}]\n  redis:\n  - route: {{host: {service}}}\n{mirror}"
    )
}

fn page(proxy: &Meltemi, path: &str) -> Option<Value> {
    serde_json::from_str(&proxy.get(path)?.body).ok()
}

/// The services whose clusters the proxy has, in their order.
fn clusters(proxy: &Meltemi) -> Option<Vec<String>> {
    let page = page(proxy, "/clusters")?;
    let names = page["clusters"].as_object()?.keys();
    let services = names.filter_map(|name| {
        name.strip_prefix("outbound|6379||")?
            .strip_suffix(".shop.svc.cluster.local")
    });
    Some(services.map(str::to_owned).collect())
}

fn has_clusters(proxy: &Meltemi, expected: &[&str]) {
    until(&format!("it has the clusters {expected:?}"), || {
        (clusters(proxy)? == expected).then_some(())
    });
}

/// Names of listeners, services and routes.
fn servers(proxy: &Meltemi) -> [String; 3] {
    let dump = page(proxy, "/config_dump").expect("a page");
    ["listeners", "services", "routes"].map(|part| {
        let names: Vec<_> = match &dump[part] {
            Value::Object(by_name) => by_name.keys().map(String::as_str).collect(),
            Value::Array(list) => list.iter().filter_map(|it| it["name"].as_str()).collect(),
            other => panic!("{other}"),
        };
        names.join(" ")
    })
}

#[test]
fn a_proxy_gets_what_its_gateway_needs_and_nothing_else() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    let namespaces = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n\
                      apiVersion: v1\nkind: Namespace\nmetadata: {name: back}\n";
    cluster.apply(namespaces);
    let services = ["a", "b", "c", "d"].map(|name| service(name, "10.0.0.1"));
    let objects = [
        gateway("shop", "edge"),
        gateway("back", "edge"),
        services.concat(),
        redis("shop/edge", "a", None),
        redis("back/edge", "b", Some("c")),
    ];
    cluster.apply(&objects.concat());
    let controller = Controller::start(&cluster.kubeconfig());
    let shop = controller.proxy_with(&["--gateway", "shop/edge"]);
    let back = controller.proxy_with(&["--gateway", "back/edge"]);
    let both = controller.proxy_with(&["--gateway", "back/edge", "--gateway", "shop/edge"]);
    let later = controller.proxy_with(&["--gateway", "shop/later"]);
    let all = controller.proxy();
    has_clusters(&shop, &["a"]);
    has_clusters(&back, &["b", "c"]);
    has_clusters(&both, &["a", "b", "c"]);
    has_clusters(&all, &["a", "b", "c"]);
    has_clusters(&later, &[]);
    assert_eq!(servers(&shop), ["shop/edge/redis"; 3]);
    assert_eq!(servers(&back), ["back/edge/redis"; 3]);
    assert_eq!(servers(&both), ["back/edge/redis shop/edge/redis"; 3]);
    assert_eq!(servers(&later), [""; 3]);

    // What changes elsewhere does not reach it; what becomes its own does.
    let before = page(&shop, "/config_dump").expect("a page")["version"].clone();
    cluster.apply(&[gateway("shop", "later"), redis("shop/later", "d", None)].concat());
    has_clusters(&later, &["d"]);
    cluster.apply(&redis("back/edge", "b", Some("a")));
    has_clusters(&back, &["a", "b"]);
    has_clusters(&all, &["a", "b", "d"]);
    let dump = page(&shop, "/config_dump").expect("a page");
    assert_eq!(dump["version"], before);
    cluster.apply(&redis("shop/edge", "a", Some("c")));
    has_clusters(&shop, &["a", "c"]);
}

const NODE: &str = "\
---
apiVersion: v1
kind: Node
metadata:
  name: node-a
  labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a}
";

fn pod(labels: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\n\
         metadata: {{name: edge-1, namespace: default, labels: {{{labels}}}}}\n\
         spec: {{nodeName: node-a, containers: [{{name: c, image: i}}]}}\n"
    )
}

fn is_at(proxy: &Meltemi, locality: &str, labels: &[(&str, &str)]) {
    until(&format!("it is at {locality} with {labels:?}"), || {
        let dump = page(proxy, "/config_dump")?;
        let is = |(name, value): &(&str, &str)| dump["labels"][name] == *value;
        (dump["locality"] == locality && labels.iter().all(is)).then_some(())
    });
}

#[test]
fn a_proxy_learns_where_it_is_from_its_pod_and_its_node() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    cluster.apply(&gateway("default", "edge"));
    let controller = Controller::start(&cluster.kubeconfig());
    let claim = ["--gateway", "default/edge", "--pod", "default/edge-1"];
    let proxy = controller.proxy_with(&claim);
    let told = controller.proxy_with(
        &[
            &claim[..],
            &["--locality", "us/us-b", "--labels", "lane=blue"],
        ]
        .concat(),
    );
    until("it listens", || {
        (servers(&proxy) == ["default/edge/redis"; 3]).then_some(())
    });
    // Its pod, and then its node, may become known later than it connects.
    cluster.apply(&pod("app: edge, lane: green"));
    is_at(
        &proxy,
        "",
        &[("app", "edge"), ("kubernetes.io/hostname", "node-a")],
    );
    cluster.apply(NODE);
    is_at(&proxy, "eu/eu-a", &[("app", "edge"), ("lane", "green")]);
    // What is said at the command line wins.
    is_at(&told, "us/us-b", &[("app", "edge"), ("lane", "blue")]);
    // And a pod's own label above its node's.
    cluster.apply(&pod("app: edge, istio-locality: eu.eu-c.rack-7"));
    is_at(&proxy, "eu/eu-c/rack-7", &[("app", "edge")]);
    cluster.apply(&pod(
        "app: edge, topology.istio.io/locality: eu.eu-d, istio-locality: eu.eu-c",
    ));
    is_at(&proxy, "eu/eu-d", &[]);
    let moved = cluster.kubectl(&[
        "label",
        "node",
        "node-a",
        "topology.kubernetes.io/zone=eu-x",
        "--overwrite",
    ]);
    moved.expect_success("the node is labelled");
    is_at(&proxy, "eu/eu-d", &[]);
    assert_eq!(
        page(&told, "/config_dump").expect("a page")["locality"],
        "us/us-b"
    );
}
