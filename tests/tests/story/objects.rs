//! What people write: a service of real Dubbo providers in two versions, its clients, a waypoint, a rule.

use serde_json::{Value, json};

pub(super) const NAMESPACES: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Namespace
metadata:
  name: meltemi-system
  labels: {pod-security.kubernetes.io/enforce: restricted}
---
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {pod-security.kubernetes.io/enforce: restricted, istio.io/dataplane-mode: ambient}
";

pub(super) const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: greeter, namespace: shop}
spec:
  selector: {app: greeter}
  trafficDistribution: PreferClose
  ports: [{name: tcp-dubbo, port: 20880}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: greeter, namespace: shop}
spec:
  host: greeter
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
";

pub(super) const WAYPOINT: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: l7, namespace: shop}
spec:
  gatewayClassName: meltemi-waypoint
  listeners: [{name: proxy, port: 15088, protocol: istio.io/PROXY}]
";

/// Calls of this lane have version 2.
pub(super) const LANE: &str = "canary";

/// Everybody has version 1, or calls of [`LANE`] have version 2.
pub(super) fn router(has_lane: bool) -> String {
    let lane = match has_lane {
        true => format!(
            "  - match: {{attributes: {{lane: {{exact: {LANE}}}}}}}\n    \
             route: [{{destination: {{host: greeter.shop.svc.cluster.local, subset: v2}}}}]\n"
        ),
        false => String::new(),
    };
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
         metadata: {{name: greeter, namespace: shop}}\nspec:\n  \
         hosts: [greeter.shop.svc.cluster.local]\n  routes:\n{lane}  \
         - route: [{{destination: {{host: greeter.shop.svc.cluster.local, subset: v1}}}}]\n"
    )
}

/// What restricted Pod Security asks of a pod and of its container.
fn pod(container: Value) -> Value {
    let mut container = container;
    container["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    let seccomp = json!({"type": "RuntimeDefault"});
    json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": seccomp},
        "terminationGracePeriodSeconds": 30,
        "serviceAccountName": "default", "automountServiceAccountToken": false,
        "containers": [container],
    })
}

/// Providers of a version, on as many nodes. One that ends waits until nobody is sent to it any more.
pub(super) fn providers(version: &str, replicas: u8) -> String {
    let labels = json!({"app": "greeter", "version": version});
    let mut spec = pod(json!({
        "name": "greeter", "image": "greeter",
        "args": ["--label", "$(POD_NAME)", "--host", "$(POD_NAME)", "--port", "20880", "--offer", "plain"],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "readinessProbe": {"tcpSocket": {"port": 20880}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    }));
    spec["topologySpreadConstraints"] = json!([{
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }]);
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": format!("greeter-{version}"), "namespace": "shop"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    });
    deployment.to_string()
}

/// Which Dubbo a client has: they differ in what they make of a connection that ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Library {
    /// With one address it has no cluster, and so never tries again: a call is lost that was on its way when its connection
    /// was closed.
    Two,
    /// It tries again. After READONLY it looks for another address than its only one for up to a minute, unless told
    /// that one need not look available.
    Three,
}

/// A client in the first zone that calls all the time, in a lane or none.
pub(super) fn caller(name: &str, library: Library, lane: Option<&str>) -> String {
    let image = match library {
        Library::Two => "caller-2",
        Library::Three => "caller-3",
    };
    let address = "greeter.shop.svc.cluster.local:20880";
    let mut arguments = ["--address", address, "--load", "2", "--retries", "2"].to_vec();
    arguments.extend(["--with", "cluster.availablecheck=false"]);
    arguments.extend(["--pause", "20", "--timeout", "10000"]);
    arguments.extend(lane.iter().flat_map(|lane| ["--lane", lane]));
    let mut spec = pod(json!({"name": "caller", "image": image, "args": arguments}));
    spec["nodeSelector"] = json!({"kubernetes.io/hostname": "node-1"});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "caller"}},
    });
    pod.to_string()
}
