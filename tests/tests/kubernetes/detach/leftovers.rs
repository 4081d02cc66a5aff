//! `helm install`, a service that opts in, `helm uninstall`: istiod tells of it what it told before, and nothing is left.

use std::collections::BTreeSet;

use meltemi_tests::kubernetes::{Address, Helm, Istiod, Pod, Workloads, uninstall};
use meltemi_tests::until;
use serde_json::{Value, json};

use super::super::ambient::{CACHE, SERVICES, is_running};
use super::super::waypoint::{Lab, waypoint};

const SYSTEM: &str = "meltemi-system";

/// Every object that there is, but for what others make as they like.
fn objects(lab: &Lab) -> Vec<Value> {
    let resources = ["api-resources", "--verbs=list", "-o", "name"];
    let resources = lab.cluster.kubectl(&resources).stdout();
    let told = ["events", "events.events.k8s.io", "componentstatuses"];
    let resources: Vec<_> = resources.lines().filter(|it| !told.contains(it)).collect();
    let resources = resources.join(",");
    let list = ["get", &resources, "-A", "--ignore-not-found", "-o", "json"];
    let listed = lab
        .cluster
        .kubectl(&[&list[..], &["--show-managed-fields"]].concat());
    let mut listed = listed.json();
    let items = listed["items"].as_array_mut().map(std::mem::take);
    items.expect("items")
}

fn names(objects: &[Value]) -> BTreeSet<String> {
    let name = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        [
            text(&object["apiVersion"]),
            text(&object["kind"]),
            text(&metadata["namespace"]),
            text(&metadata["name"]),
        ]
        .join(" ")
    };
    let own = |it: &String| it.contains("apiserver-") || it.contains("ContainerRuntime");
    objects.iter().map(name).filter(|it| !own(it)).collect()
}

/// Objects of which somebody of ours has a field.
fn managed(objects: &[Value]) -> BTreeSet<String> {
    let is_ours = |entry: &Value| {
        let manager = entry["manager"].as_str().unwrap_or_default();
        manager.starts_with("meltemi")
    };
    let ours = objects.iter().filter(|object| {
        let managers = object["metadata"]["managedFields"].as_array();
        managers.into_iter().flatten().any(is_ours)
    });
    names(&ours.cloned().collect::<Vec<_>>())
}

/// What istiod tells of the services of `shop`.
struct Told(Workloads);

impl Told {
    fn raw(&self) -> Vec<std::collections::BTreeMap<String, Vec<u8>>> {
        ["cache", "other"].map(|name| self.0.raw(name)).to_vec()
    }

    fn is_led(&self) -> bool {
        let service = self.0.get(CACHE).and_then(|it: Address| it.service);
        service.is_some_and(|it| it.waypoint.is_some())
    }
}

fn label(lab: &Lab, value: &str) {
    let label = format!("istio.io/use-waypoint{value}");
    let label = ["label", "service", "cache", "-n", "shop", &label];
    lab.cluster.kubectl(&label).expect_success("it is labelled");
}

/// The chart, its controller, and a waypoint that istiod leads the service to.
fn install(lab: &Lab, helm: &Helm, told: &Told) -> (Pod, Pod) {
    let values = format!(
        "bindAddress={0},waypoint.extraArgs={{--admin={0}:0}},uninstall.farewellSeconds=2",
        lab.address
    );
    let install = [
        "install", "meltemi", "meltemi", "-n", SYSTEM, "--set", &values,
    ];
    let _ = helm.prints(&install);
    let controller = (SYSTEM, "meltemi-controller");
    let controller = Pod::start(&lab.cluster, controller, lab.address, &[]);
    controller.is_ready();
    lab.cluster.apply(&waypoint("l7", ""));
    let _ = lab.get("deployment/l7");
    label(lab, "=l7");
    let names = [("meltemi-controller.meltemi-system.svc", lab.address)];
    let proxy = Pod::start(&lab.cluster, ("shop", "l7"), lab.address, &names);
    proxy.is_ready();
    is_running(lab, &proxy);
    let ready = json!({"status": {"replicas": 1, "readyReplicas": 1}});
    lab.patch_status("deployment/l7", &ready);
    until("istiod leads the service to the waypoint", || {
        told.is_led().then_some(())
    });
    (controller, proxy)
}

#[test]
fn after_an_uninstall_all_is_as_it_was_before_the_install() {
    let Some(lab) = Lab::of_chart() else {
        return;
    };
    let programs = lab.cluster.programs();
    if !Istiod::is_installed(programs) {
        return;
    }
    lab.cluster.apply(SERVICES);
    let ambient = [("PILOT_ENABLE_AMBIENT", "true")];
    let program = Istiod::program(programs);
    let istiod = Istiod::start(&program, &lab.cluster.kubeconfig(), &ambient);
    let told = Told(Workloads::of(istiod.address()));
    let before = until("istiod tells of the services", || {
        let raw = told.raw();
        raw.iter().all(|it| it.len() >= 2).then_some(raw)
    });
    let there = until("the API server and istiod have made what is theirs", || {
        let objects = names(&objects(&lab));
        let has = |it: &str| objects.iter().any(|object| object.contains(it));
        let is_settled =
            has("Service default kubernetes") && has("IPAddress") && has("istio-ca-root-cert");
        is_settled.then_some(objects)
    });
    for helm in Helm::versions_on(&lab.cluster) {
        let (controller, proxy) = install(&lab, &helm, &told);
        let answer = uninstall(&lab.cluster, &helm, (SYSTEM, "meltemi"), |hook| {
            hook.says("serves until");
            until("istiod leads nobody there", || {
                (!told.is_led()).then_some(())
            });
            until("its pods are to end", || {
                lab.try_get("deployment/l7").is_none().then_some(())
            });
            proxy.ends(&lab.cluster, "shop");
            hook.says("is out");
            until("the controller is to end", || {
                let get = [
                    "get",
                    "deployment",
                    "meltemi-controller",
                    "-n",
                    SYSTEM,
                    "-o",
                    "json",
                ];
                let deployment = lab.cluster.kubectl(&get).json();
                (deployment["spec"]["replicas"] == 0).then_some(())
            });
            controller.ends(&lab.cluster, SYSTEM);
        });
        answer.expect_success("it is uninstalled");
        assert_eq!(told.raw(), before, "with the label that says so");
        leaves_what_people_wrote(&lab, &there);
        label(&lab, "-");
    }
}

fn leaves_what_people_wrote(lab: &Lab, before: &BTreeSet<String>) {
    let gateway = lab.gateway("l7");
    assert_eq!(gateway["metadata"]["annotations"], Value::Null);
    assert_eq!(gateway["status"]["addresses"], Value::Null);
    assert_eq!(gateway["status"]["listeners"], Value::Null);
    let objects = objects(lab);
    let class = "gateway.networking.k8s.io/v1 GatewayClass  meltemi-waypoint".to_owned();
    let gateway = "gateway.networking.k8s.io/v1 Gateway shop l7".to_owned();
    let left: BTreeSet<_> = names(&objects).difference(before).cloned().collect();
    assert_eq!(
        left,
        [class.clone(), gateway].into(),
        "the class stays while a Gateway is of it"
    );
    assert_eq!(managed(&objects), [class].into());
    let gone: Vec<_> = before.difference(&names(&objects)).cloned().collect();
    assert!(gone.is_empty(), "{gone:?}");
    lab.delete(&["gateways.gateway.networking.k8s.io", "l7"]);
    lab.delete(&["gatewayclass", "meltemi-waypoint"]);
}
