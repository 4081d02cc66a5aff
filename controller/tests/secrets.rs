//! Secrets go where nobody else can read them.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

#[path = "support/fixture.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod fixture;

use std::io;

use fixture::{CLUSTER, ControlPlane, DataPlane, resources};
use meltemi_controller::ads::{Resources, Server};
use meltemi_core::xds;
use meltemi_proto::Any;
use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::config::core::v3::transport_socket::ConfigType;
use meltemi_proto::envoy::config::core::v3::{DataSource, TransportSocket};
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// A cluster whose servers are verified by a secret, and that.
fn encrypted() -> Resources {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([]).unwrap();
    let authorities = DataSource {
        specifier: Some(Specifier::InlineString(
            params.self_signed(&key).unwrap().pem(),
        )),
    };
    let secret = tls::Secret {
        name: "ca".to_owned(),
        r#type: Some(tls::secret::Type::ValidationContext(
            tls::CertificateValidationContext {
                trusted_ca: Some(authorities),
                ..Default::default()
            },
        )),
    };
    let config = tls::SdsSecretConfig {
        name: "ca".to_owned(),
        sds_config: None,
    };
    let context = tls::UpstreamTlsContext {
        common_tls_context: Some(tls::CommonTlsContext {
            validation_context_type: Some(ValidationContextType::ValidationContextSdsSecretConfig(
                config,
            )),
            ..Default::default()
        }),
        sni: String::new(),
    };
    let mut cluster = fixture::cluster(CLUSTER);
    cluster.transport_socket = Some(TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(ConfigType::TypedConfig(Any::pack(&context))),
    });
    let mut resources = resources(&[20880]);
    resources.insert(CLUSTER, &cluster);
    resources.insert("ca", &secret);
    resources
}

/// Why the cluster cannot be dialled by a proxy of this server.
async fn unavailable(server: Server) -> Option<String> {
    let (control_plane, dialled) = xds::ControlPlane::in_memory();
    let incoming = ReceiverStream::new(dialled).map(io::Result::Ok);
    tokio::spawn(server.serve(incoming, std::future::pending()));
    let snapshot = DataPlane::start(control_plane).next().await;
    let tls = snapshot.clusters[CLUSTER].tls.as_ref().unwrap();
    tls.shown().err().map(|reason| reason.to_string())
}

#[tokio::test]
async fn a_secret_is_sent_in_private_alone() {
    let control = ControlPlane::new(Some(encrypted()));
    let reason = unavailable(control.server.clone()).await;
    let expected = "the control plane gives no secret \"ca\"";
    assert_eq!(reason.as_deref(), Some(expected));
    assert_eq!(unavailable(control.server.in_private()).await, None);
}
