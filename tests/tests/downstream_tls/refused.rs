//! What is missing or wrong: nobody is served, and somebody says why.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::process::Command;

use meltemi_tests::certificates::Authority;
use meltemi_tests::redis::Wire;
use meltemi_tests::{Meltemi, Process, binary, until};

use super::{Edge, NAME, SIMPLE, files, gateway, prepared, redis, said, secret};

#[test]
fn a_missing_certificate_lets_nobody_in_until_it_is_there() {
    let Some(server) = redis() else { return };
    let ca = Authority::new("ca");
    let own = ca.issue("edge", &[NAME]);
    let files = files(&own, &ca);
    // All but the certificate.
    let manifests = prepared(&[server.address()], SIMPLE, &files[1..]);
    let mut command = Command::new(binary());
    command.args(["run", "--admin", "127.0.0.1:0", "--workers", "1", "-f"]);
    let process = Process::spawn("meltemi", command.arg(manifests.path()));
    let meltemi = Meltemi::starting(process);
    let address = meltemi.address("default/edge/redis");
    let ready = meltemi.get("/ready").unwrap();
    assert_eq!(ready.status, 503);
    assert!(
        ready.body.contains("TLS is not available: cannot read"),
        "{}",
        ready.body
    );
    assert!(ready.body.contains("server.crt"), "{}", ready.body);
    assert!(
        meltemi
            .get("/listeners")
            .unwrap()
            .body
            .contains("server.crt: No such file")
    );
    let mut plain = TcpStream::connect(address).unwrap();
    assert_eq!(plain.read(&mut [0; 64]).unwrap_or(0), 0, "nothing is said");

    manifests.write("server.crt", &own.certificate);
    until("it is ready", || {
        (meltemi.get("/ready")?.status == 200).then_some(())
    });
    let it = Edge {
        manifests,
        meltemi,
        address,
    };
    assert!(it.failures("unavailable") > 0);
    let ca = it.path("ca.pem");
    fs::write(&ca, files[2].1).unwrap();
    assert_eq!(
        said(&it.redis_cli(&["--cacert", &ca], &["SET", "k", "v"])),
        "OK"
    );
}

/// What `check` says of a server with this `tls`.
fn checked(tls: &str, secrets: &str) -> String {
    let manifests = prepared(&[], tls, &[]);
    manifests.write("service.yaml", SERVICE);
    if !secrets.is_empty() {
        manifests.write("secrets.yaml", secrets);
    }
    let mut check = Command::new(binary());
    check.args(["check", "-f"]).arg(manifests.path());
    said(&check.output().unwrap())
}

const SERVICE: &str = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: cache\n\
    spec:\n  hosts: [cache.demo]\n  ports: [{ number: 6379, name: tcp-redis }]\n  resolution: STATIC\n  \
    endpoints: [{ address: 127.0.0.1 }]\n";

/// Which of them there are.
enum Secrets {
    None,
    Pair,
    /// With the authorities of clients.
    Whole,
}

/// A server's `tls`, and what `check` says of it.
const REFUSED: [(&str, Secrets, &str); 18] = [
    (
        "mode: PASSTHROUGH",
        Secrets::None,
        "which passes on what it cannot read",
    ),
    (
        "mode: AUTO_PASSTHROUGH",
        Secrets::None,
        "which passes on what it cannot read",
    ),
    (
        "mode: ISTIO_MUTUAL, credentialName: it",
        Secrets::Pair,
        "`tls.credentialName` stands beside `ISTIO_MUTUAL`",
    ),
    (
        "credentialName: it",
        Secrets::None,
        "`tls` without a `mode` is PASSTHROUGH",
    ),
    (
        "httpsRedirect: true",
        Secrets::None,
        "`tls.httpsRedirect` is for HTTP",
    ),
    (
        "mode: SIMPLE",
        Secrets::None,
        "`tls.serverCertificate` is missing",
    ),
    (
        "mode: SIMPLE, serverCertificate: /a",
        Secrets::None,
        "`tls.privateKey` is missing",
    ),
    (
        "mode: MUTUAL, serverCertificate: /a, privateKey: /b",
        Secrets::None,
        "`tls.caCertificates` is missing",
    ),
    (
        "mode: SIMPLE, serverCertificate: /a, privateKey: /b, caCertificates: /c",
        Secrets::None,
        "`tls.caCertificates` has no effect: with SIMPLE",
    ),
    (
        "mode: SIMPLE, credentialName: it, subjectAltNames: [a.demo]",
        Secrets::Pair,
        "`tls.subjectAltNames` has no effect: with SIMPLE",
    ),
    (
        "mode: SIMPLE, credentialName: it, privateKey: /b",
        Secrets::Pair,
        "stands beside `tls.credentialName`",
    ),
    (
        "mode: SIMPLE, credentialName: it",
        Secrets::None,
        "there is no Secret default/it",
    ),
    (
        "mode: MUTUAL, credentialName: it",
        Secrets::Pair,
        "has no CA certificates to verify clients by",
    ),
    (
        "mode: MUTUAL, credentialName: it, subjectAltNames: ['a b']",
        Secrets::Whole,
        "`tls.subjectAltNames` has no DNS name",
    ),
    (
        "mode: SIMPLE, credentialName: it, maxProtocolVersion: TLSV1_1",
        Secrets::Pair,
        "`tls.maxProtocolVersion` is below TLS 1.2",
    ),
    (
        "mode: SIMPLE, credentialName: it, minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2",
        Secrets::Pair,
        "is below `tls.minProtocolVersion`",
    ),
    (
        "mode: SIMPLE, credentialName: it, verifyCertificateHash: [abc]",
        Secrets::Pair,
        "`tls.verifyCertificateHash` is not supported",
    ),
    (
        "mode: SIMPEL, credentialName: it",
        Secrets::Pair,
        "did you mean `SIMPLE`?",
    ),
];

#[test]
fn check_says_what_cannot_be_given() {
    let ca = Authority::new("ca");
    let own = ca.issue("edge", &[NAME]);
    let pair = secret(
        "it",
        &[("tls.crt", &own.certificate), ("tls.key", &own.key)],
    );
    let whole = format!(
        "{pair}---\n{}",
        secret("it-cacert", &[("ca.crt", ca.pem())])
    );
    for (tls, secrets, expected) in REFUSED {
        let secrets = match secrets {
            Secrets::None => "",
            Secrets::Pair => &pair,
            Secrets::Whole => &whole,
        };
        let said = checked(tls, secrets);
        assert!(said.contains(expected), "{tls}: {said}");
        assert!(said.contains("gateway.yaml:"), "{said}");
        assert!(!said.contains("0 errors"), "{said}");
    }
    for tls in [
        "mode: SIMPLE, credentialName: it",
        "mode: MUTUAL, credentialName: it, subjectAltNames: ['spiffe://td/ns/a/sa/b', c.demo]",
        "mode: OPTIONAL_MUTUAL, credentialName: it, minProtocolVersion: TLSV1_2",
    ] {
        let said = checked(tls, &whole);
        assert!(said.contains("0 errors, 0 warnings"), "{tls}: {said}");
    }
}

#[test]
fn a_gateway_that_comes_to_ask_for_what_is_missing_closes() {
    let Some(server) = redis() else { return };
    let ca = Authority::new("ca");
    let own = ca.issue("edge", &[NAME]);
    let manifests = meltemi_tests::redis::manifests(&[server.address()]);
    let meltemi = Meltemi::run(manifests.path());
    let address = meltemi.address("default/edge/redis");
    assert_eq!(Wire::connect(address).call("SET k v"), "+OK");
    let ask = |tls: &str| manifests.write("gateway.yaml", &gateway(tls, &manifests));
    ask("mode: SIMPLE, credentialName: it");
    until("it is closed", || {
        TcpStream::connect(address).is_err().then_some(())
    });
    let is_told = |text: &str| {
        until("it is told why", || {
            meltemi.process().said().contains(text).then_some(())
        });
    };
    is_told("there is no Secret default/it");
    // With the Secret it opens, and in no other way.
    let fields = [("tls.crt", &*own.certificate), ("tls.key", &own.key)];
    manifests.write("secret.yaml", &secret("it", &fields));
    let shows = |text: &str| {
        until(text, || {
            meltemi.get("/listeners")?.body.contains(text).then_some(())
        });
    };
    shows("\"state\": \"open\"");
    shows("\"secret\": \"default/it\"");
    // Where it was encrypted before, it stays as it was.
    ask("mode: MUTUAL, credentialName: another");
    is_told("there is no Secret default/another");
    shows("\"secret\": \"default/it\"");
}
