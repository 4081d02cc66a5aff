//! Several servers at one address: whose a client is, the name says that it asks for.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use meltemi_tests::certificates::{Authority, Pair};
use meltemi_tests::redis::{Server, Wire, free_port, service};
use meltemi_tests::{Initiator, Manifests, Meltemi, until};

use super::rotation::{Load, is_shown};
use super::{redis, said, secret};

/// A Gateway of its own for each of these: its name, what clients have to ask for, and its `tls`.
type Gateways<'a> = &'a [(&'a str, &'a str, &'a str)];

/// Gateways at one address, each before a server of its own.
struct Shared {
    manifests: Manifests,
    meltemi: Meltemi,
    address: SocketAddr,
    servers: Vec<Server>,
    log: tempfile::NamedTempFile,
}

fn gateway(name: &str, hosts: &str, tls: &str, port: u16) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{ name: {name} }}\nspec:\n  servers:\n  \
         - name: redis\n    bind: 127.0.0.1\n    port: {{ number: {port}, name: tcp-redis, protocol: TLS }}\n    \
         hosts: [{hosts}]\n    tls: {{ {tls} }}\n---\napiVersion: metaprotocol.aeraki.io/v1alpha1\n\
         kind: MetaRouter\nmetadata: {{ name: {name} }}\nspec: {{ hosts: [{name}.demo], gateways: [{name}] }}\n"
    )
}

impl Shared {
    fn start(gateways: Gateways<'_>, secrets: &str) -> Option<Self> {
        let manifests = Manifests::new();
        manifests.write("secrets.yaml", secrets);
        let port = free_port();
        let mut servers = Vec::new();
        for (name, hosts, tls) in gateways {
            let server = redis()?;
            let text = service(&format!("{name}.demo"), &[server.address()]);
            manifests.write(&format!("{name}-service.yaml"), &text);
            manifests.write(&format!("{name}.yaml"), &gateway(name, hosts, tls, port));
            assert_eq!(server.connect().call(&format!("SET who {name}")), "+OK");
            servers.push(server);
        }
        let log = tempfile::NamedTempFile::new().unwrap();
        let path = log.path().to_str().unwrap();
        let meltemi =
            Meltemi::run_with(manifests.path(), &["--workers", "2", "--access-log", path]);
        for (name, ..) in gateways {
            let address = meltemi.address(&format!("default/{name}/redis"));
            assert_eq!(address, (Ipv4Addr::LOCALHOST, port).into());
        }
        Some(Self {
            manifests,
            meltemi,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            servers,
            log,
        })
    }

    fn asks(&self, name: &str, ca: &Authority, own: Option<&Pair>) -> Initiator {
        Initiator::start(self.address, (name, ca.pem()), own, "TLSv1_3").unwrap()
    }

    /// Who answers a client that asks for this name.
    fn who(&self, name: &str, ca: &Authority) -> Option<String> {
        Wire::connect(self.asks(name, ca, None).address()).try_call("GET who")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    fn failures(&self, listener: &str, reason: &str) -> u64 {
        let labels = [
            &*format!("listener=\"default/{listener}/redis\""),
            &format!("reason=\"{reason}\""),
        ];
        let name = "meltemi_downstream_tls_failures_total";
        self.meltemi.metric(name, &labels)
    }
}

/// A Secret of each.
fn secrets(pairs: &[(&str, &Pair)]) -> String {
    let mut text = String::new();
    for (name, own) in pairs {
        let fields = [("tls.crt", &*own.certificate), ("tls.key", &own.key)];
        let _ = writeln!(text, "---\n{}", secret(name, &fields));
    }
    text
}

#[test]
fn who_asks_for_a_name_gets_its_certificate_and_its_rules() {
    let ca = Authority::new("ca");
    let exact = ca.issue("exact", &["a.wild.example"]);
    let wild = ca.issue("wild", &["*.wild.example"]);
    let rest = ca.issue("rest", &["other.example"]);
    let gateways = [
        (
            "wild",
            "'*.wild.example'",
            "mode: SIMPLE, credentialName: wild",
        ),
        (
            "exact",
            "'default/a.wild.example', b.example",
            "mode: SIMPLE, credentialName: exact",
        ),
        ("rest", "'*'", "mode: SIMPLE, credentialName: rest"),
    ];
    let pairs = [("exact", &exact), ("wild", &wild), ("rest", &rest)];
    let Some(it) = Shared::start(&gateways, &secrets(&pairs)) else {
        return;
    };
    for (asked, expected) in [
        ("a.wild.example", "exact"),
        ("c.wild.example", "wild"),
        ("other.example", "rest"),
    ] {
        assert_eq!(
            it.who(asked, &ca).as_deref(),
            Some(expected),
            "{asked}: {}",
            it.meltemi.process().said()
        );
    }
    let page = it.meltemi.get("/listeners").unwrap().body;
    for shown in ["CN=exact", "CN=wild", "CN=rest", "\"*.wild.example\""] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

#[test]
fn who_asks_for_what_is_not_there_is_told_so() {
    let ca = Authority::new("ca");
    let (a, b) = (ca.issue("a", &["a.example"]), ca.issue("b", &["b.example"]));
    let gateways = [
        ("a", "a.example", "mode: SIMPLE, credentialName: a"),
        ("b", "b.example", "mode: SIMPLE, credentialName: b"),
    ];
    let Some(it) = Shared::start(&gateways, &secrets(&[("a", &a), ("b", &b)])) else {
        return;
    };
    assert_eq!(it.who("a.example", &ca).as_deref(), Some("a"));
    let initiator = it.asks("c.example", &ca, None);
    assert_eq!(Wire::connect(initiator.address()).try_call("GET who"), None);
    let refused = until("it is refused", || initiator.refusals().pop()).to_lowercase();
    assert!(refused.contains("unrecognized name"), "{refused}");
    // Nor has one a server that asks for no name.
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", &it.address.port().to_string(), "--tls", "--insecure"]);
    let said = said(&cli.args(["GET", "who"]).output().unwrap());
    assert!(!["a", "b"].contains(&&*said), "{said}");
    until("both are logged", || {
        let log = it.log();
        let unknown = "unknown_name: no listener here is for \\\"c.example\\\"";
        let nameless = "unknown_name: the client names no server";
        (log.contains(unknown) && log.contains(nameless)).then_some(())
    });
    // redis-cli tries it again.
    assert!(it.failures("a", "unknown_name") >= 2);
    assert_eq!(it.failures("b", "unknown_name"), 0);
}

#[test]
fn each_of_them_asks_clients_for_what_it_likes() {
    let (ca, clients) = (Authority::new("ca"), Authority::new("clients"));
    let (open, closed) = (
        ca.issue("open", &["open.example"]),
        ca.issue("closed", &["closed.example"]),
    );
    let own = clients.issue("client", &["client.demo"]);
    let gateways = [
        ("open", "open.example", "mode: SIMPLE, credentialName: open"),
        (
            "closed",
            "closed.example",
            "mode: MUTUAL, credentialName: closed, caCertCredentialName: clients, minProtocolVersion: TLSV1_3",
        ),
    ];
    let authorities = secret("clients", &[("ca.crt", clients.pem())]);
    let text = secrets(&[("open", &open), ("closed", &closed)]) + "---\n" + &authorities;
    let Some(it) = Shared::start(&gateways, &text) else {
        return;
    };
    assert_eq!(it.who("open.example", &ca).as_deref(), Some("open"));
    assert_eq!(it.who("closed.example", &ca), None);
    let known = it.asks("closed.example", &ca, Some(&own));
    assert_eq!(
        Wire::connect(known.address())
            .try_call("GET who")
            .as_deref(),
        Some("closed")
    );
    let old = Initiator::start(
        it.address,
        ("closed.example", ca.pem()),
        Some(&own),
        "TLSv1_2",
    )
    .unwrap();
    assert_eq!(Wire::connect(old.address()).try_call("GET who"), None);
    assert_eq!(it.failures("closed", "no_certificate"), 1);
    assert_eq!(it.failures("closed", "version"), 1);
    assert_eq!(it.failures("open", "no_certificate"), 0);
}

#[test]
fn servers_that_come_go_and_change_disturb_no_other() {
    let ca = Authority::new("ca");
    let (a, b) = (ca.issue("a", &["a.example"]), ca.issue("b", &["b.example"]));
    let gateways = [
        ("a", "a.example", "mode: SIMPLE, credentialName: a"),
        ("b", "b.example", "mode: SIMPLE, credentialName: b"),
    ];
    let Some(it) = Shared::start(&gateways, &secrets(&[("a", &a), ("b", &b)])) else {
        return;
    };
    let initiator = it.asks("b.example", &ca, None);
    let load = Load::start(&initiator);
    load.go_on();
    // The one that has opened the address goes.
    fs::remove_file(it.manifests.path().join("a.yaml")).unwrap();
    let lists = |name: &str| {
        let page = it.meltemi.get("/listeners");
        page.is_some_and(|page| page.body.contains(&format!("default/{name}/redis")))
    };
    until("it is gone", || (!lists("a")).then_some(()));
    load.go_on();
    let tls = "mode: SIMPLE, credentialName: a";
    let port = it.address.port();
    it.manifests
        .write("a.yaml", &gateway("a", "a.example", tls, port));
    until("it is there again", || {
        (it.who("a.example", &ca).as_deref() == Some("a")).then_some(())
    });
    load.go_on();
    // Another certificate of the one, while the other is asked all the time, too.
    let second = ca.issue("second", &["b.example"]);
    it.manifests
        .write("secrets.yaml", &secrets(&[("a", &a), ("b", &second)]));
    is_shown(&initiator, "second");
    load.go_on();
    assert_eq!(load.errors(), Vec::<String>::new());
    assert_eq!(initiator.refusals(), Vec::<String>::new());
    assert_eq!(it.servers.len(), 2);
}

#[test]
fn a_server_has_several_certificates() {
    let ca = Authority::new("ca");
    let (first, second) = (
        ca.issue("first", &["first.example"]),
        ca.issue("second", &["*.second.example"]),
    );
    let gateways = [("a", "'*'", "mode: SIMPLE, credentialNames: [first, second]")];
    let text = secrets(&[("first", &first), ("second", &second)]);
    let Some(it) = Shared::start(&gateways, &text) else {
        return;
    };
    for (asked, subject) in [
        ("first.example", "first"),
        ("x.second.example", "second"),
        ("first.example", "first"),
    ] {
        let initiator = it.asks(asked, &ca, None);
        is_shown(&initiator, subject);
    }
    // Who asks for neither is shown the first, which it may not believe.
    let initiator = it.asks("third.example", &ca, None);
    assert_eq!(Wire::connect(initiator.address()).try_call("PING"), None);
    let refused = until("it is refused", || initiator.refusals().pop());
    assert!(
        refused.contains("certificate is not valid for 'third.example'"),
        "{refused}"
    );
}

/// Listeners of the Gateway API at one port, with clients' certificates for one of them: the authorities are in another namespace,
/// which grants it.
#[test]
fn listeners_of_the_gateway_api_share_a_port() {
    let Some(server) = redis() else { return };
    let (ca, clients) = (Authority::new("ca"), Authority::new("clients"));
    let (a, b) = (
        ca.issue("a", &["a.example"]),
        ca.issue("b", &["x.b.example"]),
    );
    let (port, strict) = (free_port(), free_port());
    let manifests = meltemi_tests::redis::manifests(&[server.address()]);
    let listener = |name: &str, port: u16, hostname: &str, secret: &str| {
        format!(
            "  - {{ name: {name}, protocol: meltemi.io/redis, port: {port}, hostname: '{hostname}', \
             tls: {{ certificateRefs: [{{ name: {secret} }}] }} }}\n"
        )
    };
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{ name: edge }}\nspec:\n  \
         gatewayClassName: meltemi\n  addresses: [{{ type: IPAddress, value: 127.0.0.1 }}]\n  tls:\n    frontend:\n      \
         default: {{}}\n      perPort:\n      - {{ port: {strict}, tls: {{ validation: {{ caCertificateRefs: \
         [{{ kind: Secret, name: clients, namespace: authorities }}] }} }} }}\n  listeners:\n{}{}{}",
        listener("a", port, "a.example", "a"),
        listener("b", port, "*.b.example", "b"),
        listener("strict", strict, "a.example", "a"),
    );
    manifests.write("gateway.yaml", &text);
    let authorities = secret("clients", &[("ca.crt", clients.pem())]);
    let authorities =
        authorities.replace("name: clients", "name: clients\n  namespace: authorities");
    let grant = "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n\
                 metadata: { name: edge, namespace: authorities }\nspec:\n  \
                 from: [{ group: gateway.networking.k8s.io, kind: Gateway, namespace: default }]\n  \
                 to: [{ group: '', kind: Secret }]\n";
    let text = secrets(&[("a", &a), ("b", &b)]);
    manifests.write(
        "secrets.yaml",
        &format!("{text}---\n{authorities}---\n{grant}"),
    );
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
    let asks = |port: u16, name: &str, own: Option<&Pair>| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let initiator = Initiator::start(address, (name, ca.pem()), own, "TLSv1_3").unwrap();
        Wire::connect(initiator.address()).try_call("PING")
    };
    let own = clients.issue("client", &["client.demo"]);
    let pong = Some("+PONG".to_owned());
    assert_eq!(asks(port, "a.example", None), pong);
    assert_eq!(asks(port, "x.b.example", None), pong);
    assert_eq!(asks(strict, "a.example", Some(&own)), pong);
    assert_eq!(asks(strict, "a.example", None), None);
    let labels = [
        "listener=\"default/edge/strict\"",
        "reason=\"no_certificate\"",
    ];
    let name = "meltemi_downstream_tls_failures_total";
    assert_eq!(meltemi.metric(name, &labels), 1);
}
