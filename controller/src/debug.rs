//! What a controller says of the proxies that are connected to it: the JSON of its debug pages, which `meltemi status` reads.

use std::collections::BTreeMap;
#[cfg(feature = "kubernetes")]
use std::time::SystemTime;

use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use meltemi_proto::meltemi::config::v1::{Self_, Service};
use prost::Name;
use serde::{Deserialize, Serialize};

#[cfg(feature = "kubernetes")]
use crate::ads::ClientSnapshot;

/// One controller of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// What its pod, or its machine, is called.
    pub name: String,
    /// Whether it writes status; none where there is no election.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leads: Option<bool>,
    pub proxies: Vec<Proxy>,
}

/// One stream of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// The id of its node.
    pub node: String,
    pub connected_seconds: u64,
    /// What it has, by type.
    pub types: BTreeMap<ResourceType, Held>,
    /// What it does not take, and why.
    pub rejections: Vec<Rejected>,
}

/// Types of resources, in the order in which they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceType {
    #[serde(rename = "self")]
    Own,
    Listeners,
    Services,
    Routes,
    Clusters,
    Secrets,
    Endpoints,
}

/// How many resources of a type a proxy was told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// In the newest version.
    pub current: usize,
    /// In an older version, or none, since it has not answered for the newest.
    pub stale: usize,
    /// In an older version, or none, since it does not take the newest.
    pub refused: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    #[serde(rename = "type")]
    pub resource_type: ResourceType,
    pub name: String,
    pub version: String,
    pub reason: String,
}

impl ResourceType {
    pub const ALL: [Self; 7] = [
        Self::Own,
        Self::Listeners,
        Self::Services,
        Self::Routes,
        Self::Clusters,
        Self::Secrets,
        Self::Endpoints,
    ];

    /// None for what this control plane does not serve.
    #[must_use]
    pub fn of(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.type_url() == type_url)
    }

    #[must_use]
    pub fn type_url(self) -> String {
        match self {
            Self::Own => Self_::type_url(),
            Self::Listeners => Listener::type_url(),
            Self::Services => Service::type_url(),
            Self::Routes => RouteConfiguration::type_url(),
            Self::Clusters => Cluster::type_url(),
            Self::Secrets => Secret::type_url(),
            Self::Endpoints => ClusterLoadAssignment::type_url(),
        }
    }
}

#[cfg(feature = "kubernetes")]
impl Proxy {
    pub(crate) fn of(client: &ClientSnapshot, now: SystemTime) -> Self {
        let mut types: BTreeMap<_, Held> = BTreeMap::new();
        for ((type_url, _), resource) in &client.resources {
            let Some(resource_type) = ResourceType::of(type_url) else {
                continue;
            };
            let held = types.entry(resource_type).or_default();
            match (&resource.sent, &resource.refused) {
                (Some(_), _) => held.stale += 1,
                (None, Some(_)) => held.refused += 1,
                (None, None) => held.current += 1,
            }
        }
        let rejections = client.rejections.iter().filter_map(|rejection| {
            Some(Rejected {
                resource_type: ResourceType::of(&rejection.type_url)?,
                name: rejection.name.clone(),
                version: rejection.version.to_string(),
                reason: rejection.reason.clone(),
            })
        });
        Self {
            node: client.node.clone(),
            connected_seconds: now
                .duration_since(client.since)
                .unwrap_or_default()
                .as_secs(),
            types,
            rejections: rejections.collect(),
        }
    }
}
