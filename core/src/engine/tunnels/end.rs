//! The end of a tunnel: by itself, by a timeout, since the proxy drains or the configuration has
//! changed. It is counted and logged once.

use std::time::{Duration, Instant};

use rand::Rng;

use super::{EndKey, Leg, Passing, TunnelKey, dial::PROTOCOL};
use crate::{
    access_log::Entry,
    engine::{
        Action, ConnectionId, Engine, Timer,
        refusal::Why,
        tables::{Passage, Tables},
    },
    telemetry::{OutcomeLabel, ResponseFlag},
    tunnel::Side,
};

impl Leg {
    /// Whether the configuration still has the endpoint, and would still connect to it so.
    fn is_wanted(&self, tables: &Tables) -> bool {
        let host = tables.hosts.get(self.host);
        host.is_some_and(|host| host.configured && !host.dial.differs(&self.dial))
    }
}

impl Passing {
    fn is_dialled(&self) -> bool {
        self.asked > 0
    }

    fn is_wanted(&self, tables: &Tables) -> bool {
        let leg = self.leg.as_ref();
        tables.leads(&self.listener, &self.passage.service)
            && leg.is_none_or(|leg| leg.is_wanted(tables))
    }
}

impl Engine {
    /// A connection that was asked for cannot be made, or that of a client came to nothing.
    pub(in crate::engine) fn tunnel_connect_failed(&mut self, key: EndKey) {
        let Some((_, end)) = self.tunnels.end_mut(key) else {
            return;
        };
        match end.side {
            Side::Downstream => self.break_tunnel(end.tunnel, ResponseFlag::ClientDisconnected),
            Side::Upstream => self.leg_failed(end.tunnel),
        }
    }

    /// A client came to nothing before anything was received of it.
    pub(in crate::engine) fn tunnel_refused(&mut self, key: EndKey, why: Why<'_>) {
        let Some((passing, end)) = self.tunnels.end_mut(key) else {
            return;
        };
        passing.refused = Some(why.detail.to_owned());
        self.break_tunnel(end.tunnel, why.flag);
    }

    /// Both sides were told that there is no more, or are now.
    pub(super) fn close_tunnel(&mut self, key: TunnelKey, flag: ResponseFlag) {
        self.end_tunnel(key, flag, Action::Close);
    }

    /// What one side has to hear is that it did not end well.
    pub(in crate::engine) fn break_tunnel(&mut self, key: TunnelKey, flag: ResponseFlag) {
        self.end_tunnel(key, flag, Action::Reset);
    }

    fn end_tunnel(
        &mut self,
        key: TunnelKey,
        flag: ResponseFlag,
        farewell: fn(ConnectionId) -> Action,
    ) {
        let Some(mut passing) = self.tunnels.all.remove(key) else {
            return;
        };
        self.timers.cancel(passing.timer);
        let leg = passing.leg.take();
        let ends = [Some(passing.client), leg.as_ref().map(|leg| leg.end)];
        for end in ends.into_iter().flatten() {
            if self.tunnels.ends.remove(end).is_some() {
                self.actions.push_back(farewell(ConnectionId::Tunnel(end)));
            }
        }
        passing.metrics.closed(flag);
        passing.passage.clients.connection_closed();
        let locality = leg.as_ref().map(|leg| self.leave_endpoint(leg, &passing));
        let is_logged = self.telemetry.access_log().is_some();
        if is_logged && self.logged.take(&mut self.random) {
            let upstream = leg.map(|leg| self.now.saturating_duration_since(leg.since));
            self.log_tunnel(passing, (locality.unwrap_or_default(), upstream), flag);
        }
    }

    /// An endpoint has nothing of it any more. Returns where that is.
    fn leave_endpoint(&mut self, leg: &Leg, passing: &Passing) -> String {
        if passing.tunnel.is_connected() {
            leg.metrics.connection_closed();
        }
        let host = self.tables.hosts.get(leg.host);
        let locality = host.map(|host| host.locality.to_string());
        self.tables.tunnel_ends(leg.host);
        locality.unwrap_or_default()
    }

    fn log_tunnel(
        &self,
        mut passing: Passing,
        (locality, upstream): (String, Option<Duration>),
        flag: ResponseFlag,
    ) {
        let (outcome, word) = match flag {
            ResponseFlag::None => (OutcomeLabel::Ok, OutcomeLabel::Ok.as_str()),
            flag => (OutcomeLabel::Local, flag.word()),
        };
        if let Some(last) = passing.attempts.last_mut().filter(|_| upstream.is_some()) {
            last.result = word;
        }
        let endpoint = passing.attempts.last().map(|last| last.endpoint.clone());
        let peer = passing.peer.map(|peer| peer.to_string());
        let entry = Entry {
            start: passing.opened,
            service: passing.passage.service.to_string(),
            protocol: PROTOCOL,
            route: String::new(),
            owner: String::new(),
            destination: passing.passage.cluster.name.to_string(),
            endpoint: endpoint.unwrap_or_default(),
            locality,
            attempts: passing.attempts,
            attributes: Vec::new(),
            peer: peer.unwrap_or_default(),
            principal: passing.source.principal.unwrap_or_default().into(),
            duration: self.now.saturating_duration_since(passing.opened),
            upstream,
            request_bytes: passing.tunnel.came(Side::Downstream),
            response_bytes: passing.tunnel.took(Side::Downstream),
            outcome,
            code: 0,
            flag,
            detail: passing.refused.unwrap_or_default(),
        };
        if let Some(log) = self.telemetry.access_log() {
            log.write(entry);
        }
    }

    /// When a tunnel is as old as it may get: less up to a tenth, so that those that came together do not
    /// leave together.
    pub(super) fn oldest(&mut self, passage: &Passage, opened: Instant) -> Option<Instant> {
        let longest = passage.longest?;
        let jitter: f64 = self.random.random_range(0.9..1.0);
        Some(opened + longest.mul_f64(jitter))
    }

    /// Sets the timer of a tunnel to what comes first of it.
    pub(super) fn watch_tunnel(&mut self, key: TunnelKey) {
        let Some(passing) = self.tunnels.all.get_mut(key) else {
            return;
        };
        let idle = passing.passage.idle.unwrap_or(self.settings.client_idle);
        let silent = passing.tunnel.last_moved() + idle;
        let ends = [Some(silent), passing.oldest, passing.leaves];
        let due = ends.into_iter().flatten().min().unwrap_or(silent);
        self.timers.cancel(passing.timer);
        passing.timer = self.timers.set(due, Timer::Tunnel(key));
    }

    /// Something may be over.
    pub(in crate::engine) fn tunnel_timer(&mut self, key: TunnelKey) {
        let Some(passing) = self.tunnels.all.get(key) else {
            return;
        };
        let idle = passing.passage.idle.unwrap_or(self.settings.client_idle);
        let is_over = |at: Instant| at <= self.now;
        if passing.leaves.is_some_and(is_over) {
            self.close_tunnel(key, ResponseFlag::Drain);
        } else if passing.oldest.is_some_and(is_over) {
            passing.passage.clients.connection_aged();
            self.close_tunnel(key, ResponseFlag::DurationTimeout);
        } else if is_over(passing.tunnel.last_moved() + idle) {
            self.close_tunnel(key, ResponseFlag::IdleTimeout);
        } else {
            self.watch_tunnel(key);
        }
    }

    /// The configuration changed. What it does not ask for any more has time to end by itself.
    pub(in crate::engine) fn review_tunnels(&mut self) {
        for key in self.tunnels.all.keys().collect::<Vec<_>>() {
            let Some(passing) = self.tunnels.all.get_mut(key) else {
                continue;
            };
            // An old one holds the endpoints of its time.
            if let Some(passage) = self.tables.passage(&passing.passage.service) {
                passing.passage = passage.clone();
            }
            passing.leaves = match passing.is_wanted(&self.tables) {
                true => None,
                false => Some(passing.leaves.unwrap_or(self.now + self.settings.farewell)),
            };
            // Who has not proven yet who it is will be judged once it has.
            let is_dialled = self.tunnels.all.get(key).is_some_and(Passing::is_dialled);
            if is_dialled && !self.tunnels.may_pass(key) {
                self.break_tunnel(key, ResponseFlag::Denied);
                continue;
            }
            self.watch_tunnel(key);
        }
    }

    /// The drain time is over.
    pub(in crate::engine) fn close_tunnels(&mut self) {
        for key in self.tunnels.all.keys().collect::<Vec<_>>() {
            self.close_tunnel(key, ResponseFlag::Drain);
        }
    }
}
