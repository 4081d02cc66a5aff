//! The nearest provider answers; when it dies the next zone does, and when it is back, it does again.

use meltemi_tests::dubbo::{Counts, Generation, Load, Peers};
use meltemi_tests::{Endpoint, Manifests, Meltemi};

use Generation::V3_3_6;

const HOST: &str = "probe.test";

/// Waits until `label` answers all calls; all that was counted on the way.
fn until_only(load: &mut Load, label: &str) -> Counts {
    let only = |run: &Counts| run.of(label) == run.made();
    load.runs_until(&format!("{label} answers all"), 200, only)
        .0
}

#[test]
fn traffic_leaves_the_zone_only_while_nobody_is_there() {
    let Some(peers) = Peers::find() else { return };
    let near = peers.provider(V3_3_6, "near");
    let next = peers.provider(V3_3_6, "next");
    let far = peers.provider(V3_3_6, "far");
    let endpoint = |port, locality| Endpoint {
        port,
        version: "v1",
        locality,
    };
    let manifests = Manifests::dubbo_gateway();
    let endpoints = [
        endpoint(far.port(), "eu/a/1"),
        endpoint(near.port(), "us/a/1"),
        endpoint(next.port(), "us/b/1"),
    ];
    manifests.service(HOST, &endpoints);
    manifests.routes(HOST, "");
    let meltemi = Meltemi::run_with(manifests.path(), &["--locality", "us/a/1"]);
    let mut load = peers.load(
        V3_3_6,
        meltemi.address("default/edge/dubbo").port(),
        16,
        None,
    );
    let counts = until_only(&mut load, "near");
    assert!(counts.is_clean() && counts.of("next") == 0, "{counts:?}");

    let port = near.port().to_string();
    near.crash();
    let counts = until_only(&mut load, "next");
    assert!(
        counts.wrong.is_empty() && counts.of("far") == 0,
        "{counts:?}"
    );

    let _near = peers.provider_with(V3_3_6, "near", &["--port", &port, "--offer", "plain"]);
    let counts = until_only(&mut load, "near");
    assert!(counts.is_clean() && counts.of("far") == 0, "{counts:?}");
    let last = load.stop();
    assert!(last.is_clean(), "{last:?}");
}
