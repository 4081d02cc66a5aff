//! A node: a router between its pods and those of the other nodes, which knows the addresses of Services.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::namespace::Namespace;
use super::services::{self, Table};
use crate::relay;

/// What the range of Services begins with, as an API server has it.
const API: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 1), 443);
const API_PORT: u16 = 6443;

pub(super) struct Node {
    pub(super) name: String,
    pub(super) zone: String,
    /// Its pods' addresses are `10.9.NUMBER.…`, and its own is the first of them.
    number: u8,
    pub(super) namespace: Namespace,
    /// The last part of an address that was given away.
    last: AtomicU8,
    /// What is in force.
    programmed: Mutex<Option<Table>>,
}

impl Node {
    /// `api`: where the API server listens on this machine's loopback.
    pub(super) fn start(number: u8, zone: &str, api: u16) -> Self {
        let namespace = Namespace::new(&format!("node-{number}"));
        let address = Ipv4Addr::new(10, 9, number, 1);
        namespace.run(&format!(
            "ip addr add {address}/32 dev lo\n\
             echo 1 >/proc/sys/net/ipv4/ip_forward\n\
             for of in all default; do echo 0 >/proc/sys/net/ipv4/conf/$of/rp_filter; done\n"
        ));
        let listener = namespace.inside(|| TcpListener::bind((address, API_PORT)));
        relay::to_loopback(listener.expect("nobody listens there"), api);
        Self {
            name: format!("node-{number}"),
            zone: zone.to_owned(),
            number,
            namespace,
            last: AtomicU8::new(1),
            programmed: Mutex::default(),
        }
    }

    /// Lays a cable to another node.
    pub(super) fn connect(&self, other: &Self) {
        let (a, b) = (self.number, other.number);
        let pid = other.namespace.pid();
        self.namespace.run(&format!(
            "ip link add to{b} type veth peer name to{a} netns {pid}\n{}",
            self.route(b)
        ));
        other.namespace.run(&other.route(a));
    }

    fn route(&self, to: u8) -> String {
        let own = self.number;
        format!(
            "ip link set to{to} up\n\
             ip route add 10.9.{to}.0/24 via 10.9.{to}.1 dev to{to} onlink src 10.9.{own}.1\n"
        )
    }

    /// As a kubelet registers it.
    pub(super) fn object(&self) -> [Value; 2] {
        let identity = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name, "labels": {
                "kubernetes.io/hostname": self.name,
                "topology.kubernetes.io/region": "eu",
                "topology.kubernetes.io/zone": self.zone,
            }},
        });
        let room = json!({"cpu": "8", "memory": "16Gi", "pods": "110"});
        let mut status = identity.clone();
        status["status"] = json!({
            "capacity": room, "allocatable": room,
            "addresses": [{"type": "InternalIP", "address": self.address().to_string()}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        });
        [identity, status]
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 9, self.number, 1)
    }

    /// A network for a pod, with an address of this node.
    pub(super) fn attach(&self, pod: &str) -> (Namespace, Ipv4Addr) {
        let last = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let address = Ipv4Addr::new(10, 9, self.number, last);
        let own = self.address();
        let namespace = Namespace::new(pod);
        let pid = namespace.pid();
        self.namespace.run(&format!(
            "ip link add pod{last} type veth peer name eth0 netns {pid}\n\
             ip link set pod{last} up\n\
             ip route add {address}/32 dev pod{last} src {own}\n"
        ));
        namespace.run(&format!(
            "ip addr add {address}/32 dev eth0\n\
             ip link set eth0 up\n\
             ip route add {own} dev eth0 scope link\n\
             ip route add default via {own}\n"
        ));
        (namespace, address)
    }

    /// Has connections to Services go to their endpoints.
    pub(super) fn program(&self, services: &[Value], slices: &[Value]) {
        let table = services::table(services, slices, &self.zone);
        let mut programmed = self
            .programmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if programmed.as_ref() == Some(&table) {
            return;
        }
        let api = SocketAddrV4::new(self.address(), API_PORT);
        self.namespace
            .feed(&["nft", "-f", "-"], &services::rules(&table, API, api));
        *programmed = Some(table);
    }
}
