//! The resources of one type: which are wanted, what was answered, what is held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::cluster::v3 as cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3 as listener;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};
use meltemi_proto::meltemi::config::v1 as own;

use crate::config::{Cluster, Endpoints, Invalid, Listener, Proxy, RouteConfig, Secret, Service};

/// The name that stands for all resources of a type.
const WILDCARD: &str = "*";

/// A type of resource that can be subscribed to.
pub(super) trait Kind: Sized {
    type Message: prost::Message + prost::Name + Default;

    fn parse(message: Self::Message) -> Result<Self, Invalid>;

    /// The name inside the message, where it has one.
    fn name(message: &Self::Message) -> Option<&str>;
}

/// A resource that was refused; the last good one, if any, stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub name: String,
    pub version: String,
    pub reason: Invalid,
}

/// What is known of one resource.
#[derive(Debug)]
enum Entry<T> {
    /// Asked for at this time and not answered.
    Awaiting(Instant),
    /// The control plane says that there is none, or has none that is valid.
    Absent,
    Held {
        version: String,
        value: Arc<T>,
    },
}

/// The subscription to one type.
#[derive(Debug)]
pub(super) struct Table<T> {
    /// The wanted names; of a wildcard, besides, what is held.
    entries: BTreeMap<String, Entry<T>>,
    /// What was asked for by name.
    named: BTreeSet<String>,
    wildcard: bool,
    /// When a wildcard was asked for and not answered yet.
    unanswered: Option<Instant>,
}

/// The difference between what was wanted and what is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) subscribe: Vec<String>,
    pub(super) unsubscribe: Vec<String>,
}

impl<T: Kind> Table<T> {
    pub(super) fn named() -> Self {
        Self {
            entries: BTreeMap::new(),
            named: BTreeSet::new(),
            wildcard: false,
            unanswered: None,
        }
    }

    pub(super) fn wildcard(now: Instant) -> Self {
        Self {
            wildcard: true,
            unanswered: Some(now),
            ..Self::named()
        }
    }

    /// A new stream: what is unanswered counts as asked for at `now`.
    pub(super) fn reset(&mut self, now: Instant) {
        let entries = self.entries.values_mut().filter_map(|entry| match entry {
            Entry::Awaiting(since) => Some(since),
            Entry::Absent | Entry::Held { .. } => None,
        });
        for since in entries.chain(&mut self.unanswered) {
            *since = now;
        }
    }

    /// Takes what was asked for at `limit` or before, and not answered, for absent.
    pub(super) fn expire(&mut self, limit: Instant) {
        self.unanswered = self.unanswered.filter(|since| *since > limit);
        for entry in self.entries.values_mut() {
            if matches!(entry, Entry::Awaiting(since) if *since <= limit) {
                *entry = Entry::Absent;
            }
        }
    }

    /// What is asked for.
    pub(super) fn subscribed(&self) -> impl Iterator<Item = &str> {
        let wildcard = self.wildcard.then_some(WILDCARD);
        wildcard
            .into_iter()
            .chain(self.named.iter().map(String::as_str))
    }

    /// What the control plane need not send again, as name and version.
    pub(super) fn versions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().filter_map(|(name, entry)| match entry {
            Entry::Held { version, .. } => Some((name.as_str(), version.as_str())),
            Entry::Awaiting(_) | Entry::Absent => None,
        })
    }

    pub(super) fn held(&self) -> impl Iterator<Item = (&str, &Arc<T>)> {
        self.entries.iter().filter_map(|(name, entry)| match entry {
            Entry::Held { value, .. } => Some((name.as_str(), value)),
            Entry::Awaiting(_) | Entry::Absent => None,
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<T>> {
        match self.entries.get(name) {
            Some(Entry::Held { value, .. }) => Some(value),
            Some(Entry::Awaiting(_) | Entry::Absent) | None => None,
        }
    }

    /// When the oldest unanswered question was asked.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let entries = self.entries.values().filter_map(|entry| match entry {
            Entry::Awaiting(since) => Some(*since),
            Entry::Absent | Entry::Held { .. } => None,
        });
        entries.chain(self.unanswered).min()
    }

    /// Replaces the wanted names; what is no longer wanted is forgotten.
    pub(super) fn want(&mut self, names: BTreeSet<String>, now: Instant) -> Change {
        self.ask(names, false, now)
    }

    /// All are wanted; of these names an answer is awaited, also where all were wanted before. An answer
    /// that was under way to what was asked for before is taken for the first to all.
    pub(super) fn want_all(&mut self, names: BTreeSet<String>, now: Instant) -> Change {
        self.ask(names, true, now)
    }

    fn ask(&mut self, names: BTreeSet<String>, wildcard: bool, now: Instant) -> Change {
        let before = std::mem::replace(&mut self.wildcard, wildcard);
        let mut change = Change {
            subscribe: names.difference(&self.named).cloned().collect(),
            unsubscribe: self.named.difference(&names).cloned().collect(),
        };
        match (before, wildcard) {
            (false, true) => {
                self.unanswered = Some(now);
                change.subscribe.push(WILDCARD.to_owned());
            }
            (true, false) => {
                self.unanswered = None;
                change.unsubscribe.push(WILDCARD.to_owned());
            }
            (false, false) | (true, true) => {}
        }
        self.entries.retain(|name, entry| {
            names.contains(name) || (wildcard && matches!(entry, Entry::Held { .. }))
        });
        for name in names.iter().cloned() {
            self.entries.entry(name).or_insert(Entry::Awaiting(now));
        }
        self.named = names;
        change
    }

    /// Applies each valid resource on its own and returns the others.
    pub(super) fn apply(&mut self, response: DeltaDiscoveryResponse) -> Vec<Rejection> {
        self.unanswered = None;
        for name in response.removed_resources {
            if self.named.contains(&name) {
                self.entries.insert(name, Entry::Absent);
            } else {
                self.entries.remove(&name);
            }
        }
        response
            .resources
            .into_iter()
            .filter_map(|resource| self.apply_one(resource).err())
            .collect()
    }

    fn apply_one(&mut self, resource: Resource) -> Result<(), Rejection> {
        let current = self.entries.get_mut(&resource.name);
        if !self.wildcard && current.is_none() {
            // The subscription ended while this was under way.
            return Ok(());
        }
        if let Some(Entry::Held { version, .. }) = &current
            && *version == resource.version
        {
            return Ok(());
        }
        let name = resource.name.clone();
        match parse::<T>(&name, resource.resource) {
            Ok(value) => {
                let held = Entry::Held {
                    version: resource.version,
                    value: Arc::new(value),
                };
                self.entries.insert(name, held);
                Ok(())
            }
            Err(reason) => {
                if let Some(entry @ Entry::Awaiting(_)) = current {
                    *entry = Entry::Absent;
                }
                Err(Rejection {
                    name,
                    version: resource.version,
                    reason,
                })
            }
        }
    }
}

fn parse<T: Kind>(name: &str, body: Option<meltemi_proto::Any>) -> Result<T, Invalid> {
    let body = body.ok_or_else(|| Invalid::new("resource", "is missing"))?;
    let message: T::Message = body.unpack()?;
    if let Some(inner) = T::name(&message)
        && inner != name
    {
        let reason = format!("{inner:?} is not the resource's name {name:?}");
        return Err(Invalid::new("name", reason));
    }
    T::parse(message)
}

macro_rules! kind {
    ($type:ty, $message:ty, $name:expr) => {
        impl Kind for $type {
            type Message = $message;

            fn parse(message: $message) -> Result<Self, Invalid> {
                Self::try_from(message)
            }

            fn name(message: &$message) -> Option<&str> {
                let name: fn(&$message) -> Option<&str> = $name;
                name(message)
            }
        }
    };
}

kind!(Listener, listener::Listener, |m| Some(&m.name));
kind!(Service, own::Service, |m| Some(&m.name));
kind!(RouteConfig, RouteConfiguration, |m| Some(&m.name));
kind!(Cluster, cluster::Cluster, |m| Some(&m.name));
kind!(Secret, tls::Secret, |m| Some(&m.name));
kind!(Endpoints, ClusterLoadAssignment, |m| Some(&m.cluster_name));

impl Kind for Proxy {
    type Message = own::Self_;

    fn parse(message: own::Self_) -> Result<Self, Invalid> {
        Ok(message.into())
    }

    fn name(_: &own::Self_) -> Option<&str> {
        None
    }
}
