//! What ztunnel does on each node with what pods of the mesh send: it reads where a connection was going, asks what istiod has
//! told it, and hands it to a waypoint's pod or to an endpoint.
//!
//! The way in between is no HBONE but a socket that is made in the network of the other pod, where a real one's end is, too.
//! What pods dial by the address of another pod goes there directly.

use std::collections::BTreeMap;
use std::io::{self, Error, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use socket2::{Domain, SockRef, Socket, Type};

use super::namespace::Namespace;
use crate::kubernetes::workloads::{Service, Workload, Workloads};
use crate::relay::both;
use crate::ztunnel::header;

const PORT: u16 = 15001;
/// Of its own connections, which are not to come back to it; that of a real one.
const MARK: u32 = 0x539;
/// Scopes of `LoadBalancing.Scope`.
const REGION: i32 = 1;
const ZONE: i32 = 2;
const NODE: i32 = 4;

/// Those of all nodes: they are told the same.
#[derive(Default)]
pub struct Ztunnels {
    told: OnceLock<Workloads>,
    networks: Mutex<BTreeMap<Ipv4Addr, Arc<Namespace>>>,
    captured: Mutex<Vec<Captured>>,
}

/// A connection that was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The pod that made it.
    pub client: String,
    /// Where it was going.
    pub to: SocketAddrV4,
    pub via: Result<Via, String>,
}

/// Which way it has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// To this pod of a waypoint.
    Waypoint(String),
    /// To this pod of the service itself.
    Endpoint(String),
    /// To an address that no istiod has told of.
    Passed,
}

/// A pod whose connections are captured.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) identity: String,
    pub(super) region: String,
    pub(super) zone: String,
    pub(super) node: String,
    pub(super) network: Arc<Namespace>,
}

impl Ztunnels {
    /// What an istiod says counts from now on.
    pub fn listen_to(&self, istiod: SocketAddr) {
        let _ = self.told.set(Workloads::of(istiod));
    }

    /// What istiod has told, once somebody listens.
    #[must_use]
    pub fn told(&self) -> Option<&Workloads> {
        self.told.get()
    }

    /// Each connection that was captured so far.
    #[must_use]
    pub fn captured(&self) -> Vec<Captured> {
        lock(&self.captured).clone()
    }

    /// A pod has this network from now on.
    pub(super) fn joined(&self, address: Ipv4Addr, network: &Arc<Namespace>) {
        lock(&self.networks).insert(address, Arc::clone(network));
    }

    pub(super) fn left(&self, address: Ipv4Addr) {
        lock(&self.networks).remove(&address);
    }

    /// Has what a pod sends to Services come here, as istio-cni does.
    pub(super) fn capture(self: &Arc<Self>, client: Client) {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, PORT));
        let listener = client.network.inside(bind).expect("nobody listens there");
        let rules = format!(
            "table ip ztunnel {{\nchain output {{ type nat hook output priority -100; }}\n}}\n\
             add rule ip ztunnel output meta mark {MARK} return\n\
             add rule ip ztunnel output ip daddr 10.96.0.1 return\n\
             add rule ip ztunnel output ip daddr 10.96.0.0/16 meta l4proto tcp redirect to :{PORT}\n"
        );
        client.network.feed(&["nft", "-f", "-"], &rules);
        let node = Arc::clone(self);
        // Until the process ends: a pod that is gone connects to nothing.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (node, client) = (Arc::clone(&node), client.clone());
                thread::spawn(move || node.serve(&client, &stream));
            }
        });
    }

    fn serve(&self, client: &Client, stream: &TcpStream) {
        let original = SockRef::from(stream).original_dst_v4();
        let Some(to) = original.ok().and_then(|it| it.as_socket_ipv4()) else {
            return;
        };
        let connected = self.connect(client, to);
        let via = match &connected {
            Ok((via, _)) => Ok(via.clone()),
            Err(error) => Err(error.to_string()),
        };
        let client = client.name.clone();
        lock(&self.captured).push(Captured { client, to, via });
        if let Ok((_, end)) = connected {
            both(stream, &end);
        }
    }

    fn connect(&self, client: &Client, to: SocketAddrV4) -> io::Result<(Via, TcpStream)> {
        let told = self.told.get();
        let service = told.and_then(|told| Some((told, told.service_at(*to.ip())?)));
        let Some((told, service)) = service else {
            return Ok((Via::Passed, dial(&client.network, to)?));
        };
        let waypoint = service
            .waypoint
            .as_ref()
            .and_then(|it| it.hostname.as_ref());
        let Some(waypoint) = waypoint else {
            let name = format!("{}/{}", service.namespace, service.hostname);
            let (pod, address) = nearest(told, &name, Some(&service), client)?;
            let ports = pod.services.get(&name).into_iter().flat_map(|it| &it.ports);
            let mut ports = ports.filter(|port| port.service_port == u32::from(to.port()));
            let port = ports
                .next()
                .and_then(|port| port.target_port.try_into().ok());
            let port: u16 = port.ok_or_else(|| Error::other("it has no such port"))?;
            let end = dial(&client.network, SocketAddrV4::new(address, port))?;
            return Ok((Via::Endpoint(pod.name), end));
        };
        let name = format!("{}/{}", waypoint.namespace, waypoint.hostname);
        let own = told.get(&name).and_then(|it| it.service);
        let (pod, address) = nearest(told, &name, own.as_ref(), client)?;
        let tunnel = pod.application_tunnel.as_ref();
        let port = tunnel.and_then(|it| it.port.try_into().ok());
        let port: u16 = port.ok_or_else(|| Error::other("the waypoint's pod has no tunnel"))?;
        let network = lock(&self.networks).get(&address).map(Arc::clone);
        let network = network.ok_or_else(|| Error::other("the waypoint's pod is gone"))?;
        let mut end = dial(&network, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
        end.write_all(&header(to.into(), Some(&client.identity)))?;
        Ok((Via::Waypoint(pod.name), end))
    }
}

/// Of those that have most in common with the client, by what the service prefers, any.
fn nearest(
    told: &Workloads,
    name: &str,
    service: Option<&Service>,
    client: &Client,
) -> io::Result<(Workload, Ipv4Addr)> {
    let balancing = service.and_then(|it| it.load_balancing.as_ref());
    let preferred = balancing.map_or(&[][..], |it| &it.routing_preference);
    let rank = |workload: &Workload| {
        let locality = workload.locality.clone().unwrap_or_default();
        let matches = |scope: &&i32| match **scope {
            REGION => locality.region == client.region,
            ZONE => locality.zone == client.zone,
            NODE => workload.node == client.node,
            // One network, one cluster, no subzones.
            _ => true,
        };
        preferred.iter().take_while(matches).count()
    };
    let endpoints = told.endpoints(name);
    let best = endpoints.iter().map(rank).max().unwrap_or_default();
    let mut best: Vec<_> = endpoints
        .into_iter()
        .filter(|it| rank(it) == best)
        .collect();
    if best.is_empty() {
        return Err(Error::other(format!("{name} has no healthy endpoint")));
    }
    let pod = best.swap_remove(any(best.len()));
    let address = pod
        .addresses
        .first()
        .and_then(|it| <[u8; 4]>::try_from(it.as_slice()).ok());
    let address = address.ok_or_else(|| Error::other(format!("{name} has no address")))?;
    Ok((pod, address.into()))
}

/// One of so many, as good as any other: what a hash map begins with.
fn any(of: usize) -> usize {
    use std::hash::{BuildHasher, RandomState};
    let of = u64::try_from(of).unwrap_or(1);
    usize::try_from(RandomState::new().hash_one(0) % of).unwrap_or_default()
}

fn dial(network: &Namespace, to: SocketAddrV4) -> io::Result<TcpStream> {
    network.inside(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_mark(MARK)?;
        socket.connect(&SocketAddr::new(IpAddr::V4(*to.ip()), to.port()).into())?;
        Ok(socket.into())
    })
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
