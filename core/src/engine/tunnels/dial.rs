//! The endpoint of a tunnel: chosen as for a request, connected to at once, so that protocols whose
//! servers speak first pass too.

use meltemi_policy::{HashPolicy, Hashed, hashing::hash_of};
use rand::Rng;
use slotmap::{Key, SlotMap};

use super::{End, Leg, Passing, TunnelKey};
use crate::{
    access_log::Attempt,
    engine::{
        Action, ConnectionId, Engine,
        shards::Owner,
        tables::{Cluster, Host, HostKey},
    },
    outlier::Outcome,
    telemetry::{OutcomeLabel, ResponseFlag},
    tunnel::Side,
};

/// What the access log calls the protocol.
pub(super) const PROTOCOL: &str = "tcp";

impl Passing {
    /// Who is asked next: the endpoint that the client has dialled itself and no other, else one of all.
    fn next(
        &mut self,
        (key, random): (TunnelKey, u64),
        hosts: &SlotMap<HostKey, Host>,
        elapsed: u64,
    ) -> Option<HostKey> {
        let cluster = &self.passage.cluster;
        let dialled = self.dialled;
        if let Some(host) = dialled.and_then(|address| cluster.dialled_at(address, hosts)) {
            return (self.asked == 0).then_some(host);
        }
        let hash = self.hash(cluster, key);
        if let Some(hash) = hash
            && let Owner::Is { host, .. } = cluster.chosen(hash, self.asked, hosts)
        {
            return Some(host);
        }
        if self.candidates.is_none() {
            self.candidates = cluster.candidates(random).map(|mut candidates| {
                candidates.doubt();
                candidates
            });
        }
        cluster.next(self.candidates.as_mut()?, hosts, elapsed)
    }

    /// Of what its cluster hashes it has only what is known of a connection.
    fn hash(&self, cluster: &Cluster, key: TunnelKey) -> Option<u64> {
        let hashed = cluster.hashed()?;
        HashPolicy::hash(&hashed.policies, |of| match of {
            Hashed::Attribute(_) => None,
            Hashed::SourceAddress => Some(hash_of(self.source.address.as_deref()?.as_bytes())),
            Hashed::Connection => {
                let port = self.peer.map_or(0, |peer| peer.port());
                let number = key.data().as_ffi().to_le_bytes();
                Some(hash_of(&number).rotate_left(1) ^ hash_of(&port.to_le_bytes()))
            }
        })
    }
}

impl Engine {
    /// Connects to the next endpoint; where there is none, the client is reset.
    pub(in crate::engine) fn dial(&mut self, key: TunnelKey) {
        let random = self.random.random();
        let Some(passing) = self.tunnels.all.get_mut(key) else {
            return;
        };
        let may_ask = passing.asked <= self.settings.further_candidates;
        let (hosts, elapsed) = (&self.tables.hosts, self.elapsed);
        let next = may_ask.then(|| passing.next((key, random), hosts, elapsed));
        let next = next.flatten();
        let Some((host_key, host)) = next.and_then(|key| Some((key, hosts.get(key)?))) else {
            let flag = match (passing.asked, passing.passage.cluster.is_known()) {
                (0, false) => ResponseFlag::NoRoute,
                (0, true) => ResponseFlag::NoHealthyUpstream,
                _ => ResponseFlag::ConnectFailure,
            };
            return self.break_tunnel(key, flag);
        };
        let Some(permit) = host.permit_of_its_own() else {
            host.metrics.connection_overflowed();
            return self.break_tunnel(key, ResponseFlag::Overload);
        };
        if passing.asked > 0 {
            host.metrics.retried();
        }
        passing.asked += 1;
        passing.attempts.push(Attempt {
            endpoint: host.address.to_string(),
            result: OutcomeLabel::Ok.as_str(),
        });
        let end = self.tunnels.ends.insert(End {
            tunnel: key,
            side: Side::Upstream,
        });
        passing.leg = Some(Leg {
            end,
            host: host_key,
            dial: host.dial.clone(),
            metrics: host.metrics.clone(),
            since: self.now,
            _permit: permit,
        });
        self.actions.push_back(Action::Connect {
            id: ConnectionId::Tunnel(end),
            address: host.address.clone(),
            protocol: PROTOCOL,
            keepalive: host.dial.keepalive,
            tls: host.dial.tls.clone(),
            timeout: host.dial.timeout,
        });
        self.tables.tunnel_starts(host_key);
    }

    /// The endpoint has it.
    pub(super) fn leg_connected(&mut self, key: TunnelKey) {
        let Some(passing) = self.tunnels.all.get_mut(key) else {
            return;
        };
        passing.candidates = None;
        let Some(leg) = &passing.leg else {
            return;
        };
        leg.metrics.connection_opened();
        let host = leg.host;
        let step = passing.tunnel.connected(self.now);
        self.report(host, Outcome::Success);
        self.take_step(key, step);
    }

    /// The endpoint cannot be connected to: another one is asked.
    pub(super) fn leg_failed(&mut self, key: TunnelKey) {
        let Some(passing) = self.tunnels.all.get_mut(key) else {
            return;
        };
        if let Some(last) = passing.attempts.last_mut() {
            last.result = ResponseFlag::ConnectFailure.word();
        }
        let Some(leg) = passing.leg.take() else {
            return;
        };
        self.tunnels.ends.remove(leg.end);
        leg.metrics.connect_failed();
        self.report(leg.host, Outcome::Unreachable);
        self.tables.tunnel_ends(leg.host);
        self.dial(key);
    }
}
