//! The connection that all requests of a client go to, for as long as one of them says.

use meltemi_codec::{AttributeKey, Frame, Pin, Plan};

use super::{Engine, ExchangeKey, ServerKey, lost::Loss, shards::Owner};

/// What a request is told that has to follow its client's pin and belongs elsewhere.
pub(super) const ASTRAY: &str =
    "its key belongs to another server than the connection that this client has for itself";

impl Engine {
    /// A request was sent that the requests behind it have to follow.
    pub(super) fn bind_pin(&mut self, key: ExchangeKey, server: ServerKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if !matches!(exchange.pin, Pin::UntilClose | Pin::UntilRelease) {
            return;
        }
        let Some(client) = self.clients.get_mut(exchange.client) else {
            return;
        };
        let before = client.pin.replace(server);
        if before != Some(server) {
            client.pinned_to.clone_from(&exchange.to);
            if let Some(repeat) = &mut exchange.repeat {
                repeat.pinned = true;
            }
        }
        if before.is_none() {
            return;
        }
        // What was to free the connection came before this request, its answer comes after.
        for earlier in client.flights.iter().filter(|earlier| **earlier != key) {
            if let Some(earlier) = self.exchanges.get_mut(*earlier)
                && earlier.pin == Pin::Release
            {
                earlier.pin = Pin::None;
            }
        }
    }

    /// Whether a request that has to follow its client's pin is about keys that are elsewhere: by the
    /// service's routes, or by the hash that divides the cluster. (Servers that divide their keys
    /// themselves say so themselves.)
    pub(super) fn is_astray(&self, key: ExchangeKey, bytes: &[u8], whole: bool) -> bool {
        let Some(exchange) = self.exchanges.get(key) else {
            return false;
        };
        let Some(client) = self.clients.get(exchange.client) else {
            return false;
        };
        let (Some(pin), Some(to)) = (client.pin, &client.pinned_to) else {
            return false;
        };
        let hashed = to.has_shards() && to.cluster.is_hashed();
        let service = self.tables.service(client.service);
        let divided = service.is_some_and(|service| service.divided);
        if exchange.pin == Pin::Aside || exchange.own.is_some() || !(divided || hashed) {
            return false;
        }
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        let key_attribute = service.and_then(|service| service.key_attribute);
        let keyed = key_attribute.is_some_and(|key| {
            let key = AttributeKey::Known(key);
            client.codec.attribute(frame, &key).is_some()
        });
        if !keyed {
            return false;
        }
        let route = exchange.route.as_ref();
        if route.is_some_and(|route| !route.leads_to(&to.cluster)) {
            return true;
        }
        match self.plan_of(key, bytes, true) {
            None => false,
            Some(Plan::One(constraint)) => {
                let owner = to.cluster.owner(&constraint, (0, 0), &self.tables.hosts);
                let pinned = self.servers.get(pin).map(|server| server.host);
                hashed && matches!(owner, Owner::Is { host, .. } if Some(host) != pinned)
            }
            Some(Plan::Many { .. } | Plan::Refuse { .. }) => true,
        }
    }

    /// The last request that needed the connection was answered.
    pub(super) fn release_pin(&mut self, key: ExchangeKey) {
        if let Some(exchange) = self.exchanges.get_mut(key)
            && exchange.pin == Pin::Release
            && let Some(client) = self.clients.get_mut(exchange.client)
        {
            exchange.pin = Pin::None;
            client.pin = None;
        }
    }

    /// A request that was to free the connection ends without the server's answer: nobody knows
    /// what that connection remembers of its client, so no other may have it.
    pub(super) fn drop_pin(&mut self, key: ExchangeKey) {
        if let Some(exchange) = self.exchanges.get(key)
            && exchange.pin == Pin::Release
            && let Some(client) = self.clients.get_mut(exchange.client)
            && let Some(server) = client.pin.take()
        {
            self.server_lost(server, Loss::Cut);
        }
    }
}
