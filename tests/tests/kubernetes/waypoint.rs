//! Gateways of the class `meltemi-waypoint` on a real API server: the controller makes what they are made of, keeps it so,
//! and says when connections may come.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use meltemi_tests::kubernetes::{ApiServer, Encrypted, Helm, Pod, controller_account, own_address};
use meltemi_tests::{PATIENCE, until};
use serde_json::{Value, json};

pub(super) const BINDING: &str = "ambient.istio.io/waypoint-inbound-binding";
pub(super) const PARTS: [&str; 5] = ["serviceaccount", "service", "deployment", "hpa", "pdb"];
const RESTRICTED: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/warn: restricted
";

/// A Gateway of a class, in `shop`, with more of its `spec`.
fn gateway(name: &str, class: &str, more: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  gatewayClassName: {class}\n  \
         listeners: [{{name: proxy, port: 15088, protocol: istio.io/PROXY}}]\n  {more}\n"
    )
}

pub(super) fn waypoint(name: &str, more: &str) -> String {
    gateway(name, "meltemi-waypoint", more)
}

fn overrides(data: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: overrides, namespace: shop}}\ndata:\n  {data}\n"
    )
}

const OVERRIDDEN: &str =
    "infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: overrides}}";

/// The port that a waypoint listens at is one of the machine: one test has it at a time.
static PORT: Mutex<()> = Mutex::new(());

pub(super) struct Lab {
    pub(super) cluster: ApiServer,
    account: PathBuf,
    pub(super) address: Ipv4Addr,
    _port: MutexGuard<'static, ()>,
}

impl Lab {
    /// Without the definitions of the Gateway API.
    pub(super) fn start() -> Option<Self> {
        let port = PORT.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = ApiServer::with_definitions()?;
        let account = controller_account(&cluster);
        cluster.apply(RESTRICTED);
        Some(Self {
            account,
            cluster,
            address: own_address(),
            _port: port,
        })
    }

    /// With these definitions, and the namespaces of the chart, restricted as they may be.
    pub(super) fn of_chart() -> Option<Self> {
        let port = PORT.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = ApiServer::with_definitions()?;
        let system = RESTRICTED.replace("shop", "meltemi-system");
        let istio = RESTRICTED.replace("shop", "istio-system");
        cluster.apply(&[RESTRICTED, &system, &istio].join("---\n"));
        let lab = Self {
            account: cluster.kubeconfig(),
            cluster,
            address: own_address(),
            _port: port,
        };
        lab.define();
        Some(lab)
    }

    pub(super) fn define(&self) {
        for crd in self.cluster.programs().gateway_api_crds() {
            self.cluster.install_crds(&crd);
        }
    }

    /// A controller whose waypoints are bound to this lab's address, with more of their settings.
    pub(super) fn controller(&self, arguments: &[&str]) -> Encrypted {
        let settings = format!(
            "{{image: meltemi, controller: 'meltemi-controller.meltemi-system.svc:15010', \
             bindAddress: {0}, extraArgs: ['--admin={0}:0'], podDisruptionBudget: {{minAvailable: 1}}}}",
            self.address
        );
        let listen = SocketAddr::from((self.address, 15010));
        let arguments = [&["--waypoint", &settings][..], arguments].concat();
        Encrypted::start(&self.account, listen, &arguments)
    }

    /// `kind/name`, in `shop`.
    pub(super) fn try_get(&self, what: &str) -> Option<Value> {
        let get = ["get", what, "-n", "shop", "-o", "json"];
        let answer = self.cluster.kubectl(&get);
        answer.is_success().then(|| answer.json())
    }

    pub(super) fn get(&self, what: &str) -> Value {
        until(&format!("{what} is there"), || self.try_get(what))
    }

    pub(super) fn patch(&self, what: &str, patch: &Value) {
        self.patch_of(what, &[], patch);
    }

    pub(super) fn patch_status(&self, what: &str, patch: &Value) {
        self.patch_of(what, &["--subresource=status"], patch);
    }

    fn patch_of(&self, what: &str, more: &[&str], patch: &Value) {
        let patch = patch.to_string();
        let patch = ["patch", what, "-n", "shop", "--type=merge", "-p", &patch];
        let answer = self.cluster.kubectl(&[&patch, more].concat());
        answer.expect_success("it is patched");
    }

    pub(super) fn delete(&self, what: &[&str]) {
        let answer = self
            .cluster
            .kubectl(&[&["delete", "-n", "shop"], what].concat());
        answer.expect_success("it is deleted");
    }

    /// Waits until a condition of a Gateway is so, and has these words.
    pub(super) fn says(&self, name: &str, kind: &str, expected: &str, words: &[&str]) {
        let what = format!("gateways.gateway.networking.k8s.io/{name}");
        let condition = || {
            let gateway = self.try_get(&what)?;
            let conditions = gateway["status"]["conditions"].as_array()?;
            let condition = conditions.iter().find(|it| it["type"] == kind)?;
            let text = |field: &str| condition[field].as_str().unwrap_or_default();
            let says = format!("{}/{}", text("status"), text("reason"));
            Some((says, text("message").to_owned()))
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = condition();
            let is_so = found.as_ref().is_some_and(|(says, message)| {
                says == expected && words.iter().all(|words| message.contains(words))
            });
            if is_so {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{name}: {kind} is {found:?}, and not {expected} with {words:?}"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn gateway(&self, name: &str) -> Value {
        self.get(&format!("gateways.gateway.networking.k8s.io/{name}"))
    }
}

fn class_is_there(lab: &Lab, name: &str) -> Value {
    until(&format!("the class {name} is accepted"), || {
        let path = format!("/apis/gateway.networking.k8s.io/v1/gatewayclasses/{name}");
        let class = lab.cluster.get(&path)?;
        let mut conditions = class["status"]["conditions"].as_array()?.iter();
        let is_accepted = conditions.any(|it| it["type"] == "Accepted" && it["status"] == "True");
        is_accepted.then_some(class)
    })
}

#[test]
fn classes_come_with_their_definition_and_come_back() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let controller = lab.controller(&[]);
    until("the controller leads", || {
        let said = controller.process().said();
        said.contains("all kinds are known").then_some(())
    });
    lab.define();
    let class = class_is_there(&lab, "meltemi-waypoint");
    assert_eq!(
        class["metadata"]["labels"]["istio.io/waypoint-for"],
        "service"
    );
    assert_eq!(class["metadata"]["annotations"][BINDING], "PROXY/15088");
    assert_eq!(class["spec"]["controllerName"], "meltemi.io/controller");
    let first = class_is_there(&lab, "meltemi");

    // Deleted, they come back; changed, they are as before.
    let names = ["meltemi", "meltemi-waypoint"];
    lab.delete(&[&["gatewayclass"], &names[..]].concat());
    let again = class_is_there(&lab, "meltemi");
    assert_ne!(first["metadata"]["uid"], again["metadata"]["uid"]);
    let _ = class_is_there(&lab, "meltemi-waypoint");
    let label = [
        "label",
        "gatewayclass",
        "meltemi-waypoint",
        "istio.io/waypoint-for=none",
        "--overwrite",
    ];
    lab.cluster.kubectl(&label).expect_success("it is labelled");
    until("the label is as before", || {
        let class = class_is_there(&lab, "meltemi-waypoint");
        (class["metadata"]["labels"]["istio.io/waypoint-for"] == "service").then_some(())
    });
    drop(controller);
    a_class_of_somebody_else_is_left_alone(&lab);
}

fn a_class_of_somebody_else_is_left_alone(lab: &Lab) {
    lab.delete(&["gatewayclass", "meltemi"]);
    lab.cluster.apply(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: meltemi}\n\
         spec: {controllerName: example.com/other}\n",
    );
    let before = lab.get("gatewayclass/meltemi");
    let revision = lab.controller(&["--revision", "canary"]);
    let _ = class_is_there(lab, "meltemi-waypoint-canary");
    drop(revision);
    let controller = lab.controller(&[]);
    until("it is said whose it is", || {
        let events = lab.cluster.kubectl(&["events", "-n", "default"]).stdout();
        let is_told = events.contains("ClassTaken") && events.contains("example.com/other");
        is_told.then_some(())
    });
    assert!(controller.process().said().contains("example.com/other"));
    assert_eq!(lab.get("gatewayclass/meltemi"), before);
}

#[test]
fn a_gateway_becomes_a_waypoint_and_stays_one() {
    let Some(lab) = Lab::start() else {
        return;
    };
    lab.define();
    let controller = lab.controller(&[]);
    let others = gateway("theirs", "istio-waypoint", "");
    lab.cluster
        .apply(&[others, waypoint("l7", "")].join("---\n"));
    let theirs = lab.gateway("theirs");
    lab.says("l7", "Accepted", "True/Accepted", &[]);
    lab.says("l7", "Programmed", "False/Pending", &["no pod", "l7"]);
    let made = lab.gateway("l7");
    assert_eq!(made["metadata"]["annotations"][BINDING], "PROXY/15088");
    assert_eq!(made["status"]["addresses"], Value::Null);
    assert_eq!(
        made["status"]["listeners"][0]["conditions"][0]["status"],
        "True"
    );
    for part in PARTS {
        let object = lab.get(&format!("{part}/l7"));
        let owner = &object["metadata"]["ownerReferences"][0];
        assert_eq!(owner["uid"], made["metadata"]["uid"], "{part}");
    }
    what_drifts_is_put_back(&lab);
    what_is_no_news_writes_nothing(&lab, &controller);
    overrides_are_merged_and_bad_ones_change_nothing(&lab);
    what_is_there_already_is_left_alone(&lab);
    what_it_changes_is_told(&lab);
    what_is_wrong_is_told(&lab);
    assert_eq!(lab.gateway("theirs"), theirs, "another controller's");
    what_is_deleted_stays_so(&lab);
    let said = controller.process().said();
    assert!(!said.contains("is forbidden"), "{said}");
}

fn what_drifts_is_put_back(lab: &Lab) {
    let port = json!({"name": "hbone", "port": 15008, "targetPort": 1});
    lab.patch(
        "service/l7",
        &json!({"spec": {"trafficDistribution": null, "ports": [port]}}),
    );
    until("the Service is as before", || {
        let spec = lab.get("service/l7")["spec"].take();
        let port = &spec["ports"][0]["targetPort"];
        (spec["trafficDistribution"] == "PreferClose" && *port == 15008).then_some(())
    });
    let label = json!({"spec": {"template": {"metadata": {"labels": {"sidecar.istio.io/inject": "true"}}}}});
    lab.patch("deployment/l7", &label);
    until("the Deployment is as before", || {
        let template = lab.get("deployment/l7")["spec"]["template"].take();
        (template["metadata"]["labels"]["sidecar.istio.io/inject"] == "false").then_some(())
    });
    for part in ["pdb", "hpa", "serviceaccount"] {
        lab.delete(&[part, "l7"]);
        let _ = lab.get(&format!("{part}/l7"));
    }
    lab.patch(
        "gateways.gateway.networking.k8s.io/l7",
        &json!({"metadata": {"annotations": {BINDING: null}}}),
    );
    until("the binding is there again", || {
        (lab.gateway("l7")["metadata"]["annotations"][BINDING] == "PROXY/15088").then_some(())
    });
}

/// Whoever scales is not overruled, and who leads anew has nothing to do.
fn what_is_no_news_writes_nothing(lab: &Lab, controller: &Encrypted) {
    let scale = ["scale", "deployment/l7", "--replicas=4", "-n", "shop"];
    lab.cluster.kubectl(&scale).expect_success("it is scaled");
    let versions = || {
        let version =
            |what: &str| lab.get(&format!("{what}/l7"))["metadata"]["resourceVersion"].clone();
        let gateway = lab.gateway("l7")["metadata"]["resourceVersion"].clone();
        (PARTS.map(version), gateway)
    };
    let before = versions();
    let told = controller.process().said().len();
    // What is done after it is done later.
    lab.cluster.apply(&waypoint("later", ""));
    lab.says("later", "Accepted", "True/Accepted", &[]);
    lab.delete(&["gateways.gateway.networking.k8s.io", "later"]);
    for part in PARTS {
        lab.delete(&[part, "later"]);
    }
    assert_eq!(versions(), before);
    assert_eq!(lab.get("deployment/l7")["spec"]["replicas"], 4);
    let said = controller.process().said();
    let since = said.get(told..).unwrap_or_default();
    assert!(!since.contains("name=\"l7\""), "{since}");
}

fn overrides_are_merged_and_bad_ones_change_nothing(lab: &Lab) {
    let resources = "deployment: 'spec: {template: {spec: {containers: [{name: proxy, resources: \
        {requests: {cpu: 1000m}}}]}}}'\n  service: 'metadata: {annotations: {note: x}}'";
    lab.cluster
        .apply(&[overrides(resources), waypoint("l7", OVERRIDDEN)].join("---\n"));
    let cpu = || {
        let mut deployment = lab.get("deployment/l7");
        let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "meltemi");
        container["resources"]["requests"]["cpu"].take()
    };
    until("the Deployment is another", || (cpu() == "1").then_some(()));
    until("the Service is another", || {
        (lab.get("service/l7")["metadata"]["annotations"]["note"] == "x").then_some(())
    });
    for (data, words) in [
        ("deploymnt: '{}'", "deploymnt"),
        ("deployment: 'metadata: {name: other}'", "metadata.name"),
        (
            "deployment: 'spec: {minReadySeconds: soon}'",
            "minReadySeconds",
        ),
    ] {
        // Applied by another than before: what it leaves out goes.
        lab.cluster.apply(&overrides(data));
        let words = ["shop/overrides", words];
        lab.says("l7", "Accepted", "False/InvalidParameters", &words[..1]);
        assert_eq!(cpu(), "1", "{data}");
    }
    // What only the API server knows to be wrong it says, and nothing changes.
    lab.cluster
        .apply(&overrides("deployment: 'spec: {strategyy: {}}'"));
    lab.says(
        "l7",
        "Programmed",
        "False/NoResources",
        &["Deployment shop/l7 is refused", "strategyy"],
    );
    lab.says("l7", "Accepted", "True/Accepted", &[]);
    assert_eq!(cpu(), "1");
    // Without autoscaling the number of replicas is told.
    let unscaled = "horizontalPodAutoscaler: 'null'\n  podDisruptionBudget: '$patch: delete'";
    lab.cluster.apply(&overrides(unscaled));
    until("nobody scales", || {
        let is_gone = ["hpa/l7", "pdb/l7"]
            .iter()
            .all(|it| lab.try_get(it).is_none());
        let replicas = &lab.get("deployment/l7")["spec"]["replicas"];
        (is_gone && replicas == 2).then_some(())
    });
    assert_eq!(cpu(), Value::Null);
    lab.cluster.apply(&waypoint("l7", "infrastructure: null"));
    let _ = lab.get("hpa/l7");
    let _ = lab.get("pdb/l7");
}

fn what_is_there_already_is_left_alone(lab: &Lab) {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: taken, namespace: shop}\n\
                   spec: {ports: [{port: 80}]}\n";
    lab.cluster.apply(service);
    let before = lab.get("service/taken");
    lab.cluster.apply(&waypoint("taken", ""));
    lab.says(
        "taken",
        "Programmed",
        "False/NoResources",
        &["Service shop/taken", "delete it"],
    );
    let _ = lab.get("deployment/taken");
    assert_eq!(lab.get("service/taken"), before);
    // Deleted, it is made room for ours.
    lab.delete(&["service", "taken"]);
    lab.says("taken", "Programmed", "False/Pending", &["no pod"]);
    let labels = lab.get("service/taken")["metadata"]["labels"].take();
    assert_eq!(labels["istio.io/use-waypoint"], "none");
}

fn what_is_wrong_is_told(lab: &Lab) {
    let wrong = waypoint("wrong", "").replace("port: 15088", "port: 80");
    lab.cluster.apply(&wrong);
    lab.says(
        "wrong",
        "Accepted",
        "False/ListenersNotValid",
        &["istio.io/PROXY"],
    );
    let listener = lab.gateway("wrong")["status"]["listeners"][0].take();
    assert_eq!(listener["conditions"][0]["reason"], "PortUnavailable");
    let address = waypoint("address", "addresses: [{type: IPAddress, value: 10.0.0.1}]");
    lab.cluster.apply(&address);
    lab.says(
        "address",
        "Accepted",
        "False/UnsupportedAddress",
        &["leave"],
    );
    for name in ["wrong", "address"] {
        assert_eq!(lab.try_get(&format!("deployment/{name}")), None);
    }
}

/// Of a service that asks for it: a policy at its pods, a port of HTTP, and who goes past it.
fn what_it_changes_is_told(lab: &Lab) {
    let policy = |principal: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{name: web, namespace: shop}}\n\
             spec: {{selector: {{matchLabels: {{app: web}}}}, rules: [{{from: [{{source: {{principals: [{principal}]}}}}]}}]}}\n"
        )
    };
    lab.cluster.apply(
        "apiVersion: v1\nkind: Service\n\
         metadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: changing}}\n\
         spec: {selector: {app: web}, ports: [{name: http, port: 80}]}\n",
    );
    lab.cluster.apply(&policy("cluster.local/ns/shop/sa/front"));
    lab.cluster.apply(&waypoint("changing", ""));
    let words = [
        "AuthorizationPolicy shop/web refuses what it brings to Service shop/web",
        "port 80 of Service shop/web is passed on",
        "Service shop/web can be reached past it",
    ];
    lab.says("changing", "Accepted", "True/Accepted", &words);
    lab.cluster
        .apply(&policy("cluster.local/ns/shop/sa/changing"));
    let served = "behind it: port 80 of Service shop/web is passed on, without rules of HTTP";
    lab.says("changing", "Accepted", "True/Accepted", &[served]);
    lab.delete(&["service", "web"]);
}

/// The garbage collector of a cluster, which there is none of here, takes what the Gateway owns.
fn what_is_deleted_stays_so(lab: &Lab) {
    lab.delete(&["gateways.gateway.networking.k8s.io", "l7"]);
    for part in PARTS {
        lab.delete(&[part, "l7"]);
    }
    // What is done after it is done later.
    lab.cluster.apply(&waypoint("last", ""));
    lab.says("last", "Accepted", "True/Accepted", &[]);
    let _ = lab.get("pdb/last");
    for part in PARTS {
        assert_eq!(lab.try_get(&format!("{part}/l7")), None);
    }
}

#[test]
fn its_address_is_told_once_a_proxy_has_what_it_is_sent_and_stays() {
    let Some(lab) = Lab::start() else {
        return;
    };
    lab.define();
    let controller = lab.controller(&[]);
    lab.cluster.apply(&waypoint("l7", ""));
    let _ = lab.get("deployment/l7");
    // A Deployment that says that it is ready is not believed alone.
    let ready = |ready: u32| {
        let status = json!({"status": {"replicas": 1, "readyReplicas": ready}});
        lab.patch_status("deployment/l7", &status);
    };
    ready(1);
    lab.says("l7", "Programmed", "False/Pending", &["asked"]);
    assert_eq!(lab.gateway("l7")["status"]["addresses"], Value::Null);
    ready(0);
    let names = [("meltemi-controller.meltemi-system.svc", lab.address)];
    let mut proxy = Pod::start(&lab.cluster, ("shop", "l7"), lab.address, &names);
    proxy.is_ready();
    lab.says("l7", "Programmed", "False/Pending", &["no pod"]);
    ready(1);
    lab.says("l7", "Programmed", "True/Programmed", &[]);
    let ip = lab.get("service/l7")["spec"]["clusterIP"].take();
    let addresses = json!([
        {"type": "Hostname", "value": "l7.shop.svc.cluster.local"},
        {"type": "IPAddress", "value": ip},
    ]);
    assert_eq!(lab.gateway("l7")["status"]["addresses"], addresses);
    // Whatever happens to its proxies, and to the controller.
    proxy.process().signal("TERM");
    assert!(proxy.process().wait().success());
    ready(0);
    lab.says("l7", "Programmed", "False/Pending", &["no pod"]);
    assert_eq!(lab.gateway("l7")["status"]["addresses"], addresses);
    drop(controller);
    let _controller = lab.controller(&[]);
    lab.cluster.apply(&waypoint("later", ""));
    lab.says("later", "Accepted", "True/Accepted", &[]);
    assert_eq!(lab.gateway("l7")["status"]["addresses"], addresses);
}

#[test]
fn what_the_chart_installs_makes_waypoints() {
    let Some(lab) = Lab::of_chart() else {
        return;
    };
    let [_, helm] = Helm::versions_on(&lab.cluster);
    let values = format!(
        "bindAddress={0},waypoint.workers=1,waypoint.extraArgs={{--admin={0}:0}}",
        lab.address
    );
    let install = ["install", "meltemi", "meltemi", "-n", "meltemi-system"];
    let _ = helm.prints(&[&install[..], &["--set", &values]].concat());
    let deployment = ("meltemi-system", "meltemi-controller");
    let mut controller = Pod::start(&lab.cluster, deployment, lab.address, &[]);
    controller.is_ready();
    lab.cluster.apply(&waypoint("l7", ""));
    lab.says("l7", "Accepted", "True/Accepted", &[]);
    let names = [("meltemi-controller.meltemi-system.svc", lab.address)];
    let _ = lab.get("deployment/l7");
    let proxy = Pod::start(&lab.cluster, ("shop", "l7"), lab.address, &names);
    proxy.is_ready();
    let status = json!({"status": {"replicas": 1, "readyReplicas": 1}});
    lab.patch_status("deployment/l7", &status);
    lab.says("l7", "Programmed", "True/Programmed", &[]);
    for part in PARTS {
        let _ = lab.get(&format!("{part}/l7"));
    }
    let said = controller.process().said();
    assert!(!said.contains("is forbidden"), "{said}");
}
