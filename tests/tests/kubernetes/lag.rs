//! A replica that lags, and a proxy that comes to it from one that does not: nobody is rolled back.

use std::net::SocketAddr;

use meltemi_tests::kubernetes::{ApiServer, Controller};
use meltemi_tests::redis::Server;
use meltemi_tests::relay::Gate;
use meltemi_tests::{Meltemi, until};
use serde_json::Value;

use crate::held::Replica;
use crate::whoami::{self, answered_by, router, routes_to};

fn says(controller: &Controller, text: &str) {
    until(&format!("it says {text:?}"), || {
        controller.process().said().contains(text).then_some(())
    });
}

/// Who has published nothing yet cannot know that it lags, and is asked by nobody: it is not ready.
fn serves(controller: &Controller) {
    until("it is ready", || {
        let page = meltemi_tests::get(controller.admin(), "/ready").ok()?;
        (page.status == 200).then_some(())
    });
}

/// The version of the configuration in force, and how often it changed.
fn configuration(proxy: &Meltemi) -> (Value, u64) {
    let page = proxy.get("/config_dump").expect("the configuration");
    let page: Value = serde_json::from_str(&page.body).expect("JSON");
    (
        page["version"].clone(),
        proxy.metric("meltemi_config_updates_total", &[]),
    )
}

/// Whether a controller says that it has proxies that wait.
fn has_waiting(admin: SocketAddr) -> Option<bool> {
    let page = meltemi_tests::get(admin, "/metrics").ok()?.body;
    let waiting = "meltemi_controller_waiting_proxies ";
    let count = page.lines().find_map(|line| line.strip_prefix(waiting))?;
    Some(count != "0")
}

#[test]
fn a_replica_that_lags_rolls_no_proxy_back() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    if !Server::is_installed() {
        return;
    }
    let servers = whoami::servers();
    whoami::apply(&cluster, &servers);
    let first = Controller::start(&cluster.kubeconfig());
    let lagging = Replica::start(&cluster);
    serves(&lagging.controller);
    let way = Gate::to(first.address());
    let proxy = Controller::proxy_at(way.address(), &[]);
    let address = proxy.address("default/edge/redis");
    routes_to(address, "one");

    // What changes now it does not hear of.
    lagging.gate.hold();
    cluster.apply(&router("two.demo"));
    routes_to(address, "two");
    let before = configuration(&proxy);
    way.leads_to(lagging.controller.address());
    says(
        &lagging.controller,
        "a client was served more than is known here",
    );
    until("it is counted", || {
        has_waiting(lagging.controller.admin())?.then_some(())
    });
    // It has its time, and then looks for another replica, which it does not find.
    says(&lagging.controller, "a client has to find another replica");
    assert_eq!(answered_by(address).as_deref(), Some("two"));
    assert_eq!(configuration(&proxy), before);

    lagging.gate.release();
    cluster.apply(&router("one.demo"));
    routes_to(address, "one");
    let (_, updates) = configuration(&proxy);
    assert_eq!(updates, before.1 + 1, "that was the only change");
    until("nobody waits any more", || {
        (!has_waiting(lagging.controller.admin())?).then_some(())
    });
    what_is_gone_is_told_by_no_list(&cluster, (&way, &proxy), address);
}

/// Of what was deleted last a list has no version. One that begins after that may seem to lag: it reads anew, and serves.
fn what_is_gone_is_told_by_no_list(
    cluster: &ApiServer,
    (way, proxy): (&Gate, &Meltemi),
    address: SocketAddr,
) {
    let route = "  priority: 1\n  routes:\n  - match: {attributes: {key: {exact: gone}}}\n    \
                 route: [{destination: {host: two.demo}}]\n";
    let other = router("one.demo").replace("name: cache", "name: gone") + route;
    let (version, updates) = configuration(proxy);
    cluster.apply(&other);
    until("it is served", || {
        (configuration(proxy).0 != version).then_some(())
    });
    let delete = ["delete", "metarouter", "gone"];
    cluster.kubectl(&delete).expect_success("it goes");
    until("it is gone", || {
        (configuration(proxy).0 == version).then_some(())
    });
    let later = Controller::start(&cluster.kubeconfig());
    serves(&later);
    way.leads_to(later.address());
    says(&later, "clients know of more: all is read anew");
    says(
        &later,
        "what a client was served before is known here by now",
    );
    cluster.apply(&router("two.demo"));
    routes_to(address, "two");
    assert_eq!(configuration(proxy).1, updates + 3, "the two, and this one");
}
