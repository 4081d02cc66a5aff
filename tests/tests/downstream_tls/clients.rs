//! Whoever speaks TLS is served as others are.

use std::fs;
use std::io::Write;
use std::process::Command;

use meltemi_tests::certificates::Authority;
use meltemi_tests::redis::{Wire, encode, peers};

use super::{Edge, NAME, SIMPLE, files, redis, said};

#[test]
fn redis_cli_speaks_tls_and_nobody_is_served_without() {
    let Some(server) = redis() else { return };
    let ca = Authority::new("ca");
    let it = Edge::start(
        &[server.address()],
        SIMPLE,
        &files(&ca.issue("edge", &[NAME]), &ca),
    );
    let authority = it.path("ca.crt");
    let options = ["--cacert", &*authority];
    assert_eq!(said(&it.redis_cli(&options, &["SET", "k", "v"])), "OK");
    assert_eq!(said(&it.redis_cli(&options, &["GET", "k"])), "v");
    let other = Authority::new("other");
    it.manifests.write("other.crt", other.pem());
    let other = it.path("other.crt");
    let refused = said(&it.redis_cli(&["--cacert", &other], &["SET", "k", "other"]));
    assert!(refused.contains("certificate verify failed"), "{refused}");
    assert!(it.failures("certificate_refused") > 0);

    // In plaintext there is no answer that Redis would give.
    let mut plain = Wire::connect(it.address);
    plain.command("SET k plain");
    assert_ne!(plain.try_reply().as_deref(), Some("+OK"));
    assert_eq!(server.connect().call("GET k"), "v");
    assert!(it.failures("plaintext") > 0);

    let listeners = it.page("/listeners");
    for text in ["\"mode\": \"SIMPLE\"", "CN=edge", "\"versions\""] {
        assert!(listeners.contains(text), "{text}: {listeners}");
    }
    assert_eq!(
        it.metric("meltemi_downstream_tls_available", "edge/redis"),
        1
    );
    assert!(!(listeners + &it.page("/config_dump")).contains("PRIVATE KEY"));
}

#[test]
fn large_values_and_pipelines_pass_in_both_versions() {
    let Some(server) = redis() else { return };
    let ca = Authority::new("ca");
    let own = ca.issue("edge", &[NAME]);
    for (limit, version, name) in [
        ("", "TLSv1_2", "TLSv1.2 edge"),
        ("", "TLSv1_3", "TLSv1.3 edge"),
        (", maxProtocolVersion: TLSV1_2", "TLSv1_2", "TLSv1.2 edge"),
        (", minProtocolVersion: TLSV1_3", "TLSv1_3", "TLSv1.3 edge"),
    ] {
        let it = Edge::start(
            &[server.address()],
            &format!("{SIMPLE}{limit}"),
            &files(&own, &ca),
        );
        let Some(initiator) = it.initiator(&ca, None, version) else {
            return;
        };
        let mut client = Wire::connect(initiator.address());
        for size in [1, 16_384, 65_537, 8 << 20] {
            let value = vec![b'x'; size];
            client.send(&encode(&[b"SET", b"large", &value]));
            assert_eq!(client.reply(), "+OK");
            assert_eq!(client.call("GET large").len(), size);
        }
        // Answers that nobody reads for a while, of requests that leave at once.
        let mut writer = client.writer();
        let requests = encode(&[b"GET", b"large"]).repeat(4);
        writer.write_all(&requests).unwrap();
        (0..4).for_each(|_| assert_eq!(client.reply().len(), 8 << 20));
        (0..500).for_each(|_| client.command("INCR n"));
        (0..500).for_each(|_| assert!(client.reply().starts_with(':')));
        assert_eq!(initiator.sessions(), [name]);
        assert_eq!(initiator.refusals(), Vec::<String>::new());
        for (limited, other) in [("min", "TLSv1_2"), ("max", "TLSv1_3")] {
            if limit.contains(limited) {
                let initiator = it.initiator(&ca, None, other).unwrap();
                assert_eq!(Wire::connect(initiator.address()).try_call("PING"), None);
                assert_eq!(initiator.sessions(), Vec::<String>::new());
            }
        }
    }
}

/// What OpenSSL makes of the end of a connection: bytes that come with the end of the handshake are
/// answered, and the end is one that was said, not one that somebody could have made.
const ENDS: &str = "
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.minimum_version = context.maximum_version = ssl.TLSVersion[sys.argv[4]]
raw = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
fro, to = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(fro, to, server_hostname=sys.argv[3])
while True:
    try:
        tls.do_handshake()
        break
    except ssl.SSLWantReadError:
        if data := to.read():
            raw.sendall(data)
        fro.write(raw.recv(65536))
# The last flight of 1.3 is still here: it leaves with what follows.
tls.write(b'*1\\r\\n$4\\r\\nPING\\r\\n' * 3 + b'*1\\r\\n$4\\r\\nQUIT\\r\\n')
raw.sendall(to.read())
heard = b''
while True:
    try:
        data = tls.read(65536)
    except ssl.SSLWantReadError:
        data = raw.recv(65536)
        if not data:
            sys.exit('the end was not said')
        fro.write(data)
        continue
    except ssl.SSLZeroReturnError:
        break
    if not data:
        break
    heard += data
print(heard)
";

#[test]
fn bytes_behind_the_handshake_are_served_and_the_end_is_said() {
    let Some(server) = redis() else { return };
    let ca = Authority::new("ca");
    let it = Edge::start(
        &[server.address()],
        SIMPLE,
        &files(&ca.issue("edge", &[NAME]), &ca),
    );
    for version in ["TLSv1_2", "TLSv1_3"] {
        let mut python = Command::new("python3");
        python.args(["-c", ENDS, &it.address.port().to_string()]);
        let output = python
            .args([&it.path("ca.crt"), NAME, version])
            .output()
            .unwrap();
        let expected = r"b'+PONG\r\n+PONG\r\n+PONG\r\n+OK\r\n'";
        assert_eq!(said(&output), expected, "{version}");
    }
}

const REDIS_PY: &str = "
import sys, redis
port, ca, cert, key = int(sys.argv[1]), *sys.argv[2:]
it = redis.Redis(port=port, ssl=True, ssl_ca_certs=ca, ssl_certfile=cert, ssl_keyfile=key,
                 ssl_check_hostname=False)
with it.pipeline() as pipe:
    for i in range(200):
        pipe.set(i, i)
    assert all(pipe.execute())
it.set('large', 'x' * 3_000_000)
assert len(it.get('large')) == 3_000_000
print('well')
";

#[test]
fn redis_py_shows_its_certificate() {
    let (Some(server), Some(home)) = (redis(), peers()) else {
        return;
    };
    let ca = Authority::new("ca");
    let it = Edge::start(
        &[server.address()],
        super::MUTUAL,
        &files(&ca.issue("edge", &[NAME]), &ca),
    );
    let own = ca.issue("client", &["client.demo"]);
    fs::write(it.path("own.crt"), &own.certificate).unwrap();
    fs::write(it.path("own.key"), &own.key).unwrap();
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", home.join("redis-py"));
    python.args(["-B", "-c", REDIS_PY, &it.address.port().to_string()]);
    python.args(["ca.crt", "own.crt", "own.key"].map(|file| it.path(file)));
    assert_eq!(said(&python.output().unwrap()), "well");
}
