//! A request that concerns several shards: it is served in parts, and their answers become one.

use std::{
    borrow::Cow,
    cell::{LazyCell, RefCell},
    rc::Rc,
};

use meltemi_codec::{AttributeKey, Constraint, Frame, Memo, Merge, OwnRequest, Plan, Status};
use meltemi_policy::route::Steps;

use super::{
    Engine, ExchangeKey,
    exchange::End,
    own::Purpose,
    shards::{Node, ShardKey, View},
    tables::{Cluster, Destination},
};
use crate::telemetry::{OutcomeLabel, ResponseFlag};

/// Where a request goes of which routes cannot be told.
const UNDECIDED: Plan = Plan::Refuse {
    status: Status::TooLarge,
    message: "its keys are too long for the regular expressions of routes",
};

/// The answers to the parts of a request.
pub(super) struct Gather {
    merge: Merge,
    pub(super) parts: Vec<Answered>,
    keys: Vec<ExchangeKey>,
    left: usize,
    /// Of a part that no server has answered.
    failed: Option<End>,
}

#[derive(Clone, Default)]
pub(super) struct Answered {
    memo: Memo,
    pub(super) bytes: Vec<u8>,
}

impl Engine {
    /// Serves a request that may have to go to several places. False: it goes to one, like any.
    pub(super) fn scattered(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> bool {
        let Some(plan) = self.plan(key, bytes, whole) else {
            return false;
        };
        match plan {
            Plan::One(constraint) => {
                if let Some(exchange) = self.exchanges.get_mut(key) {
                    exchange.constraint = constraint;
                }
                false
            }
            Plan::Refuse { status, message } => {
                self.answer(key, status, message);
                true
            }
            Plan::Many { parts, merge } => {
                self.scatter(key, parts, merge);
                true
            }
        }
    }

    fn plan(&self, key: ExchangeKey, bytes: &[u8], whole: bool) -> Option<Plan> {
        let exchange = self.exchanges.get(key)?;
        if exchange.constraint != Constraint::Planned || exchange.own.is_some() {
            return None;
        }
        self.plan_of(key, bytes, whole)
    }

    /// How the request would be served if its client had no connection of its own; `None` where
    /// there is nothing to divide.
    pub(super) fn plan_of(&self, key: ExchangeKey, bytes: &[u8], whole: bool) -> Option<Plan> {
        let exchange = self.exchanges.get(key)?;
        let to = exchange.to.as_ref()?;
        let client = self.clients.get(exchange.client)?;
        let service = self.tables.service(client.service)?;
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        // What has no key is divided by nothing but the cluster that it is routed to.
        let key = service.key_attribute.map(AttributeKey::Known);
        let keyed = || key.is_some_and(|key| client.codec.attribute(frame, &key).is_some());
        let divided = to.has_shards() || (service.divided && keyed());
        if !divided {
            return None;
        }
        if !whole {
            // Whose keys are behind its head nobody has seen.
            return Some(Plan::Refuse {
                status: Status::TooLarge,
                message: "the request is too large to be divided among shards",
            });
        }
        let clusters: RefCell<Vec<Rc<Cluster>>> = RefCell::default();
        // Of all keys together.
        let steps = RefCell::new(Ok(Steps::default()));
        let locate = |value: &[u8], shard_key: &ShardKey<'_>| {
            let mut steps = steps.borrow_mut();
            let left = steps.as_mut().ok()?;
            let route = service.select(&client.source, left, |attribute| match attribute {
                AttributeKey::Known(known) if Some(*known) == service.key_attribute => {
                    Some(Cow::Owned(value.to_vec()))
                }
                other => client.codec.attribute(frame, other),
            });
            let route = route.map_err(|undecided| *steps = Err(undecided)).ok()??;
            let to = route.next_destination()?;
            let cluster = Rc::clone(&to.cluster);
            let (slot, hash) = shard_key(route.sent_key(value));
            let shard = to.shard(slot, hash)?;
            let mut clusters = clusters.borrow_mut();
            let same =
                |known: &Rc<Cluster>| Rc::ptr_eq(known, &cluster) || known.name == cluster.name;
            let known = clusters.iter().position(same);
            let index = known.unwrap_or_else(|| {
                clusters.push(cluster);
                clusters.len() - 1
            });
            Some((index, shard))
        };
        let nodes = || self.nodes_of(to);
        let view = View {
            nodes: LazyCell::new(&nodes),
            locate: &locate,
            places: RefCell::default(),
        };
        let plan = to.dialect.protocol.scatter()?.plan(frame, &view);
        if steps.into_inner().is_err() {
            client.metrics.route_undecided();
            return Some(UNDECIDED);
        }
        Some(plan)
    }

    fn nodes_of(&self, to: &Destination) -> Vec<Node> {
        let nodes = to.cluster.division.nodes().into_iter();
        nodes
            .filter_map(|(host, shard, role)| {
                let host = self.tables.hosts.get(host)?;
                Some((host.address.to_string(), shard, role))
            })
            .collect()
    }

    fn scatter(&mut self, key: ExchangeKey, parts: Vec<OwnRequest>, merge: Merge) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let client = exchange.client;
        let none = parts.is_empty();
        exchange.gather = Some(Box::new(Gather {
            merge,
            parts: vec![Answered::default(); parts.len()],
            keys: Vec::with_capacity(parts.len()),
            left: parts.len(),
            failed: None,
        }));
        let session = exchange.session.clone();
        if none {
            return self.gathered(key);
        }
        for (n, mut own) in parts.into_iter().enumerate() {
            // A part is asked in the state that its client asked in.
            own.request.session = own.request.session.or_else(|| session.clone());
            let memo = own.request.memo.clone();
            let part = self.enter_own(client, &own, Purpose::Part { of: key, n });
            self.open_log_of_part(part, key);
            let Some(gather) = self.gather(key) else {
                return self.finish(part, End::local(ResponseFlag::ClientDisconnected));
            };
            gather.keys.push(part);
            if let Some(place) = gather.parts.get_mut(n) {
                place.memo = memo;
            }
            if !self.authorized(part, &own.bytes, true) {
                continue;
            }
            match self.route(part, &own.bytes, true) {
                Ok(_) => self.dispatch(part, &own.bytes, true),
                Err(status) => self.fail(part, status),
            }
        }
    }

    fn gather(&mut self, key: ExchangeKey) -> Option<&mut Gather> {
        self.exchanges.get_mut(key)?.gather.as_deref_mut()
    }

    /// A part has its answer, and ends so; without one, its client cannot be told anything.
    pub(super) fn part_answered(
        &mut self,
        of: ExchangeKey,
        n: usize,
        bytes: Vec<u8>,
        end: Option<End>,
    ) {
        let Some(gather) = self.gather(of) else {
            return;
        };
        gather.left = gather.left.saturating_sub(1);
        let failed = end.filter(|end| end.outcome == OutcomeLabel::Local);
        gather.failed = gather.failed.or(failed);
        let over = gather.left == 0;
        if let Some(part) = gather.parts.get_mut(n) {
            part.bytes = bytes;
            let kept = part.bytes.len();
            self.buffered += kept;
        }
        if end.is_none() {
            return self.answer(of, Status::UpstreamReset, "a part of the answer is missing");
        }
        if over {
            self.gathered(of);
        }
    }

    /// All parts are answered: the client gets its one answer.
    fn gathered(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let (Some(gather), Some(to)) = (exchange.gather.take(), exchange.to.clone()) else {
            return;
        };
        let parts: Vec<Frame<'_>> = gather
            .parts
            .iter()
            .map(|part| Frame {
                bytes: &part.bytes,
                whole: true,
                memo: &part.memo,
            })
            .collect();
        let mut merged = self.spare.take();
        let outcome = match to.dialect.protocol.scatter() {
            Some(scatter) => scatter.merge(&gather.merge, &parts, &mut merged),
            None => return,
        };
        let kept: usize = gather.parts.iter().map(|part| part.bytes.len()).sum();
        self.buffered = self.buffered.saturating_sub(kept);
        self.deliver(key, |codec, request, out| {
            let frame = Frame {
                bytes: &merged,
                whole: true,
                memo: request.memo,
            };
            codec.respond(request.id, frame, out);
        });
        self.spare.give(merged);
        self.answer_ends(key);
        self.finish(key, gather.failed.unwrap_or_else(|| End::of(&outcome)));
    }

    /// An exchange ends before its parts: nobody waits for them.
    pub(super) fn drop_parts(&mut self, key: ExchangeKey) {
        let Some(gather) = self
            .exchanges
            .get_mut(key)
            .and_then(|exchange| exchange.gather.take())
        else {
            return;
        };
        let kept: usize = gather.parts.iter().map(|part| part.bytes.len()).sum();
        self.buffered = self.buffered.saturating_sub(kept);
        for part in gather.keys {
            self.finish(part, End::local(ResponseFlag::ClientDisconnected));
        }
    }
}
