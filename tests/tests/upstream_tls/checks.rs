//! Health checks speak to endpoints as requests do.

use meltemi_tests::certificates::Authority;
use meltemi_tests::redis::{Encrypted, Server};
use meltemi_tests::until;

use super::{HOST, Proxied, SIMPLE};

#[test]
fn a_check_verifies_the_server_that_it_asks() {
    if !Server::is_installed() {
        return;
    }
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let server = Encrypted::start(&ours.issue("server", &[HOST]), None);
    let checked = format!("{SIMPLE} }}\n    healthCheck: {{ interval: 50ms, timeout: 5s");
    let passed = "meltemi_health_check_successes_total";
    let it = Proxied::start(server.address(), &checked, &[("ca.pem", ours.pem())]);
    until("a check passes", || {
        (it.metric(passed, HOST) >= 2).then_some(())
    });
    assert_eq!(it.connect().call("SET k v"), "+OK");

    let it = Proxied::start(server.address(), &checked, &[("ca.pem", other.pem())]);
    until("a check fails", || {
        (it.metric("meltemi_health_check_failures_total", HOST) >= 2).then_some(())
    });
    assert_eq!(it.metric(passed, HOST), 0);
    assert!(it.page("/clusters").contains("/failed_active_hc"));
}
