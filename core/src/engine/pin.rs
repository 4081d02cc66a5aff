//! The connection that all requests of a client go to, for as long as one of them says.

use meltemi_codec::Pin;

use super::{Engine, ExchangeKey, ServerKey, lost::Loss};

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
        client.pinned_to.clone_from(&exchange.to);
        let before = client.pin.replace(server);
        if before != Some(server)
            && let Some(repeat) = &mut exchange.repeat
        {
            repeat.pinned = true;
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
