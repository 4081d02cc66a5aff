//! A server of a Gateway: where clients come to, and what counts there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::{AppliedPolicy, Bound, ListenerTls, Rule, ServerPolicy};
use crate::manifest::{AllowedRoutes, Object, ObjectRef};

/// A server of a Gateway, with the rules of all objects that are attached to it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) name: ServerName,
    pub(crate) bind: Bind,
    /// Which clients it is for, by the name that they ask for within TLS; none: all that no other at its address is for.
    pub(crate) server_names: Vec<String>,
    /// So many connections one source may have to it; none: as many as it likes.
    pub(crate) most_per_source: Option<NonZeroU32>,
    /// None: its clients speak plaintext.
    pub(crate) tls: Option<ListenerTls>,
    pub(crate) protocol: PortProtocol,
    /// The Gateway, be it a waypoint.
    pub(crate) source: Arc<Object>,
    pub(crate) policy: ServerPolicy,
    /// Who may use it; without any, anybody.
    pub(crate) authorization: Vec<AppliedPolicy>,
    /// Whose rules may attach; none: anybody's.
    pub(crate) allowed: Option<AllowedRoutes>,
    /// In the order in which they are tried.
    pub(crate) rules: Vec<Arc<Rule>>,
    /// The objects that act on it, with rules of their own or without.
    pub(crate) attached: BTreeSet<ObjectRef>,
}

impl Server {
    /// Whether clients of both can be told from one another, though they come to one address.
    pub(crate) fn is_told_from(&self, other: &Self) -> bool {
        let are_encrypted = self.tls.is_some() && other.tls.is_some();
        let is_shared = self
            .server_names
            .iter()
            .any(|it| other.server_names.contains(it));
        let are_both_for_all = self.server_names.is_empty() && other.server_names.is_empty();
        self.bind == other.bind && are_encrypted && !is_shared && !are_both_for_all
    }

    /// Whether it asks clients who they are.
    pub(crate) fn verifies_clients(&self) -> bool {
        // Behind a waypoint its header says what ztunnel has verified.
        matches!(self.bind, Bind::Service(_))
            || self.tls.as_ref().is_some_and(|tls| tls.clients.is_some())
    }

    /// The object that decides what its connections are served with.
    pub(crate) fn decides(&self) -> &Arc<Object> {
        self.policy.source.as_ref().unwrap_or(&self.source)
    }
}

/// `namespace/gateway/server`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerName {
    pub(crate) namespace: Arc<str>,
    pub(crate) gateway: Arc<str>,
    pub(crate) server: String,
}

impl std::fmt::Display for ServerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.gateway, self.server)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// Port 0 is the system's choice.
    Tcp(IpAddr, u16),
    Unix(String),
    /// Nothing of its own: the waypoint's listener takes its connections.
    Service(Bound),
}

impl Bind {
    pub(crate) const fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(_, port) => Some(*port),
            Self::Unix(_) => None,
            Self::Service(bound) => Some(bound.port),
        }
    }
}

/// What the name of a port says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortProtocol {
    /// The name that people use, in lower case.
    pub(crate) application: String,
    /// The id of the plugin that speaks it.
    pub(crate) plugin: String,
}
