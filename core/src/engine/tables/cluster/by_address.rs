//! Endpoints by the addresses that requests name: each part of one that asks all of them names one; and by
//! those that clients dial.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use slotmap::SlotMap;

use super::{Cluster, Host, HostKey};
use crate::config::Dialled;

/// As they were when somebody was looked for in vain.
#[derive(Debug, Default)]
pub(super) struct ByAddress(RefCell<HashMap<Box<str>, HostKey>>);

impl Cluster {
    /// The endpoint that is dialled at this address.
    pub(in crate::engine) fn dialled_at(
        &self,
        address: SocketAddr,
        hosts: &SlotMap<HostKey, Host>,
    ) -> Option<HostKey> {
        let dialled = |key: &HostKey| match hosts.get(*key)?.address.dialled() {
            Dialled::Tcp(address) => Some((place(address), *key)),
            Dialled::Unix(_) => None,
        };
        let all = || self.hosts.iter().filter_map(dialled).collect();
        self.dialled.get_or_init(all).get(&place(address)).copied()
    }

    /// The endpoint at an address as it is written.
    pub(super) fn at_address(
        &self,
        address: &str,
        hosts: &SlotMap<HostKey, Host>,
    ) -> Option<HostKey> {
        let is_there = |key: &HostKey| hosts.get(*key).is_some_and(|host| host.configured);
        let found = self.by_address.0.borrow().get(address).copied();
        found.filter(is_there).or_else(|| {
            let mut by_address = self.by_address.0.borrow_mut();
            by_address.clear();
            for key in self.known_hosts() {
                if let Some(host) = hosts.get(key) {
                    let address = host.address.to_string().into_boxed_str();
                    by_address.entry(address).or_insert(key);
                }
            }
            by_address.get(address).copied()
        })
    }
}

/// Without the scope that an address of IPv6 may have.
fn place(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}
