//! A controller of a directory over TLS, by certificates that somebody else makes.

use meltemi_tests::kubernetes::REDIS_GATEWAY as GATEWAY;
use std::net::SocketAddr;

use meltemi_tests::certificates::Authority;
use meltemi_tests::kubernetes::{Encrypted, Mounted};
use meltemi_tests::redis::{Server, Wire, service};
use meltemi_tests::{Manifests, until};

const ROUTER: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: cache}
spec: {hosts: [one.demo], gateways: [edge]}
";

fn answers(address: SocketAddr) {
    until("the server answers", || {
        let answer = Wire::try_connect(address)?.try_call("PING")?;
        (answer == "+PONG" || answer == "PONG").then_some(())
    });
}

#[test]
fn a_proxy_connects_to_whom_its_authority_vouches_for_and_goes_on_when_that_is_another() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let manifests = Manifests::new();
    manifests.write("gateway.yaml", GATEWAY);
    manifests.write("service.yaml", &service("one.demo", &[server.address()]));
    manifests.write("router.yaml", ROUTER);
    let [first, second] = ["first", "second"].map(Authority::new);
    let pair = first.issue("controller", &["localhost"]);
    let mounted = Mounted::new(first.pem(), "a token that nobody asks for");
    let chain = mounted.file("tls.crt", &pair.certificate);
    let key = mounted.file("tls.key", &pair.key);
    let [chain, key] = [&chain, &key].map(|path| path.to_str().expect("a path in UTF-8"));
    let directory = manifests.path().to_str().expect("a path in UTF-8");
    let controller = Encrypted::starting(&[
        "-f",
        directory,
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        chain,
        "--tls-key",
        key,
    ]);
    // The certificate is for another name than this address.
    let astray = controller.proxy(&mounted);
    until("the proxy says why it does not connect", || {
        let said = astray.process().said();
        let reason = "it is for localhost, and 127.0.0.1 was expected";
        said.contains(reason).then_some(())
    });
    drop(astray);

    let pair = first.issue("controller", &["127.0.0.1"]);
    let _ = mounted.file("tls.key", &pair.key);
    let _ = mounted.file("tls.crt", &pair.certificate);
    let proxy = controller.proxy(&mounted);
    answers(proxy.address("default/edge/redis"));

    let pair = second.issue("controller", &["127.0.0.1"]);
    let _ = mounted.file("tls.key", &pair.key);
    let _ = mounted.file("tls.crt", &pair.certificate);
    mounted.change_roots(second.pem());
    let later = controller.proxy(&mounted);
    answers(later.address("default/edge/redis"));
    answers(proxy.address("default/edge/redis"));
}

#[test]
fn flags_that_would_let_others_read_are_refused_with_a_remedy() {
    let manifests = Manifests::new();
    let directory = manifests.path().to_str().expect("a path in UTF-8");
    let rows: &[(&[&str], &str)] = &[
        (&["-f", directory, "--listen", "0.0.0.0:0"], "--tls-cert"),
        (
            &[
                "--kubeconfig",
                "/nowhere",
                "--listen",
                "0.0.0.0:0",
                "--plaintext",
            ],
            "--listen 127.0.0.1:0",
        ),
        (
            &[
                "-f",
                directory,
                "--listen",
                "127.0.0.1:0",
                "--tls-cert",
                "/nowhere/a",
                "--tls-key",
                "/nowhere/b",
            ],
            "cannot read /nowhere/a",
        ),
    ];
    for (arguments, remedy) in rows {
        let output = Encrypted::command(arguments).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(remedy), "{arguments:?}: {said}");
    }
}
