//! The services by the addresses that clients dial.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Cluster, Dialled, Mode, Service, Snapshot};

/// Which service a connection was going to: by an address of the service and its port, else by an endpoint
/// of its own cluster, as with headless services and clients that know the endpoints.
#[derive(Debug, Default)]
pub struct Destinations(HashMap<(IpAddr, u16), Arc<Service>>);

impl Destinations {
    /// Those of a snapshot; none where no listener asks for them.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut listeners = snapshot.listeners.values();
        if !listeners.any(|listener| matches!(listener.mode, Mode::ProxyProtocol(_))) {
            return Self::default();
        }
        let mut services: Vec<_> = snapshot.services.values().collect();
        // Where several claim one address, all proxies have to find the same: who understands what is said
        // there, then the first by name.
        services.sort_unstable_by_key(|it| (it.protocol.is_none(), &it.name));
        let mut known = Self::default();
        for service in &services {
            for address in &service.addresses {
                known.add(SocketAddr::new(*address, service.port), service);
            }
        }
        for service in services {
            let cluster = service.default_cluster.as_ref();
            let cluster = cluster.and_then(|name| snapshot.clusters.get(name));
            for address in cluster.into_iter().flat_map(|it| dialled(it)) {
                known.add(address, service);
            }
        }
        known
    }

    fn add(&mut self, address: SocketAddr, service: &Arc<Service>) {
        // Nobody dials port 0.
        if address.port() != 0 {
            let found = self.0.entry(key(address));
            found.or_insert_with(|| Arc::clone(service));
        }
    }

    /// The service that a client meant who dialled this address.
    #[must_use]
    pub fn service(&self, dialled: SocketAddr) -> Option<&Arc<Service>> {
        self.0.get(&key(dialled))
    }
}

/// Without the scope that an address of IPv6 may have.
fn key(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

fn dialled(cluster: &Cluster) -> impl Iterator<Item = SocketAddr> {
    let hosts = cluster.endpoints.hosts.iter();
    hosts.filter_map(|host| match host.address.dialled() {
        Dialled::Tcp(address) => Some(address),
        Dialled::Unix(_) => None,
    })
}
