//! Connections whose bytes are passed on as they come, between a client and an endpoint of its
//! service's own cluster.
//!
//! What passes is up to [`Tunnel`]; here is who it passes between, and what is counted of it. They cost
//! requests nothing: no request's path leads here.

mod dial;
mod end;
mod mismatch;

pub(super) use mismatch::First;

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Instant};

use meltemi_policy::authorization::Verdict;
use slotmap::{SlotMap, new_key_type};

use super::{
    Action, ConnectionId, Engine, Relay, Timer,
    source::Source,
    tables::{Candidates, Dial, HostKey, Passage},
    timers::TimerKey,
};
use crate::{
    access_log::Attempt,
    circuit::Permit,
    telemetry::{ClusterMetrics, ResponseFlag, TcpMetrics},
    tunnel::{Side, Step, Tunnel},
};

new_key_type! {
    /// A tunnel.
    pub(super) struct TunnelKey;
    /// One of the two connections of a tunnel.
    pub struct EndKey;
}

/// All tunnels of a worker, and their ends.
#[derive(Default)]
pub(super) struct Tunnels {
    all: SlotMap<TunnelKey, Passing>,
    ends: SlotMap<EndKey, End>,
}

/// One of the two connections of a tunnel.
#[derive(Clone, Copy)]
struct End {
    tunnel: TunnelKey,
    side: Side,
}

/// A tunnel, and whose it is.
struct Passing {
    tunnel: Tunnel,
    passage: Rc<Passage>,
    /// As they were when it began.
    metrics: TcpMetrics,
    listener: Arc<str>,
    peer: Option<SocketAddr>,
    source: Source,
    client: EndKey,
    /// Where it was going, if that is known.
    dialled: Option<SocketAddr>,
    leg: Option<Leg>,
    /// Who may be asked next, while nobody has answered.
    candidates: Option<Candidates>,
    /// How many were asked.
    asked: u8,
    attempts: Vec<Attempt>,
    opened: Instant,
    /// It lasts no longer.
    oldest: Option<Instant>,
    /// Why it came to nothing, for people.
    refused: Option<String>,
    /// It is not what the configuration asks for any more: it may end by itself until then.
    leaves: Option<Instant>,
    timer: TimerKey,
}

/// A connection to an endpoint, which may still have to be made.
struct Leg {
    end: EndKey,
    host: HostKey,
    /// How it was made.
    dial: Dial,
    metrics: ClusterMetrics,
    since: Instant,
    /// Its place among those of the cluster.
    _permit: Permit,
}

impl Tunnels {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    fn end(&self, key: EndKey) -> Option<(&Passing, Side)> {
        let end = self.ends.get(key)?;
        Some((self.all.get(end.tunnel)?, end.side))
    }

    fn end_mut(&mut self, key: EndKey) -> Option<(&mut Passing, End)> {
        let end = *self.ends.get(key)?;
        Some((self.all.get_mut(end.tunnel)?, end))
    }

    /// Whether a client's bytes may be passed on as they come; where not, that is counted.
    pub(super) fn may_pass(&self, key: TunnelKey) -> bool {
        let Some(passing) = self.all.get(key) else {
            return false;
        };
        let may_pass = passing.passage.judge(&passing.source) == Verdict::Allowed;
        if !may_pass {
            passing.passage.clients.connection_denied();
        }
        may_pass
    }

    pub(super) fn wants_read(&self, key: EndKey) -> bool {
        let end = self.end(key);
        end.is_some_and(|(passing, side)| passing.tunnel.wants_read(side))
    }

    pub(super) fn unsent(&self, key: EndKey) -> &[u8] {
        let end = self.end(key);
        end.map_or(&[], |(passing, side)| passing.tunnel.unsent(side))
    }

    /// The end that what comes of this one may be written to at once.
    pub(super) fn relay(&self, key: EndKey) -> Option<Relay> {
        let (passing, side) = self.end(key)?;
        let to = passing
            .tunnel
            .passes(side)
            .then(|| passing.end_of(side.other()))?;
        Some(Relay {
            to: ConnectionId::Tunnel(to?),
            most: usize::MAX,
        })
    }
}

impl Passing {
    fn end_of(&self, side: Side) -> Option<EndKey> {
        match side {
            Side::Downstream => Some(self.client),
            Side::Upstream => self.leg.as_ref().map(|leg| leg.end),
        }
    }
}

impl Engine {
    /// A client of a service whose bytes are passed on as they come. [`Engine::connected`] says when it
    /// can be used: then an endpoint is connected to. `None`: it is refused, close the socket.
    pub(super) fn accept_tunnel(
        &mut self,
        (listener, passage): (&str, Rc<Passage>),
        peer: Option<SocketAddr>,
    ) -> Option<ConnectionId> {
        if self.draining || self.is_full() {
            passage.clients.connection_refused();
            return None;
        }
        passage.clients.connection_opened();
        let home = (passage, Arc::from(listener));
        let key = self.open_tunnel(home, (peer, Source::of(peer)));
        let client = self.tunnels.all.get(key).map(|passing| passing.client)?;
        Some(ConnectionId::Tunnel(client))
    }

    fn open_tunnel(
        &mut self,
        (passage, listener): (Rc<Passage>, Arc<str>),
        (peer, source): (Option<SocketAddr>, Source),
    ) -> TunnelKey {
        passage.metrics.opened();
        let opened = self.now;
        let oldest = self.oldest(&passage, opened);
        let ends = &mut self.tunnels.ends;
        let timers = &mut self.timers;
        let key = self.tunnels.all.insert_with_key(|tunnel| Passing {
            tunnel: Tunnel::new(opened),
            metrics: passage.metrics.clone(),
            passage,
            listener,
            peer,
            source,
            client: ends.insert(End {
                tunnel,
                side: Side::Downstream,
            }),
            dialled: None,
            leg: None,
            candidates: None,
            asked: 0,
            attempts: Vec::new(),
            opened,
            oldest,
            refused: None,
            leaves: None,
            timer: timers.set(opened, Timer::Tunnel(tunnel)),
        });
        self.watch_tunnel(key);
        key
    }

    pub(super) fn tunnel_connected(&mut self, key: EndKey) {
        let Some((passing, end)) = self.tunnels.end_mut(key) else {
            return;
        };
        match (end.side, &passing.leg) {
            (Side::Downstream, None) => self.admit_tunnel(end.tunnel),
            (Side::Downstream, Some(_)) => {}
            (Side::Upstream, _) => self.leg_connected(end.tunnel),
        }
    }

    /// A client has proven who it is.
    pub(super) fn tunnel_identified(&mut self, key: EndKey, principal: &str) {
        if let Some((passing, _)) = self.tunnels.end_mut(key) {
            passing.source.principal = Some(principal.into());
        }
    }

    /// A client was going there.
    pub(super) fn tunnel_dialled(&mut self, key: EndKey, address: SocketAddr) {
        if let Some((passing, _)) = self.tunnels.end_mut(key) {
            passing.dialled = Some(address);
        }
    }

    /// Bytes arrived, of which so many were written to the other end already.
    pub(super) fn tunnel_received(&mut self, key: EndKey, bytes: &[u8], gone: usize) {
        let Some((passing, end)) = self.tunnels.end_mut(key) else {
            return;
        };
        match end.side {
            Side::Downstream => passing.metrics.received(bytes.len()),
            Side::Upstream => passing.metrics.sent(gone),
        }
        let step = passing.tunnel.received(end.side, (bytes, gone), self.now);
        self.take_step(end.tunnel, step);
    }

    pub(super) fn tunnel_sent(&mut self, key: EndKey, n: usize) {
        let Some((passing, end)) = self.tunnels.end_mut(key) else {
            return;
        };
        if end.side == Side::Downstream {
            passing.metrics.sent(n);
        }
        let step = passing.tunnel.sent(end.side, n, self.now);
        self.take_step(end.tunnel, step);
    }

    pub(super) fn tunnel_ended(&mut self, key: EndKey) {
        let Some((passing, end)) = self.tunnels.end_mut(key) else {
            return;
        };
        let step = passing.tunnel.end_of_file(end.side);
        self.take_step(end.tunnel, step);
    }

    /// One of the two broke: the other is reset, unless all that was to come had come before.
    pub(super) fn tunnel_failed(&mut self, key: EndKey) {
        let Some((passing, end)) = self.tunnels.end_mut(key) else {
            return;
        };
        let goes_on = passing.tunnel.is_connected() && passing.tunnel.lost(end.side);
        if goes_on {
            self.tunnels.ends.remove(key);
            let id = ConnectionId::Tunnel(key);
            self.actions.push_back(Action::Close(id));
            return self.take_step(end.tunnel, None);
        }
        let flag = match end.side {
            Side::Downstream => ResponseFlag::ClientDisconnected,
            Side::Upstream => ResponseFlag::UpstreamReset,
        };
        self.break_tunnel(end.tunnel, flag);
    }

    /// Does what the tunnel asks for, and ends it once that is all.
    fn take_step(&mut self, key: TunnelKey, step: Option<Step>) {
        let Some(passing) = self.tunnels.all.get(key) else {
            return;
        };
        let id = |side| passing.end_of(side).map(ConnectionId::Tunnel);
        let action = step.and_then(|step| match step {
            Step::Flush(side) => id(side).map(Action::Flush),
            Step::Resume(side) => id(side).map(Action::Resume),
            Step::Shutdown(side) => id(side).map(Action::Shutdown),
        });
        self.actions.extend(action);
        if passing.tunnel.is_over() {
            self.close_tunnel(key, ResponseFlag::None);
        }
    }
}
