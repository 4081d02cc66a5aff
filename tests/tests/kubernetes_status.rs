//! What people see of their objects: conditions, Events, and who writes them.

use std::path::PathBuf;

use meltemi_tests::kubernetes::{ApiServer, Controller, Programs, controller_account};
use meltemi_tests::redis::service;
use meltemi_tests::until;
use serde_json::{Value, json};

#[path = "kubernetes_status/objects.rs"]
mod objects;
#[path = "kubernetes_status/seen.rs"]
mod seen;

use objects::{GATEWAY, Router};
use seen::Seen;

/// A cluster with a Gateway and the services `one.demo` and `two.demo`; and who the controller is there.
fn cluster() -> Option<(ApiServer, PathBuf)> {
    let cluster = ApiServer::start()?;
    cluster.install_crds(&Programs::own_crds());
    cluster.install_crds(&cluster.programs().istio_crds());
    let kubeconfig = controller_account(&cluster);
    cluster.apply(GATEWAY);
    for host in ["one.demo", "two.demo"] {
        let endpoint = "127.0.0.1:1".parse().expect("an address");
        cluster.apply(&service(host, &[endpoint]));
    }
    Some((cluster, kubeconfig))
}

#[test]
fn what_is_applied_is_accepted_and_programmed_once_a_proxy_has_it() {
    let Some((cluster, account)) = cluster() else {
        return;
    };
    let seen = Seen(&cluster);
    let controller = Controller::start(&account);
    cluster.apply(&Router::default().yaml());
    seen.waits("metarouter/cache", "Accepted", "True");
    seen.has(
        "metarouter/cache",
        "Programmed",
        ("Unknown", "NoProxies"),
        &["no proxy"],
    );
    seen.has(
        "metarouter/cache",
        "ResolvedRefs",
        ("True", "ResolvedRefs"),
        &[],
    );
    seen.has(
        "metarouter/cache",
        "Conflicted",
        ("False", "NoConflicts"),
        &[],
    );
    let status = seen.status("metarouter/cache");
    assert_eq!(status["protocol"], "redis");
    let gateway = json!({
        "group": "networking.istio.io", "kind": "Gateway", "namespace": "default", "name": "edge",
    });
    assert_eq!(status["parents"][0]["parentRef"], gateway);
    assert_eq!(
        status["parents"][0]["controllerName"],
        "meltemi.io/controller"
    );
    assert_eq!(
        status["parents"][0]["conditions"][0]["observedGeneration"],
        1
    );

    let proxy = controller.proxy();
    seen.waits("metarouter/cache", "Programmed", "True");
    let columns = cluster
        .kubectl(&["get", "metarouter", "cache", "--no-headers"])
        .stdout();
    let columns: Vec<_> = columns.split_whitespace().collect();
    assert_eq!(
        columns.get(..5),
        Some(&["cache", "one.demo", "redis", "True", "True"][..])
    );

    // A proxy that is there again at once, and changes of endpoints, are no news.
    let before = seen.version("metarouter/cache");
    drop(proxy);
    let again = controller.proxy();
    let _ = again.address("default/edge/redis");
    let endpoints = ["127.0.0.1:2", "127.0.0.1:3"].map(|it| it.parse().expect("an address"));
    cluster.apply(&service("one.demo", &endpoints));
    cluster.apply(
        &Router {
            name: "later",
            ..Router::default()
        }
        .yaml(),
    );
    seen.waits("metarouter/later", "Accepted", "True");
    seen.waits("metarouter/later", "Programmed", "True");
    assert_eq!(seen.version("metarouter/cache"), before);

    cluster
        .kubectl(&["delete", "metarouter", "later"])
        .expect_success("it is deleted");

    // Of another generation the proxies are asked again.
    cluster.apply(
        &Router {
            host: "two.demo",
            ..Router::default()
        }
        .yaml(),
    );
    until("the new generation is programmed", || {
        let condition = seen.condition("metarouter/cache", "Programmed")?;
        (condition["status"] == "True" && condition["observedGeneration"] == 2).then_some(())
    });
    // Where nobody is left it is not known.
    drop(again);
    seen.waits("metarouter/cache", "Programmed", "Unknown");
}

#[test]
fn what_is_wrong_is_said_with_its_field_and_remedy() {
    let Some((cluster, account)) = cluster() else {
        return;
    };
    let seen = Seen(&cluster);
    let _controller = Controller::start(&account);
    cluster.apply(&Router::default().yaml());
    seen.waits("metarouter/cache", "Accepted", "True");

    // What was in force stays, and that is said.
    cluster.apply(
        &Router {
            host: "three.demo",
            ..Router::default()
        }
        .yaml(),
    );
    seen.waits("metarouter/cache", "Accepted", "False");
    let words = [
        "spec.hosts[0]: ",
        "a ServiceEntry defines a host",
        "last good version stays in force",
    ];
    seen.has(
        "metarouter/cache",
        "Accepted",
        ("False", "UnknownHost"),
        &words,
    );
    seen.has(
        "metarouter/cache",
        "ResolvedRefs",
        ("False", "UnknownHost"),
        &words[..2],
    );
    seen.has(
        "metarouter/cache",
        "Programmed",
        ("False", "NotAccepted"),
        &[],
    );
    let accepted = seen
        .condition("metarouter/cache", "Accepted")
        .expect("a condition");
    assert_eq!(accepted["observedGeneration"], 2);
    until("an Event says so", || {
        let events = cluster
            .kubectl(&["events", "--for=metarouter.metaprotocol.aeraki.io/cache"])
            .stdout();
        (events.contains("Warning") && events.contains("UnknownHost")).then_some(())
    });
    cluster.apply(&Router::default().yaml());
    seen.waits("metarouter/cache", "Accepted", "True");
    until("an Event says that it is mended", || {
        let events = cluster
            .kubectl(&["events", "--for=metarouter.metaprotocol.aeraki.io/cache"])
            .stdout();
        (events.contains("Normal") && events.contains("Accepted")).then_some(())
    });

    for case in objects::WRONG {
        cluster.apply(case.manifest);
        let reason = (case.status, case.reason);
        seen.has(case.object, case.condition, reason, case.words);
    }
    // Nothing else is affected.
    seen.has("metarouter/cache", "Accepted", ("True", "Accepted"), &[]);
    for (manifest, object, parent) in objects::RIGHT {
        cluster.apply(manifest);
        seen.waits(object, "Accepted", "True");
        assert_eq!(
            seen.status(object)["parents"][0]["parentRef"]["kind"],
            *parent,
            "{object}"
        );
    }
}

#[test]
fn entries_of_others_stay_and_ours_come_back() {
    let Some((cluster, account)) = cluster() else {
        return;
    };
    let seen = Seen(&cluster);
    let controller = Controller::start(&account);
    cluster.apply(&Router::default().yaml());
    seen.waits("metarouter/cache", "Accepted", "True");
    let theirs = json!({
        "parentRef": {"name": "edge"}, "controllerName": "example.com/other",
        "conditions": [{
            "type": "Accepted", "status": "False", "reason": "Other", "message": "no",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    });
    // Somebody writes over and over what is theirs alone.
    for _ in 0..5 {
        seen.patch_status("metarouter/cache", &json!({"parents": [theirs]}));
    }
    until("ours are there again", || {
        let condition = seen.condition("metarouter/cache", "Accepted")?;
        (condition["status"] == "True").then_some(())
    });
    let status = seen.status("metarouter/cache");
    let names = status["parents"].as_array().expect("parents").iter();
    let names: Vec<_> = names
        .map(|entry| entry["controllerName"].as_str())
        .collect();
    assert_eq!(
        names,
        [Some("example.com/other"), Some("meltemi.io/controller")]
    );
    assert_eq!(status["parents"][0], theirs);

    // While both write.
    for round in 0..10 {
        let host = ["one.demo", "three.demo"][round % 2];
        cluster.apply(
            &Router {
                host,
                ..Router::default()
            }
            .yaml(),
        );
        let mut theirs = theirs.clone();
        theirs["conditions"][0]["message"] = json!(format!("{round}"));
        let mut parents = seen.status("metarouter/cache")["parents"].clone();
        parents[0] = theirs;
        seen.patch_status("metarouter/cache", &json!({"parents": parents}));
    }
    until("the last one is judged", || {
        let condition = seen.condition("metarouter/cache", "Accepted")?;
        let generation = seen.object("metarouter/cache")["metadata"]["generation"].clone();
        (condition["status"] == "False" && condition["observedGeneration"] == generation)
            .then_some(())
    });
    assert_eq!(
        seen.status("metarouter/cache")["parents"][0]["conditions"][0]["message"],
        "9"
    );
    // What is deleted while it is written to is gone, and the next is served.
    cluster
        .kubectl(&["delete", "metarouter", "cache"])
        .expect_success("it is deleted");
    cluster.apply(&Router::default().yaml());
    seen.waits("metarouter/cache", "Accepted", "True");
    assert!(!controller.process().said().contains("cannot be written"));
}

/// Whose Lease it is.
fn leader(cluster: &ApiServer) -> Option<u32> {
    let lease = cluster.kubectl(&[
        "get",
        "lease",
        "meltemi-controller",
        "-n",
        "meltemi-system",
        "-o",
        "json",
    ]);
    if !lease.is_success() {
        return None;
    }
    let holder: Value = lease.json()["spec"]["holderIdentity"].clone();
    holder.as_str()?.split('_').nth(1)?.parse().ok()
}

#[test]
fn one_writes_and_when_it_is_gone_another_one_does() {
    let Some((cluster, account)) = cluster() else {
        return;
    };
    let seen = Seen(&cluster);
    let first = Controller::start(&account);
    until("the first leads", || {
        (leader(&cluster)? == first.process().pid()).then_some(())
    });
    let second = Controller::start(&account);
    cluster.apply(&Router::default().yaml());
    seen.waits("metarouter/cache", "Accepted", "True");
    assert!(!second.process().said().contains("status is written"));

    // Killed, it cannot give the Lease back: it runs out.
    drop(first);
    cluster.apply(
        &Router {
            host: "three.demo",
            ..Router::default()
        }
        .yaml(),
    );
    seen.waits("metarouter/cache", "Accepted", "False");
    assert_eq!(leader(&cluster), Some(second.process().pid()));

    // Ended in peace, it gives it back.
    let third = Controller::start(&account);
    second.process().signal("TERM");
    until("the second gives the Lease back", || {
        second
            .process()
            .said()
            .contains("the Lease is given back")
            .then_some(())
    });
    until("the third leads", || {
        (leader(&cluster)? == third.process().pid()).then_some(())
    });
    let before = seen.version("metarouter/cache");
    cluster.apply(
        &Router {
            name: "later",
            ..Router::default()
        }
        .yaml(),
    );
    seen.waits("metarouter/later", "Accepted", "True");
    assert_eq!(
        seen.version("metarouter/cache"),
        before,
        "who leads is no news"
    );
}
