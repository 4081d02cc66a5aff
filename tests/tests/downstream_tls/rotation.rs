//! Certificates change while requests are under way: no error, no dropped connection.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use meltemi_tests::certificates::{Authority, Pair};
use meltemi_tests::redis::Wire;
use meltemi_tests::{Initiator, until};

use super::{Edge, NAME, SIMPLE, files, redis, secret};

/// Clients that ask all the time: some on one connection, one on a new one each time.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    clients: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    pub(super) fn start(initiator: &Initiator) -> Self {
        let (stop, served) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let address = initiator.address();
        let clients = (0..4).map(|i| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            thread::spawn(move || {
                let mut client = Wire::connect(address);
                let mut errors = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    if i == 0 {
                        client = Wire::connect(address);
                    }
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
    pub(super) fn go_on(&self) {
        let before = self.served.load(Ordering::Relaxed);
        until("the load goes on", || {
            let ended = self.clients.iter().any(thread::JoinHandle::is_finished);
            let served = self.served.load(Ordering::Relaxed);
            (ended || served > before + 200).then_some(())
        });
    }

    pub(super) fn errors(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        clients.flat_map(|client| client.join().unwrap()).collect()
    }
}

fn credential(own: &Pair) -> String {
    secret(
        "it",
        &[("tls.crt", &own.certificate), ("tls.key", &own.key)],
    )
}

/// The subject that a new client is shown.
pub(super) fn is_shown(initiator: &Initiator, subject: &str) {
    until("the new certificate is shown", || {
        assert_eq!(Wire::connect(initiator.address()).call("PING"), "+PONG");
        let sessions = initiator.sessions();
        sessions.last()?.contains(subject).then_some(())
    });
}

#[test]
fn a_secret_that_changes_or_goes_interrupts_nothing() {
    let Some(server) = redis() else { return };
    let ca = Authority::new("ca");
    let (first, second) = (ca.issue("first", &[NAME]), ca.issue("second", &[NAME]));
    let text = credential(&first);
    let tls = "mode: SIMPLE, credentialName: it";
    let it = Edge::start(&[server.address()], tls, &[("secret.yaml", &text)]);
    let Some(initiator) = it.initiator(&ca, None, "TLSv1_3") else {
        return;
    };
    is_shown(&initiator, "first");
    let load = Load::start(&initiator);
    load.go_on();
    it.manifests.write("secret.yaml", &credential(&second));
    is_shown(&initiator, "second");
    load.go_on();
    // A key that does not fit changes nothing, and neither does a Secret that goes.
    let mut wrong = ca.issue("wrong", &[NAME]);
    wrong.certificate.clone_from(&first.certificate);
    it.manifests.write("secret.yaml", &credential(&wrong));
    until("it is told", || {
        let said = it.meltemi.process().said();
        said.contains("the private key is not that of the certificate")
            .then_some(())
    });
    fs::remove_file(it.path("secret.yaml")).unwrap();
    until("it is told", || {
        let said = it.meltemi.process().said();
        said.contains("stays in force while it is needed")
            .then_some(())
    });
    is_shown(&initiator, "second");
    load.go_on();
    assert_eq!(load.errors(), Vec::<String>::new());
    assert_eq!(initiator.refusals(), Vec::<String>::new());
    assert_eq!(it.page("/listeners").matches("\"name\"").count(), 1);
}

#[test]
fn files_that_change_interrupt_nothing() {
    let Some(server) = redis() else { return };
    let ca = Authority::new("ca");
    let (first, second) = (ca.issue("first", &[NAME]), ca.issue("second", &[NAME]));
    let it = Edge::start(&[server.address()], SIMPLE, &files(&first, &ca));
    let Some(initiator) = it.initiator(&ca, None, "TLSv1_3") else {
        return;
    };
    let load = Load::start(&initiator);
    load.go_on();
    // The key comes after the certificate: what does not fit in between changes nothing.
    fs::write(it.path("server.crt"), &second.certificate).unwrap();
    until("it is told", || {
        it.meltemi
            .process()
            .said()
            .contains("what they were stays")
            .then_some(())
    });
    is_shown(&initiator, "first");
    fs::write(it.path("server.key"), &second.key).unwrap();
    is_shown(&initiator, "second");
    load.go_on();
    assert_eq!(load.errors(), Vec::<String>::new());
    assert_eq!(initiator.refusals(), Vec::<String>::new());
}
