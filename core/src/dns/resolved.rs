//! A configuration with the addresses that its names have now.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Names, question};
use crate::balance::Layouts;
use crate::config::{
    Address, Cluster, Discovery, Dns, DnsKind, DnsTarget, Endpoint, Endpoints, Logical, Snapshot,
};

/// What was made last, so that what did not change keeps its identity.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    clusters: HashMap<String, Joined>,
    layouts: Layouts,
    /// How often other addresses were put in.
    changes: u64,
}

#[derive(Debug)]
struct Joined {
    from: Arc<Cluster>,
    cluster: Arc<Cluster>,
}

impl Resolved {
    /// The configuration with the endpoints that are known. Without names in it, itself.
    pub(crate) fn of(&mut self, snapshot: &Arc<Snapshot>, names: &Names) -> Arc<Snapshot> {
        let mut before = std::mem::take(&mut self.clusters);
        let mut changed = false;
        for (name, cluster) in &snapshot.clusters {
            let Discovery::Dns(dns) = &cluster.discovery else {
                continue;
            };
            let old = before.remove(name);
            let endpoints = endpoints(dns, names, old.as_ref());
            let kept = old.filter(|old| *old.cluster.endpoints == endpoints);
            changed |= kept.is_none();
            let joined = kept
                .filter(|old| Arc::ptr_eq(&old.from, cluster))
                .unwrap_or_else(|| Joined {
                    from: Arc::clone(cluster),
                    cluster: Arc::new(Cluster {
                        endpoints: Arc::new(endpoints),
                        ..Cluster::clone(cluster)
                    }),
                });
            self.clusters.insert(name.clone(), joined);
        }
        if self.clusters.is_empty() {
            return Arc::clone(snapshot);
        }
        self.changes += u64::from(changed);
        let mut clusters = snapshot.clusters.clone();
        for (name, joined) in &self.clusters {
            clusters.insert(name.clone(), Arc::clone(&joined.cluster));
        }
        let before = snapshot.layouts.clone();
        let before = before.with(self.clusters.keys(), &self.layouts);
        let addressed = Snapshot {
            clusters,
            version: format!("{}.{}", snapshot.version, self.changes),
            ..Snapshot::clone(snapshot)
        };
        let addressed = addressed.laid_out(&before);
        self.layouts.clone_from(&addressed.layouts);
        Arc::new(addressed)
    }
}

/// An address that several names have is one endpoint: the first's.
fn endpoints(dns: &Dns, names: &Names, before: Option<&Joined>) -> Endpoints {
    let mut seen = HashSet::new();
    let (mut hosts, mut resolved_from) = (Vec::new(), Vec::new());
    for (index, target) in dns.endpoints.hosts.iter().enumerate() {
        for address in addresses(dns, &target.address, names, before) {
            if seen.insert(address.clone()) {
                hosts.push(endpoint(target, address));
                resolved_from.push(index);
            }
        }
    }
    Endpoints {
        hosts,
        resolved_from,
        overprovisioning: dns.endpoints.overprovisioning,
        weighted_health: dns.endpoints.weighted_health,
    }
}

fn addresses(
    dns: &Dns,
    target: &DnsTarget,
    names: &Names,
    before: Option<&Joined>,
) -> Vec<Address> {
    let (name, port) = match target {
        DnsTarget::Address(address) => return vec![Address::Tcp(*address)],
        DnsTarget::Name { name, port } => (name, *port),
    };
    let known = names.get(&question(dns, name));
    let ips = known.map_or(&[][..], |known| &known.addresses);
    match (dns.kind, ips.first()) {
        (_, None) => vec![],
        (DnsKind::Strict, Some(_)) => {
            let addresses = ips.iter().map(|ip| SocketAddr::new(*ip, port));
            addresses.map(Address::Tcp).collect()
        }
        (DnsKind::Logical, Some(first)) => {
            let new = Logical::new(Arc::clone(name), port, *first);
            let hosts = before.map_or(&[][..], |before| &before.cluster.endpoints.hosts);
            let known = hosts.iter().find_map(|host| match &host.address {
                Address::Logical(logical) if **logical == new => Some(Arc::clone(logical)),
                _ => None,
            });
            // Those who have it make their next connection there.
            let known = known.inspect(|known| known.lead_to(*first));
            vec![Address::Logical(known.unwrap_or_else(|| Arc::new(new)))]
        }
    }
}

fn endpoint(target: &Endpoint<DnsTarget>, address: Address) -> Endpoint {
    let configured = || match &target.address {
        DnsTarget::Name { name, .. } => name.to_string(),
        DnsTarget::Address(address) => address.ip().to_string(),
    };
    Endpoint {
        address,
        // As Envoy: what the cluster calls it, which hashing by host name goes by.
        hostname: match target.hostname.is_empty() {
            true => configured(),
            false => target.hostname.clone(),
        },
        weight: target.weight,
        locality: target.locality.clone(),
        priority: target.priority,
        health: target.health,
        labels: target.labels.clone(),
    }
}
