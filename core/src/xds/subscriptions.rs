//! The delta-xDS client as a state machine: responses and time in, requests and snapshots out.
//!
//! The control plane is asked for what is needed and nothing else: all listeners, the services
//! that they name (all of them where a connection itself says where it was going), the routes of
//! those services, the clusters of those routes and the services' own, their endpoints and secrets.
//! Each resource is applied or refused on its own; a refused one keeps its last good version.
//!
//! A snapshot comes out only when everything that it names was answered, so that a route never
//! leads to a cluster whose endpoints are still on their way. The wait is bounded by [`PATIENCE`]
//! and stops while the stream is down: what was published stays until the control plane is back.

mod encrypted;
mod told;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meltemi_policy::Mismatches;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use meltemi_proto::google::rpc::Status;
use meltemi_proto::node_metadata::READ;
use meltemi_proto::{Any, SELF_RESOURCE, Value, meltemi::config::v1 as own, value};
use prost::Name;
use xxhash_rust::xxh3::Xxh3;

use self::encrypted::Encrypted;
use self::told::{Filled, Told};
use super::identity::tell;
use super::table::{Change, Kind, Rejection, Table};
use crate::balance::Layouts;
use crate::config::{
    Cluster, Endpoints, Listener, Proxy, RouteConfig, Secret, Service, Snapshot, locality,
};
use crate::tls::Tls;

/// How long an answer is waited for before its absence is published; Envoy's
/// `initial_fetch_timeout`.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// `google.rpc.Code.INVALID_ARGUMENT`.
const INVALID_ARGUMENT: i32 = 3;

/// What this proxy subscribes to, what it holds, and what it last published.
#[derive(Debug)]
pub struct Subscriptions {
    node: Node,
    /// Given at the command line; wins over what the control plane says.
    own: Proxy,
    connected: bool,
    node_sent: bool,
    /// How far the control plane had read when it was last heard, in its own words.
    read: Option<String>,
    proxy: Table<Proxy>,
    listeners: Table<Listener>,
    services: Table<Service>,
    routes: Table<RouteConfig>,
    clusters: Table<Cluster>,
    secrets: Table<Secret>,
    endpoints: Table<Endpoints>,
    /// The published clusters with what they were joined from, so that one that did not change
    /// keeps its identity.
    joined: HashMap<String, Joined>,
    encrypted: Encrypted,
    services_filled: Filled<Service>,
    clusters_filled: Filled<Cluster>,
    layouts: Layouts,
    published: Option<String>,
}

#[derive(Debug)]
struct Joined {
    policy: Arc<Cluster>,
    endpoints: Option<Arc<Endpoints>>,
    cluster: Arc<Cluster>,
}

/// What a response led to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be sent in this order; the first one acknowledges.
    pub requests: Vec<DeltaDiscoveryRequest>,
    /// Resources that were refused.
    pub rejected: Vec<Rejection>,
}

impl Subscriptions {
    /// Nothing is asked for before [`Self::connected`].
    pub fn new(node: Node, now: Instant) -> Self {
        let mut proxy = Table::named();
        proxy.want([SELF_RESOURCE.to_owned()].into(), now);
        Self {
            own: Proxy {
                locality: locality(node.locality.clone()),
                labels: super::labels(&node),
            },
            node,
            connected: false,
            node_sent: false,
            read: None,
            proxy,
            listeners: Table::wildcard(now),
            services: Table::named(),
            routes: Table::named(),
            clusters: Table::named(),
            secrets: Table::named(),
            endpoints: Table::named(),
            joined: HashMap::new(),
            encrypted: Encrypted::default(),
            services_filled: Filled::default(),
            clusters_filled: Filled::default(),
            layouts: Layouts::default(),
            published: None,
        }
    }

    /// A new stream: the requests that start it, with the versions that are already here.
    pub fn connected(&mut self, now: Instant) -> Vec<DeltaDiscoveryRequest> {
        self.connected = true;
        self.node_sent = false;
        self.proxy.reset(now);
        self.listeners.reset(now);
        self.services.reset(now);
        self.routes.reset(now);
        self.clusters.reset(now);
        self.secrets.reset(now);
        self.endpoints.reset(now);
        let mut requests = Vec::new();
        requests.extend(open(&mut self.proxy));
        requests.extend(open(&mut self.listeners));
        requests.extend(open(&mut self.services));
        requests.extend(open(&mut self.routes));
        requests.extend(open(&mut self.clusters));
        requests.extend(open(&mut self.secrets));
        requests.extend(open(&mut self.endpoints));
        self.introduce(&mut requests);
        requests
    }

    /// What the node has to say of its clients from now on, and the request that says it where there is a stream.
    pub fn tell(&mut self, mismatches: &Mismatches) -> Option<DeltaDiscoveryRequest> {
        tell(&mut self.node, mismatches);
        self.connected.then(|| DeltaDiscoveryRequest {
            node: Some(self.node.clone()),
            // One that is asked for on every stream: it asks for nothing more.
            type_url: type_url::<Proxy>(),
            ..DeltaDiscoveryRequest::default()
        })
    }

    /// The stream is gone; what it brought is kept and no patience is lost.
    pub fn disconnected(&mut self) {
        self.connected = false;
    }

    /// Applies a response; a type that was never asked for is not answered.
    pub fn receive(&mut self, response: DeltaDiscoveryResponse, now: Instant) -> Outcome {
        let type_url = response.type_url.clone();
        let nonce = response.nonce.clone();
        let read = response.control_plane.as_ref();
        let read = read.map(|it| it.identifier.clone());
        let Some(rejections) = self.apply(response) else {
            return Outcome::default();
        };
        self.read = read.or_else(|| self.read.take());
        let acknowledgement = DeltaDiscoveryRequest {
            type_url,
            response_nonce: nonce,
            error_detail: error_detail(&rejections),
            ..DeltaDiscoveryRequest::default()
        };
        let mut requests = vec![acknowledgement];
        self.resubscribe(now, &mut requests);
        self.introduce(&mut requests);
        Outcome {
            requests,
            rejected: rejections,
        }
    }

    /// When [`Self::snapshot`] is to be asked again although nothing arrived.
    pub fn deadline(&self) -> Option<Instant> {
        match self.connected {
            true => self.waiting_since().map(|since| since + PATIENCE),
            false => None,
        }
    }

    /// The state as a whole, if it is consistent and differs from what was returned last.
    pub fn snapshot(&mut self, now: Instant) -> Option<Snapshot> {
        if self.connected
            && let Some(limit) = now.checked_sub(PATIENCE)
        {
            self.expire(limit);
        }
        if self.waiting_since().is_some() {
            return None;
        }
        let version = self.version();
        if self.published.as_ref() == Some(&version) {
            return None;
        }
        self.published = Some(version.clone());
        let proxy = self.proxy();
        let snapshot = Snapshot {
            listeners: self.encrypted.join(&self.listeners, &self.secrets),
            services: self.services_filled.join(&self.services, &self.secrets),
            routes: owned(&self.routes),
            clusters: self.join(),
            locality: proxy.locality,
            labels: proxy.labels,
            version,
            ..Snapshot::default()
        };
        let snapshot = snapshot.laid_out(&self.layouts);
        self.layouts.clone_from(&snapshot.layouts);
        Some(snapshot)
    }

    /// This proxy, by what was said at the command line and what the control plane knows.
    fn proxy(&self) -> Proxy {
        let told = self.proxy.get(SELF_RESOURCE);
        let mut proxy = told.map_or_else(Proxy::default, |told| (**told).clone());
        if !self.own.locality.is_empty() {
            proxy.locality.clone_from(&self.own.locality);
        }
        let own = self.own.labels.iter();
        proxy
            .labels
            .extend(own.map(|(name, value)| (name.clone(), value.clone())));
        proxy
    }

    fn apply(&mut self, response: DeltaDiscoveryResponse) -> Option<Vec<Rejection>> {
        let url = response.type_url.as_str();
        Some(if url == type_url::<Proxy>() {
            self.proxy.apply(response)
        } else if url == type_url::<Listener>() {
            self.listeners.apply(response)
        } else if url == type_url::<Service>() {
            self.services.apply(response)
        } else if url == type_url::<RouteConfig>() {
            self.routes.apply(response)
        } else if url == type_url::<Cluster>() {
            self.clusters.apply(response)
        } else if url == type_url::<Secret>() {
            self.secrets.apply(response)
        } else if url == type_url::<Endpoints>() {
            self.endpoints.apply(response)
        } else {
            return None;
        })
    }

    /// Follows the names from the listeners down.
    fn resubscribe(&mut self, now: Instant, requests: &mut Vec<DeltaDiscoveryRequest>) {
        requests.extend(self.want_services(now));
        let routes = collect(&self.services, |s, names| {
            names.extend(s.route_config.clone());
        });
        requests.extend(want(&mut self.routes, routes, now));
        let mut clusters = collect(&self.routes, |r, names| {
            names.extend(r.clusters().map(str::to_owned));
        });
        clusters.extend(collect(&self.services, |s, names| {
            names.extend(s.default_cluster.clone());
        }));
        requests.extend(want(&mut self.clusters, clusters, now));
        let mut secrets = collect(&self.clusters, |c, names| {
            let needed = c.tls.iter().flat_map(|tls| tls.secrets());
            names.extend(needed.chain(Told::secrets(c)).map(str::to_owned));
        });
        secrets.extend(collect(&self.services, |s, names| {
            names.extend(Told::secrets(s).map(str::to_owned));
        }));
        secrets.extend(collect(&self.listeners, |l, names| {
            let needed = l.tls.iter().flat_map(|tls| tls.secrets());
            names.extend(needed.map(str::to_owned));
        }));
        requests.extend(want(&mut self.secrets, secrets, now));
        let endpoints = collect(&self.clusters, |c, names| {
            names.extend(c.discovery.eds_name().map(str::to_owned));
        });
        requests.extend(want(&mut self.endpoints, endpoints, now));
    }

    /// Those that listeners name, and all others where connections say themselves where they were going.
    fn want_services(&mut self, now: Instant) -> Option<DeltaDiscoveryRequest> {
        let mut listeners = self.listeners.held();
        let leads_anywhere = listeners.any(|(_, listener)| listener.mode.service().is_none());
        let services = collect(&self.listeners, |l, names| {
            names.extend(l.mode.service().map(str::to_owned));
        });
        changed::<Service>(match leads_anywhere {
            true => self.services.want_all(services, now),
            false => self.services.want(services, now),
        })
    }

    fn expire(&mut self, limit: Instant) {
        self.proxy.expire(limit);
        self.listeners.expire(limit);
        self.services.expire(limit);
        self.routes.expire(limit);
        self.clusters.expire(limit);
        self.secrets.expire(limit);
        self.endpoints.expire(limit);
    }

    /// The first request of a stream says who asks, and what it was told before: by whoever lags it is to be rolled back by
    /// nobody.
    fn introduce(&mut self, requests: &mut [DeltaDiscoveryRequest]) {
        if let Some(first) = requests.first_mut()
            && !std::mem::replace(&mut self.node_sent, true)
        {
            let mut node = self.node.clone();
            if let Some(read) = &self.read {
                let kind = Some(value::Kind::StringValue(read.clone()));
                let metadata = node.metadata.get_or_insert_default();
                metadata.fields.insert(READ.to_owned(), Value { kind });
            }
            first.node = Some(node);
        }
    }

    fn waiting_since(&self) -> Option<Instant> {
        [
            self.proxy.waiting_since(),
            self.listeners.waiting_since(),
            self.services.waiting_since(),
            self.routes.waiting_since(),
            self.clusters.waiting_since(),
            self.secrets.waiting_since(),
            self.endpoints.waiting_since(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The same for the same resources, on every proxy.
    fn version(&self) -> String {
        let mut hash = Xxh3::new();
        digest(&self.proxy, &mut hash);
        digest(&self.listeners, &mut hash);
        digest(&self.services, &mut hash);
        digest(&self.routes, &mut hash);
        digest(&self.clusters, &mut hash);
        digest(&self.secrets, &mut hash);
        digest(&self.endpoints, &mut hash);
        format!("{:016x}", hash.digest())
    }

    fn join(&mut self) -> HashMap<String, Arc<Cluster>> {
        let mut previous = std::mem::take(&mut self.joined);
        let policies: Vec<_> = self.clusters_filled.join(&self.clusters, &self.secrets);
        for (name, policy) in &policies {
            let eds_name = policy.discovery.eds_name();
            let endpoints = eds_name.and_then(|name| self.endpoints.get(name)).cloned();
            let before = previous.remove(name);
            let tls = self.tls(policy, before.as_ref());
            let joined = before
                .filter(|joined| {
                    Arc::ptr_eq(&joined.policy, policy)
                        && same(joined.endpoints.as_ref(), endpoints.as_ref())
                        && same(joined.cluster.tls.as_ref(), tls.as_ref())
                })
                .unwrap_or_else(|| Joined {
                    policy: Arc::clone(policy),
                    cluster: Arc::new(Cluster {
                        endpoints: endpoints.clone().unwrap_or_default(),
                        tls,
                        ..Cluster::clone(policy)
                    }),
                    endpoints,
                });
            self.joined.insert(name.clone(), joined);
        }
        let clusters = self.joined.iter();
        clusters
            .map(|(name, joined)| (name.clone(), Arc::clone(&joined.cluster)))
            .collect()
    }

    /// What the cluster asks for, with the secrets that are here.
    fn tls(&self, policy: &Cluster, before: Option<&Joined>) -> Option<Arc<Tls>> {
        let before = before.and_then(|joined| joined.cluster.tls.as_ref());
        let tls = policy.tls.as_ref()?;
        Some(tls.with_secrets(|name| self.secrets.get(name), before))
    }
}

fn type_url<T: Kind>() -> String {
    T::Message::type_url()
}

/// The first request of a type on a stream, unless it would ask for nothing.
fn open<T: Kind>(table: &mut Table<T>) -> Option<DeltaDiscoveryRequest> {
    let subscribe: Vec<_> = table.subscribed().map(str::to_owned).collect();
    if subscribe.is_empty() {
        return None;
    }
    let versions = table.versions();
    Some(DeltaDiscoveryRequest {
        type_url: type_url::<T>(),
        resource_names_subscribe: subscribe,
        initial_resource_versions: versions
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .collect(),
        ..DeltaDiscoveryRequest::default()
    })
}

fn want<T: Kind>(
    table: &mut Table<T>,
    names: BTreeSet<String>,
    now: Instant,
) -> Option<DeltaDiscoveryRequest> {
    changed::<T>(table.want(names, now))
}

fn changed<T: Kind>(change: Change) -> Option<DeltaDiscoveryRequest> {
    if change == Change::default() {
        return None;
    }
    Some(DeltaDiscoveryRequest {
        type_url: type_url::<T>(),
        resource_names_subscribe: change.subscribe,
        resource_names_unsubscribe: change.unsubscribe,
        ..DeltaDiscoveryRequest::default()
    })
}

fn collect<T: Kind>(
    table: &Table<T>,
    mut add: impl FnMut(&T, &mut BTreeSet<String>),
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, value) in table.held() {
        add(value, &mut names);
    }
    names
}

fn owned<T: Kind, C: FromIterator<(String, Arc<T>)>>(table: &Table<T>) -> C {
    table
        .held()
        .map(|(name, value)| (name.to_owned(), Arc::clone(value)))
        .collect()
}

fn digest<T: Kind>(table: &Table<T>, hash: &mut Xxh3) {
    hash.update(type_url::<T>().as_bytes());
    for (name, version) in table.versions() {
        for part in [name, version] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
}

fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// `None` acknowledges; else the details list each refused resource, for the control plane, and
/// the message says the same to people.
fn error_detail(rejections: &[Rejection]) -> Option<Status> {
    if rejections.is_empty() {
        return None;
    }
    let message: Vec<_> = rejections
        .iter()
        .map(|rejection| format!("{}: {}", rejection.name, rejection.reason))
        .collect();
    let details = rejections.iter().map(|rejection| {
        Any::pack(&own::Rejection {
            name: rejection.name.clone(),
            version: rejection.version.clone(),
            reason: rejection.reason.to_string(),
        })
    });
    Some(Status {
        code: INVALID_ARGUMENT,
        message: message.join("; "),
        details: details.collect(),
    })
}

#[cfg(test)]
mod tests;
