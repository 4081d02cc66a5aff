//! What a worker tells the admin pages.

use super::Engine;
use crate::config::Address;

/// A worker's state at one moment.
#[derive(Clone, Debug, Default)]
pub struct WorkerStatus {
    /// Client connections.
    pub clients: usize,
    /// Upstream connections.
    pub servers: usize,
    /// Client connections whose bytes are passed on as they come.
    pub tunnels: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// Bytes buffered.
    pub buffered: usize,
    /// Buffers that are empty and kept for the next bytes.
    pub spare: usize,
    /// Endpoints with a state of their own.
    pub hosts: Vec<HostStatus>,
    /// Routes whose limit is found by latencies.
    pub concurrency: Vec<ConcurrencyStatus>,
}

/// The limit of a route, as this worker has found it.
#[derive(Clone, Debug)]
pub struct ConcurrencyStatus {
    /// The name of its service.
    pub service: String,
    /// Its place among the routes of that.
    pub route: usize,
    /// So many requests may be under way.
    pub limit: u32,
    /// So many are.
    pub under_way: u32,
}

/// An endpoint as this worker sees it.
#[derive(Clone, Debug)]
pub struct HostStatus {
    /// The cluster's name.
    pub cluster: String,
    /// Where it is dialled.
    pub address: Address,
    /// Requests in flight, and tunnels.
    pub active: u32,
    /// Upstream connections for requests.
    pub connections: usize,
    /// Upstream connections that bytes are passed on by, those too that are being made.
    pub tunnels: u32,
    /// It said that it wants no new requests.
    pub leaving: bool,
}

impl Engine {
    /// What `buffered` must be.
    fn count_buffered(&self) -> usize {
        let clients = self.clients.values();
        let clients = clients.map(|client| client.unsent_bytes() + client.inbox.len());
        let servers = self.servers.values();
        let servers = servers.map(super::server::Server::buffered);
        let parked = self.clients.values().filter_map(|c| c.parked.as_ref());
        let parked = parked.map(|parked| parked.bytes.len());
        let exchanges = self.exchanges.values().map(|exchange| {
            let answer = exchange.own.as_ref().map_or(0, |own| own.answer.len());
            let parts = exchange.gather.iter().flat_map(|gather| &gather.parts);
            let held = exchange.held.as_ref().map_or(0, |held| held.request.len());
            let kept = exchange.repeat.as_ref().map_or(0, |repeat| repeat.len());
            answer + held + kept + parts.map(|part| part.bytes.len()).sum::<usize>()
        });
        clients.sum::<usize>()
            + servers.sum::<usize>()
            + parked.sum::<usize>()
            + exchanges.sum::<usize>()
    }

    /// The worker's state, for the admin pages.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        debug_assert_eq!(self.buffered, self.count_buffered(), "buffered bytes");
        WorkerStatus {
            clients: self.clients.len(),
            servers: self.servers.len(),
            tunnels: self.tunnels.len(),
            in_flight: self.in_flight(),
            buffered: self.buffered,
            spare: self.spare.len(),
            hosts: self
                .tables
                .hosts
                .values()
                .map(|host| HostStatus {
                    cluster: host.cluster.to_string(),
                    address: host.address.clone(),
                    active: host.active,
                    connections: host.connections.len(),
                    tunnels: host.tunnels,
                    leaving: host.leaving,
                })
                .collect(),
            concurrency: self
                .tables
                .services()
                .flat_map(|(_, it)| it.concurrency())
                .collect(),
        }
    }
}
