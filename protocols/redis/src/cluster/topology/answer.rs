//! What `CLUSTER SHARDS` and `CLUSTER SLOTS` answer.
//!
//! <https://redis.io/docs/latest/commands/cluster-shards/>,
//! <https://redis.io/docs/latest/commands/cluster-slots/>. An entry that cannot be read is left out:
//! a part of the map serves better than none, and a redirect corrects the rest.

use std::{collections::HashMap, net::IpAddr};

use meltemi_codec::{Node, Role, TopologyEvent};

use super::Names;
use crate::{cluster::slot::SLOTS, resp::Reply};

/// A shard as it was told.
#[derive(Debug, Default)]
struct Shard {
    /// The primary first.
    nodes: Vec<(Node, Role)>,
    ranges: Vec<(u32, u32)>,
}

/// `CLUSTER SHARDS`. `None` where the reply names no owner of any slot: no node of a cluster said
/// it, or one that has not met the others.
pub(super) fn shards(reply: &Reply<'_>, asked: &Node, names: &mut Names) -> Option<TopologyEvent> {
    let shards = reply.items().filter_map(|shard| {
        let slots: Vec<i64> = shard
            .field(b"slots")?
            .items()
            .map_while(|slot| slot.number())
            .collect();
        let (pairs, _) = slots.as_chunks::<2>();
        let nodes = shard.field(b"nodes")?;
        Some(Shard {
            ranges: pairs
                .iter()
                .filter_map(|[from, to]| range(*from, *to))
                .collect(),
            nodes: nodes
                .items()
                .filter_map(|it| shard_node(&it, asked, names))
                .collect(),
        })
    });
    event(shards.collect())
}

/// A node of `CLUSTER SHARDS`, unless it is failed, loading or in a state that is not known here.
fn shard_node(node: &Reply<'_>, asked: &Node, names: &mut Names) -> Option<(Node, Role)> {
    if node
        .field(b"health")
        .is_some_and(|health| health.text() != Some(b"online"))
    {
        return None;
    }
    let (endpoint, ip) = (node.field(b"endpoint"), node.field(b"ip"));
    // A server with TLS alone has no other port.
    let port = |name: &[u8]| port(node.field(name)?.number()?);
    let role = node.field(b"role")?;
    let port = port(b"port").or_else(|| port(b"tls-port"))?;
    Some((
        named(endpoint.as_ref(), ip.as_ref(), (asked, port), names),
        match role.text()? {
            b"master" | b"primary" => Role::Primary,
            _ => Role::Replica,
        },
    ))
}

/// `CLUSTER SLOTS`, which names only nodes that serve.
pub(super) fn slots(reply: &Reply<'_>, asked: &Node, names: &mut Names) -> Option<TopologyEvent> {
    let mut shards: Vec<Shard> = Vec::new();
    let mut known: HashMap<Node, usize> = HashMap::new();
    for entry in reply.items() {
        let mut fields = entry.items();
        let mut bound = || fields.next().and_then(|bound| bound.number());
        let (Some(from), Some(to)) = (bound(), bound()) else {
            continue;
        };
        let nodes = fields.map(|node| slot_node(&node, asked, names));
        let roles = std::iter::once(Role::Primary).chain(std::iter::repeat(Role::Replica));
        let nodes: Vec<(Node, Role)> = nodes
            .zip(roles)
            .filter_map(|(node, role)| Some((node?, role)))
            .collect();
        let (Some((primary, Role::Primary)), Some(range)) = (nodes.first(), range(from, to)) else {
            continue;
        };
        let shard = *known.entry(primary.clone()).or_insert(shards.len());
        match shards.get_mut(shard) {
            Some(shard) => shard.ranges.push(range),
            None => shards.push(Shard {
                nodes,
                ranges: vec![range],
            }),
        }
    }
    event(shards)
}

/// Endpoint, port, id (from 4.0), metadata (from 7.0): names and values in turn.
fn slot_node(node: &Reply<'_>, asked: &Node, names: &mut Names) -> Option<Node> {
    let mut fields = node.items();
    let endpoint = fields.next();
    let port = port(fields.next()?.number()?)?;
    let ip = fields.nth(1).and_then(|metadata| metadata.field(b"ip"));
    Some(named(endpoint.as_ref(), ip.as_ref(), (asked, port), names))
}

/// The preferred endpoint. Null and the empty string are the host that was asked; `?` is a node
/// whose name is to be used and that has none: its address, where it is told. A name is known by
/// its address, where that is told.
fn named(
    endpoint: Option<&Reply<'_>>,
    ip: Option<&Reply<'_>>,
    (asked, port): (&Node, u16),
    names: &mut Names,
) -> Node {
    let text = |reply: Option<&Reply<'_>>| {
        let text = str::from_utf8(reply?.text()?).ok()?;
        (!text.is_empty()).then(|| Box::<str>::from(text))
    };
    let node = |host| Node { host, port };
    match (text(endpoint), text(ip)) {
        (None, _) => node(asked.host.clone()),
        (Some(name), ip) if &*name == "?" => node(ip.unwrap_or_else(|| asked.host.clone())),
        (Some(name), Some(ip)) if name != ip && name.parse::<IpAddr>().is_err() => {
            names.insert(node(name), node(ip.clone()));
            node(ip)
        }
        (Some(name), _) => node(name),
    }
}

fn port(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port != 0)
}

fn range(from: i64, to: i64) -> Option<(u32, u32)> {
    let (from, to) = (u32::try_from(from).ok()?, u32::try_from(to).ok()?);
    (from <= to && to < SLOTS).then_some((from, to))
}

/// Shards in the order of their first slots, those that own none last; each with its primary
/// first. Of two that claim a slot the first has it, of two primaries of a shard the first is it:
/// a redirect tells if it was the other.
fn event(mut shards: Vec<Shard>) -> Option<TopologyEvent> {
    for shard in &mut shards {
        shard.ranges.sort_unstable();
        shard.nodes.sort_by_key(|(_, role)| *role != Role::Primary);
        for (_, role) in shard.nodes.iter_mut().skip(1) {
            *role = Role::Replica;
        }
    }
    shards.sort_by_key(|shard| shard.ranges.first().map_or(SLOTS, |(from, _)| *from));
    let mut owned: Vec<(u32, u32, u32)> = Vec::new();
    let mut nodes = Vec::new();
    for (number, shard) in (0..).zip(&shards) {
        owned.extend(shard.ranges.iter().map(|(from, to)| (*from, *to, number)));
        let named = shard.nodes.iter().cloned();
        nodes.extend(named.map(|(node, role)| (node, number, role)));
    }
    owned.sort_unstable();
    let mut free = 0;
    owned.retain_mut(|(from, to, _)| {
        *from = free.max(*from);
        free = free.max(*to + 1);
        from <= to
    });
    (!owned.is_empty() && !nodes.is_empty()).then_some(TopologyEvent {
        nodes,
        shards: owned,
    })
}
