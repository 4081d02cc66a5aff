//! Several replicas: what the proxies of each have taken is told in status by the one that leads.

use meltemi_tests::kubernetes::{ApiServer, Controller};
use meltemi_tests::{Meltemi, until};
use serde_json::Value;

use crate::status::cluster;
use crate::status::seen::Seen;
use crate::whoami::router;

const CACHE: &str = "metarouter/cache";

fn leads(controller: &Controller) {
    until("it leads", || {
        let said = controller.process().said();
        said.contains("this process leads").then_some(())
    });
}

/// The Leases of the replicas, by the process that each is of.
fn leases(cluster: &ApiServer) -> Vec<Value> {
    let label = "--selector=meltemi.io/replica-of=meltemi-controller";
    let get = ["get", "leases", "-n", "meltemi-system", label, "-o", "json"];
    let mut leases = cluster.kubectl(&get).json();
    let leases = leases["items"].take();
    leases.as_array().expect("a list").clone()
}

fn lease_of(cluster: &ApiServer, controller: &Controller) -> Option<Value> {
    let process = format!("-{}-", controller.process().pid());
    let mut leases = leases(cluster).into_iter();
    leases.find(|lease| {
        let holder = lease["spec"]["holderIdentity"].as_str();
        holder.is_some_and(|holder| holder.contains(&process))
    })
}

fn is_programmed(seen: &Seen<'_>, generation: u64) {
    until(&format!("generation {generation} is programmed"), || {
        let condition = seen.condition(CACHE, "Programmed")?;
        let is_it = condition["status"] == "True" && condition["observedGeneration"] == generation;
        is_it.then_some(())
    });
}

#[test]
fn it_is_programmed_once_the_proxies_of_every_replica_have_it() {
    let Some((cluster, account)) = cluster() else {
        return;
    };
    let seen = Seen(&cluster);
    let first = Controller::start(&account);
    leads(&first);
    let second = Controller::start(&account);
    let of_second = second.proxy();
    cluster.apply(&router("one.demo"));
    // The only proxy is another replica's.
    is_programmed(&seen, 1);
    let of_first = first.proxy();
    let _ = of_first.address("default/edge/redis");

    // What that does not take is told, and named where it says why.
    of_second.process().signal("STOP");
    cluster.apply(&router("two.demo"));
    seen.has(
        CACHE,
        "Programmed",
        ("False", "NotAcknowledged"),
        &["a proxy was sent it"],
    );
    of_second.process().signal("CONT");
    is_programmed(&seen, 2);

    nothing_is_written_that_changes_nothing(&cluster, &second, of_second);
    what_the_dead_say_does_not_count(&seen, (first, of_first), &second);
    who_is_ended_in_peace_takes_its_word_back(&cluster, &Controller::start(&account));
}

/// A proxy that comes and goes beside others changes neither status nor what is told.
fn nothing_is_written_that_changes_nothing(
    cluster: &ApiServer,
    second: &Controller,
    of_second: Meltemi,
) {
    let seen = Seen(cluster);
    let told = || {
        let lease = lease_of(cluster, second)?;
        Some(lease["metadata"]["annotations"].clone())
    };
    let (status, before) = (seen.version(CACHE), told());
    assert!(before.is_some());
    for _ in 0..3 {
        let other = second.proxy();
        let _ = other.address("default/edge/redis");
        assert_eq!(told(), before);
    }
    assert_eq!(seen.version(CACHE), status);
    drop(of_second);
}

/// The leader is killed while a proxy of its own has not taken what is new.
fn what_the_dead_say_does_not_count(
    seen: &Seen<'_>,
    (first, of_first): (Controller, Meltemi),
    second: &Controller,
) {
    let cluster = seen.0;
    let again = second.proxy();
    let _ = again.address("default/edge/redis");
    of_first.process().signal("STOP");
    cluster.apply(&router("one.demo"));
    seen.has(CACHE, "Programmed", ("False", "NotAcknowledged"), &[]);
    let gone = lease_of(cluster, &first).expect("it has a Lease");
    drop(first);
    leads(second);
    // Its Lease is over, and nobody counts what it said.
    is_programmed(seen, 3);
    let name = &gone["metadata"]["name"];
    assert!(
        leases(cluster)
            .iter()
            .any(|lease| lease["metadata"]["name"] == *name)
    );
}

fn who_is_ended_in_peace_takes_its_word_back(cluster: &ApiServer, third: &Controller) {
    until("the third has a Lease", || lease_of(cluster, third));
    third.process().signal("TERM");
    until("its Lease is gone", || {
        lease_of(cluster, third).is_none().then_some(())
    });
}
