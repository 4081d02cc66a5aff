//! What decides who may use a service, and by which certificates: policies, the mesh's own settings, Secrets, and who is
//! granted those.

use meltemi_tests::certificates::Authority;
use serde_json::json;

const OBJECTS: &[&str] = &[
    "\
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop, labels: {istio.io/use-waypoint: way}}
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10]
  ports: [{name: tcp-metaprotocol-dubbo, port: 20880}]
",
    "\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-1, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
ports: [{name: tcp-metaprotocol-dubbo, port: 20880, protocol: TCP}]
endpoints:
- {addresses: [10.0.0.1], conditions: {ready: true}, zone: eu-a}
",
    "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec:
  gatewayClassName: meltemi-waypoint
  listeners:
  - {name: proxy, port: 15088, protocol: istio.io/PROXY}
",
    "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: meltemi
  listeners:
  - name: tcp-metaprotocol-dubbo
    port: 20881
    protocol: TLS
    tls: {certificateRefs: [{name: edge, namespace: certs}]}
",
    "\
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: edge, namespace: certs}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: shop}]
  to: [{group: '', kind: Secret, name: edge}]
",
    "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: orders, namespace: shop}
spec: {hosts: [orders], gateways: [edge]}
",
    "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders, namespace: shop}
spec:
  host: orders
  trafficPolicy: {tls: {mode: SIMPLE, credentialName: servers, sni: orders.example}}
",
    "\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: front, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: orders}]
  action: ALLOW
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]}]
",
    "\
apiVersion: dubbo.aeraki.io/v1alpha1
kind: DubboAuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec:
  action: DENY
  rules: [{to: [{operation: {interfaces: [org.demo.Orders], notMethods: [get*]}}]}]
",
    "\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    trustDomain: demo.example
    trustDomainAliases: [old.example]
    localityLbSetting: {enabled: true}
",
];

/// All of them; without any one something else is served.
pub(super) fn objects() -> Vec<String> {
    let authority = Authority::new("edge");
    let pair = authority.issue("edge", &["edge.example"]);
    let edge = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "edge", "namespace": "certs"},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key},
    });
    let servers = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "servers", "namespace": "shop"},
        "stringData": {"cacert": authority.pem()},
    });
    let objects = OBJECTS.iter().map(|object| (*object).to_owned());
    let secrets = [edge, servers].map(|secret| secret.to_string());
    objects.chain(secrets).collect()
}
