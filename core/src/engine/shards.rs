//! How a cluster's endpoints divide the keys: by what they say, by a hash, or not at all.

use std::cell::{Cell, LazyCell, RefCell};
use std::sync::Arc;

use meltemi_codec::{Constraint, Role, ShardMap, TopologyEvent};
use meltemi_policy::{
    HashPolicy, HashTables, Hashing,
    hashing::{Bound, Order},
};
use slotmap::SlotMap;

use crate::balance::Balancer;

use super::{
    TopologyKey,
    tables::{Host, HostKey},
};

/// Who has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The balancer decides.
    Anybody,
    Is {
        host: HostKey,
        /// It follows another, and is asked as such.
        replica: bool,
    },
    Nobody,
    /// The endpoints have not said yet, or say that there is none for now.
    Unknown,
}

/// How the endpoints of a cluster divide the keys.
#[derive(Debug, Default)]
pub(super) enum Division {
    /// Each has all.
    #[default]
    None,
    /// By a hash of the key, which each proxy computes alike.
    Hashed(Hashed),
    /// As the servers say.
    Learned(std::rc::Rc<Learned>),
}

/// Which of a cluster's endpoints has which hash.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) kind: Hashing,
    pub(super) hosts: Vec<HostKey>,
    /// What is hashed of each.
    pub(super) names: Arc<[String]>,
    /// What of a request is hashed, where the route does not say; nothing: the protocol's key.
    pub(super) policies: Vec<HashPolicy>,
    /// As [`crate::config::Cluster::hash_balance_factor`].
    pub(super) factor: Option<u32>,
    pub(super) tables: RefCell<Arc<HashTables>>,
    /// Room for an order of hosts.
    pub(super) order: RefCell<Order>,
}

impl Hashed {
    /// The endpoint of a hash, or another where that one has too many of the requests of this worker,
    /// of which there are so many in `all`.
    pub(super) fn within_bound(
        &self,
        hash: u64,
        all: u64,
        hosts: &SlotMap<HostKey, Host>,
    ) -> Option<HostKey> {
        let owner = self.at(hash)?;
        let active = |key: &HostKey| hosts.get(*key).map_or(0, |host| host.active);
        let Some(factor) = self.factor.filter(|_| active(&owner) > 0) else {
            return Some(owner);
        };
        let bound = Bound {
            factor,
            active: all,
        };
        let of = |index: usize| self.hosts.get(index).map_or(0, active);
        let order = &mut *self.order.borrow_mut();
        let host = self.tables.borrow().at_bounded(hash, bound, of, order)?;
        self.hosts.get(host).copied()
    }

    pub(super) fn at(&self, hash: u64) -> Option<HostKey> {
        let host = self.tables.borrow().at(hash)?;
        self.hosts.get(host).copied()
    }

    /// Its place among those that have a hash.
    fn number(&self, hash: u64) -> Option<u32> {
        let tables = self.tables.borrow();
        let number = tables.hosts().binary_search(&tables.at(hash)?).ok()?;
        u32::try_from(number).ok()
    }

    fn nodes(&self) -> Vec<(HostKey, u32, Role)> {
        let tables = self.tables.borrow();
        let hosts = tables
            .hosts()
            .iter()
            .filter_map(|host| self.hosts.get(*host));
        let numbered = (0_u32..).zip(hosts);
        numbered
            .map(|(number, host)| (*host, number, Role::Primary))
            .collect()
    }
}

/// What the servers of a cluster have said of it; it outlives updates of the configuration.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// Who asks them.
    pub(super) topology: Cell<Option<TopologyKey>>,
    pub(super) map: RefCell<Option<Shards>>,
}

/// The shards of a cluster and what they own.
#[derive(Clone, Debug, Default)]
pub(super) struct Shards {
    /// First slot, last slot, index of the shard: in order, without overlap.
    ranges: Vec<(u32, u32, u32)>,
    shards: Vec<Shard>,
}

/// A primary and those that follow it.
#[derive(Clone, Debug, Default)]
struct Shard {
    primary: Option<HostKey>,
    replicas: Vec<HostKey>,
}

impl Shards {
    /// The shards that a topology names; `host` finds the endpoint of each node, or makes one.
    pub(super) fn new(
        event: &TopologyEvent,
        mut host: impl FnMut(&meltemi_codec::Node) -> Option<HostKey>,
    ) -> Self {
        let mut names: Vec<u32> = Vec::new();
        let mut ranges: Vec<_> = event.shards.clone();
        ranges.sort_unstable();
        // Shards are numbered in the order of what they own; those that own nothing come last.
        for name in ranges.iter().map(|(_, _, shard)| *shard) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut shards = vec![Shard::default(); names.len()];
        for (node, shard, role) in &event.nodes {
            let Some(place) = names
                .iter()
                .position(|name| name == shard)
                .and_then(|index| shards.get_mut(index))
            else {
                continue;
            };
            match (role, host(node)) {
                (_, None) => {}
                (Role::Primary, host) => place.primary = host,
                (_, Some(host)) => place.replicas.push(host),
            }
        }
        let number = |shard: u32| names.iter().position(|name| *name == shard);
        let ranges = ranges
            .into_iter()
            .filter_map(|(first, last, shard)| {
                Some((first, last, u32::try_from(number(shard)?).ok()?))
            })
            .collect();
        Self { ranges, shards }
    }

    /// The number of the shard that owns a slot.
    pub(super) fn shard(&self, slot: u32) -> Option<u32> {
        let after = self.ranges.partition_point(|(first, ..)| *first <= slot);
        let (_, last, shard) = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= *last).then_some(*shard)
    }

    /// A server said that another owns the slot now. False: that was known.
    pub(super) fn moved(&mut self, slot: u32, host: HostKey) -> bool {
        let owner = self.shard(slot).and_then(|n| self.shards.get(n as usize));
        if owner.is_some_and(|owner| owner.primary == Some(host)) {
            return false;
        }
        let known = self
            .shards
            .iter()
            .position(|shard| shard.primary == Some(host) || shard.replicas.contains(&host));
        let index = known.unwrap_or_else(|| {
            self.shards.push(Shard::default());
            self.shards.len() - 1
        });
        if let Some(shard) = self.shards.get_mut(index)
            && shard.primary != Some(host)
        {
            // It answers for the slot, so it is the primary: the old one may come back as replica.
            shard.replicas.retain(|replica| *replica != host);
            shard.primary = Some(host);
        }
        let Ok(index) = u32::try_from(index) else {
            return true;
        };
        let mut ranges = Vec::with_capacity(self.ranges.len() + 2);
        for (first, last, shard) in self.ranges.drain(..) {
            if slot < first || slot > last {
                ranges.push((first, last, shard));
                continue;
            }
            if first < slot {
                ranges.push((first, slot - 1, shard));
            }
            if slot < last {
                ranges.push((slot + 1, last, shard));
            }
        }
        ranges.push((slot, slot, index));
        ranges.sort_unstable();
        self.ranges = ranges;
        true
    }

    /// A shard whose primary can be asked: of all, one that is taken by chance.
    fn any(&self, seed: usize, hosts: &SlotMap<HostKey, Host>) -> Owner {
        let primaries = self.shards.iter().filter_map(|shard| shard.primary);
        let mut primaries: Vec<HostKey> = primaries.collect();
        let usable = |key: &HostKey| hosts.get(*key).is_some_and(|host| !host.avoided());
        if primaries.iter().any(usable) {
            primaries.retain(usable);
        }
        let host = primaries.get(seed % primaries.len().max(1));
        host.map_or(Owner::Unknown, |host| Owner::Is {
            host: *host,
            replica: false,
        })
    }

    /// The endpoint to ask for what `shard` owns; later tries are offered others where the role
    /// allows it.
    fn choose(&self, shard: u32, role: Role, seed: usize, hosts: &SlotMap<HostKey, Host>) -> Owner {
        let Some(shard) = self.shards.get(shard as usize) else {
            return Owner::Nobody;
        };
        let usable = |key: &HostKey| hosts.get(*key).is_some_and(|host| !host.avoided());
        let primary = shard.primary.map(|host| Owner::Is {
            host,
            replica: false,
        });
        let replica = || {
            let all = || {
                shard
                    .replicas
                    .iter()
                    .filter(|key| hosts.contains_key(**key))
            };
            let fit = all().filter(|key| usable(key)).count();
            let host = match fit {
                0 => all().nth(seed % all().count().max(1)),
                fit => all().filter(|key| usable(key)).nth(seed % fit),
            };
            host.map(|host| Owner::Is {
                host: *host,
                replica: true,
            })
        };
        let fine = shard.primary.as_ref().is_some_and(usable);
        match role {
            Role::Primary => primary,
            Role::Replica => replica(),
            Role::PreferPrimary if fine => primary,
            Role::PreferPrimary => replica().or(primary),
            Role::PreferReplica => replica()
                .filter(|_| shard.replicas.iter().any(usable))
                .or(primary),
            Role::Any if seed.is_multiple_of(shard.replicas.len() + 1) && fine => primary,
            Role::Any => replica().or(primary),
        }
        .unwrap_or(match role {
            Role::Replica => Owner::Nobody,
            // It has none for as long as it takes the others to agree on the next.
            _ => Owner::Unknown,
        })
    }
}

impl Division {
    /// Whether there is more than one owner.
    pub(super) fn divides(&self) -> bool {
        match self {
            Self::None => false,
            Self::Hashed(hashed) => hashed.hosts.len() > 1,
            Self::Learned(_) => true,
        }
    }

    /// The endpoints that may be asked now: what a missing one had goes to the others.
    pub(super) fn rehash(&self, balancer: &Balancer) {
        if let Self::Hashed(hashed) = self {
            let tables = balancer.hash_tables(hashed.kind, &hashed.names);
            hashed.tables.replace(Arc::new(tables));
        }
    }

    /// Who is asked, given what the request says of its key.
    pub(super) fn owner(
        &self,
        constraint: &Constraint,
        seed: usize,
        hosts: &SlotMap<HostKey, Host>,
    ) -> Owner {
        match self {
            Self::None => Owner::Anybody,
            Self::Hashed(..) if !self.divides() => Owner::Anybody,
            Self::Hashed(hashed) => match constraint {
                Constraint::Shard { hash, .. } => {
                    hashed.at(*hash).map_or(Owner::Nobody, |host| Owner::Is {
                        host,
                        replica: false,
                    })
                }
                _ => Owner::Anybody,
            },
            Self::Learned(learned) => {
                let map = learned.map.borrow();
                let Some(shards) = map.as_ref() else {
                    return Owner::Unknown;
                };
                let Constraint::Shard { slot, role, .. } = constraint else {
                    return shards.any(seed, hosts);
                };
                let shard = shards.shard(*slot);
                shard.map_or(Owner::Unknown, |shard| {
                    shards.choose(shard, *role, seed, hosts)
                })
            }
        }
    }

    /// The number of the shard that has a key.
    pub(super) fn shard(&self, slot: u32, hash: u64) -> Option<u32> {
        match self {
            Self::None => Some(0),
            Self::Hashed(hashed) => hashed.number(hash),
            Self::Learned(learned) => learned.map.borrow().as_ref()?.shard(slot),
        }
    }

    /// Every endpoint, its shard and its role there.
    pub(super) fn nodes(&self) -> Vec<(HostKey, u32, Role)> {
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        match self {
            Self::None => Vec::new(),
            Self::Hashed(hashed) => hashed.nodes(),
            Self::Learned(learned) => {
                let map = learned.map.borrow();
                let shards = map.iter().flat_map(|map| map.shards.iter().enumerate());
                shards
                    .flat_map(|(index, shard)| {
                        let primary = shard.primary.iter().map(|host| (*host, Role::Primary));
                        let replicas = shard.replicas.iter().map(|host| (*host, Role::Replica));
                        primary
                            .chain(replicas)
                            .map(move |(host, role)| (host, number(index), role))
                    })
                    .collect()
            }
        }
    }
}

/// The slot and the hash of a key.
pub(super) type ShardKey<'a> = dyn Fn(&[u8]) -> (u32, u64) + 'a;

/// The number of a cluster, and the shard of a key there.
type Locate<'a> = dyn Fn(&[u8], &ShardKey<'_>) -> Option<(usize, u32)> + 'a;

/// A node's address, its shard and its role there.
pub(super) type Node = (String, u32, Role);

/// What a plan is made with.
pub(super) struct View<'a> {
    pub(super) nodes: LazyCell<Vec<Node>, &'a dyn Fn() -> Vec<Node>>,
    /// The cluster and the shard of a key, by the routes of the service.
    pub(super) locate: &'a Locate<'a>,
    /// Numbers of the places that were asked for.
    pub(super) places: RefCell<Vec<(usize, u32)>>,
}

impl ShardMap for View<'_> {
    fn place(&self, key: &[u8], shard_key: &ShardKey<'_>) -> Option<u32> {
        let place = (self.locate)(key, shard_key)?;
        let mut places = self.places.borrow_mut();
        let known = places.iter().position(|known| *known == place);
        let index = known.unwrap_or_else(|| {
            places.push(place);
            places.len() - 1
        });
        u32::try_from(index).ok()
    }

    fn node(&self, n: usize) -> Option<(&str, u32, Role)> {
        let (address, shard, role) = self.nodes.get(n)?;
        Some((address, *shard, *role))
    }
}
