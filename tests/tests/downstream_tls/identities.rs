//! Who clients prove to be, and what that decides.

use std::fs;
use std::process::Command;

use meltemi_tests::certificates::{Authority, Pair};
use meltemi_tests::redis::{Server, Wire, service};
use meltemi_tests::thrift;
use meltemi_tests::{Initiator, binary, until};

use super::{Edge, MUTUAL, NAME, files, redis, said};

const ROUTES: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata:
  name: cache
spec:
  hosts: [cache.demo]
  gateways: [edge]
  routes:
  - name: blue
    matches: [{ source: { principal: cluster.local/ns/a/sa/blue } }]
    route: [{ destination: { host: blue.demo } }]
  - name: green
    matches:
    - source: { principal: green.demo }
    - source: { principal: 'CN=green' }
    route: [{ destination: { host: green.demo } }]
  - name: rest
    route: [{ destination: { host: cache.demo } }]
";

/// By the address of all, who is not known better is of the namespace of these services.
const BY_NAMESPACE: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata:
  name: cache
spec:
  hosts: [cache.demo]
  gateways: [edge]
  routes:
  - name: blue
    matches: [{ source: { namespace: a } }]
    route: [{ destination: { host: blue.demo } }]
  - name: green
    matches: [{ source: { namespace: default } }]
    route: [{ destination: { host: green.demo } }]
  - name: rest
    route: [{ destination: { host: cache.demo } }]
";

/// Three servers, one for each identity and one for the rest.
struct Three {
    it: Edge,
    ca: Authority,
    servers: [Server; 3],
}

impl Three {
    fn start(mode: &str) -> Option<Self> {
        Self::routed(mode, ROUTES)
    }

    fn routed(mode: &str, routes: &str) -> Option<Self> {
        let servers = [redis()?, redis()?, redis()?];
        let ca = Authority::new("ca");
        let own = ca.issue("edge", &[NAME]);
        let [blue, green, rest] = servers.each_ref().map(Server::address);
        let services = [
            service("blue.demo", &[blue]),
            service("green.demo", &[green]),
        ];
        let [server, key, authority] = files(&own, &ca);
        let files = [
            server,
            key,
            authority,
            ("blue.yaml", &*services[0]),
            ("green.yaml", &services[1]),
            ("routes.yaml", routes),
        ];
        let it = Edge::start(&[rest], &MUTUAL.replace("MUTUAL", mode), &files);
        Some(Self { it, ca, servers })
    }

    fn initiator(&self, own: Option<&Pair>) -> Option<Initiator> {
        self.it.initiator(&self.ca, own, "TLSv1_3")
    }

    /// The keys of the three.
    fn keys(&self) -> [String; 3] {
        self.servers.each_ref().map(|server| {
            let keys = server.connect().call("KEYS *");
            let keys = keys.trim_matches(['[', ']']);
            let mut keys: Vec<_> = keys.split_whitespace().collect();
            keys.sort_unstable();
            keys.join(" ")
        })
    }
}

#[test]
fn clients_go_where_their_identity_leads_them() {
    let Some(three) = Three::start("MUTUAL") else {
        return;
    };
    let ca = &three.ca;
    let blue = ca.issue(
        "blue",
        &["other.demo", "spiffe://cluster.local/ns/a/sa/blue"],
    );
    let other = ca.issue("green", &["spiffe://cluster.local/ns/a/sa/other"]);
    let green = ca.issue("by its name", &["green.demo"]);
    let subject = ca.issue("green", &[]);
    for (key, own) in [
        ("blue", &blue),
        ("other", &other),
        ("name", &green),
        ("subject", &subject),
    ] {
        let Some(initiator) = three.initiator(Some(own)) else {
            return;
        };
        let mut client = Wire::connect(initiator.address());
        assert_eq!(client.call(&format!("SET {key} 1")), "+OK");
        // What is sent at once is decided alike, whoever else sends at the same time.
        (0..100).for_each(|_| client.command(&format!("INCR {key}")));
        (0..100).for_each(|_| assert!(client.reply().starts_with(':')));
    }
    assert_eq!(three.keys(), ["blue", "name subject", "other"]);

    // Who shows nothing, or what nobody vouches for, is not let in.
    let stranger =
        Authority::new("stranger").issue("blue", &["spiffe://cluster.local/ns/a/sa/blue"]);
    for (own, reason, alert) in [
        (None, "no_certificate", "certificate required"),
        (Some(&stranger), "unknown_authority", "unknown ca"),
    ] {
        let before = three.it.failures(reason);
        let initiator = three.initiator(own).unwrap();
        assert_eq!(
            Wire::connect(initiator.address()).try_call("SET stranger 1"),
            None
        );
        until(reason, || {
            (three.it.failures(reason) > before).then_some(())
        });
        // And is told why.
        until(alert, || {
            let told = initiator.refusals().join(" ").to_lowercase();
            told.contains(alert).then_some(())
        });
    }
    let authority = three.it.path("ca.crt");
    let refused = three
        .it
        .redis_cli(&["--cacert", &authority], &["SET", "stranger", "1"]);
    assert!(!refused.status.success(), "{}", said(&refused));
    assert_eq!(three.keys(), ["blue", "name subject", "other"]);
}

#[test]
fn who_need_not_show_anything_is_the_rest() {
    let Some(three) = Three::start("OPTIONAL_MUTUAL") else {
        return;
    };
    let blue = three
        .ca
        .issue("blue", &["spiffe://cluster.local/ns/a/sa/blue"]);
    let stranger =
        Authority::new("stranger").issue("blue", &["spiffe://cluster.local/ns/a/sa/blue"]);
    for (key, own, expected) in [
        ("blue", Some(&blue), Some("+OK")),
        ("nobody", None, Some("+OK")),
        ("stranger", Some(&stranger), None),
    ] {
        let Some(initiator) = three.initiator(own) else {
            return;
        };
        let mut client = Wire::connect(initiator.address());
        assert_eq!(
            client.try_call(&format!("SET {key} 1")).as_deref(),
            expected,
            "{key}"
        );
    }
    assert_eq!(three.keys(), ["blue", "", "nobody"]);
}

#[test]
fn a_namespace_is_the_one_that_is_proven_before_that_of_the_address() {
    let Some(three) = Three::routed("OPTIONAL_MUTUAL", BY_NAMESPACE) else {
        return;
    };
    let ca = &three.ca;
    let of = |namespace: &str| {
        ca.issue(
            "it",
            &[&format!("spiffe://cluster.local/ns/{namespace}/sa/it")],
        )
    };
    let unnamed = [
        ca.issue("it", &["it.demo"]),
        ca.issue("it", &["spiffe://cluster.local/it"]),
    ];
    for (key, own) in [
        ("a", Some(&of("a"))),
        ("default", Some(&of("default"))),
        ("other", Some(&of("other"))),
        ("name", Some(&unnamed[0])),
        ("id", Some(&unnamed[1])),
        ("nobody", None),
    ] {
        let Some(initiator) = three.initiator(own) else {
            return;
        };
        let mut client = Wire::connect(initiator.address());
        assert_eq!(client.call(&format!("SET {key} 1")), "+OK");
    }
    assert_eq!(three.keys(), ["a", "default id name nobody", "other"]);

    // Explained alike, of manifests and of the proxy.
    let mut explain = Command::new(binary());
    explain.args(["explain", "--service", "cache.demo", "--gateway", "edge"]);
    explain.args([
        "--principal",
        "cluster.local/ns/other/sa/it",
        "--source",
        "127.0.0.1",
    ]);
    let alone = said(
        &explain
            .arg("-f")
            .arg(three.it.manifests.path())
            .output()
            .unwrap(),
    );
    let question = "{\"listener\": \"default/edge/redis\", \"source\": \"127.0.0.1\", \
                    \"principal\": \"cluster.local/ns/other/sa/it\"}";
    let lives = three.it.meltemi.post("/explain", question).body;
    for said in [alone, lives] {
        let told = "the client has proven to be of the namespace other, not default";
        assert!(said.contains(told) && said.contains("cache.demo"), "{said}");
    }
}

#[test]
fn only_clients_of_a_name_are_let_in() {
    let Some(server) = redis() else { return };
    let ca = Authority::new("ca");
    let tls = format!("{MUTUAL}, subjectAltNames: ['spiffe://td/ns/a/sa/b', c.demo]");
    let it = Edge::start(
        &[server.address()],
        &tls,
        &files(&ca.issue("edge", &[NAME]), &ca),
    );
    for (names, expected) in [
        (&["spiffe://td/ns/a/sa/b"][..], Some("+PONG")),
        (&["c.demo"], Some("+PONG")),
        (&["spiffe://td/ns/a/sa/c"], None),
    ] {
        let own = ca.issue("client", names);
        let Some(initiator) = it.initiator(&ca, Some(&own), "TLSv1_3") else {
            return;
        };
        let answer = Wire::connect(initiator.address()).try_call("PING");
        assert_eq!(answer.as_deref(), expected, "{names:?}");
    }
    until("it is counted", || {
        (it.failures("other_name") == 1).then_some(())
    });
    let text = "it is for spiffe://td/ns/a/sa/c, and spiffe://td/ns/a/sa/b or c.demo was expected";
    until("it is told", || {
        it.meltemi.process().said().contains(text).then_some(())
    });
}

#[test]
fn explain_tells_where_an_identity_leads() {
    let Some(three) = Three::start("MUTUAL") else {
        return;
    };
    let asked = |principal: &str| {
        let mut explain = Command::new(binary());
        explain.args(["explain", "--service", "cache.demo", "--gateway", "edge"]);
        explain.args(["--principal", principal, "-f"]);
        said(&explain.arg(three.it.manifests.path()).output().unwrap())
    };
    for principal in [
        "cluster.local/ns/a/sa/blue",
        "spiffe://cluster.local/ns/a/sa/blue",
    ] {
        assert!(
            asked(principal).contains("blue.demo"),
            "{}",
            asked(principal)
        );
        let body =
            format!("{{\"listener\": \"default/edge/redis\", \"principal\": \"{principal}\"}}");
        let answer = three.it.meltemi.post("/explain", &body).body;
        assert!(answer.contains("blue.demo"), "{answer}");
    }
    let other = asked("spiffe://cluster.local/ns/a/sa/red");
    assert!(
        other.contains("the client's principal is spiffe://cluster.local/ns/a/sa/red, not"),
        "{other}"
    );
}

const TSSL: &str = "
import sys
sys.path.insert(0, sys.argv[1])
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
from thrift.transport.TSSLSocket import TSSLSocket
from thrift.transport.TTransport import TFramedTransport
from probe import Probe
port, ca, cert, key = int(sys.argv[2]), *sys.argv[3:]
socket = TSSLSocket('127.0.0.1', port, ca_certs=ca, certfile=cert, keyfile=key,
                    server_hostname='edge.demo')
transport = TFramedTransport(socket)
client = Probe.Client(TBinaryProtocolAccelerated(transport))
transport.open()
large = 'x' * 2_000_000
assert client.echoText(large) == large
print(client.label())
transport.close()
";

#[test]
fn thrift_clients_go_where_their_identity_leads_them() {
    use thrift::{Form, HOST, Language, Peers};
    let Some(peers) = Peers::find() else { return };
    let blue = peers.server(Language::Python, "blue", &[Form::FRAMED_BINARY]);
    let rest = peers.server(Language::Python, "rest", &[Form::FRAMED_BINARY]);
    let manifests = meltemi_tests::Manifests::thrift_gateway();
    let ends = [
        ("v1", blue.port(Form::FRAMED_BINARY)),
        ("v2", rest.port(Form::FRAMED_BINARY)),
    ];
    let ends = ends.map(|(version, port)| meltemi_tests::Endpoint {
        port,
        version,
        locality: "r1/z1/s1",
    });
    manifests.service(HOST, &ends);
    let routes = format!(
        "- name: blue\n  matches: [{{ source: {{ principal: td/ns/a/sa/blue }} }}]\n  \
         route: [{{ destination: {{ host: {HOST}, subset: v1 }} }}]\n\
         - name: rest\n  route: [{{ destination: {{ host: {HOST}, subset: v2 }} }}]\n"
    );
    manifests.routes(HOST, &routes);
    let ca = Authority::new("ca");
    let own = ca.issue("edge", &[NAME]);
    for (name, text) in files(&own, &ca) {
        manifests.write(name, text);
    }
    let gateway = super::gateway(MUTUAL, &manifests).replace("redis", "thrift");
    manifests.write("gateway.yaml", &gateway);
    let meltemi = meltemi_tests::Meltemi::run(manifests.path());
    let port = meltemi.address("default/edge/thrift").port().to_string();
    for (identity, label) in [
        ("spiffe://td/ns/a/sa/blue", "blue"),
        ("spiffe://td/ns/a/sa/red", "rest"),
    ] {
        let pair = ca.issue("client", &[identity]);
        let path = |file: &str| manifests.path().join(file).display().to_string();
        fs::write(path("own.crt"), &pair.certificate).unwrap();
        fs::write(path("own.key"), &pair.key).unwrap();
        let mut python = Command::new("python3");
        python
            .args(["-B", "-c", TSSL])
            .arg(peers.library(Language::Python))
            .arg(&port);
        python.args(["ca.crt", "own.crt", "own.key"].map(path));
        assert_eq!(said(&python.output().unwrap()), label);
    }
}
