//! Requests that must not overtake what their client is owed already.

use meltemi_codec::{Pin, Request};
use slotmap::SlotMap;

use super::{
    ClientKey, Engine, ExchangeKey, ServerKey,
    client::{Client, Incoming, Parked, Phase},
    exchange::{Exchange, Sent},
    server::Server,
    tables::{Cluster, Host, HostKey},
};

impl Engine {
    /// Whether a request has to wait until its client is owed nothing: it goes to another
    /// connection than what is in flight, and the protocol's requests keep their order.
    #[inline]
    pub(super) fn has_to_wait(&self, key: ClientKey, request: &Request, whole: bool) -> bool {
        let Some(client) = self.clients.get(key).filter(|client| client.keeps_order()) else {
            return false;
        };
        let Some(newest) = client.flights.iter().next_back() else {
            return false;
        };
        if !whole {
            return true;
        }
        let newest = self.exchanges.get(*newest);
        if let Some(pin) = client.pin {
            // All that is in flight is on the one side or on the other: what went to the other
            // waited until nothing was.
            let sent = newest.and_then(|newest| newest.attempt);
            let pinned = sent.is_some_and(|sent| sent.server == pin);
            // A state that the connection has lost with what is in flight counts too.
            let other = newest.is_some_and(|newest| newest.session != request.session);
            if self.is_being_released(client) {
                return true;
            }
            return other || pinned == (request.pin == Pin::Aside);
        }
        if request.pin == Pin::Aside {
            return false;
        }
        if newest.is_some_and(|newest| newest.session != request.session) {
            return true;
        }
        let takes_its_own = !matches!(request.pin, Pin::None | Pin::Aside);
        takes_its_own
            && !client
                .flights
                .iter()
                .all(|flight| self.is_on_own(key, *flight))
    }

    /// Whether the client's pin is about to end, and what follows may belong elsewhere.
    fn is_being_released(&self, client: &Client) -> bool {
        let to = client.pinned_to.as_ref();
        let service = self.tables.service(client.service);
        let divided = to.is_some_and(|to| to.cluster.is_divided())
            || service.is_some_and(|service| service.divided);
        divided
            && client.flights.iter().any(|flight| {
                let flight = self.exchanges.get(*flight);
                flight.is_some_and(|flight| flight.pin == Pin::Release)
            })
    }

    /// What is known of the cluster has changed: a later request of a client may go elsewhere than
    /// an earlier one that is still on its way, and must not overtake it. So nothing more is read of
    /// those that are owed something by the cluster, until they are owed nothing.
    pub(super) fn hold_clients_of(&mut self, cluster: &Cluster) {
        self.hold_clients(|exchange, _| {
            let to = exchange.to.as_ref();
            exchange.pin != Pin::UntilReply && to.is_some_and(|to| to.cluster.name == cluster.name)
        });
    }

    /// Endpoints were ejected: who keeps order, and always has something on its way there, would follow it
    /// there for ever.
    pub(super) fn hold_clients_of_ejected(&mut self) {
        self.hold_clients(|exchange, hosts| {
            let host = exchange.attempt.and_then(|sent| hosts.get(sent.host));
            host.is_some_and(Host::is_ejected)
        });
    }

    /// What the client of a request sends from now on must not overtake it: where order counts nothing more
    /// is sent until it is owed nothing.
    pub(super) fn let_nothing_follow(&mut self, key: ExchangeKey) {
        let client = self.exchanges.get(key).map(|exchange| exchange.client);
        if let Some(client) = client.and_then(|client| self.clients.get_mut(client)) {
            client.waiting |= client.keeps_order();
        }
    }

    /// A request that had to go in order was waited for in vain, and so may be what follows it: its client
    /// sends nothing more until it is owed nothing, and then to whoever is next.
    pub(super) fn hold_client_of(&mut self, key: ExchangeKey) {
        let client = self.exchanges.get(key).map(|exchange| exchange.client);
        if let Some(client) = client.and_then(|client| self.clients.get_mut(client))
            && client.keeps_order()
            && client.pin.is_none()
        {
            client.waiting = true;
        }
    }

    /// A request went to the endpoint of its hash. As long as its connection is not there it may have to go
    /// to another one, where it must not come behind a later one: where order counts none is sent before
    /// it is answered.
    pub(super) fn keep_order_of_hashed(&mut self, key: ExchangeKey, server: ServerKey) {
        let is_there = self.servers.get(server).is_some_and(Server::is_ready);
        if !is_there {
            self.hold_client_of(key);
        }
    }

    /// Whether a request of a client that keeps order was passed by a later one, whose hash led it
    /// elsewhere: it may not go anywhere any more where that one may be.
    pub(super) fn was_passed(&self, key: ExchangeKey) -> bool {
        let wants_hash = |it: &&Exchange| it.to.as_ref().is_some_and(|to| !to.hash.is_empty());
        let Some(exchange) = self.exchanges.get(key).filter(wants_hash) else {
            return false;
        };
        let Some(client) = self.clients.get(exchange.client) else {
            return false;
        };
        let (turn, started) = (self.turn(exchange), exchange.started);
        let passes = |other: &ExchangeKey| {
            let other = self.exchanges.get(*other).filter(|_| *other != key);
            other.is_some_and(|other| {
                let is_there = |sent: Sent| self.servers.contains_key(sent.server);
                let is_later = match turn {
                    Some(_) => self.turn(other) > turn,
                    None => other.started >= started,
                };
                is_later && other.attempt.is_some_and(is_there)
            })
        };
        client.keeps_order()
            && (turn.is_some_and(|turn| client.outrun >= Some(turn))
                || client.flights.iter().any(passes))
    }

    /// Reads nothing more of those who keep order and are owed such a thing, until they are owed nothing.
    fn hold_clients(&mut self, concerned: impl Fn(&Exchange, &SlotMap<HostKey, Host>) -> bool) {
        let (exchanges, hosts) = (&self.exchanges, &self.tables.hosts);
        let concerned = |key: &ExchangeKey| {
            let exchange = exchanges.get(*key);
            exchange.is_some_and(|exchange| concerned(exchange, hosts))
        };
        for client in self.clients.values_mut() {
            if client.keeps_order() && client.pin.is_none() && client.flights.iter().any(concerned)
            {
                client.waiting = true;
            }
        }
    }

    /// Whether a request is on a connection that serves its client alone: others of its kind may
    /// follow it there.
    fn is_on_own(&self, key: ClientKey, exchange: ExchangeKey) -> bool {
        let exchange = self.exchanges.get(exchange);
        exchange
            .and_then(|exchange| exchange.attempt)
            .and_then(|sent| self.servers.get(sent.server))
            .is_some_and(|server| server.owner == Some(key))
    }

    /// Keeps a request, or the head of a large one, until its client is owed nothing. Nothing
    /// behind it is looked at.
    pub(super) fn park(
        &mut self,
        key: ClientKey,
        request: Request,
        bytes: &[u8],
        rest: Option<Option<u64>>,
    ) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.incoming = Incoming::Parked;
        client.parked = Some(Box::new(Parked {
            request,
            bytes: bytes.to_vec(),
            rest,
        }));
        self.buffered += bytes.len();
        self.reconsider_client(key);
    }

    /// The client is owed nothing any more: its parked request may go, and what was not looked at
    /// is.
    pub(super) fn unpark(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if !client.flights.is_empty() {
            return;
        }
        if let Some(question) = client.question.take() {
            return self.ask(key, *question);
        }
        client.waiting = false;
        if let Some(parked) = client.parked.take() {
            client.incoming = Incoming::Message;
            let Parked {
                request,
                bytes,
                rest,
            } = *parked;
            self.buffered = self.buffered.saturating_sub(bytes.len());
            match rest {
                Some(left) => self.start_large(key, request, &bytes, left),
                None => {
                    self.start(key, request, &bytes, true);
                }
            }
        }
        self.client_received(key, &[]);
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.waited_in_vain = false;
        if client.phase == Phase::Finishing {
            if matches!(client.incoming, Incoming::Body { .. }) {
                self.abandon_client(key);
            } else if !client.is_busy() {
                self.close_after_flush(key);
            }
        }
    }
}
