//! What sidecars are told, and what is in the way of it.

use super::*;
use crate::diagnostic::{Code, SourceFile};

pub(super) const GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: mesh, namespace: shop}
spec:
  gatewayClassName: meltemi
  listeners:
  - name: sidecars
    port: 15089
    protocol: istio.io/PROXY
    tls: {options: {gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL}}
";

const SERVICES: &str = "\
apiVersion: v1
kind: Service
metadata: {name: mesh, namespace: shop}
spec:
  clusterIP: 10.96.0.9
  ports: [{name: tcp-sidecars, port: 15089}]
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop, labels: {meltemi.io/use-gateway: mesh}}
spec:
  clusterIP: 10.96.0.10
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

/// What sidecars are told, and what is found.
fn led(manifests: &[&str]) -> Vec<String> {
    led_of(SERVICES, manifests)
}

fn led_of(services: &str, manifests: &[&str]) -> Vec<String> {
    let name = "all.yaml".to_owned();
    let text = [&[GATEWAY, services][..], manifests].concat().join("---\n");
    let mut controller = Controller::open(&[], settings());
    let report = controller.load_files([SourceFile { name, text }]).report;
    let [waypoint] = &*controller.model().waypoints else {
        panic!("{report}");
    };
    let via = waypoint.led.via.iter();
    let via = via.map(|via| format!("{}:{}", via.host, via.port));
    let services = waypoint.led.services.iter();
    let services = services.map(|it| format!("{} {:?} {:?}", it.host, it.ports, it.taken.len()));
    let told = report.diagnostics.iter();
    let told = told.filter(|it| it.code != Code::NoEndpoints);
    let told = told.map(|it| format!("{}: {}", it.code.as_str(), it.message));
    via.chain(services).chain(told).collect()
}

const VIA: &str = "mesh.shop.svc.cluster.local:15089";
const LED: &str = "orders.shop.svc.cluster.local {20880} 0";
const TAKEN: &str = "orders.shop.svc.cluster.local {} 1";

fn virtual_service(namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: own, namespace: {namespace}}}\n\
         spec: {{{spec}}}\n"
    )
}

#[test]
fn ports_of_our_protocols_are_led_of_services_that_ask() {
    assert_eq!(led(&[]), [VIA, LED]);
    // One that says that it is the Gateway's is, whatever it is called.
    let named = "apiVersion: v1\nkind: Service\nmetadata: {name: other, namespace: shop, labels: \
                 {gateway.networking.k8s.io/gateway-name: mesh}}\n\
                 spec: {clusterIP: 10.96.0.12, ports: [{name: tcp-x, port: 15089}]}\n";
    assert_eq!(led(&[named]), ["other.shop.svc.cluster.local:15089", LED]);
    // One without the listener's port is not.
    let other_port = named.replace("port: 15089", "port: 1");
    assert_eq!(led(&[&other_port]), [VIA, LED]);
}

#[test]
fn of_a_headless_service_pods_are_dialled_by_its_own_port() {
    let headless = SERVICES.replace("  clusterIP: 10.96.0.10\n", "  clusterIP: None\n");
    let slice = |port: u16| {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: orders-1, namespace: shop, labels: {{kubernetes.io/service-name: orders}}}}\n\
             addressType: IPv4\nports: [{{name: tcp-metaprotocol-dubbo, port: {port}}}]\n\
             endpoints: [{{addresses: [10.1.0.1]}}]\n"
        )
    };
    assert_eq!(led_of(&headless, &[&slice(20880)]), [VIA, LED]);
    let elsewhere = led_of(&headless, &[&slice(20881)]);
    assert_eq!(elsewhere[1], "orders.shop.svc.cluster.local {} 0");
}

#[test]
fn a_route_of_tcp_or_tls_for_the_port_is_a_conflict_and_nothing_else() {
    let orders = "hosts: [orders]";
    let elsewhere = "route: [{destination: {host: users}}]";
    let here = "route: [{destination: {host: mesh, port: {number: 15089}}}]";
    let rows = [
        (format!("{orders}, tcp: [{{{elsewhere}}}]"), TAKEN),
        (
            format!("{orders}, tcp: [{{match: [{{port: 20880}}], {elsewhere}}}]"),
            TAKEN,
        ),
        (
            format!("{orders}, tls: [{{match: [{{port: 20880, sniHosts: [a]}}], {elsewhere}}}]"),
            TAKEN,
        ),
        (
            format!("hosts: ['*.shop.svc.cluster.local'], tcp: [{{{elsewhere}}}]"),
            TAKEN,
        ),
        (
            format!("{orders}, gateways: [edge, mesh], tcp: [{{{elsewhere}}}]"),
            TAKEN,
        ),
        (
            format!("{orders}, tcp: [{{match: [{{port: 8080}}], {elsewhere}}}]"),
            LED,
        ),
        (
            format!("{orders}, gateways: [edge], tcp: [{{{elsewhere}}}]"),
            LED,
        ),
        (
            format!(
                "{orders}, gateways: [edge, mesh], tcp: [{{match: [{{gateways: [edge]}}], {elsewhere}}}]"
            ),
            LED,
        ),
        (format!("{orders}, http: [{{{elsewhere}}}]"), LED),
        (format!("hosts: [users], tcp: [{{{elsewhere}}}]"), LED),
        // Written by hand: nothing is to be done, and nothing to be told.
        (
            format!("{orders}, tcp: [{{{here}}}]"),
            "orders.shop.svc.cluster.local {} 0",
        ),
    ];
    for (spec, expected) in rows {
        let seen = led(&[&virtual_service("shop", &spec)]);
        assert_eq!(seen[1], expected, "{spec}");
        let is_told = seen.iter().any(|it| it.starts_with("NotCaptured"));
        assert_eq!(is_told, expected == TAKEN, "{spec}: {seen:?}");
    }
    // What a controller of ours has written is no conflict with it.
    let spec = format!("{orders}, tcp: [{{{elsewhere}}}]");
    let own = virtual_service("shop", &spec).replace(
        "name: own,",
        "name: own, labels: {app.kubernetes.io/managed-by: meltemi-controller},",
    );
    assert_eq!(led(&[&own]), [VIA, LED]);
}

#[test]
fn a_rule_of_the_clients_namespace_hides_ours() {
    let rule = |namespace: &str, host: &str, more: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: all, namespace: {namespace}}}\n\
             spec: {{host: '{host}'{more}, trafficPolicy: {{loadBalancer: {{simple: RANDOM}}}}}}\n"
        )
    };
    let rows = [
        (rule("bank", "*.shop.svc.cluster.local", ""), true),
        (rule("bank", "mesh.shop.svc.cluster.local", ""), true),
        (rule("bank", "*", ", exportTo: ['.']"), true),
        (rule("bank", "*.other.svc.cluster.local", ""), false),
        (rule("bank", "*", ", exportTo: [shop]"), false),
        // Ours is more specific, or beside it, or is looked up first.
        (rule("shop", "*", ""), false),
        (rule("shop", "mesh", ""), false),
        (rule("istio-system", "*", ""), false),
    ];
    for (rule, expected) in rows {
        let seen = led(&[&rule]);
        let hides = |it: &String| it.starts_with("NotCaptured: sidecars of bank come to mesh.shop");
        assert_eq!(seen.iter().any(hides), expected, "{rule}\n{seen:?}");
    }
}

#[test]
fn headers_are_for_sidecars() {
    let rule = |host: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: own, namespace: shop}}\n\
             spec: {{host: {host}, trafficPolicy: {{proxyProtocol: {{version: V2}}}}}}\n"
        )
    };
    let told = |host: &str| {
        let seen = led(&[&rule(host)]);
        seen.iter().any(|it| it.starts_with("NotInForce"))
    };
    assert!(!told("mesh"));
    assert!(told("users"));
}
