//! The ADS server: serves one immutable set of resources to any number of clients, delta or
//! state-of-the-world, and reports what they refuse.
//!
//! What a stream is sent is decided by two state machines without I/O, [`delta`] and [`sotw`]. Both
//! keep at most one response of a type in flight; while it is, newer state simply replaces what
//! would have been sent next. A name and version that a client refused is not sent to it again.
//!
//! Over TLS clients are asked who they are: [`encrypted`] bounds what they cost until they have said it, [`Tokens`]
//! decides whether to believe it, and [`guests`] bounds how many connections each then has.

mod accept;
mod admission;
mod client_stream;
mod clients;
mod counts;
mod delta;
mod grpc;
mod guests;
mod identity;
mod node;
mod progress;
mod protocol;
mod published;
mod rejection;
mod resources;
mod serve;
#[cfg(test)]
mod simulation;
mod sorted;
mod sotw;
#[cfg(feature = "kubernetes")]
mod tokens;

pub use accept::{Encrypted, Peer, encrypted};
pub use admission::{Admission, Admitted, Arrival, Refused, Token};
#[cfg(test)]
pub(crate) use clients::fake::FakeProxy;
pub use clients::{Client, ClientSnapshot, Clients, Held};
pub(crate) use counts::Made;
pub use counts::{Counts, Histogram, Reason};
pub use identity::{Claim, Identity, Mismatch, Pod, may_serve};
pub use node::{NamespacedName, Node, NotNamespaced};
#[cfg(feature = "kubernetes")]
pub(crate) use progress::Read;
pub use progress::{Progress, Versions};
pub use published::Published;
pub use rejection::Rejection;
pub use resources::{Resource, Resources};
pub use serve::Server;
#[cfg(feature = "kubernetes")]
pub use tokens::Tokens;

use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use meltemi_proto::meltemi::config::v1::{Self_, Service};
use prost::Name;

/// The order in which types are answered: a rule before what it no longer leads to. What a client
/// is about to stop using is thus not taken from it first.
fn rank(type_url: &str) -> usize {
    let order = [
        Self_::type_url(),
        Listener::type_url(),
        Service::type_url(),
        RouteConfiguration::type_url(),
        Cluster::type_url(),
        Secret::type_url(),
        ClusterLoadAssignment::type_url(),
    ];
    let known = order.iter().position(|url| url == type_url);
    known.unwrap_or(order.len())
}

/// Whether a first request without names asks for everything; by the xDS protocol, only that of
/// listeners and clusters does.
fn empty_is_wildcard(type_url: &str) -> bool {
    type_url == Listener::type_url() || type_url == Cluster::type_url()
}

/// The type that has to be sent again, under the same names, when resources of `type_url` change:
/// Envoy takes the endpoints of an updated cluster only from an answer that follows the update.
fn resent_with(type_url: &str) -> Option<String> {
    (type_url == Cluster::type_url()).then(ClusterLoadAssignment::type_url)
}
