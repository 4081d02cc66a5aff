//! Beside a real istiod: what it tells ztunnel of a service that asks for a waypoint, and of those that do not.

use meltemi_tests::kubernetes::{Address, Istiod, Pod, Workloads};
use meltemi_tests::until;
use serde_json::json;

use super::waypoint::{Lab, waypoint};

/// Two services of one namespace, each with an endpoint.
pub(super) const SERVICES: &str = "\
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: shop}
spec: {selector: {app: cache}, ports: [{name: tcp-redis, port: 6379}]}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: shop}
spec: {selector: {app: other}, ports: [{name: tcp-redis, port: 6379}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cache-1, namespace: shop, labels: {kubernetes.io/service-name: cache}}
addressType: IPv4
ports: [{name: tcp-redis, port: 6379}]
endpoints: [{addresses: [10.9.0.11]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: other-1, namespace: shop, labels: {kubernetes.io/service-name: other}}
addressType: IPv4
ports: [{name: tcp-redis, port: 6379}]
endpoints: [{addresses: [10.9.0.12]}]
";
pub(super) const CACHE: &str = "shop/cache.shop.svc.cluster.local";

fn ready_proxy(lab: &Lab) -> Pod {
    let names = [("meltemi-controller.meltemi-system.svc", lab.address)];
    let proxy = Pod::start(&lab.cluster, ("shop", "l7"), lab.address, &names);
    proxy.is_ready();
    is_running(lab, &proxy);
    proxy
}

/// As a kubelet says it, where no istiod believes in addresses of loopback.
pub(super) fn is_running(lab: &Lab, proxy: &Pod) {
    lab.patch_status(
        &format!("pod/{}", proxy.name()),
        &json!({"status": {
            "phase": "Running", "podIP": "10.9.0.20", "podIPs": [{"ip": "10.9.0.20"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }}),
    );
}

#[test]
fn istiod_leads_a_service_that_asks_to_its_waypoint_and_no_other() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let programs = lab.cluster.programs();
    if !Istiod::is_installed(programs) {
        return;
    }
    lab.define();
    lab.cluster.apply(SERVICES);
    let ambient = [("PILOT_ENABLE_AMBIENT", "true")];
    let program = Istiod::program(programs);
    let istiod = Istiod::start(&program, &lab.cluster.kubeconfig(), &ambient);
    let told = Workloads::of(istiod.address());
    let service = |name: &str| told.get(name).and_then(|it: Address| it.service);
    let before = until("istiod tells of the services", || {
        service(CACHE).map(|_| told.raw("other"))
    });
    assert!(
        before.len() >= 2,
        "a service and its endpoint: {:?}",
        before.keys()
    );

    let controller = lab.controller(&[]);
    lab.cluster.apply(&waypoint("l7", ""));
    let _ = lab.get("deployment/l7");
    let label = |value: &str| {
        let label = format!("istio.io/use-waypoint{value}");
        let label = ["label", "service", "cache", "-n", "shop", &label];
        lab.cluster.kubectl(&label).expect_success("it is labelled");
    };
    label("=l7");
    let mut proxy = ready_proxy(&lab);
    // Nobody is led to it before it is ready.
    assert_eq!(service(CACHE).expect("it is there").waypoint, None);
    let ready = json!({"status": {"replicas": 1, "readyReplicas": 1}});
    lab.patch_status("deployment/l7", &ready);
    let waypoint = until("istiod leads the service to the waypoint", || {
        service(CACHE)?.waypoint
    });
    let hostname = waypoint.hostname.expect("by its name");
    assert_eq!(hostname.namespace, "shop");
    assert_eq!(hostname.hostname, "l7.shop.svc.cluster.local");
    assert_eq!(waypoint.hbone_mtls_port, 15008);
    let name = format!("Kubernetes//Pod/shop/{}", proxy.name());
    let tunnel = until("its pod is handed connections over", || {
        told.get(&name)?.workload?.application_tunnel
    });
    assert_eq!((tunnel.protocol, tunnel.port), (1, 15088));
    // Our own Service asks for none, or connections to it would go in circles.
    let own = service("shop/l7.shop.svc.cluster.local").expect("its Service");
    assert_eq!(own.waypoint, None);
    assert_eq!(told.raw("other"), before, "it has not asked");

    label("-");
    until("istiod leads the service nowhere else", || {
        service(CACHE)?.waypoint.is_none().then_some(())
    });
    proxy.process().signal("TERM");
    assert!(proxy.process().wait().success());
    drop(controller);
    assert_eq!(told.raw("other"), before, "it has not asked");
}
