//! Secrets, which clusters and listeners name.

use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;

use super::*;

/// Cluster `c`, whose servers are verified by the secret `ca`.
fn encrypted(seconds: i64) -> cluster::Cluster {
    let secret = proto::SdsSecretConfig {
        name: "ca".to_owned(),
        sds_config: None,
    };
    let context = proto::UpstreamTlsContext {
        common_tls_context: Some(proto::CommonTlsContext {
            validation_context_type: Some(ValidationContextType::ValidationContextSdsSecretConfig(
                secret,
            )),
            ..Default::default()
        }),
        sni: "a.example".to_owned(),
    };
    cluster::Cluster {
        transport_socket: Some(core::TransportSocket {
            name: "envoy.transport_sockets.tls".to_owned(),
            config_type: Some(core::transport_socket::ConfigType::TypedConfig(Any::pack(
                &context,
            ))),
        }),
        ..cluster("c", seconds)
    }
}

fn secret(authorities: &str) -> proto::Secret {
    let authorities = core::DataSource {
        specifier: Some(Specifier::InlineString(authorities.to_owned())),
    };
    proto::Secret {
        name: "ca".to_owned(),
        r#type: Some(proto::secret::Type::ValidationContext(
            proto::CertificateValidationContext {
                trusted_ca: Some(authorities),
                ..Default::default()
            },
        )),
    }
}

fn authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([]).unwrap();
    params.self_signed(&key).unwrap().pem()
}

fn tls(story: &mut Story) -> Arc<Tls> {
    let snapshot = story.snapshot().expect("something changed");
    snapshot.clusters["c"].tls.clone().expect("it is asked for")
}

#[test]
fn a_secret_comes_with_its_cluster_and_a_new_one_leaves_the_rest() {
    let mut story = Story::complete();
    let outcome = story.answer::<Cluster>(&[(encrypted(1), "2")], &[]);
    assert_eq!(asked(&outcome.requests), [("Secret", vec!["ca"], vec![])]);
    assert!(story.snapshot().is_none(), "it is still on its way");
    story.answer::<Secret>(&[(secret(&authority()), "1")], &[]);
    let first = tls(&mut story);
    assert!(first.shown().is_ok());

    // What has nothing to do with it leaves it as it is, with what it knows of servers.
    story.answer::<Cluster>(&[(encrypted(7), "3")], &[]);
    story.answer::<Endpoints>(&[(endpoints("c", 2), "2")], &[]);
    assert!(Arc::ptr_eq(&first, &tls(&mut story)));

    let refused = story.answer::<Secret>(&[(secret("no PEM"), "2")], &[]);
    assert_eq!(refused.rejected.len(), 1);
    assert!(story.snapshot().is_none(), "the last good one stays");
    story.answer::<Secret>(&[(secret(&authority()), "3")], &[]);
    let second = tls(&mut story);
    assert_eq!(second.settings(), first.settings());
    assert_ne!(second, first);

    story.answer::<Secret>(&[], &["ca"]);
    let reason = tls(&mut story).shown().unwrap_err().to_string();
    assert_eq!(reason, "the control plane gives no secret \"ca\"");
    let outcome = story.answer::<Cluster>(&[(cluster("c", 1), "4")], &[]);
    assert_eq!(asked(&outcome.requests), [("Secret", vec![], vec!["ca"])]);
}

#[test]
fn a_secret_comes_with_its_listener() {
    let mut story = Story::complete();
    let sds = |name: &str| proto::SdsSecretConfig {
        name: name.to_owned(),
        sds_config: None,
    };
    let context = proto::DownstreamTlsContext {
        common_tls_context: Some(proto::CommonTlsContext {
            tls_certificate_sds_secret_configs: vec![sds("own")],
            validation_context_type: Some(ValidationContextType::ValidationContextSdsSecretConfig(
                sds("ca"),
            )),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut encrypted = listener();
    let name = encrypted.name.clone();
    encrypted.filter_chains[0].transport_socket = Some(core::TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(Any::pack(
            &context,
        ))),
    });
    let outcome = story.answer::<Listener>(&[(encrypted.clone(), "2")], &[]);
    assert_eq!(
        asked(&outcome.requests),
        [("Secret", vec!["ca", "own"], vec![])]
    );
    assert!(story.snapshot().is_none(), "they are still on their way");
    story.answer::<Secret>(&[(secret(&authority()), "1")], &["own"]);
    let tls = |story: &mut Story| {
        let snapshot = story.snapshot().expect("something changed");
        snapshot.listeners[&name]
            .tls
            .clone()
            .expect("it is asked for")
    };
    let first = tls(&mut story);
    let reason = first.shown().unwrap_err().to_string();
    assert_eq!(reason, "the control plane gives no secret \"own\"");
    // What has nothing to do with it leaves it as it is.
    story.answer::<Endpoints>(&[(endpoints("c", 2), "2")], &[]);
    assert!(Arc::ptr_eq(&first, &tls(&mut story)));
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([]).unwrap();
    let inline = |text: String| {
        Some(core::DataSource {
            specifier: Some(Specifier::InlineString(text)),
        })
    };
    let own = proto::Secret {
        name: "own".to_owned(),
        r#type: Some(proto::secret::Type::TlsCertificate(proto::TlsCertificate {
            certificate_chain: inline(params.self_signed(&key).unwrap().pem()),
            private_key: inline(key.serialize_pem()),
        })),
    };
    story.answer::<Secret>(&[(own, "2")], &[]);
    let second = tls(&mut story);
    assert!(second.shown().is_ok() && !Arc::ptr_eq(&first, &second));
}

fn password(text: &str) -> proto::Secret {
    let secret = core::DataSource {
        specifier: Some(Specifier::InlineString(text.to_owned())),
    };
    proto::Secret {
        name: "password".to_owned(),
        r#type: Some(proto::secret::Type::GenericSecret(proto::GenericSecret {
            secret: Some(secret),
        })),
    }
}

fn told(name: &str) -> own::Setting {
    own::Setting {
        name: name.to_owned(),
        value: String::new(),
        secret_name: "password".to_owned(),
    }
}

#[test]
fn a_service_is_told_what_its_secret_has() {
    let mut story = Story::complete();
    let asking = own::Service {
        settings: vec![told("password")],
        ..service()
    };
    let outcome = story.answer::<Service>(&[(asking, "2")], &[]);
    assert_eq!(
        asked(&outcome.requests),
        [("Secret", vec!["password"], vec![])]
    );
    assert!(story.snapshot().is_none(), "it is still on its way");
    story.answer::<Secret>(&[(password("hunter2"), "1")], &[]);
    let published = |story: &mut Story| {
        let snapshot = story.snapshot().expect("something changed");
        let shown = format!("{snapshot:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("swordfish"),
            "{shown}"
        );
        snapshot.services.get("s").cloned()
    };
    let first = published(&mut story).expect("it is served");
    assert_eq!(first.settings[0].value, "hunter2");

    // What has nothing to do with it leaves it as it is.
    story.answer::<Endpoints>(&[(endpoints("c", 2), "2")], &[]);
    assert!(Arc::ptr_eq(&first, &published(&mut story).unwrap()));

    story.answer::<Secret>(&[(password("swordfish"), "2")], &[]);
    let second = published(&mut story).expect("it is served");
    assert_eq!(second.settings[0].value, "swordfish");

    // Without it nobody knows whom to let in; nor by something else of its name.
    story.answer::<Secret>(&[], &["password"]);
    assert_eq!(published(&mut story), None);
    let other = proto::Secret {
        name: "password".to_owned(),
        ..secret(&authority())
    };
    story.answer::<Secret>(&[(other, "3")], &[]);
    assert_eq!(published(&mut story), None);
}

#[test]
fn a_cluster_and_its_health_check_are_told_what_their_secret_has() {
    let mut story = Story::complete();
    let policy = own::ClusterPolicy {
        settings: vec![told("upstreamPassword")],
        ..own::ClusterPolicy::default()
    };
    let second = |seconds| meltemi_proto::Duration { seconds, nanos: 0 };
    let check = core::HealthCheck {
        interval: Some(second(1)),
        timeout: Some(second(1)),
        unhealthy_threshold: Some(1),
        healthy_threshold: Some(1),
        health_checker: Some(core::health_check::HealthChecker::CustomHealthCheck(
            core::health_check::CustomHealthCheck {
                name: "echo".to_owned(),
                config_type: None,
            },
        )),
        ..core::HealthCheck::default()
    };
    let asking = cluster::Cluster {
        metadata: Some(core::Metadata {
            typed_filter_metadata: [(EXTENSION_NAME.to_owned(), Any::pack(&policy))].into(),
            ..core::Metadata::default()
        }),
        health_checks: vec![check],
        ..cluster("c", 1)
    };
    story.answer::<Cluster>(&[(asking, "2")], &[]);
    story.answer::<Secret>(&[(password("hunter2"), "1")], &[]);
    let snapshot = story.snapshot().expect("something changed");
    let cluster = snapshot.clusters.get("c").expect("it is used");
    let check = cluster.health_check.as_ref().unwrap();
    let check = check.protocol.as_ref().unwrap();
    for settings in [&cluster.settings, &check.settings] {
        assert_eq!(settings[0].value, "hunter2");
    }
    assert!(!cluster.endpoints.hosts.is_empty());
    story.answer::<Secret>(&[], &["password"]);
    let snapshot = story.snapshot().expect("something changed");
    assert!(!snapshot.clusters.contains_key("c"));
}
