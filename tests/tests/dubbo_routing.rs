//! Real consumers under rules: by attributes, by weight, and while the rules change.

use meltemi_tests::dubbo::{Counts, Generation, Load, Peers, Provider};
use meltemi_tests::{Endpoint, Manifests, Meltemi, until};

use Generation::{V2_7_23, V3_3_6};

const HOST: &str = "probe.test";
const SERVER: &str = "default/edge/dubbo";

/// One provider each of v1 (3.3.6) and v2 (2.7.23), and manifests that name them.
fn two_versions(peers: &Peers) -> (Provider, Provider, Manifests) {
    let v1 = peers.provider(V3_3_6, "v1");
    let v2 = peers.provider(V2_7_23, "v2");
    let manifests = Manifests::dubbo_gateway();
    let endpoint = |provider: &Provider, version| Endpoint {
        port: provider.port(),
        version,
        locality: "r1/z1/s1",
    };
    manifests.service(HOST, &[endpoint(&v1, "v1"), endpoint(&v2, "v2")]);
    (v1, v2, manifests)
}

/// Waits until a run of calls is as `wanted`; none on the way may hold an error.
fn clean_until(
    load: &mut Load,
    what: &str,
    calls: u64,
    wanted: impl Fn(&Counts) -> bool,
) -> Counts {
    let (all, run) = load.runs_until(what, calls, wanted);
    assert!(all.is_clean(), "until {what}: {all:?}");
    run
}

/// All calls were answered by this version.
fn all(version: &str) -> impl Fn(&Counts) -> bool {
    move |run| run.of(version) == run.made()
}

#[test]
fn attributes_choose_the_subset() {
    let Some(peers) = Peers::find() else { return };
    let (_v1, _v2, manifests) = two_versions(&peers);
    manifests.routes(
        HOST,
        "- name: lane\n  match:\n    attributes:\n      interface: { exact: meltemi.peer.Probe }\n      \
         method: { prefix: gre }\n      lane: { regex: 'canary-[0-9]+' }\n  \
         route: [{ destination: { host: probe.test, subset: v2 } }]\n\
         - name: rest\n  route: [{ destination: { host: probe.test, subset: v1 } }]",
    );
    let meltemi = Meltemi::run(manifests.path());
    let port = meltemi.address(SERVER).port();
    for consumer in [V2_7_23, V3_3_6] {
        for (lane, version) in [
            (Some("canary-7"), "v2"),
            (Some("canary-x"), "v1"),
            (None, "v1"),
        ] {
            let mut load = peers.load(consumer, port, 4, lane);
            let counts = clean_until(&mut load, "calls are answered", 20, |_| true);
            assert_eq!(
                counts.of(version),
                counts.total(),
                "lane {lane:?} of {consumer:?}: {counts:?}"
            );
            let last = load.stop();
            assert!(last.is_clean(), "{last:?}");
        }
    }
}

#[test]
fn any_of_several_alternatives_chooses_the_subset() {
    let Some(peers) = Peers::find() else { return };
    let (_v1, _v2, manifests) = two_versions(&peers);
    manifests.routes(
        HOST,
        "- name: lane\n  matches:\n    \
         - attributes: { lane: { suffix: -SEVEN, ignoreCase: true } }\n    \
         - attributes: { lane: { range: { start: 5, end: 10 } }, method: { contains: reet } }\n    \
         - attributes: { lane: { exact: blue } }\n      \
           source: { principal: cluster.local/ns/default/sa/blue }\n  \
         route: [{ destination: { host: probe.test, subset: v2 } }]\n\
         - name: not-green\n  match: { attributes: { lane: { prefix: green, invert: true } } }\n  \
         route: [{ destination: { host: probe.test, subset: v1 } }]\n\
         - name: green\n  match: { attributes: { lane: { present: true } } }\n  \
         route: [{ destination: { host: probe.test, subset: v2 } }]",
    );
    let meltemi = Meltemi::run(manifests.path());
    let port = meltemi.address(SERVER).port();
    for (lane, version) in [
        (Some("canary-seven"), "v2"),
        (Some("9"), "v2"),
        (Some("10"), "v1"),
        // Nobody is known to be the principal, so that nobody is.
        (Some("blue"), "v1"),
        (Some("greenish"), "v2"),
        (None, "v1"),
    ] {
        let mut load = peers.load(V3_3_6, port, 4, lane);
        let counts = clean_until(&mut load, "calls are answered", 20, |_| true);
        assert_eq!(
            counts.of(version),
            counts.total(),
            "lane {lane:?}: {counts:?}"
        );
        let last = load.stop();
        assert!(last.is_clean(), "{last:?}");
    }
}

#[test]
fn weights_change_under_load_without_an_error() {
    let Some(peers) = Peers::find() else { return };
    let (_v1, _v2, manifests) = two_versions(&peers);
    manifests.split(HOST, &[("v1", 100), ("v2", 0)]);
    let meltemi = Meltemi::run(manifests.path());
    let mut load = peers.load(V3_3_6, meltemi.address(SERVER).port(), 64, None);
    let before = clean_until(&mut load, "v1 answers all", 100, all("v1")).connections;

    manifests.split(HOST, &[("v1", 50), ("v2", 50)]);
    let shared = |counts: &Counts| {
        let share = counts.of("v2") * 100 / counts.total().max(1);
        (40..=60).contains(&share)
    };
    clean_until(&mut load, "both answer half", 100, shared);

    manifests.split(HOST, &[("v1", 0), ("v2", 100)]);
    let after = clean_until(&mut load, "v2 answers all", 100, all("v2")).connections;
    assert_eq!(before, after, "a connection was cut");
    let last = load.stop();
    assert!(last.is_clean(), "{last:?}");
}

/// An edit that is wrong is reported and changes nothing; mended, it applies; no connection is cut.
#[test]
fn a_refused_edit_keeps_the_last_good_rules() {
    let Some(peers) = Peers::find() else { return };
    let (_v1, _v2, manifests) = two_versions(&peers);
    manifests.split(HOST, &[("v1", 100), ("v2", 0)]);
    let meltemi = Meltemi::run(manifests.path());
    let mut load = peers.load(V2_7_23, meltemi.address(SERVER).port(), 8, None);
    let before = clean_until(&mut load, "v1 answers all", 50, all("v1")).connections;

    manifests.split(HOST, &[("v1", 30), ("v2", 30)]);
    until("the weights are refused", || {
        let reported = meltemi.process().said();
        reported.contains("probe-routes.yaml").then_some(())
    });
    clean_until(&mut load, "v1 still answers all", 50, all("v1"));

    manifests.split(HOST, &[("v1", 0), ("v2", 100)]);
    let after = clean_until(&mut load, "v2 answers all", 50, all("v2")).connections;
    assert_eq!(before, after, "a connection was cut");
    let last = load.stop();
    assert!(last.is_clean(), "{last:?}");
}
