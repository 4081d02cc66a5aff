//! Requests that a bound of their cluster or their route concerns. Where there is none, one look at the
//! cluster says so.

use meltemi_codec::{Answers, Pin, Status};

use super::{
    ClientKey, Engine, ExchangeKey, ServerKey,
    exchange::Exchange,
    server::Server,
    tables::{Destination, Limit, Limits, Route, RouteLimit},
};

impl Exchange {
    fn limits(&self) -> Option<&Limits> {
        self.to.as_ref()?.cluster.limits.as_ref()
    }

    fn route_limit(&self) -> Option<&RouteLimit> {
        self.route.as_ref()?.limit.as_ref()
    }

    /// Whether anything bounds its requests.
    pub(super) fn is_bounded(&self) -> bool {
        self.limits().is_some() || self.route_limit().is_some()
    }

    /// Takes what another request of its run needs on this connection.
    pub(super) fn takes_another(&self, server: &mut Server) -> bool {
        let limits = self.limits();
        if limits.is_some_and(|limits| limits.is_nearly_spent(server)) {
            return false;
        }
        let of_route = self.route_limit();
        if of_route.is_some_and(|limit| !limit.take()) {
            return false;
        }
        let taken = limits.is_none_or(|limits| limits.take(server).is_ok());
        if let Some(limit) = of_route.filter(|_| !taken) {
            limit.give_back(1);
        }
        taken
    }

    /// Its attempt is under way no more.
    #[inline(always)]
    pub(super) fn attempt_over(&mut self) {
        if !std::mem::take(&mut self.encoded) {
            self.attempts_over(1);
        }
    }

    /// So many of its attempts are under way no more.
    #[inline(always)]
    pub(super) fn attempts_over(&self, n: u32) {
        if let Some(limits) = self.limits() {
            limits.give_back(n);
        }
    }

    /// So many of its requests are over.
    #[inline(always)]
    pub(super) fn requests_over(&self, n: u32) {
        if self.counted
            && let Some(limit) = self.route_limit()
        {
            limit.give_back(n);
        }
    }
}

impl Engine {
    /// Takes what a request needs that goes this short way. False: it has to go the long one, which says
    /// what refuses it.
    #[inline(always)]
    pub(super) fn admits(
        &mut self,
        (route, to): (&Route, &Destination),
        server: ServerKey,
        client: ClientKey,
    ) -> bool {
        match (&route.limit, &to.cluster.limits) {
            (None, None) => true,
            (of_route, of_cluster) => {
                let (of_route, of_cluster) = (of_route.as_ref(), of_cluster.as_ref());
                self.takes(of_route, of_cluster, server, client)
            }
        }
    }

    fn takes(
        &mut self,
        of_route: Option<&RouteLimit>,
        of_cluster: Option<&Limits>,
        server_key: ServerKey,
        client: ClientKey,
    ) -> bool {
        let counted = of_route.is_none_or(RouteLimit::take);
        let server = self.servers.get_mut(server_key).filter(|_| counted);
        let taken = server.and_then(|server| match of_cluster {
            Some(limits) => limits.take(server).ok(),
            None => Some(false),
        });
        match taken {
            Some(true) => self.hold_clients_on(server_key, client),
            Some(false) => {}
            None => {
                if let Some(limit) = of_route.filter(|_| counted) {
                    limit.give_back(1);
                }
                // It may have been opened, or given to the client, for this request.
                self.server_settled(server_key);
            }
        }
        taken.is_some()
    }

    /// Takes what a request needs of what its route allows. False: it was refused.
    #[inline(always)]
    pub(super) fn admitted_by_route(&mut self, key: ExchangeKey) -> bool {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return false;
        };
        let Some(limit) = exchange.route.as_ref().and_then(|it| it.limit.as_ref()) else {
            return true;
        };
        let client = self.clients.get(exchange.client);
        exchange.counted = match client.is_some_and(|client| client.pin.is_some()) {
            true => limit.take_anyway(),
            false => limit.take(),
        };
        exchange.counted || self.refused_by_route(key)
    }

    fn refused_by_route(&mut self, key: ExchangeKey) -> bool {
        let exchange = self.exchanges.get(key);
        if let Some(client) = exchange.and_then(|it| self.clients.get(it.client)) {
            client.metrics.route_overflowed();
        }
        let message = "as many requests of its route are unanswered as its `circuitBreaker` allows";
        self.answer(key, Status::Overloaded, message);
        false
    }

    /// Sends a request on a connection, if its cluster allows one more.
    #[inline(always)]
    pub(super) fn send_within(
        &mut self,
        key: ExchangeKey,
        server_key: ServerKey,
        bytes: &[u8],
        whole: bool,
    ) {
        let exchange = self.exchanges.get(key);
        let is_bounded = exchange.is_some_and(Exchange::is_bounded);
        if is_bounded && let Err(limit) = self.takes_attempt(key, server_key) {
            self.server_settled(server_key);
            return self.refuse(key, limit);
        }
        self.send(key, server_key, bytes, whole);
        if is_bounded && whole {
            self.one_way_encoded(key, server_key);
        }
    }

    /// What is owed no answer is under way until a connection has its bytes, as it is in Envoy until it is
    /// encoded: those of a burst, of which nothing can be told when they are refused, do not add up.
    fn one_way_encoded(&mut self, key: ExchangeKey, server: ServerKey) {
        if !self.servers.get(server).is_some_and(Server::is_ready) {
            return;
        }
        let exchange = self.exchanges.get_mut(key);
        let exchange = exchange.filter(|it| it.answers == Answers::None && !it.encoded);
        // What could not be sent has been given back already, or is on its way elsewhere.
        if let Some(exchange) =
            exchange.filter(|it| it.attempt.is_some_and(|sent| sent.server == server))
        {
            exchange.attempts_over(1);
            exchange.encoded = true;
            exchange.requests_over(1);
            exchange.counted = false;
        }
    }

    pub(super) fn takes_attempt(
        &mut self,
        key: ExchangeKey,
        server_key: ServerKey,
    ) -> Result<(), Limit> {
        let (Some(exchange), Some(server)) =
            (self.exchanges.get(key), self.servers.get_mut(server_key))
        else {
            return Ok(());
        };
        let client = exchange.client;
        // What belongs to a connection of its client's own (a transaction) is not left out of it.
        let pinned = self.clients.get(client);
        let pinned = pinned.is_some_and(|client| client.pin.is_some());
        let spent = match exchange.limits() {
            Some(limits) if pinned || exchange.is_probe() => limits.take_anyway(server),
            Some(limits) => limits.take(server)?,
            None => false,
        };
        if spent {
            self.hold_clients_on(server_key, client);
        }
        Ok(())
    }

    /// What refuses a request for which a connection would have to be made.
    pub(super) fn refuses_new(&self, key: ExchangeKey) -> Option<Limit> {
        let exchange = self.exchanges.get(key).filter(|it| !it.is_probe())?;
        exchange.limits()?.refuses_new()
    }

    /// Answers a request that goes beyond a bound.
    pub(super) fn refuse(&mut self, key: ExchangeKey, limit: Limit) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        if let Some(limits) = exchange.limits() {
            limits.refused(limit);
        }
        let cluster = exchange.to.as_ref().map_or("", |to| &*to.cluster.name);
        let message = match limit {
            Limit::Requests => format!(
                "as many requests to {cluster} are under way as its `http2MaxRequests` allows"
            ),
            Limit::Pending => format!(
                "as many requests wait for a connection to {cluster} as its \
                 `http1MaxPendingRequests` allows"
            ),
        };
        self.answer(key, Status::Overloaded, &message);
    }

    /// A connection has its last request. Where order counts, what follows those that are on it waits
    /// until their client is owed nothing, and goes elsewhere then.
    fn hold_clients_on(&mut self, key: ServerKey, asking: ClientKey) {
        let Some(server) = self.servers.get(key) else {
            return;
        };
        let exchanges = server.attempts.exchanges();
        let of_exchanges = exchanges.filter_map(|key| self.exchanges.get(key));
        let concerned = of_exchanges
            .filter(|it| it.pin != Pin::Aside)
            .map(|it| it.client);
        for client in concerned.chain([asking]).collect::<Vec<_>>() {
            if let Some(client) = self.clients.get_mut(client)
                && client.keeps_order()
                && client.pin != Some(key)
            {
                client.waiting = true;
            }
        }
    }
}
