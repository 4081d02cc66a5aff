//! Clients that are refused: the access log has a line of each that says why, a metric counts it, and no server hears of
//! it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use meltemi_tests::certificates::{Authority, Pair};
use meltemi_tests::redis::Wire;
use meltemi_tests::{Initiator, Meltemi, until};
use serde_json::Value;

use super::{Edge, MUTUAL, NAME, files, prepared, said};

/// A client's certificate, and who it believes that the server is.
struct Client<'a> {
    own: Option<&'a Pair>,
    believes: &'a Authority,
    version: &'static str,
}

/// What of OpenSSL tells the server why it goes, which asyncio keeps to itself.
const DISBELIEVES: &str = "
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
raw = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
context.wrap_socket(raw, server_hostname=sys.argv[3])
";

/// A server that nobody should connect to.
struct Untouched(TcpListener);

impl Untouched {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn is_untouched(&self) -> bool {
        let accepted = self.0.accept();
        accepted.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

struct Logged {
    it: Edge,
    log: tempfile::NamedTempFile,
    server: Untouched,
}

impl Logged {
    fn start(ca: &Authority, own: &Pair) -> Self {
        let server = Untouched::new();
        let tls = format!("{MUTUAL}, minProtocolVersion: TLSV1_3, subjectAltNames: [client.demo]");
        let at = server.0.local_addr().unwrap();
        let manifests = prepared(&[at], &tls, &files(own, ca));
        let log = tempfile::NamedTempFile::new().unwrap();
        let path = log.path().to_str().unwrap();
        let meltemi =
            Meltemi::run_with(manifests.path(), &["--workers", "1", "--access-log", path]);
        let address = meltemi.address("default/edge/redis");
        let it = Edge {
            manifests,
            meltemi,
            address,
        };
        Self { it, log, server }
    }

    /// A client of OpenSSL comes to nothing, for this reason.
    fn refuses(&self, client: &Client<'_>, reason: &str) {
        let Client {
            own,
            believes,
            version,
        } = client;
        let name = (NAME, believes.pem());
        let initiator = Initiator::start(self.it.address, name, *own, version).unwrap();
        let mut wire = Wire::connect(initiator.address());
        assert_eq!(wire.try_call("SET k leaked"), None, "{reason}");
        self.says(reason);
    }

    /// A client that believes somebody else says so, and goes.
    fn is_refused_by_a_client_of(&self, other: &Authority) {
        self.it.manifests.write("other.crt", other.pem());
        let mut python = Command::new("python3");
        python.args(["-c", DISBELIEVES, &self.it.address.port().to_string()]);
        let output = python.args([&self.it.path("other.crt"), NAME]).output();
        let told = said(&output.unwrap());
        assert!(told.contains("certificate verify failed"), "{told}");
        self.says("certificate_refused");
    }

    /// It is logged, and counted, once.
    fn says(&self, reason: &str) {
        let line = until(reason, || {
            let text = std::fs::read_to_string(self.log.path()).ok()?;
            let mut lines = text.lines().filter_map(|it| serde_json::from_str(it).ok());
            let is_it = |line: &Value| {
                let detail = line["detail"].as_str().unwrap_or_default();
                detail.starts_with(&format!("{reason}: "))
            };
            lines.find(is_it)
        });
        assert_eq!(line["service"], "default/edge/redis", "{line}");
        assert_eq!(line["protocol"], "redis", "{line}");
        assert_eq!(
            (&line["flag"], &line["reason"], &line["outcome"]),
            (
                &"DTF".into(),
                &"downstream_transport_failure".into(),
                &"local".into()
            ),
            "{line}"
        );
        let peer = line["peer"].as_str().unwrap_or_default();
        assert!(peer.starts_with("127.0.0.1:"), "{line}");
        assert_eq!(line["principal"], Value::Null, "{line}");
        assert_eq!(line["endpoint"], Value::Null, "{line}");
        assert_eq!(self.it.failures(reason), 1, "{reason}");
    }

    fn lines(&self) -> usize {
        let text = std::fs::read_to_string(self.log.path()).unwrap();
        text.lines().count()
    }
}

#[test]
fn every_refused_client_has_a_line_with_the_reason() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let own = ca.issue("edge", &[NAME]);
    let it = Logged::start(&ca, &own);
    let mut slow = TcpStream::connect(it.it.address).unwrap();
    slow.write_all(&[22, 3, 1, 0x0f, 0xff, 1, 0, 0x0f, 0xfb, 3, 3])
        .unwrap();
    // One that only looks whether the port is open is no client.
    drop(TcpStream::connect(it.it.address).unwrap());

    let good = ca.issue("client", &["client.demo"]);
    let client = |own, believes, version| Client {
        own,
        believes,
        version,
    };
    let strange = other.issue("client", &["client.demo"]);
    let misnamed = ca.issue("client", &["another.demo"]);
    let expired = ca.issue_expired("client", &["client.demo"]);
    for (own, reason) in [
        (None, "no_certificate"),
        (Some(&strange), "unknown_authority"),
        (Some(&misnamed), "other_name"),
        (Some(&expired), "expired"),
    ] {
        it.refuses(&client(own, &ca, "TLSv1_3"), reason);
    }
    it.refuses(&client(Some(&good), &ca, "TLSv1_2"), "version");
    it.is_refused_by_a_client_of(&other);
    let mut plain = TcpStream::connect(it.it.address).unwrap();
    plain.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
    it.says("plaintext");
    let mut heard = Vec::new();
    let _ = slow.read_to_end(&mut heard);
    it.says("timeout");
    assert_eq!(it.lines(), 8);
    assert!(it.server.is_untouched(), "a server was connected to");
}
