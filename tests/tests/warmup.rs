//! A server that is new gets little at first, and its whole share when it is warm.

use std::time::{Duration, Instant};

use meltemi_tests::redis::{Server, Wire, manifests, service};
use meltemi_tests::{Meltemi, until};

const WINDOW: Duration = Duration::from_secs(3);
const RULE: &str = "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cache}
spec:
  host: cache.demo
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 3s, minimumPercent: 5, aggression: 1}}
";

/// How many of a hundred requests the new server has.
fn asked(wire: &mut Wire) -> usize {
    let answers = (0..100).map(|_| wire.call("GET who"));
    answers.filter(|answer| answer.contains("new")).count()
}

#[test]
fn a_new_server_warms_up() {
    if !Server::is_installed() {
        return;
    }
    let (old, new) = (Server::start(&[]), Server::start(&[]));
    old.connect().call("SET who old");
    new.connect().call("SET who new");
    let manifests = manifests(&[old.address()]);
    manifests.write("rule.yaml", RULE);
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
    let mut wire = Wire::connect(meltemi.address("default/edge/redis"));
    assert_eq!(asked(&mut wire), 0);
    // Until the first one is warm itself.
    std::thread::sleep(WINDOW);
    let before = Instant::now();
    let both = service("cache.demo", &[old.address(), new.address()]);
    manifests.write("service.yaml", &both);
    until("the new server is asked", || {
        wire.call("GET who").contains("new").then_some(())
    });
    let at_first = asked(&mut wire);
    // What it may have by now, if it came at once.
    let part = before.elapsed().div_duration_f64(WINDOW).clamp(0.05, 1.0);
    let most = 100.0 * part / (1.0 + part) + 5.0;
    assert!(at_first as f64 <= most, "{at_first} of at most {most}");
    until("the new server has its share", || {
        (asked(&mut wire) == 50).then_some(())
    });
}
