//! Delays and errors on purpose, of a MetaRouter's routes, where Redis asks for more than other protocols.

use meltemi_tests::redis::{self, Server, Wire, encode};
use meltemi_tests::{Manifests, Meltemi};

struct Cache {
    _server: Server,
    _manifests: Manifests,
    meltemi: Meltemi,
}

/// The rules of a MetaRouter for `cache.demo`.
fn cache(routes: &str) -> Option<Cache> {
    if !Server::is_installed() {
        return None;
    }
    let server = Server::start(&[]);
    let manifests = redis::manifests(&[server.address()]);
    let router = "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata:\n  name: shop\nspec:\n  \
                  hosts: [cache.demo]\n  gateways: [edge]\n  routes:\n";
    manifests.write("routes.yaml", &format!("{router}{routes}"));
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
    Some(Cache {
        _server: server,
        _manifests: manifests,
        meltemi,
    })
}

impl Cache {
    fn connect(&self) -> Wire {
        Wire::connect(self.meltemi.address("default/edge/redis"))
    }
}

#[test]
fn nothing_overtakes_what_is_delayed() {
    let routes = "  \
        - match: { attributes: { key: { exact: slow } } }\n    \
          fault: { delay: { percentage: { value: 100 }, fixedDelay: 300ms } }\n  \
        - name: rest\n";
    let Some(it) = cache(routes) else { return };
    let mut client = it.connect();
    assert_eq!(client.call("MSET slow first a second"), "+OK");
    let commands: Vec<_> = ["slow", "a"]
        .iter()
        .flat_map(|key| encode(&[b"GET", key.as_bytes()]))
        .collect();
    client.send(&commands);
    assert_eq!([client.reply(), client.reply()], ["first", "second"]);
}

#[test]
fn a_share_of_the_requests_has_it() {
    let routes = "  - fault: { abort: { percentage: { value: 25 } } }\n";
    let Some(it) = cache(routes) else { return };
    let mut client = it.connect();
    client.send(&encode(&[b"GET", b"a"]).repeat(4000));
    let replies: Vec<_> = (0..4000).map(|_| client.reply()).collect();
    let failed = replies
        .iter()
        .filter(|it| *it == "-ERR proxy: fault injected")
        .count();
    // Of 1,000 expected the standard deviation is 27.
    assert!((800..=1200).contains(&failed), "{failed} of 4000");
    assert!(replies.iter().filter(|it| *it == "(nil)").count() == 4000 - failed);
}

/// A transaction's connection would wait for what was not sent.
#[test]
fn a_transaction_has_no_faults() {
    let routes = "  - match: { attributes: { command: { exact: set } } }\n    \
                  fault: { abort: { percentage: { value: 100 }, status: upstream-reset } }\n  - name: rest\n";
    let Some(it) = cache(routes) else { return };
    let mut client = it.connect();
    for (command, reply) in [
        ("MULTI", "+OK"),
        ("GET a", "+QUEUED"),
        ("SET a 1", "+QUEUED"),
        ("EXEC", "[(nil) +OK]"),
        ("GET a", "1"),
    ] {
        assert_eq!(client.call(command), reply, "{command}");
    }
    assert!(client.call("SET a 2").starts_with('-'));
}
