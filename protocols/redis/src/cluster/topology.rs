//! The nodes of a Redis Cluster, learned from the nodes.
//!
//! `CLUSTER SHARDS` is asked for, `CLUSTER SLOTS` where a server does not know that (before 7.0).
//! What they say is asked again every [`REFRESH`]; at once when a request was redirected or not
//! served, but not within [`CALM`] of the answer before. (Envoy's redis cluster refreshes every 5 s too, and on
//! redirects after 5 of them and not within 5 s, `redirect_refresh_threshold` and
//! `redirect_refresh_interval`: during a failover its clients pay a redirect for each request
//! until then.) Where nobody answers the interval doubles from [`RETRY`] up to [`REFRESH`], and up to [`CALM`] as long as
//! there are requests.
//!
//! A node that tells its name and its address is known by its address: names would have to be
//! looked up. Redirects that name it are understood all the same.

mod answer;

use std::{collections::HashMap, time::Duration};

use meltemi_codec::{Constraint, Node, OwnRequest, Probe, Request, Topology, TopologyEvent};

use crate::resp::{Reply, write};

/// From one answer to the next question.
pub const REFRESH: Duration = Duration::from_secs(5);
/// The same after a redirect, at least.
pub const CALM: Duration = Duration::from_secs(1);
/// From the first question without an answer to the next.
pub const RETRY: Duration = Duration::from_millis(250);

/// Questions without an answer after which the next waits for [`CALM`].
const WAITED_FOR: u32 = 3;

/// What is known under the name of a node.
type Names = HashMap<Node, Node>;

/// See the module.
#[derive(Debug)]
pub struct ClusterTopology {
    /// What a probe is sent as: its memo and session.
    request: Request,
    ask: Ask,
    state: State,
    /// How much of the wait has passed, and what `poll` was told the last time.
    passed: Duration,
    idle: Option<Duration>,
    known: Option<TopologyEvent>,
    /// The names of nodes whose addresses were told too, by what they are known as.
    names: Names,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Shards,
    Slots,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was asked yet, or the question has to be put in another way.
    Now,
    /// A probe is on its way.
    Asked,
    /// What is known is right as far as we know.
    Fresh,
    /// A request was redirected.
    Stale,
    /// The last probe had no answer that could be used.
    Failed,
}

impl ClusterTopology {
    /// `request` is what a probe is sent as; its constraint is ignored.
    #[must_use]
    pub fn new(request: Request) -> Self {
        Self {
            request,
            ask: Ask::Shards,
            state: State::Now,
            passed: Duration::ZERO,
            idle: None,
            known: None,
            names: Names::new(),
            failures: 0,
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.passed = Duration::ZERO;
        self.idle = None;
    }

    /// Time is known by what `poll` is told: only that it grows until something happens is
    /// relied on, not what resets it.
    fn pass(&mut self, idle: Duration) {
        let before = self.idle.replace(idle).unwrap_or(idle);
        self.passed += idle.checked_sub(before).unwrap_or(idle);
    }

    fn probe(&self) -> Probe {
        let question: [&[u8]; 2] = match self.ask {
            Ask::Shards => [b"CLUSTER", b"SHARDS"],
            Ask::Slots => [b"CLUSTER", b"SLOTS"],
        };
        let mut bytes = Vec::new();
        write::command(&question, &mut bytes);
        let mut request = self.request.clone();
        request.constraint = Constraint::None;
        request.idempotent = true;
        Probe::Ask(Box::new(OwnRequest {
            request,
            bytes: bytes.into(),
        }))
    }

    /// What becomes of a question that was not answered, or not with what was asked for.
    fn failed(&mut self, refused: bool) {
        match self.ask {
            // Unknown to servers before 7.0, and an ACL may allow only the other.
            Ask::Shards if refused => {
                self.ask = Ask::Slots;
                self.enter(State::Now);
            }
            _ => {
                self.ask = Ask::Shards;
                self.failures = self.failures.saturating_add(1);
                self.enter(State::Failed);
            }
        }
    }
}

impl Topology for ClusterTopology {
    fn poll(&mut self, idle: Duration) -> Probe {
        self.pass(idle);
        let wait = match self.state {
            State::Now => Duration::ZERO,
            State::Fresh => REFRESH,
            State::Stale => CALM,
            State::Failed => {
                let doubled = 2_u32.saturating_pow(self.failures.saturating_sub(1));
                RETRY.saturating_mul(doubled).min(REFRESH)
            }
            // The core says that there was no answer where there is none.
            State::Asked => return Probe::Wait(REFRESH),
        };
        match wait.checked_sub(self.passed) {
            Some(left) if !left.is_zero() => Probe::Wait(left),
            _ => {
                self.enter(State::Asked);
                self.probe()
            }
        }
    }

    fn answered(&mut self, node: &Node, answer: Option<&[u8]>) -> Option<TopologyEvent> {
        let reply = answer.and_then(Reply::parse);
        let refused = reply.as_ref().is_some_and(Reply::is_error);
        let mut names = Names::new();
        let event = reply.and_then(|reply| match self.ask {
            Ask::Shards => answer::shards(&reply, node, &mut names),
            Ask::Slots => answer::slots(&reply, node, &mut names),
        });
        let Some(event) = event else {
            self.failed(refused);
            return None;
        };
        self.failures = 0;
        self.names = names;
        self.enter(State::Fresh);
        let new = self.known.as_ref() != Some(&event);
        self.known = Some(event);
        self.known.clone().filter(|_| new)
    }

    fn redirected(&mut self, _key: u32, _to: &Node) {
        // Whoever follows redirects may have changed its own map: the next answer counts as new.
        self.known = None;
        self.suspect(None);
    }

    fn suspect(&mut self, _node: Option<&Node>) {
        match self.state {
            State::Fresh => self.state = State::Stale,
            // Somebody waits for it, so it is not asked ever less often.
            State::Failed => self.failures = self.failures.min(WAITED_FOR),
            State::Now | State::Asked | State::Stale => {}
        }
    }

    fn known_as(&self, node: &Node) -> Option<Node> {
        self.names.get(node).cloned()
    }
}

#[cfg(test)]
mod tests;
