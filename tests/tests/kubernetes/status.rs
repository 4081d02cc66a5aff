//! What people see of their objects: conditions, Events, and who writes them.

use std::path::PathBuf;
use std::process::Command;

use meltemi_tests::kubernetes::{ApiServer, Controller, controller_account};
use meltemi_tests::redis::service;
use meltemi_tests::{Meltemi, binary, until};
use serde_json::{Value, json};

mod objects;
pub(crate) mod seen;

use objects::{GATEWAY, router};
use seen::Seen;

const CACHE: &str = "metarouter/cache";

/// A cluster with a Gateway and the services `one.demo` and `two.demo`; and who the controller is there.
pub(crate) fn cluster() -> Option<(ApiServer, PathBuf)> {
    let cluster = ApiServer::with_definitions()?;
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
    cluster.apply(&router("cache", "one.demo"));
    seen.waits(CACHE, "Accepted", "True");
    seen.has(CACHE, "Programmed", ("Unknown", "NoProxies"), &["no proxy"]);
    seen.has(CACHE, "ResolvedRefs", ("True", "ResolvedRefs"), &[]);
    seen.has(CACHE, "Conflicted", ("False", "NoConflicts"), &[]);
    let status = seen.status(CACHE);
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
    let programmed = "{.status.parents[0].conditions[?(@.type==\"Programmed\")].status}";
    let wait = format!("--for=jsonpath={programmed}=True");
    let waited = cluster.kubectl(&["wait", CACHE, &wait, "--timeout=120s"]);
    waited.expect_success("people wait for it");
    columns_show_it(&cluster);
    let again = what_is_no_news_writes_nothing(&seen, &controller, proxy);

    // Of another generation the proxies are asked again.
    cluster.apply(&router("cache", "two.demo"));
    until("the new generation is programmed", || {
        let condition = seen.condition(CACHE, "Programmed")?;
        (condition["status"] == "True" && condition["observedGeneration"] == 2).then_some(())
    });
    // Where nobody is left it is not known.
    drop(again);
    seen.waits(CACHE, "Programmed", "Unknown");
}

/// Where the controller is told of the protocols, as those print it who speak them.
#[test]
fn what_no_request_has_is_warned_of() {
    let Some((cluster, account)) = cluster() else {
        return;
    };
    let printed = Command::new(binary()).arg("protocols").output();
    let printed = printed.expect("the command ends");
    let printed = String::from_utf8(printed.stdout).expect("text");
    let values: Value = serde_saphyr::from_str(&printed).expect("values");
    let told = values["protocols"].as_array().expect("a list").iter();
    let redis = told.filter(|protocol| protocol["id"] == "redis");
    let redis: Vec<_> = redis.map(Value::to_string).collect();
    let [redis] = redis.as_slice() else {
        panic!("{printed}");
    };
    let _controller = Controller::start_with(&account, &["--protocol", redis]);
    let seen = Seen(&cluster);
    for (name, asked, words) in [
        (
            "typo",
            "comand: {exact: get}",
            ["`comand`", "did you mean `command`"],
        ),
        (
            "case",
            "command: {exact: GET}",
            ["always in lower case", "write `get`"],
        ),
    ] {
        let route = format!(
            "{{match: {{attributes: {{{asked}}}}}, route: [{{destination: {{host: one.demo}}}}]}}"
        );
        let router = router(name, "one.demo");
        cluster.apply(&format!("{router}  routes: [{route}]\n"));
        let name = format!("metarouter/{name}");
        let words = ["it is in force, but", words[0], words[1]];
        seen.waits(&name, "Accepted", "True");
        seen.has(&name, "Accepted", ("True", "Accepted"), &words);
    }
}

fn columns_show_it(cluster: &ApiServer) {
    let columns = cluster
        .kubectl(&["get", "metarouter", "cache", "--no-headers"])
        .stdout();
    let columns: Vec<_> = columns.split_whitespace().collect();
    assert_eq!(
        columns.get(..5),
        Some(&["cache", "one.demo", "redis", "True", "True"][..])
    );
}

/// A proxy that is there again at once, and changes of endpoints.
fn what_is_no_news_writes_nothing(
    seen: &Seen<'_>,
    controller: &Controller,
    proxy: Meltemi,
) -> Meltemi {
    let cluster = seen.0;
    let before = seen.version(CACHE);
    drop(proxy);
    let again = controller.proxy();
    let _ = again.address("default/edge/redis");
    let endpoints = ["127.0.0.1:2", "127.0.0.1:3"].map(|it| it.parse().expect("an address"));
    cluster.apply(&service("one.demo", &endpoints));
    cluster.apply(&router("later", "one.demo"));
    seen.waits("metarouter/later", "Accepted", "True");
    seen.waits("metarouter/later", "Programmed", "True");
    assert_eq!(seen.version(CACHE), before);

    cluster
        .kubectl(&["delete", "metarouter", "later"])
        .expect_success("it is deleted");
    again
}

#[test]
fn what_is_wrong_is_said_with_its_field_and_remedy() {
    let Some((cluster, account)) = cluster() else {
        return;
    };
    let seen = Seen(&cluster);
    let _controller = Controller::start(&account);
    cluster.apply(&router("cache", "one.demo"));
    seen.waits(CACHE, "Accepted", "True");

    // What was in force stays, and that is said.
    cluster.apply(&router("cache", "three.demo"));
    seen.waits(CACHE, "Accepted", "False");
    let words = [
        "spec.hosts[0]: ",
        "a ServiceEntry defines a host",
        "last good version stays in force",
    ];
    seen.has(CACHE, "Accepted", ("False", "UnknownHost"), &words);
    seen.has(CACHE, "ResolvedRefs", ("False", "UnknownHost"), &words[..2]);
    seen.has(CACHE, "Programmed", ("False", "NotAccepted"), &[]);
    let accepted = seen.condition(CACHE, "Accepted").expect("a condition");
    assert_eq!(accepted["observedGeneration"], 2);
    seen.hears("Warning", "UnknownHost");
    cluster.apply(&router("cache", "one.demo"));
    seen.waits(CACHE, "Accepted", "True");
    seen.hears("Normal", "Accepted");
    who_is_in_the_way_and_who_is_hidden_are_told(&seen);
    each_mistake_has_its_condition(&seen);
    what_is_right_has_a_parent(&seen);
}

/// Of two that take every request of a server the second gets none.
fn who_is_in_the_way_and_who_is_hidden_are_told(seen: &Seen<'_>) {
    let hidden = "metarouter/hidden";
    seen.0.apply(&router("hidden", "two.demo"));
    let words = ["this route takes every request", "a higher `priority`"];
    seen.has(hidden, "Accepted", ("False", "HiddenRouter"), &words);
    for object in [hidden, CACHE] {
        seen.has(object, "Conflicted", ("True", "HiddenRouter"), &words);
    }
    seen.has(CACHE, "Accepted", ("True", "Accepted"), &[]);
    seen.0
        .kubectl(&["delete", hidden])
        .expect_success("it is deleted");
    seen.has(CACHE, "Conflicted", ("False", "NoConflicts"), &[]);
}

fn each_mistake_has_its_condition(seen: &Seen<'_>) {
    for case in objects::WRONG {
        seen.0.apply(case.manifest);
        let reason = (case.status, case.reason);
        seen.has(case.object, case.condition, reason, case.words);
    }
    // Nothing else is affected.
    seen.has(CACHE, "Accepted", ("True", "Accepted"), &[]);
}

fn what_is_right_has_a_parent(seen: &Seen<'_>) {
    for (manifest, object, parent) in objects::RIGHT {
        seen.0.apply(manifest);
        seen.waits(object, "Accepted", "True");
        let status = seen.status(object);
        assert_eq!(
            status["parents"][0]["parentRef"]["kind"], *parent,
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
    cluster.apply(&router("cache", "one.demo"));
    seen.waits(CACHE, "Accepted", "True");
    let theirs = json!({
        "parentRef": {"name": "edge"}, "controllerName": "example.com/other",
        "conditions": [{
            "type": "Accepted", "status": "False", "reason": "Other", "message": "no",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    });
    // Somebody writes over and over what is theirs alone.
    for _ in 0..5 {
        seen.patch_status(CACHE, &json!({"parents": [theirs]}));
    }
    until("ours are there again", || {
        let condition = seen.condition(CACHE, "Accepted")?;
        (condition["status"] == "True").then_some(())
    });
    let status = seen.status(CACHE);
    let names = status["parents"].as_array().expect("parents").iter();
    let names: Vec<_> = names
        .map(|entry| entry["controllerName"].as_str())
        .collect();
    assert_eq!(
        names,
        [Some("example.com/other"), Some("meltemi.io/controller")]
    );
    assert_eq!(status["parents"][0], theirs);
    both_write(&seen, &theirs);
    // What is deleted while it is written to is gone, and the next is served.
    cluster
        .kubectl(&["delete", "metarouter", "cache"])
        .expect_success("it is deleted");
    cluster.apply(&router("cache", "one.demo"));
    seen.waits(CACHE, "Accepted", "True");
    assert!(!controller.process().said().contains("cannot be written"));
}

/// Edits, and status of somebody else, at the same time.
fn both_write(seen: &Seen<'_>, theirs: &Value) {
    for round in 0..10 {
        let host = ["one.demo", "three.demo"][round % 2];
        seen.0.apply(&router("cache", host));
        let mut theirs = theirs.clone();
        theirs["conditions"][0]["message"] = json!(format!("{round}"));
        let mut parents = seen.status(CACHE)["parents"].clone();
        parents[0] = theirs;
        seen.patch_status(CACHE, &json!({"parents": parents}));
    }
    until("the last one is judged", || {
        let condition = seen.condition(CACHE, "Accepted")?;
        let generation = seen.object(CACHE)["metadata"]["generation"].clone();
        (condition["status"] == "False" && condition["observedGeneration"] == generation)
            .then_some(())
    });
    assert_eq!(
        seen.status(CACHE)["parents"][0]["conditions"][0]["message"],
        "9"
    );
}

/// Whose Lease it is.
fn leader(cluster: &ApiServer) -> Option<u32> {
    let leases = "/apis/coordination.k8s.io/v1/namespaces/meltemi-system/leases";
    let lease = cluster.get(&format!("{leases}/meltemi-controller"))?;
    let holder = &lease["spec"]["holderIdentity"];
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
    cluster.apply(&router("cache", "one.demo"));
    seen.waits(CACHE, "Accepted", "True");
    let has_written = |it: &Controller| it.process().said().contains("status is written");
    until("the first says that it has written it", || {
        has_written(&first).then_some(())
    });
    assert!(!has_written(&second));

    // Killed, it cannot give the Lease back: it runs out.
    drop(first);
    cluster.apply(&router("cache", "three.demo"));
    seen.waits(CACHE, "Accepted", "False");
    assert_eq!(leader(&cluster), Some(second.process().pid()));

    // What is right says the same whoever has read it first.
    cluster.apply(&router("cache", "one.demo"));
    seen.waits(CACHE, "Accepted", "True");
    seen.has(CACHE, "Programmed", ("Unknown", "NoProxies"), &[]);

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
    let before = seen.object(CACHE);
    cluster.apply(&router("later", "one.demo"));
    seen.waits("metarouter/later", "Accepted", "True");
    assert_eq!(seen.object(CACHE), before, "who leads is no news");
}
