//! Endpoints by a hash of what a request is like: an attribute, where it comes from.
//!
//! Unlike with keys that endpoints own, any endpoint could serve: one that is overloaded, leaves or
//! fails is passed over, and what has nothing to hash goes where the balancer says.

use meltemi_codec::{AttributeKey, Frame};
use meltemi_policy::{HashPolicy, Hashed, hashing::hash_of};
use slotmap::{Key, SlotMap};
use smallvec::SmallVec;

use super::{
    ClientKey, Engine, ExchangeKey,
    client::Client,
    shards::Owner,
    tables::{Cluster, Destination, Host, HostKey},
};

/// Later tries look at so many further hashes for endpoints that were not asked yet.
const FURTHER_HASHES: u64 = 16;

impl Engine {
    /// Notes the hash of a request whose destination wants one. `bytes` is as the client sent it.
    pub(super) fn note_hash(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) {
        let exchange = self.exchanges.get(key);
        let to = exchange.and_then(|exchange| exchange.to.as_ref());
        let hash = to.and_then(|to| self.hash_for(key, to, bytes, whole));
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.hash = hash;
        }
    }

    /// The hash of a request as this destination wants it.
    pub(super) fn hash_for(
        &self,
        key: ExchangeKey,
        to: &Destination,
        bytes: &[u8],
        whole: bool,
    ) -> Option<u64> {
        let exchange = self.exchanges.get(key)?;
        let same = |known: &Destination| known.hash == to.hash;
        if exchange.hash.is_some() && exchange.to.as_deref().is_some_and(same) {
            return exchange.hash;
        }
        let client_key = exchange.client;
        let client = self.clients.get(client_key)?;
        let memo = &exchange.memo;
        let frame = Frame { bytes, whole, memo };
        HashPolicy::hash(&to.hash, |of| match of {
            Hashed::Attribute(attribute) => attribute_hash(client, frame, attribute),
            Hashed::SourceAddress => Some(hash_of(client.source.address.as_deref()?.as_bytes())),
            Hashed::Connection => Some(connection_hash(client, client_key)),
        })
    }
}

fn attribute_hash(client: &Client, frame: Frame<'_>, attribute: &AttributeKey) -> Option<u64> {
    let value = client.codec.attribute(frame, attribute)?;
    Some(hash_of(&value))
}

/// Workers number their clients alike: the client's port tells them apart.
fn connection_hash(client: &Client, key: ClientKey) -> u64 {
    let port = client.peer.map_or(0, |peer| peer.port());
    let number = key.data().as_ffi().to_le_bytes();
    hash_of(&number).rotate_left(1) ^ hash_of(&port.to_le_bytes())
}

impl Cluster {
    /// Who is asked by this hash, of which so many were asked already: as in Envoy, other bits of the
    /// hash choose the next. `Anybody` where that finds nobody else.
    pub(super) fn chosen(&self, hash: u64, asked: u8, hosts: &SlotMap<HostKey, Host>) -> Owner {
        let Some(table) = self.hashed() else {
            return Owner::Anybody;
        };
        let bounded = table.within_bound(hash, self.active(), hosts);
        let further = (0..FURTHER_HASHES).map(|n| table.at(hash ^ !n));
        let mut found: SmallVec<[HostKey; 4]> = SmallVec::new();
        for host in std::iter::once(bounded).chain(further).flatten() {
            let wants = hosts.get(host).is_some_and(|host| !host.leaving);
            if !wants || found.contains(&host) {
                continue;
            }
            if found.len() == usize::from(asked) {
                return Owner::Is {
                    host,
                    replica: false,
                };
            }
            found.push(host);
        }
        Owner::Anybody
    }
}
