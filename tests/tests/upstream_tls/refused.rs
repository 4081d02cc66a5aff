//! What does not come to be, and why: each is a failure to connect with a reason that people can read,
//! and never a request in plaintext.

use std::io::Read;
use std::net::TcpListener;

use meltemi_tests::certificates::{Authority, Pair};
use meltemi_tests::redis::{Encrypted, Server};
use meltemi_tests::until;

use super::{HOST, Proxied, SIMPLE};

/// The reason that the log gives, and the label that it counts under.
fn is_refused(it: &Proxied, text: &str, label: &str) {
    let answer = it.connect().call("GET k");
    assert!(answer.starts_with('-'), "{answer}");
    // The log is written by a thread of its own.
    until(text, || {
        it.meltemi.process().said().contains(text).then_some(())
    });
    assert!(
        it.metric("meltemi_upstream_tls_failures_total", label) > 0,
        "{label}"
    );
}

#[test]
fn a_server_that_is_not_who_it_should_be_is_refused() {
    if !Server::is_installed() {
        return;
    }
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let cases: [(Pair, &str, &str); 3] = [
        (
            other.issue("server", &[HOST]),
            "UnknownIssuer",
            "unknown_authority",
        ),
        (ours.issue_expired("server", &[HOST]), "expired", "expired"),
        (
            ours.issue("server", &["elsewhere.demo"]),
            "it is for elsewhere.demo, and cache.demo was expected",
            "other_name",
        ),
    ];
    for (pair, text, label) in cases {
        let server = Encrypted::start(&pair, None);
        let it = Proxied::start(server.address(), SIMPLE, &[("ca.pem", ours.pem())]);
        is_refused(&it, text, label);
        assert!(it.metric("meltemi_upstream_connect_failures_total", HOST) > 0);
        assert!(
            server
                .server()
                .connect()
                .call("INFO commandstats")
                .find("cmdstat_get")
                .is_none()
        );
    }
}

#[test]
fn a_server_that_wants_a_certificate_says_so() {
    if !Server::is_installed() {
        return;
    }
    let (ca, clients) = (Authority::new("ca"), Authority::new("clients"));
    let server = Encrypted::start(&ca.issue("server", &[HOST]), Some(clients.pem()));
    let it = Proxied::start(server.address(), SIMPLE, &[("ca.pem", ca.pem())]);
    is_refused(&it, "CertificateRequired", "certificate_refused");

    let stranger = ca.issue("stranger", &["stranger.demo"]);
    let files = [
        ("ca.pem", ca.pem()),
        ("own.pem", &*stranger.certificate),
        ("own.key", &*stranger.key),
    ];
    let tls = "mode: MUTUAL, caCertificates: '{dir}/ca.pem', clientCertificate: '{dir}/own.pem', \
               privateKey: '{dir}/own.key'";
    let it = Proxied::start(server.address(), tls, &files);
    is_refused(&it, "UnknownCA", "certificate_refused");
}

#[test]
fn a_server_without_tls_is_sent_nothing_it_could_read() {
    if !Server::is_installed() {
        return;
    }
    let ca = Authority::new("ca");
    let server = Server::start(&[]);
    let it = Proxied::start(server.address(), SIMPLE, &[("ca.pem", ca.pem())]);
    assert!(it.connect().call("SET k v").starts_with('-'));
    assert_eq!(server.connect().call("EXISTS k"), ":0");
}

#[test]
fn what_is_missing_dials_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let (own, another) = (
        ca.issue("own", &["own.demo"]),
        other.issue("another", &["a.demo"]),
    );
    let files = [
        ("ca.pem", ca.pem()),
        ("own.pem", &*own.certificate),
        ("another.key", &*another.key),
    ];
    let mutual = "mode: MUTUAL, caCertificates: '{dir}/ca.pem', clientCertificate: '{dir}/own.pem'";
    let cases = [
        (
            format!("{mutual}, privateKey: '{{dir}}/none.key'"),
            "none.key: No such file",
        ),
        (
            format!("{mutual}, privateKey: '{{dir}}/own.pem'"),
            "no PEM block `PRIVATE KEY`",
        ),
        (
            format!("{mutual}, privateKey: '{{dir}}/another.key'"),
            "the private key is not that of the certificate",
        ),
        (
            "mode: SIMPLE, caCertificates: '{dir}/another.key'".to_owned(),
            "no PEM block `CERTIFICATE`",
        ),
        (
            "mode: SIMPLE, caCertificates: '{dir}'".to_owned(),
            "it is no file",
        ),
    ];
    for (tls, text) in cases {
        let it = Proxied::start(listener.local_addr().unwrap(), &tls, &files);
        is_refused(&it, text, "unavailable");
        assert!(it.page("/clusters").contains(text), "{text}");
        assert!(listener.accept().is_err(), "somebody was dialled");
    }
}

#[test]
fn a_handshake_that_takes_too_long_is_given_up_and_the_name_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ca = Authority::new("ca");
    let it = Proxied::start(
        listener.local_addr().unwrap(),
        SIMPLE,
        &[("ca.pem", ca.pem())],
    );
    it.manifests.write(
        "destination.yaml",
        "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisDestination\nmetadata:\n  name: it\nspec:\n  \
         host: cache.demo\n  trafficPolicy:\n    connectionPool:\n      tcp: { connectTimeout: 300ms }\n",
    );
    until("the connect timeout is in force", || {
        it.page("/config_dump").contains("0.3s").then_some(())
    });
    let mut client = it.connect();
    client.command("GET k");
    let (mut peer, _) = listener.accept().unwrap();
    let mut hello = vec![0; 4096];
    let n = peer.read(&mut hello).unwrap();
    assert_eq!(hello[0], 22, "a handshake");
    assert!(
        hello[..n]
            .windows(HOST.len())
            .any(|part| part == HOST.as_bytes())
    );
    assert!(client.reply().starts_with('-'));
    until("it is counted", || {
        (it.metric("meltemi_upstream_tls_failures_total", "timeout") > 0).then_some(())
    });
}
