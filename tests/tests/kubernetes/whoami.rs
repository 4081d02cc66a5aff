//! Servers that say who they are, so that a client sees where it is routed to.

use std::net::SocketAddr;

use meltemi_tests::kubernetes::{ApiServer, REDIS_GATEWAY};
use meltemi_tests::redis::{Server, Wire, service};
use meltemi_tests::until;

pub(crate) const NAMES: [&str; 2] = ["one", "two"];

/// Two servers, which answer `one` and `two`.
pub(crate) fn servers() -> [Server; 2] {
    NAMES.map(|name| {
        let server = Server::start(&[]);
        assert_eq!(server.connect().call(&format!("SET whoami {name}")), "+OK");
        server
    })
}

/// Their services `one.demo` and `two.demo`, the Gateway `edge`, and what routes it to the first.
pub(crate) fn apply(cluster: &ApiServer, servers: &[Server; 2]) {
    cluster.apply(REDIS_GATEWAY);
    for (name, server) in NAMES.iter().zip(servers) {
        cluster.apply(&service(&format!("{name}.demo"), &[server.address()]));
    }
    cluster.apply(&router("one.demo"));
}

/// The MetaRouter `cache`, which sends everything from the Gateway `edge` to a host.
pub(crate) fn router(host: &str) -> String {
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: cache}}\nspec:\n  \
         hosts: [{host}]\n  gateways: [edge]\n"
    )
}

/// Whom a new client is answered by; none where nobody does.
pub(crate) fn answered_by(address: SocketAddr) -> Option<String> {
    Wire::try_connect(address)?.try_call("GET whoami")
}

/// Waits until new clients are answered by this one.
pub(crate) fn routes_to(address: SocketAddr, name: &str) {
    until(&format!("{name} answers"), || {
        (answered_by(address)? == name).then_some(())
    });
}
