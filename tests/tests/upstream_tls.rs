//! TLS towards real servers: whom Meltemi believes, what it shows, and that it never does without.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "upstream_tls/checks.rs"]
mod checks;
#[path = "upstream_tls/protocols.rs"]
mod protocols;
#[path = "upstream_tls/refused.rs"]
mod refused;
#[path = "upstream_tls/rotation.rs"]
mod rotation;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;

use meltemi_tests::certificates::Authority;
use meltemi_tests::redis::{Encrypted, Server, Wire, manifests};
use meltemi_tests::{Manifests, Meltemi, until};

/// The host of the service, which is also what servers are called.
const HOST: &str = "cache.demo";

/// A Meltemi before servers of [`HOST`].
struct Proxied {
    manifests: Manifests,
    meltemi: Meltemi,
    address: SocketAddr,
}

impl Proxied {
    /// With files of the proxy beside the manifests: their names and texts; `{dir}` in the rule's
    /// `tls` is where they are.
    fn start(server: SocketAddr, tls: &str, files: &[(&str, &str)]) -> Self {
        let manifests = manifests(&[server]);
        for (name, text) in files {
            manifests.write(name, text);
        }
        manifests.write("rule.yaml", &rule(tls, &manifests));
        let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
        let address = meltemi.address("default/edge/redis");
        Self {
            manifests,
            meltemi,
            address,
        }
    }

    fn connect(&self) -> Wire {
        Wire::connect(self.address)
    }

    fn change(&self, tls: &str) {
        self.manifests
            .write("rule.yaml", &rule(tls, &self.manifests));
    }

    fn page(&self, path: &str) -> String {
        self.meltemi.get(path).unwrap().body
    }

    /// The number of a metric with this in its labels.
    fn metric(&self, name: &str, label: &str) -> u64 {
        let page = self.page("/metrics");
        let mut lines = page.lines().filter(|line| line.starts_with(name));
        let line = lines.find(|line| line.contains(label)).unwrap_or_default();
        line.rsplit(' ').next().unwrap().parse().unwrap_or(0)
    }

    /// Everything that anybody can be shown.
    fn shown(&self) -> String {
        let pages = ["/config_dump", "/clusters", "/listeners", "/metrics"];
        let pages = pages.map(|page| self.page(page)).concat();
        pages + &self.meltemi.process().said()
    }
}

fn rule(tls: &str, manifests: &Manifests) -> String {
    let tls = tls.replace("{dir}", &manifests.path().display().to_string());
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: cache\nspec:\n  \
         host: {HOST}\n  trafficPolicy:\n    tls: {{ {tls} }}\n"
    )
}

/// A Secret with these fields.
fn secret(name: &str, fields: &[(&str, &str)]) -> String {
    let mut text =
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n");
    for (field, value) in fields {
        text += &format!("  {field}: |\n");
        for line in value.lines() {
            text += &format!("    {line}\n");
        }
    }
    text
}

const SIMPLE: &str = "mode: SIMPLE, caCertificates: '{dir}/ca.pem'";

#[test]
fn a_server_is_verified_by_its_host_and_everything_passes() {
    if !Server::is_installed() {
        return;
    }
    let ca = Authority::new("our authority");
    let server = Encrypted::start(&ca.issue("server", &[HOST]), None);
    let it = Proxied::start(server.address(), SIMPLE, &[("ca.pem", ca.pem())]);
    let mut client = it.connect();
    assert_eq!(client.call("SET k v"), "+OK");
    assert_eq!(client.call("GET k"), "v");
    // Larger than what a socket, a record or a session takes at once, in both directions.
    for size in [16_384, 65_537, 8 << 20] {
        let value = vec![b'x'; size];
        client.send(&meltemi_tests::redis::encode(&[b"SET", b"large", &value]));
        assert_eq!(client.reply(), "+OK");
        assert_eq!(client.call("GET large").len(), size);
    }
    // To a server that does not read for a while.
    let value = vec![b'y'; 32 << 20];
    server.server().process().signal("STOP");
    let set = meltemi_tests::redis::encode(&[b"SET", b"larger", &value]);
    let mut writer = client.writer();
    let sending = std::thread::spawn(move || writer.write_all(&set).unwrap());
    until("the request is under way", || {
        (it.metric("meltemi_requests_in_flight", "service") == 1).then_some(())
    });
    server.server().process().signal("CONT");
    assert_eq!(client.reply(), "+OK");
    sending.join().unwrap();
    assert_eq!(client.call("GET larger").len(), value.len());
    // A pipeline of several clients, which share connections.
    let mut clients: Vec<_> = (0..16).map(|_| it.connect()).collect();
    for client in &mut clients {
        (0..200).for_each(|_| client.command("INCR n"));
    }
    for client in &mut clients {
        (0..200).for_each(|_| assert!(client.reply().starts_with(':')));
    }
    assert_eq!(client.call("GET n"), "3200");
    // One that needs a connection of its own, and a server that waits.
    assert_eq!(client.call("WATCH k"), "+OK");
    assert_eq!(client.call("MULTI"), "+OK");
    assert_eq!(client.call("GET k"), "+QUEUED");
    assert_eq!(client.call("EXEC"), "[v]");
    assert!(!server.connections().is_empty());

    let clusters = it.page("/clusters");
    for text in [
        "\"mode\": \"SIMPLE\"",
        "\"sni\": \"cache.demo\"",
        "CN=our authority",
    ] {
        let packed = text.replace(": ", ":");
        assert!(
            clusters.contains(text) || clusters.contains(&packed),
            "{text}: {clusters}"
        );
    }
    assert_eq!(it.metric("meltemi_upstream_tls_available", HOST), 1);
    assert!(it.metric("meltemi_upstream_tls_certificate_expiry", "authority") > 1_700_000_000);
    assert_eq!(
        it.metric("meltemi_upstream_connect_failures_total", HOST),
        0
    );
}

#[test]
fn a_certificate_is_shown_where_the_server_asks_for_one() {
    if !Server::is_installed() {
        return;
    }
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let server = Encrypted::start(&servers.issue("server", &[HOST]), Some(clients.pem()));
    let own = clients.issue("meltemi", &["meltemi.demo"]);
    // By files.
    let files = [
        ("ca.pem", servers.pem()),
        ("own.pem", &*own.certificate),
        ("own.key", &*own.key),
    ];
    let tls = "mode: MUTUAL, caCertificates: '{dir}/ca.pem', clientCertificate: '{dir}/own.pem', \
               privateKey: '{dir}/own.key'";
    let it = Proxied::start(server.address(), tls, &files);
    assert_eq!(it.connect().call("SET k files"), "+OK");
    assert!(it.metric("meltemi_upstream_tls_certificate_expiry", "own") > 1_700_000_000);

    // By Secrets, in each of the forms that Istio knows.
    let one: &[(&str, &[(&str, &str)])] = &[(
        "it",
        &[
            ("tls.crt", &own.certificate),
            ("tls.key", &own.key),
            ("ca.crt", servers.pem()),
        ],
    )];
    let generic: &[(&str, &[(&str, &str)])] = &[(
        "it",
        &[
            ("cert", &own.certificate),
            ("key", &own.key),
            ("cacert", servers.pem()),
        ],
    )];
    let two: &[(&str, &[(&str, &str)])] = &[
        (
            "it",
            &[("tls.crt", &own.certificate), ("tls.key", &own.key)],
        ),
        ("it-cacert", &[("ca.crt", servers.pem())]),
    ];
    for secrets in [one, generic, two] {
        let texts = secrets.iter().map(|(name, fields)| secret(name, fields));
        let text = texts.collect::<Vec<_>>().join("---\n");
        let tls = "mode: MUTUAL, credentialName: it";
        let it = Proxied::start(server.address(), tls, &[("secret.yaml", &text)]);
        assert_eq!(it.connect().call("GET k"), "files");
        let shown = it.shown();
        for line in own.key.lines() {
            assert!(!shown.contains(line), "a line of the key is shown: {line}");
        }
        assert!(shown.contains("CN=meltemi"), "{shown}");
    }
}

#[test]
fn names_and_revocations_are_as_the_rule_says() {
    if !Server::is_installed() {
        return;
    }
    let ca = Authority::new("ca");
    let pair = ca.issue("server", &["other.example", "127.0.0.1"]);
    let server = Encrypted::start(&pair, None);
    let revoked = ca.revoke(&[&ca.issue("another", &[HOST])]);
    let files = [("ca.pem", ca.pem()), ("crl.pem", &*revoked)];
    let it = Proxied::start(server.address(), SIMPLE, &files);
    let works = |tls: &str| {
        it.change(tls);
        until(tls, || {
            (it.connect().call("SET k v") == "+OK").then_some(())
        });
    };
    let fails = |tls: &str, reason: &str| {
        it.change(tls);
        until(reason, || {
            it.connect().call("GET k").starts_with('-').then_some(())
        });
        until(reason, || {
            it.meltemi.process().said().contains(reason).then_some(())
        });
    };
    fails(
        SIMPLE,
        "it is for other.example, 127.0.0.1, and cache.demo was expected",
    );
    works(&format!("{SIMPLE}, sni: other.example"));
    fails(
        &format!("{SIMPLE}, sni: other.example, subjectAltNames: [a.b, 'spiffe://c/d']"),
        "and a.b or spiffe://c/d was expected",
    );
    works(&format!("{SIMPLE}, subjectAltNames: [a.b, other.example]"));
    works(&format!(
        "{SIMPLE}, subjectAltNames: [127.0.0.1], caCrl: '{{dir}}/crl.pem'"
    ));
    it.manifests.write("crl.pem", &ca.revoke(&[&pair]));
    until("the certificate is revoked", || {
        // What a client watches ends with it, and so does its connection to the server.
        it.connect().call("WATCH k");
        let said = it.meltemi.process().said();
        said.contains("Revoked").then_some(())
    });
    works("mode: SIMPLE, insecureSkipVerify: true");
    // The system's authorities have never heard of ours.
    fails("mode: SIMPLE, sni: other.example", "UnknownIssuer");
    for reason in ["other_name", "unknown_authority"] {
        assert!(
            it.metric("meltemi_upstream_tls_failures_total", reason) > 0,
            "{reason}"
        );
    }
    // Whatever was tried, nobody but this test spoke plaintext with the server.
    let mut client = server.server().connect();
    let list = client.call("CLIENT LIST");
    let plain = format!("laddr={}", server.server().address());
    assert_eq!(
        list.lines().filter(|line| line.contains(&plain)).count(),
        1,
        "{list}"
    );
}

#[test]
fn files_may_come_later() {
    if !Server::is_installed() {
        return;
    }
    let ca = Authority::new("ca");
    let server = Encrypted::start(&ca.issue("server", &[HOST]), None);
    let it = Proxied::start(server.address(), SIMPLE, &[]);
    assert!(it.connect().call("GET k").starts_with('-'));
    assert_eq!(it.metric("meltemi_upstream_tls_available", HOST), 0);
    assert!(
        it.page("/clusters").contains("ca.pem: No such file"),
        "{}",
        it.page("/clusters")
    );
    fs::write(it.manifests.path().join("ca.pem"), "not PEM").unwrap();
    until("the file is broken", || {
        it.page("/clusters").contains("no PEM block").then_some(())
    });
    it.manifests.write("ca.pem", ca.pem());
    until("the file is there", || {
        (it.connect().call("SET k v") == "+OK").then_some(())
    });
}
