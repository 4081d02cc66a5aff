//! Waypoints that are taken out: connections pass them by before their pods end, and nothing is left but what people wrote.

mod leftovers;

use std::process::Command;

use meltemi_tests::kubernetes::{Helm, Pod};
use meltemi_tests::{Process, binary, until};
use serde_json::{Value, json};

use super::waypoint::{BINDING, Lab, PARTS, waypoint};

const DETACH: &str = "meltemi.io/detach";
/// One asks for the waypoint, and one policy is enforced there.
const CACHE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: shop, labels: {istio.io/use-waypoint: l7}}
spec: {selector: {app: cache}, ports: [{name: tcp-redis, port: 6379}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec: {targetRefs: [{group: '', kind: Service, name: cache}]}
";

/// `meltemi detach`, on the cluster of the lab.
fn detach(lab: &Lab, arguments: &[&str]) -> Process {
    let mut command = Command::new(binary());
    command.args(["detach", "--kubeconfig"]);
    command.arg(lab.cluster.kubeconfig()).args(arguments);
    Process::spawn("meltemi", &mut command)
}

/// To its end: whether it did all of it, and what it said.
fn detached(lab: &Lab, arguments: &[&str]) -> (bool, String) {
    let mut process = detach(lab, arguments);
    let is_success = process.wait().success();
    let told = process.lines().join("\n");
    (is_success, format!("{told}\n{}", process.said()))
}

/// A waypoint `l7` with a ready proxy, to which connections come.
fn programmed(lab: &Lab) -> Pod {
    lab.cluster.apply(&waypoint("l7", ""));
    let _ = lab.get("deployment/l7");
    let names = [("meltemi-controller.meltemi-system.svc", lab.address)];
    let proxy = Pod::start(&lab.cluster, ("shop", "l7"), lab.address, &names);
    proxy.is_ready();
    let ready = json!({"status": {"replicas": 1, "readyReplicas": 1}});
    lab.patch_status("deployment/l7", &ready);
    lab.says("l7", "Programmed", "True/Programmed", &[]);
    proxy
}

fn has_address(lab: &Lab) -> bool {
    lab.gateway("l7")["status"]["addresses"].is_array()
}

fn annotation(lab: &Lab, name: &str) -> Value {
    lab.gateway("l7")["metadata"]["annotations"][name].clone()
}

fn is_gone(lab: &Lab, what: &str) {
    until(&format!("{what} is gone"), || {
        lab.try_get(what).is_none().then_some(())
    });
}

#[test]
fn connections_pass_a_waypoint_by_before_its_pods_end_and_it_comes_back() {
    let Some(lab) = Lab::start() else {
        return;
    };
    lab.define();
    let controller = lab.controller(&[]);
    lab.cluster.apply(CACHE);
    let mut proxy = programmed(&lab);
    nothing_is_done_when_it_is_only_asked_what_would_be(&lab);

    // It serves on for whoever has not heard of it.
    let first = detach(&lab, &["l7", "-n", "shop", "--farewell", "1h"]);
    first.line(0, "that it serves", |line| {
        line.contains("serves until").then_some(())
    });
    assert!(!has_address(&lab));
    lab.says("l7", "Programmed", "False/Detached", &[DETACH]);
    assert_eq!(lab.get("deployment/l7")["status"]["readyReplicas"], 1);
    assert!(!proxy.process().has_ended());
    assert_eq!(annotation(&lab, BINDING), "PROXY/15088");
    drop(first);

    // Called again it goes on, and the rest goes when nobody serves any more.
    let mut second = detach(&lab, &["--all", "-n", "shop", "--farewell", "0s"]);
    is_gone(&lab, "deployment/l7");
    second.line(0, "that a pod ends", |line| {
        line.contains("a pod that is ending").then_some(())
    });
    let _ = lab.get("service/l7");
    proxy.ends(&lab.cluster, "shop");
    assert!(second.wait().success(), "{}", second.said());
    let told = second.lines().join("\n");
    for words in [
        "shop/l7  is out",
        "AuthorizationPolicy shop/readers is enforced at a waypoint",
        "Service shop/cache keeps its label istio.io/use-waypoint",
        "annotate gateway.gateway.networking.k8s.io l7 meltemi.io/detach-",
    ] {
        assert!(told.contains(words), "{told}");
    }
    it_stays_out_and_comes_back(&lab);
    let said = controller.process().said();
    assert!(!said.contains("is forbidden"), "{said}");
}

fn nothing_is_done_when_it_is_only_asked_what_would_be(lab: &Lab) {
    let before = lab.gateway("l7");
    let (is_success, told) = detached(lab, &["--all", "--dry-run"]);
    assert!(is_success && told.contains("shop/l7  would be"), "{told}");
    assert!(told.contains("Service shop/cache"), "{told}");
    assert_eq!(lab.gateway("l7"), before);
}

fn it_stays_out_and_comes_back(lab: &Lab) {
    // What is done after it is done later.
    lab.cluster.apply(&waypoint("later", ""));
    lab.says("later", "Accepted", "True/Accepted", &[]);
    let _ = lab.get("pdb/later");
    for part in PARTS {
        assert_eq!(lab.try_get(&format!("{part}/l7")), None, "{part}");
    }
    assert_eq!(annotation(lab, BINDING), Value::Null);
    let (is_success, told) = detached(lab, &["shop/l7"]);
    assert!(is_success && told.contains("shop/l7  is out"), "{told}");
    lab.patch(
        "gateways.gateway.networking.k8s.io/l7",
        &json!({"metadata": {"annotations": {DETACH: null}}}),
    );
    for part in PARTS {
        let _ = lab.get(&format!("{part}/l7"));
    }
    lab.says("l7", "Programmed", "False/Pending", &["no pod"]);
    assert_eq!(annotation(lab, BINDING), "PROXY/15088");
}

#[test]
fn no_controller_is_needed_for_it() {
    let Some(lab) = Lab::start() else {
        return;
    };
    lab.define();
    let controller = lab.controller(&[]);
    let proxy = programmed(&lab);
    drop(controller);
    assert!(has_address(&lab));
    let mut detached = detach(&lab, &["l7", "-n", "shop", "--farewell", "0s"]);
    is_gone(&lab, "deployment/l7");
    assert!(!has_address(&lab));
    let told = detached.lines().join("\n");
    assert!(told.contains("loses its address"), "{told}");
    proxy.ends(&lab.cluster, "shop");
    assert!(detached.wait().success(), "{}", detached.said());
    for part in PARTS {
        assert_eq!(lab.try_get(&format!("{part}/l7")), None, "{part}");
    }
    // One that comes later leaves it so.
    let _controller = lab.controller(&[]);
    lab.says("l7", "Programmed", "False/Detached", &[]);
    assert_eq!(lab.try_get("deployment/l7"), None);
}

#[test]
fn what_cannot_be_done_is_told() {
    let Some(lab) = Lab::start() else {
        return;
    };
    // Without the Gateway API there is nothing to do.
    let (is_success, told) = detached(&lab, &["--all"]);
    assert!(is_success && told.contains("no waypoint"), "{told}");
    lab.define();
    let controller = lab.controller(&[]);
    let proxy = programmed(&lab);
    let (is_success, told) = detached(&lab, &["l8", "-n", "shop"]);
    assert!(!is_success, "{told}");
    for words in ["no Gateway shop/l8", "meltemi-waypoint", "shop/l7"] {
        assert!(told.contains(words), "{told}");
    }
    // A pod that does not end, in time.
    let (is_success, told) = detached(&lab, &["shop/l7", "--farewell=0s", "--timeout=3s"]);
    assert!(!is_success, "{told}");
    assert!(
        told.contains("is not out in time") && told.contains("run it again"),
        "{told}"
    );
    proxy.ends(&lab.cluster, "shop");
    assert!(detached(&lab, &["shop/l7", "--farewell=0s"]).0);
    drop(controller);

    // Whoever may not is told so at once.
    let nobody = ["create", "serviceaccount", "nobody", "-n", "shop"];
    lab.cluster.kubectl(&nobody).expect_success("an account");
    let token = lab
        .cluster
        .kubectl(&["create", "token", "nobody", "-n", "shop"]);
    let account = lab.cluster.kubeconfig_of("nobody", token.stdout().trim());
    let mut command = Command::new(binary());
    command
        .args(["detach", "--all", "--kubeconfig"])
        .arg(account);
    let output = command.output().expect("meltemi starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("forbidden"),
        "{said}"
    );
}

/// Somebody renders the chart and applies what comes out, its hooks, too.
#[test]
fn a_hook_that_is_applied_like_any_manifest_ends_nothing() {
    let Some(lab) = Lab::of_chart() else {
        return;
    };
    let [_, helm] = Helm::versions_on(&lab.cluster);
    let template = ["template", "meltemi", "meltemi", "-n", "meltemi-system"];
    let rendered = helm.prints(&template);
    let apply = ["apply", "--server-side", "-f", "-"];
    let applied = lab.cluster.kubectl_with(&apply, &rendered);
    applied.expect_success("what was rendered is applied");
    let job = ("meltemi-system", "meltemi-controller-uninstall");
    let mut hook = Pod::start_of_job(&lab.cluster, job);
    assert!(!hook.process().wait().success());
    let said = hook.process().said();
    assert!(said.contains("helm template --no-hooks"), "{said}");
    let deployment = lab.cluster.installed_controller();
    assert_eq!(deployment["spec"]["replicas"], 2);
}
