//! Commands that look into a cluster.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use meltemi_tests::kubernetes::{ApiServer, Controller, Programs, controller_account};
use meltemi_tests::{binary, get, until};
use serde_json::Value;
use tempfile::TempDir;

const GATEWAY: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  servers:
  - name: redis
    port: {number: 6379, name: tcp-redis, protocol: TCP}
    hosts: ['*']
";

const SERVICES: &str = "\
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: shop}
spec:
  ports: [{name: tcp-redis, port: 6379}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cache-1, namespace: shop, labels: {kubernetes.io/service-name: cache}}
addressType: IPv4
ports: [{name: tcp-redis, port: 7000, protocol: TCP}]
endpoints: [{addresses: ['10.1.2.3'], conditions: {ready: true}}]
";

const DESTINATION: &str = "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata: {name: cache, namespace: shop}
spec:
  host: cache
  trafficPolicy: {connectionPool: {redis: {auth: {secret: {name: cache}}}}}
";

fn router(namespace: &str, host: &str) -> String {
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
         metadata: {{name: cache, namespace: {namespace}}}\nspec:\n  hosts: [{host}]\n  \
         gateways: [shop/edge]\n  routes: [{{name: all, timeout: 3s}}]\n"
    )
}

/// Its exit status, standard output and standard error.
fn meltemi(arguments: &[&str], kubeconfig: &Path) -> (Option<i32>, String, String) {
    let kubeconfig = kubeconfig.to_str().expect("a path in UTF-8");
    said(&[arguments, &["--kubeconfig", kubeconfig]].concat())
}

fn said(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(binary());
    command.args(arguments);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("meltemi starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn check_and_explain_look_into_a_cluster() {
    let Some(mut cluster) = ApiServer::start() else {
        return;
    };
    let kubeconfig = cluster.kubeconfig();
    let run = |arguments: &[&str]| meltemi(arguments, &kubeconfig);
    // A cluster without any of our definitions, or Istio's.
    let (status, said, noted) = run(&["check"]);
    assert_eq!(status, Some(0), "{said}{noted}");
    assert!(noted.contains("does not know"), "{noted}");
    assert!(noted.contains("MetaRouter"), "{noted}");

    cluster.install_crds(&Programs::own_crds());
    cluster.install_crds(&cluster.programs().istio_crds());
    cluster.create_namespaces(&["shop", "other"]);
    cluster.apply(GATEWAY);
    cluster.apply(SERVICES);
    cluster.apply(&router("shop", "cache"));
    cluster.apply(&router("other", "nothing"));

    let (status, said, noted) = run(&["check"]);
    assert_eq!((status, &*noted), (Some(1), ""), "{said}");
    assert!(said.contains("MetaRouter other/cache"), "{said}");
    let (status, said, _) = run(&["check", "-n", "shop"]);
    assert_eq!(status, Some(0), "{said}");

    // What would be, if a file were applied.
    let files = TempDir::new().expect("a temporary directory");
    let file = files.path().join("routes.yaml");
    let check_with = |text: &str| {
        fs::write(&file, text).expect("it can be written");
        let path = file.to_str().expect("a path in UTF-8");
        run(&["check", "-n", "shop", "-f", path])
    };
    let (status, said, _) = check_with(&router("other", "cache.shop.svc.cluster.local"));
    assert_eq!(status, Some(1), "not its host's namespace: {said}");
    assert!(said.contains("routes.yaml:5:"), "{said}");
    let (status, said, _) = check_with(&router("shop", "cache.shop.svc.cluster.local"));
    assert_eq!(status, Some(0), "{said}");

    // Errors of others are said, and do not stand in the way.
    let explain = ["explain", "-n", "shop", "--service", "cache:6379"];
    let (status, said, noted) = run(&[&explain[..], &["--attr", "command=GET"]].concat());
    assert_eq!(status, Some(0), "{said}{noted}");
    assert!(noted.contains("what has errors is left out"), "{noted}");
    for part in ["10.1.2.3:7000", "MetaRouter shop/cache", "3s"] {
        assert!(said.contains(part), "{part}: {said}");
    }

    secrets_are_read_where_they_are_named(&cluster);
    who_may_not_is_told(&mut cluster);
}

fn secrets_are_read_where_they_are_named(cluster: &ApiServer) {
    let kubeconfig = cluster.kubeconfig();
    let run = |arguments: &[&str]| meltemi(arguments, &kubeconfig);
    cluster.apply(DESTINATION);
    let (status, said, _) = run(&["check", "-n", "shop"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("UnknownSecret"), "{said}");
    let secret = ["create", "secret", "generic", "cache", "-n", "shop"];
    let made = cluster.kubectl(&[&secret[..], &["--from-literal=password=p"]].concat());
    made.expect_success("it is made");
    let (status, said, _) = run(&["check", "-n", "shop"]);
    assert_eq!(status, Some(0), "{said}");
}

/// Somebody who may not, and nobody who answers.
fn who_may_not_is_told(cluster: &mut ApiServer) {
    let kubeconfig = cluster.kubeconfig();
    let run = |arguments: &[&str]| meltemi(arguments, &kubeconfig);
    let nobody = cluster.kubeconfig_of("nobody", "no.such.token");
    let (status, _, error) = meltemi(&["check"], &nobody);
    assert_eq!(status, Some(1), "{error}");
    assert!(error.contains("Unauthorized"), "{error}");
    let made = cluster.kubectl(&["create", "serviceaccount", "guest", "-n", "shop"]);
    made.expect_success("it is made");
    let token = cluster.kubectl(&["create", "token", "guest", "-n", "shop"]);
    let guest = cluster.kubeconfig_of("guest", token.stdout().trim());
    let (status, _, error) = meltemi(&["check"], &guest);
    assert_eq!(status, Some(1), "{error}");
    assert!(error.contains("may not be listed"), "{error}");
    cluster.kill();
    let (status, _, error) = run(&["check"]);
    assert_eq!(status, Some(1), "{error}");
    assert!(error.contains("cannot be read"), "{error}");
}

const WAYPOINT: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec:
  gatewayClassName: meltemi-waypoint
  listeners: [{name: proxy, port: 15088, protocol: istio.io/PROXY}]
";

const ORDERS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: tcp-redis, port: 6379}, {name: web, port: 80, appProtocol: kubernetes.io/h2c}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: clients, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]}]
";

#[test]
fn what_a_service_would_lose_is_said_before_it_opts_in() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    for path in &cluster.programs().gateway_api_crds() {
        cluster.install_crds(path);
    }
    cluster.create_namespaces(&["shop", "legacy"]);
    let label = ["label", "namespace", "legacy", "istio-injection=enabled"];
    cluster.kubectl(&label).expect_success("it is labelled");
    cluster.apply(WAYPOINT);
    cluster.apply(ORDERS);
    let kubeconfig = cluster.kubeconfig();
    let plan = |more: &[&str]| {
        let (status, said, noted) = meltemi(&[&["check", "--plan"], more].concat(), &kubeconfig);
        assert_eq!(status, Some(0), "{said}{noted}");
        said
    };
    let nobody = plan(&[]);
    assert!(nobody.contains("asking for a waypoint: 0;"), "{nobody}");

    // The label, as if it were applied.
    let files = TempDir::new().expect("a temporary directory");
    let file = files.path().join("orders.yaml");
    let file = file.to_str().expect("a path in UTF-8");
    let (service, _) = ORDERS.split_once("---").expect("two objects");
    let asks = "namespace: shop, labels: {istio.io/use-waypoint: way}}";
    let service = service.replace("namespace: shop}", asks);
    let service = service.replace("  selector", "  clusterIP: 10.96.0.10\n  selector");
    fs::write(file, &service).expect("it can be written");
    let said = plan(&["-f", file, "-n", "shop", "--output", "json"]);
    let planned: Value = serde_json::from_str(&said).expect("JSON");
    let planned = &planned["plan"][0];
    assert_eq!(planned["service"], "Service shop/orders", "{said}");
    let policy = &planned["policies"][0];
    assert_eq!(policy["policy"], "AuthorizationPolicy shop/clients");
    assert_eq!(policy["effect"], "refuses", "{said}");
    assert_eq!(planned["http_ports"][0]["port"], 80, "{said}");
    let past = &planned["past"];
    assert_eq!(past[0]["way"], "pods", "{said}");
    assert_eq!(past[1]["namespaces"][0], "legacy", "{said}");
    let elsewhere = plan(&["-f", file, "-n", "legacy"]);
    assert!(
        elsewhere.contains("asking for a waypoint: 0;"),
        "{elsewhere}"
    );

    // The same of what the cluster holds; then the waypoint is admitted, and it alone.
    cluster.apply(&service.replace("  clusterIP: 10.96.0.10\n", ""));
    let said = plan(&[]);
    assert!(said.contains("no policy admits the waypoint"), "{said}");
    let (_, policy) = ORDERS.split_once("---\n").expect("two objects");
    cluster.apply(&policy.replace("sa/front", "sa/way"));
    let said = plan(&[]);
    assert!(said.contains("policies that see it: 0;"), "{said}");
    assert!(said.contains("(of legacy); the pods refuse them"), "{said}");
}

/// A Service whose protocol is known, and endpoints; a Gateway, and a MetaRouter on it.
fn shop(cluster: &ApiServer) {
    cluster.create_namespaces(&["shop"]);
    cluster.apply(&GATEWAY.replace(
        "port: {number: 6379",
        "bind: 127.0.0.1\n    port: {number: 0",
    ));
    cluster.apply(SERVICES);
    cluster.apply(&router("shop", "cache"));
}

#[test]
fn status_and_config_dump_ask_a_controller() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    let account = controller_account(&cluster);
    shop(&cluster);
    let controller = Controller::start(&account);
    let address = controller.admin().to_string();
    let status = |more: &[&str]| said(&[&["status", "--controller", &address], more].concat());
    until("the controller is ready", || {
        let page = get(controller.admin(), "/ready").ok()?;
        (page.status == 200).then_some(())
    });
    let (code, said_first, error) = status(&[]);
    assert_eq!(code, Some(0), "{error}");
    assert!(said_first.contains("no proxy is connected"), "{said_first}");

    let proxy = controller.proxy_with(&["--gateway", "shop/edge"]);
    proxy.address("shop/edge/redis");
    let listed = until("the proxy has everything", || {
        let (code, said, _) = status(&["--output", "json"]);
        let page: Value = serde_json::from_str(&said).ok()?;
        let types = &page["replicas"][0]["proxies"][0]["types"];
        let has_all = types["listeners"]["current"] == 1 && types["endpoints"]["current"] == 1;
        (code == Some(0) && has_all).then_some(page)
    });
    assert_eq!(listed["replicas"][0]["leads"], true, "{listed}");
    let name = listed["replicas"][0]["proxies"][0]["node"].as_str();
    let name = name.expect("a name").to_owned();
    let (_, table, _) = status(&[]);
    assert!(
        table.contains(&name) && table.contains("(leads)"),
        "{table}"
    );

    let dump = ["config", "dump", &name, "--controller", &address];
    let (code, dumped, error) = said(&dump);
    assert_eq!(code, Some(0), "{error}");
    let dumped: Value = serde_json::from_str(&dumped).expect("JSON");
    let resources = dumped["resources"].as_array().expect("a list");
    let route = resources.iter().find(|it| it["type"] == "routes");
    let route = route.expect("a route");
    assert_eq!(route["acknowledged"], route["newest"], "{route}");
    assert!(route.to_string().contains("3s"), "the timeout: {route}");
    let (code, _, error) = said(&["config", "dump", "nobody", "--controller", &address]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("no proxy nobody"), "{error}");

    let metrics = get(controller.admin(), "/metrics").expect("metrics").body;
    for line in [
        "meltemi_controller_proxies 1",
        "meltemi_controller_leads 1",
        "meltemi_controller_findings{severity=\"error\"} 0",
        "meltemi_controller_watch_age_seconds{kind=\"MetaRouter\"}",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }

    // Nobody there.
    drop(controller);
    let (code, said, _) = status(&[]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains(&format!("the controller {address}")),
        "{said}"
    );
}
