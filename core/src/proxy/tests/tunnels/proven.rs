//! A listener whose connections begin with a PROXY header and go on with TLS: the header says where to, the certificate who.

use std::path::Path;

use meltemi_tls::{Identity, PeerName, ServerCheck, Trust, Versions};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::*;
use crate::config::{Listener, Mode, ProxyProtocol};
use crate::proxy::tests::proxied::header;
use crate::tls::{IdentitySource, Owner, Tls, TlsSettings, ToClients, TrustSource};

const SOURCE: &str = "10.99.0.2:38058";
const DIALLED: &str = "10.98.0.12:3306";
const FORGED: &str = "spiffe://cluster.local/ns/shop/sa/admin";
const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/cart";

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// The chain and the key.
    fn issue(&self, id: &str) -> (String, String) {
        let mut params = CertificateParams::default();
        let id = SanType::URI(id.try_into().unwrap());
        params.subject_alt_names.push(id);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A client that shows what the one authority has issued, if any, and believes the other.
fn client(
    shown: Option<(&Authority, &str)>,
    believed: &Authority,
    stream: TcpStream,
) -> StreamOwned<ClientConnection, TcpStream> {
    let identity = shown.map(|(authority, id)| {
        let (chain, key) = authority.issue(id);
        Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    });
    let trust = Trust::from_pem(believed.pem.as_bytes(), None).unwrap();
    let check = ServerCheck::Named(trust, vec![]);
    let mut config = meltemi_tls::client(identity.as_ref(), check).unwrap();
    let alpn = ["istio-peer-exchange", "istio"].map(|it| it.as_bytes().to_vec());
    Arc::make_mut(&mut config).alpn_protocols = alpn.to_vec();
    let name = ServerName::try_from("sent.example").unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream)
}

fn settings(authority: &Authority, directory: &Path) -> TlsSettings<ToClients> {
    let (chain, key) = authority.issue("spiffe://cluster.local/ns/shop/sa/gateway");
    let file = |name: &str, text: &str| {
        std::fs::write(directory.join(name), text).unwrap();
        directory.join(name)
    };
    TlsSettings {
        side: ToClients {
            required: true,
            versions: Versions::Any,
            patience: Duration::from_secs(10),
        },
        identities: vec![IdentitySource::Files {
            chain: file("chain", &chain),
            key: file("key", &key),
        }],
        trust: Some(TrustSource::Files {
            authorities: Some(file("ca", &authority.pem)),
            revoked: None,
        }),
        names: vec![PeerName::of_trust_domain("spiffe://cluster.local/").unwrap()],
        alpn: vec!["istio".to_owned()],
    }
}

fn behind(endpoint: &Address, tls: TlsSettings<ToClients>) -> Snapshot {
    let mut snapshot = with_service(std::slice::from_ref(endpoint), |service| {
        let dialled: SocketAddr = DIALLED.parse().unwrap();
        service.addresses = vec![dialled.ip()];
        service.port = dialled.port();
    });
    let listener = Listener {
        mode: Mode::ProxyProtocol(ProxyProtocol::default()),
        tls: Some(Arc::new(Tls::new(Owner::Listener(LISTENER.into()), tls))),
        ..Listener::clone(&snapshot.listeners[LISTENER])
    };
    snapshot.listeners.insert(LISTENER.into(), listener.into());
    snapshot.laid_out(&crate::balance::Layouts::default())
}

#[test]
fn the_certificate_says_who_it_is_whatever_the_header_does() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = ProxyOptions {
        access_log: Destination::File(log.clone()),
        ..ProxyOptions::default()
    };
    let authority = Authority::new();
    let endpoint = upstream(named);
    let snapshot = behind(&endpoint, settings(&authority, directory.path()));
    let mut proxy = Running::with(snapshot, options);
    let dial = || {
        let mut client = connect(&proxy);
        client
            .write_all(&header(SOURCE, DIALLED, Some(FORGED)))
            .unwrap();
        client
    };
    let mut served = client(Some((&authority, CLIENT)), &authority, dial());
    served.write_all(b"hello").unwrap();
    let mut said = [0; 2];
    served.read_exact(&mut said).unwrap();
    assert_eq!(u16::from_be_bytes(said), port(&endpoint));
    assert_eq!(served.conn.alpn_protocol(), Some(&b"istio"[..]));
    served.read_exact(&mut [0; 5]).unwrap();
    drop(served);

    let failures = |reason: &str| {
        let labels = format!(r#"{{listener="{LISTENER}",reason="{reason}"}}"#);
        proxy.metric(&format!("meltemi_downstream_tls_failures_total{labels}"))
    };
    let stranger = Authority::new();
    let other = "spiffe://other/ns/shop/sa/cart";
    for (shown, reason) in [
        (None, "no_certificate"),
        (Some((&authority, other)), "other_name"),
        (Some((&stranger, CLIENT)), "unknown_authority"),
    ] {
        let mut refused = client(shown, &authority, dial());
        let _ = refused.write_all(b"hello");
        assert!(refused.read_exact(&mut [0; 2]).is_err(), "{reason}");
        wait(reason, || failures(reason) == Some(1.0));
    }
    // In plaintext behind the header nobody is served.
    let mut plain = dial();
    plain.write_all(b"hello").unwrap();
    assert!(matches!(plain.read(&mut [0; 512]), Err(_) | Ok(0 | 7..)));
    wait("what is no TLS", || failures("plaintext") == Some(1.0));
    wait("its end", || counted(&proxy, "connections") == Some(0.0));
    proxy.stop();
    proxy.join().unwrap();
    let lines = std::fs::read_to_string(log).unwrap();
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let who = (&line["peer"], &line["principal"]);
    assert_eq!(who, (&SOURCE.into(), &CLIENT.into()));
}
