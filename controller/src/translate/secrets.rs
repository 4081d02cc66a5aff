//! What travels as secrets: certificates with their keys, authorities, and what plugins are told.

use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as wire;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;

use super::tls;
use crate::model::{Cluster, Model, SecretText, Server, Setting, SettingValue};

/// Those of a model, some more than once.
pub(super) fn of_model(model: &Model) -> impl Iterator<Item = wire::Secret> {
    let clusters = model
        .clusters
        .values()
        .flat_map(|cluster| of_cluster(cluster));
    clusters.chain(model.servers.iter().flat_map(|server| of_server(server)))
}

/// Those of a cluster.
pub(crate) fn of_cluster(cluster: &Cluster) -> impl Iterator<Item = wire::Secret> {
    let tls = cluster.tls.iter().flat_map(tls::of_cluster);
    tls.chain(told(&cluster.settings))
}

/// Those of a server.
pub(crate) fn of_server(server: &Server) -> impl Iterator<Item = wire::Secret> {
    let tls = server.tls.iter().flat_map(tls::of_server);
    tls.chain(told(&server.policy.settings))
}

fn told(settings: &[Setting]) -> impl Iterator<Item = wire::Secret> {
    let secrets = settings.iter().filter_map(|it| match &it.value {
        SettingValue::Secret(secret) => Some(secret),
        SettingValue::Plain(_) => None,
    });
    secrets.map(generic)
}

fn generic(SecretText { name, text }: &SecretText) -> wire::Secret {
    wire::Secret {
        name: name.clone(),
        r#type: Some(Type::GenericSecret(wire::GenericSecret {
            secret: Some(tls::inline(text.0.as_bytes())),
        })),
    }
}
