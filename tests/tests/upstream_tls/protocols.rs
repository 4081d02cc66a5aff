//! Other protocols and another implementation of TLS, in both of its versions.

use std::io::Write;

use meltemi_tests::certificates::Authority;
use meltemi_tests::thrift::wire::{Message, Scripted, connect, text_field};
use meltemi_tests::{Endpoint, Manifests, Meltemi, Terminator, until};

const HOST: &str = "probe.test";

#[test]
fn thrift_passes_and_sessions_are_resumed() {
    let ca = Authority::new("ca");
    let server = Scripted::echo();
    for (version, name) in [("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")] {
        let pair = ca.issue("server", &[HOST]);
        let Some(terminator) = Terminator::start(server.port(), &pair, version) else {
            return;
        };
        let manifests = Manifests::thrift_gateway();
        let endpoint = Endpoint {
            port: terminator.address().port(),
            version: "v1",
            locality: "r1/z1/s1",
        };
        manifests.service(HOST, &[endpoint]);
        manifests.routes(HOST, "");
        manifests.write("ca.pem", ca.pem());
        let path = manifests.path().display();
        manifests.write(
            "probe-subsets.yaml",
            &format!(
                "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: probe\nspec:\n  \
                 host: {HOST}\n  trafficPolicy:\n    tls: {{ mode: SIMPLE, caCertificates: '{path}/ca.pem' }}\n"
            ),
        );
        let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
        let mut client = connect(meltemi.address("default/edge/thrift")).unwrap();
        let large = "x".repeat(3 << 20);
        for (seq, text) in (1..).zip(["hello", &large, "again"]) {
            let call = Message::call("echo", seq, text_field(1, text));
            client.write_all(&call.framed()).unwrap();
            let reply = Message::read(&mut client).unwrap();
            assert_eq!((reply.seq, reply.text(0)), (seq, Some(text)), "{version}");
        }
        // Half of a large one keeps its connection to itself: another client gets a second one.
        let half = Message::call("echo", 9, text_field(1, &large)).framed();
        let (first, second) = half.split_at(half.len() / 2);
        client.write_all(first).unwrap();
        let mut other = connect(meltemi.address("default/edge/thrift")).unwrap();
        until("it has a connection of its own", || {
            let call = Message::call("echo", 1, text_field(1, "other"));
            other.write_all(&call.framed()).unwrap();
            assert_eq!(Message::read(&mut other).unwrap().text(0), Some("other"));
            (terminator.sessions().len() > 1).then_some(())
        });
        client.write_all(second).unwrap();
        assert_eq!(Message::read(&mut client).unwrap().text(0), Some(&*large));
        let expected = [format!("{name} new"), format!("{name} resumed")];
        assert_eq!(terminator.sessions(), expected);
    }
}
