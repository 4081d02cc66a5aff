//! A Gateway that sidecars are led to, and what asks for it now and then.

use meltemi_tests::kubernetes::ApiServer;

pub(super) const GATEWAY: &str = "default/mesh";
/// So long nothing changes: proxies are asked before sidecars are told.
const ROUNDS: usize = 8;

const OBJECTS: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: mesh, namespace: default}
spec:
  gatewayClassName: meltemi
  addresses: [{value: 127.0.0.1}]
  listeners:
  - name: sidecars
    port: 15089
    protocol: istio.io/PROXY
    tls: {options: {gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL}}
---
apiVersion: v1
kind: Service
metadata: {name: mesh, namespace: default}
spec: {ports: [{name: tcp-sidecars, port: 15089}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: mesh-1, namespace: default, labels: {kubernetes.io/service-name: mesh}}
addressType: IPv4
ports: [{name: tcp-sidecars, port: 15089}]
endpoints: [{addresses: [10.99.0.9], conditions: {ready: true}}]
---
# What was told for a service that is gone, and is to be taken away.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: gone-meltemi
  namespace: default
  labels: {app.kubernetes.io/managed-by: meltemi-controller, meltemi.io/revision: default}
  annotations: {meltemi.io/gateway: default/mesh}
spec:
  hosts: [gone.default.svc.cluster.local]
  tcp: [{route: [{destination: {host: mesh.default.svc.cluster.local}}]}]
";

/// A service asks for it, or asks no more, and it cannot be dialled: then nothing is told any more.
pub(super) fn change(cluster: &ApiServer, round: usize) {
    if !round.is_multiple_of(ROUNDS) {
        return;
    }
    let asks = (round / ROUNDS).is_multiple_of(2);
    let label = if asks {
        "{meltemi.io/use-gateway: mesh}"
    } else {
        "{}"
    };
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: led, namespace: default, labels: {label}}}\n\
         spec: {{ports: [{{name: tcp-redis, port: 6379}}]}}\n"
    ));
    if asks {
        cluster.apply(OBJECTS);
        return;
    }
    let delete = ["delete", "service", "mesh", "--ignore-not-found"];
    cluster.kubectl(&delete).expect_success("it is deleted");
}

/// As if nothing had been told before.
pub(super) fn forget(cluster: &ApiServer) {
    for path in ["virtualservices", "destinationrules"] {
        cluster.delete_all(&format!(
            "/apis/networking.istio.io/v1/namespaces/default/{path}"
        ));
    }
}
