//! TLS on both sides: one listener is the endpoint of another's service.

use std::path::Path;

use meltemi_tls::Versions;

use super::*;
use crate::config::{Listener, Mode, Service};
use crate::proxy::tests::harness::any_port;
use crate::tls::{IdentitySource, Owner, Tls, TlsSettings, ToClients, ToEndpoints, TrustSource};

const INNER: &str = "default/edge/inner";
const FAR: &str = "far";

fn certificate(directory: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["echo.test".to_owned()]).unwrap();
    let (chain, key) = (directory.join("chain.pem"), directory.join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (chain, key)
}

fn encrypted_listener(chain: &Path, key: &Path) -> Listener {
    let settings = TlsSettings {
        side: ToClients {
            required: false,
            versions: Versions::Any,
            patience: Duration::from_secs(10),
        },
        identities: vec![IdentitySource::Files {
            chain: chain.to_owned(),
            key: key.to_owned(),
        }],
        trust: None,
        names: Vec::new(),
        alpn: Vec::new(),
    };
    Listener {
        tls: Some(Arc::new(Tls::new(Owner::Listener(INNER.into()), settings))),
        ..Listener::plain(INNER, any_port(), Mode::Service(SERVICE.into()))
    }
}

fn encrypting_cluster(endpoint: SocketAddr, authority: &Path) -> Cluster {
    let settings = TlsSettings {
        side: ToEndpoints {
            sni: Some("echo.test".into()),
        },
        identities: vec![],
        trust: Some(TrustSource::Files {
            authorities: Some(authority.to_owned()),
            revoked: None,
        }),
        names: vec!["echo.test".parse().unwrap()],
        alpn: Vec::new(),
    };
    let plain = passing(&[Address::Tcp(endpoint)]);
    let mut cluster = Cluster::clone(&plain.clusters[CLUSTER]);
    cluster.name = FAR.into();
    cluster.tls = Some(Arc::new(Tls::new(Owner::Cluster(FAR.into()), settings)));
    cluster
}

#[test]
fn megabytes_and_their_ends_pass_through_tls_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = certificate(directory.path());
    let mut first = passing(&[upstream(named)]);
    first.listeners.clear();
    let inner = Arc::new(encrypted_listener(&chain, &key));
    first.listeners.insert(INNER.into(), inner);
    let mut second = first.clone();
    let proxy = Running::start(first);
    let endpoint = proxy.address(INNER);
    second.version = "v2".into();
    let outer = Listener::plain(LISTENER, any_port(), Mode::Service("default/outer".into()));
    second.listeners.insert(LISTENER.into(), outer.into());
    let service = Service::tcp("default/outer", FAR);
    second.services.insert(service.name.clone(), service.into());
    let far = encrypting_cluster(endpoint, &chain);
    second.clusters.insert(FAR.into(), far.into());
    proxy.snapshots.send_replace(second.into());

    let sent = pattern(12 << 20);
    let mut client = connect(&proxy);
    name(&mut client);
    assert!(exchange(client, &sent) == sent);
    wait("the end of both", || {
        let inner = closed(&proxy, "-");
        let outer = proxy.metric(
            r#"meltemi_tcp_connections_closed_total{service="default/outer",destination="far",flag="-"}"#,
        );
        (inner, outer) == (Some(1.0), Some(1.0))
    });
    let handshakes = r#"meltemi_downstream_tls_failures_total{listener="default/edge/inner""#;
    assert_eq!(proxy.metric(handshakes).unwrap_or(0.0), 0.0);
}
