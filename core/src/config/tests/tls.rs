//! TLS of a cluster, and the secrets that it names.

use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::config::core::v3::transport_socket::ConfigType;
use meltemi_proto::envoy::config::core::v3::{DataSource, TransportSocket};
use meltemi_proto::envoy::config::listener::v3::FilterChainMatch;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::certificate_validation_context as validation;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use meltemi_tls::Versions;

use super::*;
use crate::tls::{IdentitySource, TlsSettings, ToClients, ToEndpoints, TrustSource};

fn file(name: &str) -> Option<DataSource> {
    Some(DataSource {
        specifier: Some(Specifier::Filename(name.to_owned())),
    })
}

fn inline(text: &str) -> Option<DataSource> {
    Some(DataSource {
        specifier: Some(Specifier::InlineString(text.to_owned())),
    })
}

fn sds(name: &str) -> proto::SdsSecretConfig {
    proto::SdsSecretConfig {
        name: name.to_owned(),
        sds_config: None,
    }
}

fn san(kind: SanType, name: &str) -> proto::SubjectAltNameMatcher {
    proto::SubjectAltNameMatcher {
        san_type: kind.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(name.to_owned())),
            ignore_case: false,
        }),
    }
}

/// All of it by files.
fn context() -> proto::UpstreamTlsContext {
    let validation = proto::CertificateValidationContext {
        trusted_ca: file("/ca"),
        crl: file("/crl"),
        match_typed_subject_alt_names: vec![
            san(SanType::Dns, "a.example"),
            san(SanType::Uri, "spiffe://a/b"),
            san(SanType::IpAddress, "10.0.0.1"),
        ],
        ..proto::CertificateValidationContext::default()
    };
    proto::UpstreamTlsContext {
        common_tls_context: Some(proto::CommonTlsContext {
            tls_certificates: vec![proto::TlsCertificate {
                certificate_chain: file("/chain"),
                private_key: file("/key"),
            }],
            validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
            alpn_protocols: vec!["istio".to_owned()],
            ..proto::CommonTlsContext::default()
        }),
        sni: "a.example".to_owned(),
    }
}

fn parsed(edit: impl Fn(&mut proto::UpstreamTlsContext)) -> Result<TlsSettings, String> {
    let mut context = context();
    edit(&mut context);
    let mut message = cluster_message();
    message.transport_socket = Some(TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(ConfigType::TypedConfig(Any::pack(&context))),
    });
    let cluster = Cluster::try_from(message).map_err(|refused| refused.to_string())?;
    Ok(cluster.tls.expect("it was asked for").settings().clone())
}

fn common(context: &mut proto::UpstreamTlsContext) -> &mut proto::CommonTlsContext {
    context.common_tls_context.get_or_insert_default()
}

fn validation(context: &mut proto::UpstreamTlsContext) -> &mut proto::CertificateValidationContext {
    match &mut common(context).validation_context_type {
        Some(ValidationContextType::ValidationContext(validation)) => validation,
        _ => unreachable!("as it was made"),
    }
}

#[test]
fn tls_is_what_envoy_reads_of_it() {
    let all = parsed(|_| {}).unwrap();
    let names = ["a.example", "spiffe://a/b", "10.0.0.1"].map(|name| name.parse().unwrap());
    let files = TrustSource::Files {
        authorities: Some("/ca".into()),
        revoked: Some("/crl".into()),
    };
    let expected = TlsSettings {
        side: ToEndpoints {
            sni: Some("a.example".to_owned()),
        },
        identities: vec![IdentitySource::Files {
            chain: "/chain".into(),
            key: "/key".into(),
        }],
        trust: Some(files),
        names: names.into(),
        alpn: vec!["istio".to_owned()],
    };
    assert_eq!((all.mode(), &all), ("MUTUAL", &expected));

    let system = parsed(|c| {
        c.sni.clear();
        common(c).tls_certificates.clear();
        validation(c).trusted_ca = None;
        validation(c).crl = None;
        validation(c).system_root_certs = Some(validation::SystemRootCerts {});
    });
    let system = system.unwrap();
    assert_eq!(
        (system.mode(), &system.side.sni, system.identities.len()),
        ("SIMPLE", &None, 0)
    );
    let of_system = TrustSource::Files {
        authorities: None,
        revoked: None,
    };
    assert_eq!(system.trust, Some(of_system));

    let secrets = parsed(|c| {
        common(c).tls_certificates.clear();
        common(c).tls_certificate_sds_secret_configs = vec![sds("own")];
        let both = CombinedCertificateValidationContext {
            default_validation_context: Some(validation(c).clone()),
            validation_context_sds_secret_config: Some(sds("ca")),
        };
        common(c).validation_context_type =
            Some(ValidationContextType::CombinedValidationContext(both));
    });
    let secrets = secrets.unwrap();
    let own = IdentitySource::Secret("own".to_owned());
    assert_eq!(secrets.identities, [own]);
    assert_eq!(secrets.trust, Some(TrustSource::Secret("ca".to_owned())));
    assert_eq!(secrets.names, expected.names);

    let anybody = parsed(|c| {
        validation(c)
            .set_trust_chain_verification(validation::TrustChainVerification::AcceptUntrusted);
    });
    assert_eq!(anybody.unwrap().trust, None);
}

/// What is spoilt in a valid one, and the complaint.
const SPOILT: [Edit<proto::UpstreamTlsContext>; 9] = [
    (
        |c| c.sni = "10.0.0.1".to_owned(),
        "transport_socket.sni: \"10.0.0.1\" is no DNS name",
    ),
    (
        |c| common(c).validation_context_type = None,
        ".validation_context: is missing: nothing says whom to believe",
    ),
    (
        |c| c.common_tls_context = None,
        ".validation_context: is missing",
    ),
    (
        |c| validation(c).trusted_ca = None,
        ".validation_context.trusted_ca: is missing",
    ),
    (
        |c| validation(c).trusted_ca = inline("x"),
        ".validation_context.trusted_ca: only a file is supported here",
    ),
    (
        |c| common(c).tls_certificates[0].private_key = file(""),
        ".tls_certificates[0].private_key: is missing",
    ),
    (
        |c| {
            let twice = common(c).tls_certificates[0].clone();
            common(c).tls_certificates.push(twice);
        },
        ".tls_certificates: has more than one",
    ),
    (
        |c| validation(c).match_typed_subject_alt_names[0].san_type = 3,
        "match_typed_subject_alt_names[0]: \"a.example\" is no URI",
    ),
    (
        |c| validation(c).match_typed_subject_alt_names[0].matcher = None,
        "match_typed_subject_alt_names[0]: only an exact name is supported",
    ),
];

#[test]
fn what_asks_for_tls_in_another_way_is_refused() {
    let of = "transport_socket.common_tls_context";
    for (edit, complaint) in SPOILT {
        let refused = parsed(edit).expect_err(complaint);
        assert!(refused.contains(complaint), "{complaint}: {refused}");
        assert!(
            refused.starts_with(of) || refused.starts_with("transport_socket.sni"),
            "{refused}"
        );
    }
    refuses::<_, Cluster>(
        &cluster_message(),
        &[(
            |c| {
                c.transport_socket = Some(TransportSocket {
                    name: "envoy.transport_sockets.tls".to_owned(),
                    config_type: None,
                });
            },
            "transport_socket.typed_config: is missing",
        )],
    );
}

fn of_clients(
    edit: impl Fn(&mut proto::DownstreamTlsContext),
    patience: Option<meltemi_proto::Duration>,
) -> Result<TlsSettings<ToClients>, String> {
    let mut context = proto::DownstreamTlsContext {
        common_tls_context: context().common_tls_context,
        require_client_certificate: Some(true),
        require_sni: None,
    };
    edit(&mut context);
    let mut message = listener();
    let chain = &mut message.filter_chains[0];
    chain.transport_socket_connect_timeout = patience;
    chain.transport_socket = Some(TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(ConfigType::TypedConfig(Any::pack(&context))),
    });
    let listener = Listener::try_from(message).map_err(|refused| refused.to_string())?;
    Ok(listener.tls.expect("it was asked for").settings().clone())
}

fn shared(context: &mut proto::DownstreamTlsContext) -> &mut proto::CommonTlsContext {
    context.common_tls_context.get_or_insert_default()
}

fn speaks(context: &mut proto::DownstreamTlsContext, least: TlsProtocol, most: TlsProtocol) {
    shared(context).tls_params = Some(proto::TlsParameters {
        tls_minimum_protocol_version: least.into(),
        tls_maximum_protocol_version: most.into(),
        cipher_suites: vec![],
    });
}

#[test]
fn tls_of_clients_is_what_envoy_reads_of_it() {
    let all = of_clients(|_| {}, None).unwrap();
    let expected = ToClients {
        required: true,
        versions: Versions::Any,
        patience: Duration::from_secs(10),
    };
    assert_eq!((all.mode(), &all.side), ("MUTUAL", &expected));
    assert_eq!(all.names.len(), 3);
    let time = |seconds, nanos| Some(meltemi_proto::Duration { seconds, nanos });
    let patience = |time| of_clients(|_| {}, time).unwrap().side.patience;
    assert_eq!(patience(time(0, 5)), Duration::from_nanos(5));
    assert_eq!(
        patience(time(0, 0)),
        Duration::from_secs(10),
        "as in Envoy, 0 says nothing"
    );
    let optional = of_clients(|c| c.require_client_certificate = None, None);
    assert_eq!(optional.unwrap().mode(), "OPTIONAL_MUTUAL");
    let simple = of_clients(
        |c| {
            c.require_client_certificate = Some(false);
            shared(c).validation_context_type = None;
        },
        None,
    );
    let simple = simple.unwrap();
    assert_eq!((simple.mode(), simple.trust), ("SIMPLE", None));
    for (least, most, versions) in [
        (TlsProtocol::TlsAuto, TlsProtocol::TlsAuto, Versions::Any),
        (TlsProtocol::TlSv10, TlsProtocol::TlSv13, Versions::Any),
        (TlsProtocol::TlSv12, TlsProtocol::TlSv12, Versions::Tls12),
        (TlsProtocol::TlsAuto, TlsProtocol::TlSv12, Versions::Tls12),
        (TlsProtocol::TlSv13, TlsProtocol::TlsAuto, Versions::Tls13),
    ] {
        let parsed = of_clients(|c| speaks(c, least, most), None);
        assert_eq!(
            parsed.unwrap().side.versions,
            versions,
            "{least:?} {most:?}"
        );
    }
}

/// What is spoilt in a valid one, and the complaint.
const SPOILT_OF_CLIENTS: [Edit<proto::DownstreamTlsContext>; 8] = [
    (
        |c| shared(c).tls_certificates.clear(),
        "common_tls_context.tls_certificates: is missing: there is nothing to show",
    ),
    (
        |c| shared(c).validation_context_type = None,
        "common_tls_context.validation_context: is missing: nothing says whose",
    ),
    (
        |c| match &mut shared(c).validation_context_type {
            Some(ValidationContextType::ValidationContext(check)) => check
                .set_trust_chain_verification(validation::TrustChainVerification::AcceptUntrusted),
            _ => unreachable!("as it was made"),
        },
        "common_tls_context.validation_context: ACCEPT_UNTRUSTED is not supported",
    ),
    (
        |c| c.require_sni = Some(true),
        "require_sni: is not supported",
    ),
    (
        |c| speaks(c, TlsProtocol::TlsAuto, TlsProtocol::TlSv11),
        "common_tls_context.tls_params.tls_maximum_protocol_version: is below TLS 1.2",
    ),
    (
        |c| speaks(c, TlsProtocol::TlSv13, TlsProtocol::TlSv12),
        "common_tls_context.tls_params.tls_maximum_protocol_version: is below the minimum",
    ),
    (
        |c| {
            shared(c).tls_params = Some(proto::TlsParameters {
                cipher_suites: vec!["ECDHE-RSA-AES128-SHA".to_owned()],
                ..proto::TlsParameters::default()
            });
        },
        "common_tls_context.tls_params.cipher_suites: is not supported",
    ),
    (
        |c| shared(c).tls_certificates[0].private_key = None,
        "common_tls_context.tls_certificates[0].private_key: is missing",
    ),
];

#[test]
fn what_asks_clients_for_tls_in_another_way_is_refused() {
    for (edit, complaint) in SPOILT_OF_CLIENTS {
        let refused = of_clients(edit, None).expect_err(complaint);
        let expected = format!("filter_chains[0].transport_socket.{complaint}");
        assert!(refused.starts_with(&expected), "{refused}");
    }
    let negative = Some(meltemi_proto::Duration {
        seconds: -1,
        nanos: 0,
    });
    let refused = of_clients(|_| {}, negative).unwrap_err();
    assert!(
        refused.starts_with("filter_chains[0].transport_socket_connect_timeout"),
        "{refused}"
    );
}

#[test]
fn a_secret_is_good_or_refused() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let identity = |chain: Option<DataSource>, key: Option<DataSource>| proto::Secret {
        name: "own".to_owned(),
        r#type: Some(Type::TlsCertificate(proto::TlsCertificate {
            certificate_chain: chain,
            private_key: key,
        })),
    };
    let trust = |authorities: Option<DataSource>| proto::Secret {
        name: "ca".to_owned(),
        r#type: Some(Type::ValidationContext(
            proto::CertificateValidationContext {
                trusted_ca: authorities,
                ..proto::CertificateValidationContext::default()
            },
        )),
    };
    let good = Secret::try_from(identity(inline(&certificate), inline(&key.serialize_pem())));
    let shown = format!("{:?}", good.unwrap());
    assert!(!shown.contains("PRIVATE"), "{shown}");
    assert!(Secret::try_from(trust(inline(&certificate))).is_ok());
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for (secret, complaint) in [
        (
            identity(None, inline(&other)),
            "tls_certificate.certificate_chain: is missing",
        ),
        (
            identity(inline(&certificate), inline(&other)),
            "tls_certificate.private_key: the private key is not that of the certificate",
        ),
        (
            identity(file("/c"), inline(&other)),
            "tls_certificate.certificate_chain: a secret names no file",
        ),
        (
            trust(inline("x")),
            "validation_context.trusted_ca: the CA certificate is not there",
        ),
        (
            proto::Secret {
                name: "none".to_owned(),
                r#type: None,
            },
            "type: only tls_certificate, validation_context and generic_secret are supported",
        ),
    ] {
        let refused = Secret::try_from(secret).unwrap_err().to_string();
        assert!(refused.starts_with(complaint), "{complaint}: {refused}");
    }
}

#[test]
fn what_a_mesh_gives_is_no_secret_of_the_control_plane() {
    let mesh = |c: &mut proto::CommonTlsContext,
                validation: proto::CertificateValidationContext| {
        c.tls_certificates.clear();
        c.tls_certificate_sds_secret_configs = vec![sds("default")];
        let both = CombinedCertificateValidationContext {
            default_validation_context: Some(validation),
            validation_context_sds_secret_config: Some(sds("ROOTCA")),
        };
        c.validation_context_type = Some(ValidationContextType::CombinedValidationContext(both));
    };
    let of = |prefix: &str| proto::CertificateValidationContext {
        match_typed_subject_alt_names: vec![proto::SubjectAltNameMatcher {
            san_type: SanType::Uri.into(),
            matcher: Some(StringMatcher {
                match_pattern: Some(MatchPattern::Prefix(prefix.to_owned())),
                ignore_case: false,
            }),
        }],
        ..proto::CertificateValidationContext::default()
    };
    let upstream = parsed(|c| mesh(common(c), of("spiffe://td/"))).unwrap();
    assert_eq!(upstream.mode(), "ISTIO_MUTUAL");
    assert_eq!(upstream.identities, [IdentitySource::Workload]);
    assert_eq!(upstream.trust, Some(TrustSource::Workload));
    let td = meltemi_tls::PeerName::TrustDomain("td".to_owned());
    assert_eq!(upstream.names, [td]);
    let downstream = of_clients(|c| mesh(shared(c), of("spiffe://td/")), None);
    assert_eq!(downstream.unwrap().mode(), "ISTIO_MUTUAL");
    let prefix = parsed(|c| mesh(common(c), of("spiffe://td/ns/a"))).unwrap_err();
    assert!(prefix.contains("only a prefix such as"), "{prefix}");
}

fn for_names(names: &[&str], encrypted: bool) -> Result<Listener, String> {
    let mut message = listener();
    let chain = &mut message.filter_chains[0];
    let names = names.iter().map(|name| (*name).to_owned());
    chain.filter_chain_match = Some(FilterChainMatch {
        server_names: names.collect(),
    });
    chain.transport_socket = encrypted.then(|| {
        let context = proto::DownstreamTlsContext {
            common_tls_context: context().common_tls_context,
            require_client_certificate: Some(true),
            require_sni: None,
        };
        TransportSocket {
            name: "envoy.transport_sockets.tls".to_owned(),
            config_type: Some(ConfigType::TypedConfig(Any::pack(&context))),
        }
    });
    Listener::try_from(message).map_err(|refused| refused.to_string())
}

#[test]
fn a_listener_with_tls_may_be_for_some_names() {
    let some = for_names(&["A.example", "*.b.example"], true).unwrap();
    let names: Vec<_> = some.server_names.iter().collect();
    assert_eq!(names, ["a.example", "*.b.example"]);
    let all = for_names(&[], false).unwrap();
    assert!(all.server_names.is_for_anybody());
    for (names, encrypted, complaint) in [
        (
            &["a b"][..],
            true,
            "filter_chains[0].filter_chain_match.server_names[0]: \"a b\" is no host name",
        ),
        (
            &["a.example"],
            false,
            "filter_chains[0].filter_chain_match.server_names: are asked for within TLS alone",
        ),
    ] {
        let refused = for_names(names, encrypted).unwrap_err();
        assert!(refused.starts_with(complaint), "{refused}");
    }
}

#[test]
fn a_listener_has_several_certificates_and_a_cluster_one() {
    let several = of_clients(
        |c| {
            shared(c).tls_certificates.clear();
            shared(c).tls_certificate_sds_secret_configs = vec![sds("a"), sds("b")];
        },
        None,
    );
    let named = ["a", "b"].map(|name| IdentitySource::Secret(name.to_owned()));
    assert_eq!(several.unwrap().identities, named);
    let refused = parsed(|c| {
        common(c).tls_certificates.clear();
        common(c).tls_certificate_sds_secret_configs = vec![sds("a"), sds("b")];
    });
    let refused = refused.unwrap_err();
    assert!(
        refused.contains("tls_certificate_sds_secret_configs: has more than one"),
        "{refused}"
    );
}
