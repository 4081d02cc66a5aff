//! The objects of a cluster, as its API server tells of them: one watch for each kind.
//!
//! Presence, never absence: an object goes when the API server says that it was deleted, or leaves it out of a list that
//! was read to its end. What cannot be read, in whole or in part, withdraws nothing.

use kube::core::ApiResource;
use kube::{Api, Client};
use tokio::sync::mpsc;

use crate::manifest::{Decoded, Kind, MESH_CONFIG, ObjectRef};
use crate::schema::Settings;
use crate::status::Record;

mod client;
mod contact;
mod list;
mod object;
mod permission;
pub(crate) mod resource;
mod secrets;
mod surroundings;
mod watch;

pub(crate) use client::client;
pub use contact::Contacts;
pub(crate) use list::{Listed, list, list_secrets};
use object::Watched;
pub(crate) use secrets::{Reading, Secrets, Taken};
pub(crate) use surroundings::{Surroundings, announce, look};

/// What is heard of one kind.
#[derive(Debug)]
pub(crate) enum Change {
    /// All there is of it; where its status is ours to write, with what that has to know.
    Listed(Kind, Vec<Decoded>, Vec<Record>),
    /// It is new, or another than before.
    Applied(Box<Decoded>, Option<Box<Record>>),
    Deleted(ObjectRef),
    /// The API server does not know the kind. Whatever was known of it stays: with a definition its objects are deleted
    /// first, each of which is said.
    Unknown(Kind),
    /// What else is there is something else than before.
    Surroundings(Surroundings),
    /// Of one that is named somewhere.
    Secret(ObjectRef, Reading),
}

impl Change {
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Listed(kind, ..) | Self::Unknown(kind) => Some(*kind),
            Self::Applied(decoded, ..) => Some(decoded.id.as_ref()?.kind),
            Self::Deleted(id) | Self::Secret(id, _) => Some(id.kind),
            Self::Surroundings(_) => None,
        }
    }
}

/// A watch that nobody hears waits: what changes meanwhile the API server keeps for it.
const UNHEARD: usize = 256;

/// Those that are read everywhere. [`Secrets`] are not.
const KINDS: &[Kind] = &[
    Kind::ApplicationProtocol,
    Kind::AuthorizationPolicy,
    Kind::ConfigMap,
    Kind::DestinationRule,
    Kind::DubboAuthorizationPolicy,
    Kind::EndpointSlice,
    Kind::Gateway,
    Kind::GatewayClass,
    Kind::KubernetesGateway,
    Kind::MetaRouter,
    Kind::Namespace,
    Kind::Node,
    Kind::Pod,
    Kind::RedisDestination,
    Kind::RedisService,
    Kind::ReferenceGrant,
    Kind::Service,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
];

/// Besides, VirtualServices where sidecars are led to Gateways: whom else they are led to.
pub(crate) fn kinds(leads_sidecars: bool) -> impl Iterator<Item = Kind> {
    let besides = [Kind::VirtualService].into_iter();
    let besides = besides.filter(move |_| leads_sidecars);
    KINDS.iter().copied().chain(besides)
}

/// Watches each kind until nobody hears it any more.
pub(crate) fn watch(
    client: &Client,
    settings: &Settings,
    contacts: &Contacts,
) -> (mpsc::Receiver<Change>, Secrets) {
    let (changes, heard) = mpsc::channel(UNHEARD);
    for kind in kinds(settings.leads_sidecars) {
        let watch = watch::Watch::new(kind, client, (settings, contacts), changes.clone());
        tokio::spawn(watch.run());
    }
    let looking = (client.clone(), settings.root_namespace.clone());
    tokio::spawn(surroundings::look_on(looking, changes.clone()));
    let secrets = Secrets::new(client.clone(), contacts.clone(), changes);
    (heard, secrets)
}

/// Where objects of a kind are read, and which of them where it is not all: a field selector.
fn scope(
    client: &Client,
    settings: &Settings,
    kind: Kind,
    resource: &ApiResource,
) -> (Api<Watched>, Option<String>) {
    let client = client.clone();
    match kind {
        Kind::ConfigMap => (
            Api::namespaced_with(client, &settings.root_namespace, resource),
            Some(format!("metadata.name={MESH_CONFIG}")),
        ),
        _ => (Api::all_with(client, resource), None),
    }
}
