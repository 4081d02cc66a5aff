//! Gateways that stand before services.

use super::*;
use crate::diagnostic::SourceFile;

const WORLD: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec:
  gatewayClassName: meltemi-waypoint
  listeners:
  - {name: proxy, port: 15088, protocol: istio.io/PROXY}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop, labels: {istio.io/use-waypoint: way}}
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, 'fd00::10']
  ports:
  - {name: tcp-metaprotocol-dubbo, port: 20880}
  - {name: http, port: 8080}
---
apiVersion: v1
kind: Service
metadata: {name: users, namespace: shop}
spec:
  clusterIP: 10.96.0.11
  ports: [{name: tcp-metaprotocol-dubbo, port: 20880}]
";

const ROUTER: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders]
  routes:
  - name: canary
    match: {attributes: {method: {exact: get}}}
    route: [{destination: {host: users}}]
";

/// What a waypoint serves, and what is told.
fn seen(manifests: &[&str]) -> String {
    let name = "all.yaml".to_owned();
    let text = manifests.join("---\n");
    let mut controller = Controller::open(&[], settings());
    let report = controller.load_files([SourceFile { name, text }]).report;
    let model = controller.model();
    let mut seen = vec![];
    for server in model.servers.iter() {
        let Bind::Service(bound) = &server.bind else {
            continue;
        };
        let rules = server
            .rules
            .iter()
            .map(|rule| line(rule))
            .collect::<Vec<_>>();
        seen.push(format!("{} {:?}", server.name, bound.addresses));
        seen.extend(rules.iter().map(|rule| format!("  {rule}")));
    }
    for waypoint in model.waypoints.iter() {
        let identity = &waypoint.identity;
        seen.push(format!("{}:{} {identity}", waypoint.name, waypoint.port));
        if let Some((address, tls)) = &waypoint.sidecars {
            let clients = tls.clients.as_ref().map(|clients| &clients.names);
            seen.push(format!("  sidecars at {address}: {clients:?}"));
        }
        for Passed { name, bound, .. } in &waypoint.passed {
            seen.push(format!("  passed {name} {:?}", bound.addresses));
        }
    }
    let clusters = model.clusters.keys().map(ToString::to_string);
    seen.extend(clusters);
    let told = report.diagnostics.iter();
    seen.extend(told.map(|it| format!("{}: {}", it.code.as_str(), it.message)));
    seen.join("\n")
}

#[test]
fn a_labelled_service_is_served_on_all_its_ports() {
    insta::assert_snapshot!(seen(&[WORLD]));
}

#[test]
fn what_sidecars_lead_to_an_edge_stands_behind_it() {
    let mesh = "tls: {options: {gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL}}";
    let edge = WORLD.replace("meltemi-waypoint", "meltemi");
    let edge = edge.replace(
        "protocol: istio.io/PROXY",
        &format!("protocol: istio.io/PROXY, {mesh}"),
    );
    let asks = edge.replace("istio.io/use-waypoint", "meltemi.io/use-gateway");
    // In plaintext anybody could say who he is.
    let plain = asks.replace(mesh, "tls: {}");
    let config = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                  data: {mesh: '{trustDomain: td, trustDomainAliases: [old]}'}\n";
    let asks = format!("{asks}{config}");
    let rows = [&edge, &asks, &plain].map(|it| seen(&[it]));
    insta::assert_snapshot!(rows.join("\n---\n"));
}

#[test]
fn a_router_without_gateways_acts_behind_the_waypoint() {
    insta::assert_snapshot!(seen(&[WORLD, ROUTER]));
}

#[test]
fn a_namespace_asks_for_all_its_services_but_those_that_opt_out() {
    let namespace = "apiVersion: v1\nkind: Namespace\n\
                     metadata: {name: shop, labels: {istio.io/use-waypoint: way}}\n";
    let out = WORLD.replace("istio.io/use-waypoint: way", "istio.io/use-waypoint: none");
    insta::assert_snapshot!(seen(&[&out, namespace]));
}

#[test]
fn a_waypoint_of_another_namespace_has_to_admit_it() {
    let away = WORLD.replace("name: way, namespace: shop", "name: way, namespace: infra");
    let asks = away.replace(
        "istio.io/use-waypoint: way",
        "istio.io/use-waypoint: way, istio.io/use-waypoint-namespace: infra",
    );
    let admits = asks.replace(
        "protocol: istio.io/PROXY",
        "protocol: istio.io/PROXY, allowedRoutes: {namespaces: {from: All}}",
    );
    insta::assert_snapshot!(format!(
        "{}\n---\n{}\n---\n{}",
        seen(&[&away]),
        seen(&[&asks]),
        seen(&[&admits])
    ));
}

#[test]
fn a_canary_stands_before_the_same_services() {
    let canary = WORLD.replace(
        "istio.io/use-waypoint: way",
        "istio.io/use-waypoint: istio, istio.io/use-waypoint-canary: way",
    );
    assert_eq!(seen(&[&canary]), seen(&[WORLD]));
    let out = canary.replace("use-waypoint: istio", "use-waypoint: none");
    let none = WORLD.replace("istio.io/use-waypoint: way", "a: b");
    assert_eq!(seen(&[&out]), seen(&[&none]));
    let other = canary.replace("canary: way", "canary: other");
    assert_eq!(seen(&[&other]), seen(&[&none]));
}

#[test]
fn what_cannot_be_captured_is_told() {
    let headless = WORLD.replace(
        "clusterIP: 10.96.0.10\n  clusterIPs: [10.96.0.10, 'fd00::10']",
        "clusterIP: None",
    );
    let workloads = WORLD.replace(
        "name: way, namespace: shop",
        "name: way, namespace: shop, labels: {istio.io/waypoint-for: workload}",
    );
    let listener = WORLD.replace("istio.io/PROXY", "HTTP");
    insta::assert_snapshot!(format!(
        "{}\n---\n{}\n---\n{}",
        seen(&[&headless]),
        seen(&[&workloads]),
        seen(&[&listener])
    ));
}

#[test]
fn a_headless_service_of_a_waypoint_for_pods_may_be_captured_by_these() {
    let headless = WORLD.replace(
        "clusterIP: 10.96.0.10\n  clusterIPs: [10.96.0.10, 'fd00::10']",
        "clusterIP: None",
    );
    let of = |value: &str| {
        let labels = format!("namespace: shop, labels: {{istio.io/waypoint-for: {value}}}");
        seen(&[&headless.replacen("namespace: shop", &labels, 1)])
    };
    let served = "shop/way/orders.shop.svc.cluster.local:20880 []";
    for (value, is_told) in [("service", true), ("all", false)] {
        let seen = of(value);
        assert!(seen.contains(served), "{seen}");
        assert_eq!(seen.contains("NotCaptured"), is_told, "{seen}");
    }
    // A name of a host has no pods.
    let named = "type: ExternalName\n  externalName: away.example";
    let external = headless.replace("clusterIP: None", named);
    let labels = "namespace: shop, labels: {istio.io/waypoint-for: all}";
    assert!(seen(&[&external.replacen("namespace: shop", labels, 1)]).contains("NotCaptured"));
}

#[test]
fn a_service_with_endpoints_in_other_clusters_is_served_when_its_owner_says_so() {
    let labels = "labels: {istio.io/use-waypoint: way}";
    let global = WORLD.replace(
        labels,
        "labels: {istio.io/use-waypoint: way, istio.io/global: 'true'}",
    );
    let annotated = |value: &str| {
        let with = format!("annotations: {{meltemi.io/local-endpoints: {value}}}, labels");
        global.replacen("labels", &with, 1)
    };
    let told = "NotCaptured: Service shop/orders asks for this waypoint, and connections to it are closed here: it is \
                istio.io/global, and its endpoints in other clusters are not known here";
    for manifests in [&global, &annotated("some")] {
        let seen = seen(&[manifests]);
        assert!(seen.contains(told), "{seen}");
        assert!(!seen.contains("20880"), "no port of it: {seen}");
    }
    assert_eq!(seen(&[&annotated("suffice")]), seen(&[WORLD]));
    let of_one = global.replace("'true'", "'false'");
    assert_eq!(seen(&[&of_one]), seen(&[WORLD]));
}
