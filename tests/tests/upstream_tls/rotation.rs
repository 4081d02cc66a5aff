//! Certificates change while requests are under way: no error, no dropped connection.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use meltemi_tests::certificates::{Authority, Pair};
use meltemi_tests::redis::{Encrypted, Server, Wire};
use meltemi_tests::until;

use super::{HOST, Proxied, SIMPLE, secret};

/// Clients that ask all the time, and count what is not an answer.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    clients: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(it: &Proxied) -> Self {
        let (stop, served) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let clients = (0..4).map(|_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            let mut client = Wire::connect(it.address);
            thread::spawn(move || {
                let mut errors = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match client.try_call("INCR n") {
                        Some(answer) if answer.starts_with(':') => {
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                        answer => {
                            errors
                                .push(answer.unwrap_or_else(|| "the connection ended".to_owned()));
                            return errors;
                        }
                    }
                }
                errors
            })
        });
        Self {
            clients: clients.collect(),
            stop,
            served,
        }
    }

    /// Waits until it was served another while.
    fn go_on(&self) {
        let before = self.served.load(Ordering::Relaxed);
        until("the load goes on", || {
            let ended = self.clients.iter().any(thread::JoinHandle::is_finished);
            let served = self.served.load(Ordering::Relaxed);
            (ended || served > before + 200).then_some(())
        });
    }

    fn errors(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        clients.flat_map(|client| client.join().unwrap()).collect()
    }
}

fn credential(own: &Pair, servers: &Authority) -> String {
    let fields = [
        ("tls.crt", &*own.certificate),
        ("tls.key", &*own.key),
        ("ca.crt", servers.pem()),
    ];
    secret("it", &fields)
}

/// Clients with a connection to the server of their own, and the server's numbers of these.
struct Held(Vec<Wire>, Vec<String>);

impl Held {
    /// Before anybody else is connected.
    fn new(it: &Proxied, server: &Encrypted) -> Self {
        let mut clients: Vec<_> = (0..3).map(|_| it.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.call("WATCH k"), "+OK");
        }
        let connections = server.connections();
        assert_eq!(connections.len(), clients.len());
        Self(clients, connections)
    }

    /// They are still there, and serve.
    fn check(mut self, server: &Encrypted) {
        let still = server.connections();
        for connection in self.1 {
            assert!(
                still.contains(&connection),
                "{connection} is gone: {still:?}"
            );
        }
        for client in &mut self.0 {
            assert!(client.call("GET n").parse::<u64>().is_ok());
        }
    }
}

/// What a client is told whose connection to the server has just been made, or could not be.
fn on_a_new_connection(it: &Proxied, server: &Encrypted) -> String {
    let before = server.connections();
    let mut held = Vec::new();
    until("a connection is new", || {
        let mut client = it.connect();
        let watched = client.call("WATCH k");
        if watched != "+OK" {
            return Some(watched);
        }
        let answer = client.call("GET n");
        // Its connection is its own as long as it is here: the next client gets another one.
        held.push(client);
        let mut connections = server.connections().into_iter();
        connections
            .any(|it| !before.contains(&it))
            .then_some(answer)
    })
}

#[test]
fn a_secret_that_changes_or_goes_interrupts_nothing() {
    if !Server::is_installed() {
        return;
    }
    let (servers, before, after) = (
        Authority::new("servers"),
        Authority::new("before"),
        Authority::new("after"),
    );
    let (first, second) = (
        before.issue("first", &["first.demo"]),
        after.issue("second", &["second.demo"]),
    );
    let server = Encrypted::start(&servers.issue("server", &[HOST]), Some(before.pem()));
    let text = credential(&first, &servers);
    let tls = "mode: MUTUAL, credentialName: it";
    let it = Proxied::start(server.address(), tls, &[("secret.yaml", &text)]);
    let held = Held::new(&it, &server);
    let load = Load::start(&it);
    load.go_on();

    server.trust(&format!("{}{}", before.pem(), after.pem()));
    it.manifests
        .write("secret.yaml", &credential(&second, &servers));
    until("the new certificate is in use", || {
        it.page("/clusters").contains("CN=second").then_some(())
    });
    // From now on the old one would not do.
    server.trust(after.pem());
    assert!(on_a_new_connection(&it, &server).parse::<u64>().is_ok());
    load.go_on();

    // A key that does not fit changes nothing, and neither does a Secret that goes.
    let mut wrong = before.issue("wrong", &["wrong.demo"]);
    wrong.certificate.clone_from(&second.certificate);
    it.manifests
        .write("secret.yaml", &credential(&wrong, &servers));
    until("it is told", || {
        let said = it.meltemi.process().said();
        said.contains("the private key is not that of the certificate")
            .then_some(())
    });
    assert!(on_a_new_connection(&it, &server).parse::<u64>().is_ok());
    fs::remove_file(it.manifests.path().join("secret.yaml")).unwrap();
    until("it is told", || {
        it.meltemi
            .process()
            .said()
            .contains("stays in force while it is needed")
            .then_some(())
    });
    assert!(on_a_new_connection(&it, &server).parse::<u64>().is_ok());
    load.go_on();

    assert_eq!(load.errors(), Vec::<String>::new());
    held.check(&server);
    assert_eq!(
        it.metric("meltemi_upstream_connect_failures_total", HOST),
        0
    );
}

#[test]
fn files_that_change_interrupt_nothing() {
    if !Server::is_installed() {
        return;
    }
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let server = Encrypted::start(&before.issue("server", &[HOST]), None);
    let it = Proxied::start(server.address(), SIMPLE, &[("ca.pem", before.pem())]);
    let held = Held::new(&it, &server);
    let load = Load::start(&it);
    load.go_on();
    // Half of a file in between is noticed, and changes nothing.
    let ca = it.manifests.path().join("ca.pem");
    fs::write(&ca, &after.pem()[..100]).unwrap();
    until("it is told", || {
        it.meltemi
            .process()
            .said()
            .contains("what they were stays")
            .then_some(())
    });
    assert!(on_a_new_connection(&it, &server).parse::<u64>().is_ok());
    load.go_on();
    fs::write(&ca, after.pem()).unwrap();
    until("the new authority is in use", || {
        it.page("/clusters").contains("CN=after").then_some(())
    });
    load.go_on();
    // Those who look at new connections take idle ones, and a load would get no other now.
    assert_eq!(load.errors(), Vec::<String>::new());
    // The server's is of the old one. What had begun before may still come to be.
    until("new connections are refused", || {
        on_a_new_connection(&it, &server)
            .starts_with('-')
            .then_some(())
    });
    server.show(&after.issue("server", &[HOST]));
    assert!(on_a_new_connection(&it, &server).parse::<u64>().is_ok());
    let load = Load::start(&it);
    load.go_on();
    assert_eq!(load.errors(), Vec::<String>::new());
    held.check(&server);
}

#[test]
fn a_rule_that_comes_to_ask_for_tls_ends_plaintext_without_an_error() {
    if !Server::is_installed() {
        return;
    }
    let ca = Authority::new("ca");
    let server = Encrypted::start(&ca.issue("server", &[HOST]), None);
    let plain = server.server().address();
    let it = Proxied::start(plain, "mode: DISABLE", &[("ca.pem", ca.pem())]);
    let load = Load::start(&it);
    load.go_on();
    // The address changes with the rule: what was there is left, and nothing of it stays.
    it.change(SIMPLE);
    it.manifests.write(
        "service.yaml",
        &meltemi_tests::redis::service(HOST, &[server.address()]),
    );
    until("requests are encrypted", || {
        (!server.connections().is_empty()).then_some(())
    });
    load.go_on();
    until("nothing is in plaintext", || {
        let list = server.server().connect().call("CLIENT LIST");
        let plain = format!("laddr={plain}");
        (list.lines().filter(|line| line.contains(&plain)).count() == 1).then_some(())
    });
    assert_eq!(load.errors(), Vec::<String>::new());
}
