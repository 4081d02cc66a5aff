//! Clients that do not speak the protocol of their service, by their first bytes.
//!
//! Only where a service has a cluster of its own (a waypoint's: clients dial the service, whatever they
//! speak) such bytes are passed on; elsewhere they are malformed.

use std::rc::Rc;

use meltemi_codec::Sniff;
use meltemi_policy::Foreign;

use super::super::{Action, ClientKey, ConnectionId, Engine, client::Incoming, tables::Passage};

/// Whoever needs more to tell what they are has to take them for what they should be.
const MOST: usize = 16 * 1024;

/// What the first bytes of a client are.
pub(in crate::engine) enum First {
    /// Of its protocol, as far as it can tell them.
    Spoken,
    /// There are too few to tell.
    Unclear,
    /// Something else: they were passed on.
    Passed,
}

impl Engine {
    /// Looks at all that a client has sent so far.
    pub(in crate::engine) fn first_bytes(&mut self, key: ClientKey, bytes: &[u8]) -> First {
        let Some(client) = self.clients.get_mut(key) else {
            return First::Unclear;
        };
        let service = self.tables.service(client.service);
        let passage = service.and_then(|it| Some((it, it.passage.as_ref()?)));
        let verdict = match passage {
            Some((service, _)) => service.protocol.sniff(bytes),
            // The configuration has changed meanwhile.
            None => Sniff::Yes,
        };
        match (verdict, passage) {
            (Sniff::No, Some((_, passage))) => {
                let passage = Rc::clone(passage);
                self.pass_on(key, passage, bytes);
                First::Passed
            }
            (Sniff::Need(_), _) if bytes.len() < MOST => First::Unclear,
            (Sniff::Yes | Sniff::No | Sniff::Need(_), _) => {
                client.incoming = Incoming::Message;
                First::Spoken
            }
        }
    }

    /// A client's connection goes on as a tunnel.
    fn pass_on(&mut self, key: ClientKey, passage: Rc<Passage>, bytes: &[u8]) {
        let Some(client) = self.clients.remove(key) else {
            return;
        };
        client.metrics.protocol_mismatched(Foreign::of(bytes));
        let age = client.age.map(|(_, timer)| timer);
        for timer in [client.stall, age].into_iter().flatten() {
            self.timers.cancel(timer);
        }
        let home = (passage, client.listener);
        let tunnel = self.open_tunnel(home, (client.peer, client.source));
        let Some(end) = self.tunnels.all.get(tunnel).map(|passing| passing.client) else {
            return;
        };
        if let Some(address) = client.dialled {
            self.tunnel_dialled(end, address);
        }
        self.actions.push_back(Action::Rename {
            from: ConnectionId::Client(key),
            to: ConnectionId::Tunnel(end),
        });
        self.tunnel_connected(end);
        self.tunnel_received(end, bytes, 0);
    }
}
