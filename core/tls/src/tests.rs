use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection};

use super::*;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for these names, and its key.
    fn issue(&self, names: &[&str]) -> (String, String) {
        let mut params = CertificateParams::new([]).unwrap();
        let names = names.iter().map(|name| {
            match name.parse().unwrap_or(PeerName::Dns((*name).to_owned())) {
                PeerName::Dns(name) => SanType::DnsName(name.try_into().unwrap()),
                PeerName::Uri(uri) => SanType::URI(uri.try_into().unwrap()),
                PeerName::Ip(ip) => SanType::IpAddress(ip),
                PeerName::TrustDomain(_) => unreachable!("no name is read as one"),
            }
        });
        params.subject_alt_names = names.collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// What a client that checks so makes of a server with this certificate.
fn handshake((chain, key): &(String, String), check: ServerCheck) -> Result<(), String> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.unwrap(), key)
        .unwrap();
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    let name = ServerName::try_from("sent.example").unwrap();
    let mut client = ClientConnection::new(client(None, check).unwrap(), name).unwrap();
    for _ in 0..4 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|e| words(&e))?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|e| words(&e))?;
    }
    assert!(!client.is_handshaking());
    client.writer().write_all(b"hello").unwrap();
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets().unwrap();
    let mut heard = [0; 5];
    server.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    Ok(())
}

fn named(authority: &Authority, names: &[&str]) -> ServerCheck {
    let trust = Trust::from_pem(authority.pem.as_bytes(), None).unwrap();
    let names = names.iter().map(|name| name.parse().unwrap());
    ServerCheck::Named(trust, names.collect())
}

#[test]
fn a_server_has_one_of_the_names() {
    let ca = Authority::new("a");
    let server = ca.issue(&[
        "a.example",
        "*.wild.example",
        "*.demo",
        "spiffe://td/ns/a",
        "10.0.0.1",
        "::1",
    ]);
    for names in [
        &["a.example"][..],
        &["b.wild.example"],
        &["b.demo"],
        &["B.Demo"],
        &["spiffe://td/ns/a"],
        &["10.0.0.1"],
        &["::1"],
        &["nobody.example", "spiffe://td/ns/a"],
        // As in Envoy, without names any will do.
        &[],
    ] {
        assert_eq!(handshake(&server, named(&ca, names)), Ok(()), "{names:?}");
    }
    for names in [
        &["sent.example"][..],
        &["wild.example"],
        &["a.b.wild.example"],
        &["demo"],
        &["a.b.demo"],
        &["spiffe://td/ns/b", "spiffe://td/ns/a/b"],
        &["10.0.0.2"],
    ] {
        let refused = handshake(&server, named(&ca, names)).unwrap_err();
        let expected = format!("and {} was expected", names.join(" or "));
        assert!(refused.contains(&expected), "{refused}");
        assert!(refused.contains(
            "it is for a.example, *.wild.example, *.demo, spiffe://td/ns/a, 10.0.0.1, ::1"
        ));
    }
}

#[test]
fn the_chain_counts_whatever_the_name() {
    let (ca, other) = (Authority::new("a"), Authority::new("b"));
    let server = other.issue(&["a.example"]);
    for names in [&["a.example"][..], &["spiffe://a/b"], &[]] {
        let refused = handshake(&server, named(&ca, names)).unwrap_err();
        assert!(refused.contains("UnknownIssuer"), "{refused}");
    }
    assert_eq!(handshake(&server, ServerCheck::None), Ok(()));
}

#[test]
fn a_name_is_of_one_kind() {
    for (text, name) in [
        ("a.example", PeerName::Dns("a.example".to_owned())),
        ("spiffe://a/b", PeerName::Uri("spiffe://a/b".to_owned())),
        ("10.0.0.1", PeerName::Ip([10, 0, 0, 1].into())),
        ("::1", PeerName::Ip("::1".parse().unwrap())),
    ] {
        assert_eq!(text.parse(), Ok(name.clone()));
        assert_eq!(name.to_string(), text);
    }
    for text in ["", "*", "*.example", "a b", "a/b", "-a", "10.0.0.0/8"] {
        assert_eq!(text.parse::<PeerName>(), Err(InvalidName), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_without_the_key() {
    let ca = Authority::new("a");
    let ((chain, key), (_, other)) = (ca.issue(&["a.b"]), ca.issue(&["a.b"]));
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    assert!(!format!("{identity:?}").contains("PRIVATE"));
    let both = format!("{key}{chain}{}", ca.pem);
    Identity::from_pem(both.as_bytes(), both.as_bytes()).unwrap();
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let broken = |text: &str| text.replace("-----END", "?-----END");
    for (chain, key, reason) in [
        ("", &*key, "the certificate is not there"),
        (&*key, &key, "the certificate is not there"),
        (&broken(&chain), &key, "the certificate is broken"),
        (
            &chain.replace("MI", "AA"),
            &key,
            "the certificate is no X.509",
        ),
        (&chain, "", "the private key is not there"),
        (&chain, &chain, "the private key is not there"),
        (&chain, &broken(&key), "the private key is broken"),
        (&chain, &encrypted, "the private key is encrypted"),
        (
            &chain,
            &key.replace("MI", "AA"),
            "the private key is of a kind",
        ),
        (
            &chain,
            &other,
            "the private key is not that of the certificate",
        ),
    ] {
        let error = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with(reason), "{error} {reason}");
    }
    for (authorities, revoked, reason) in [
        (&*key, None, "the CA certificate is not there"),
        (&broken(&ca.pem), None, "the CA certificate is broken"),
        (
            &ca.pem.replace("MI", "AA"),
            None,
            "the CA certificate is no X.509",
        ),
        (&ca.pem, Some(&*ca.pem), "the revocation list is not there"),
    ] {
        let revoked = revoked.map(str::as_bytes);
        let error = Trust::from_pem(authorities.as_bytes(), revoked).unwrap_err();
        assert!(error.to_string().starts_with(reason), "{error} {reason}");
    }
}

/// What a server that checks so makes of a client, which shows a certificate or not; and who it is then.
fn served(
    own: Option<&(String, String)>,
    (server, check): (&(String, String), ClientCheck),
    versions: Versions,
) -> Result<Option<String>, String> {
    let identity = |(chain, key): &(String, String)| {
        Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    };
    let config = super::server(&[identity(server)], check, versions).unwrap();
    let mut server = ServerConnection::new(config).unwrap();
    let own = own.map(identity);
    let config = client(own.as_ref(), ServerCheck::None).unwrap();
    let name = ServerName::try_from("sent.example").unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    while server.is_handshaking() || client.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|e| words(&e))?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|e| words(&e))?;
    }
    let shown = server.peer_certificates();
    Ok(shown.and_then(|shown| principal(shown.first()?)))
}

#[test]
fn clients_are_asked_as_they_should_be() {
    let (ca, other) = (Authority::new("a"), Authority::new("b"));
    let own = ca.issue(&["server.example"]);
    let known = ca.issue(&["a.example", "spiffe://td/ns/a"]);
    let strange = other.issue(&["spiffe://td/ns/a"]);
    let check = |names: &[&str], required| ClientCheck::Named {
        trust: Trust::from_pem(ca.pem.as_bytes(), None).unwrap(),
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        required,
    };
    let known_as = || Ok(Some("spiffe://td/ns/a".to_owned()));
    for versions in [Versions::Tls12, Versions::Tls13, Versions::Any] {
        let by = |own_: Option<&(String, String)>, check| served(own_, (&own, check), versions);
        assert_eq!(by(None, ClientCheck::None), Ok(None));
        assert_eq!(
            by(Some(&known), ClientCheck::None),
            Ok(None),
            "nobody asked"
        );
        for required in [true, false] {
            assert_eq!(by(Some(&known), check(&[], required)), known_as());
            assert_eq!(
                by(Some(&known), check(&["x.y", "a.example"], required)),
                known_as()
            );
            let refused = by(Some(&known), check(&["b.example"], required)).unwrap_err();
            assert!(refused.contains("and b.example was expected"), "{refused}");
            let refused = by(Some(&strange), check(&[], required)).unwrap_err();
            assert!(refused.contains("UnknownIssuer"), "{refused}");
        }
        assert_eq!(by(None, check(&[], false)), Ok(None));
        let refused = by(None, check(&[], true)).unwrap_err();
        assert!(refused.contains("no certificates"), "{refused}");
    }
}

#[test]
fn who_somebody_is_stands_in_an_order() {
    let ca = Authority::new("a");
    let of = |(chain, _): (String, String)| {
        let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        principal(&certificate)
    };
    let is = |name: &str| Some(name.to_owned());
    assert_eq!(
        of(ca.issue(&[
            "a.example",
            "10.0.0.1",
            "spiffe://td/ns/a",
            "spiffe://td/ns/b"
        ])),
        is("spiffe://td/ns/a")
    );
    assert_eq!(
        of(ca.issue(&["10.0.0.1", "a.example", "b.example"])),
        is("a.example")
    );
    // Neither: the subject, as Envoy writes it.
    let subject = |parts: &[(rcgen::DnType, &str)]| {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &ca.issuer).unwrap();
        of((certificate.pem(), String::new()))
    };
    use rcgen::DnType::{CommonName, OrganizationName};
    assert_eq!(
        subject(&[(OrganizationName, "Example, Inc."), (CommonName, "client")]),
        is("CN=client,O=Example\\, Inc.")
    );
    assert_eq!(subject(&[(CommonName, " #+")]), is("CN=\\ #\\+"));
    assert_eq!(subject(&[]), None);
    assert_eq!(principal(&CertificateDer::from(vec![1, 2, 3])), None);
    for (written, identity) in [
        ("td/ns/a/sa/b", "spiffe://td/ns/a/sa/b"),
        ("spiffe://td/ns/a", "spiffe://td/ns/a"),
        ("https://a/b", "https://a/b"),
        ("a.example", "a.example"),
        ("CN=a/b", "CN=a/b"),
    ] {
        assert_eq!(super::identity(written), identity);
    }
}

#[test]
fn a_trust_domain_is_that_of_the_one_uri() {
    let authority = Authority::new("a");
    let trust = Trust::from_pem(authority.pem.as_bytes(), None).unwrap();
    let name = PeerName::of_trust_domain("spiffe://td.example/").unwrap();
    assert_eq!(name.to_string(), "spiffe://td.example/");
    for (names, is_of) in [
        (&["spiffe://td.example/ns/a/sa/b"][..], true),
        (&["spiffe://td.example/ns/a/sa/b", "a.example"], true),
        (&["spiffe://td.example.org/ns/a/sa/b"], false),
        (&["spiffe://td/ns/a/sa/b"], false),
        (&["https://td.example/ns/a/sa/b"], false),
        (&["td.example"], false),
        // Which of the two it is nobody could say.
        (
            &["spiffe://td.example/ns/a/sa/b", "spiffe://other/ns/a/sa/b"],
            false,
        ),
    ] {
        let check = ServerCheck::Named(trust.clone(), vec![name.clone()]);
        let verified = handshake(&authority.issue(names), check);
        assert_eq!(verified.is_ok(), is_of, "{names:?}: {verified:?}");
    }
    for prefix in [
        "",
        "spiffe://",
        "spiffe:///",
        "spiffe://td",
        "spiffe://td/ns/",
        "td/",
    ] {
        assert_eq!(PeerName::of_trust_domain(prefix), None, "{prefix}");
    }
}

/// Of these certificates the one that a client is shown who asks for a name.
fn shown(identities: &[Identity], asked: &str) -> CertificateDer<'static> {
    let config = server(identities, ClientCheck::None, Versions::Any).unwrap();
    let mut server = ServerConnection::new(config).unwrap();
    let name = ServerName::try_from(asked.to_owned()).unwrap();
    let mut client = ClientConnection::new(client(None, ServerCheck::None).unwrap(), name).unwrap();
    for _ in 0..2 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn a_client_is_shown_the_certificate_that_fits_best() {
    let ca = Authority::new("a");
    let of_kind = |kind, names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned());
        let params = CertificateParams::new(names.collect::<Vec<_>>()).unwrap();
        let key = KeyPair::generate_for(kind).unwrap();
        let chain = params.signed_by(&key, &ca.issuer).unwrap();
        let identity = Identity::from_pem(chain.pem().as_bytes(), key.serialize_pem().as_bytes());
        (identity.unwrap(), chain.der().clone())
    };
    let first = of_kind(&rcgen::PKCS_ED25519, &["first.example"]);
    let wild = of_kind(&rcgen::PKCS_ECDSA_P256_SHA256, &["*.example"]);
    let other = of_kind(&rcgen::PKCS_ED25519, &["other.example", "both.example"]);
    let both = of_kind(&rcgen::PKCS_ECDSA_P256_SHA256, &["both.example"]);
    let all = [&first, &wild, &other, &both];
    let identities = all.map(|(identity, _)| identity.clone());
    for (asked, expected) in [
        ("first.example", &first),
        ("FIRST.example", &first),
        ("more.example", &wild),
        ("other.example", &other),
        // One of ECDSA before the one that comes first.
        ("both.example", &both),
        ("nobody.demo", &wild),
    ] {
        assert_eq!(shown(&identities, asked), expected.1, "{asked}");
    }
    let [(one, der), ..] = all;
    assert_eq!(shown(std::slice::from_ref(one), "nobody.demo"), *der);
}
