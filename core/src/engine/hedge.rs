//! A second attempt beside one that is slow: whichever answers first counts, the other's answer is
//! dropped.

use meltemi_codec::{Answers, Outcome, Pin};

use super::{
    Engine, ExchangeKey, ServerKey, Timer,
    attempt::Next,
    exchange::{Exchange, Sent},
    own::Purpose,
    pool::Checkout,
    wire_ids::AttemptKey,
};
use crate::telemetry::OutcomeLabel;

impl Exchange {
    /// Whether two attempts of it are under way.
    #[inline(always)]
    pub(super) fn is_hedged(&self) -> bool {
        let repeat = self.repeat.as_ref();
        repeat.is_some_and(|repeat| repeat.rival.is_some())
    }

    /// Its attempts that are under way.
    pub(super) fn under_way(&self) -> impl Iterator<Item = Sent> + use<> {
        let rival = self.repeat.as_ref().and_then(|repeat| repeat.rival);
        self.attempt.into_iter().chain(rival)
    }

    /// Whether its answer may come by this attempt.
    #[inline(always)]
    pub(super) fn waits_for(&self, server: ServerKey, attempt: AttemptKey) -> bool {
        let is_it = |sent: Sent| sent.is(server, attempt);
        self.attempt.is_some_and(is_it) || self.is_hedged() && self.under_way().any(is_it)
    }

    /// Whether asking twice does no harm to it, whenever the first attempt may be executed.
    fn bears_a_rival(&self) -> bool {
        let harmless = self.idempotent || self.route.as_ref().is_some_and(|it| it.idempotent);
        let purpose = self.own.as_ref().map(|own| own.purpose);
        harmless
            && self.answers == Answers::One
            && self.pin == Pin::None
            && !self.waits
            && matches!(purpose, None | Some(Purpose::Part { .. }))
    }
}

impl Engine {
    /// Limits how long the try that has just begun asks one endpoint alone.
    pub(super) fn watch_for_hedge(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let delay = exchange.route.as_ref().and_then(|route| route.hedge);
        let Some(delay) = delay.filter(|_| exchange.bears_a_rival()) else {
            return;
        };
        let repeat = exchange.repeat.as_mut();
        let Some(repeat) = repeat.filter(|it| !it.hedged && it.hedge.is_none()) else {
            return;
        };
        repeat.hedge = Some(self.timers.set(self.now + delay, Timer::Hedge(key)));
    }

    /// An attempt is slow: another endpoint is asked, too, if there is one.
    pub(super) fn hedge(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if let Some(repeat) = &mut exchange.repeat {
            repeat.hedge = None;
        }
        if !self.may_hedge(key) {
            return;
        }
        let Some((first, server)) = self.rival_of(key) else {
            return;
        };
        if !self.takes_rival(key, server) {
            return self.server_settled(server);
        }
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        exchange.count_repetition();
        let Some(repeat) = &mut exchange.repeat else {
            return;
        };
        repeat.rival = Some(first);
        repeat.hedged = true;
        let request = std::mem::take(&mut repeat.request);
        self.let_nothing_follow(key);
        self.send(key, server, &request, true);
        self.give_back_kept(key, request);
    }

    fn may_hedge(&self, key: ExchangeKey) -> bool {
        let Some(exchange) = self.exchanges.get(key) else {
            return false;
        };
        let client = self.clients.get(exchange.client);
        let is_free = client.is_none_or(|client| client.pin.is_none());
        is_free
            && exchange.run.is_none()
            && exchange.attempt.is_some()
            && !exchange.is_being_answered()
            && !self.is_for_nobody(key)
            // Where order counts it must neither overtake nor be overtaken.
            && !self.is_followed(key)
            && self.followed(key, exchange).is_none()
    }

    /// Takes what a second attempt needs on this connection.
    fn takes_rival(&mut self, key: ExchangeKey, server: ServerKey) -> bool {
        if self.takes_attempt(key, server).is_err() {
            return false;
        }
        let exchange = self.exchanges.get(key);
        exchange.is_some_and(|exchange| {
            let allowed = self.begins_within_budget(exchange);
            if !allowed {
                exchange.attempts_over(1);
            }
            allowed
        })
    }

    /// The attempt that is under way, and a connection to another endpoint.
    fn rival_of(&mut self, key: ExchangeKey) -> Option<(Sent, ServerKey)> {
        let exchange = self.exchanges.get_mut(key)?;
        let first = exchange.attempt?;
        // Those that could not be reached before it do not count.
        exchange.chosen = 1;
        self.stay_within_load(key);
        loop {
            if self.exchanges.get(key)?.chosen > self.settings.further_candidates {
                return None;
            }
            match self.next_host(key) {
                Next::Host(host) if host == first.host => {}
                Next::Host(host) => {
                    if let Checkout::Use(server) = self.checkout(host, key) {
                        return Some((first, server));
                    }
                }
                Next::Nobody | Next::Unknown => return None,
            }
        }
    }

    /// The attempt has failed, without an answer: whether another is under way, that its exchange
    /// goes on to wait for.
    pub(super) fn has_rival(
        &mut self,
        key: ExchangeKey,
        server: ServerKey,
        attempt: AttemptKey,
    ) -> bool {
        let Some(parted) = self.part(key, (server, attempt), "failed") else {
            return false;
        };
        if let Some(exchange) = self.exchanges.get(key) {
            exchange.attempts_over(1);
        }
        if let Some(host) = self.tables.hosts.get_mut(parted.host) {
            host.active = host.active.saturating_sub(1);
            host.metrics.attempts_finished(1);
        }
        true
    }

    /// The first answer, or its head, of an exchange with two attempts. False: it says that the
    /// attempt has failed, and the other may still succeed.
    pub(super) fn outruns(
        &mut self,
        key: ExchangeKey,
        (server, attempt): (ServerKey, AttemptKey),
        outcome: &Outcome,
        over: bool,
    ) -> bool {
        let failed = matches!(
            outcome,
            Outcome::SystemError { .. } | Outcome::TryLater { .. }
        );
        if failed && over {
            if let Some(host) = self.attempt_over(server, attempt) {
                self.judge(host, OutcomeLabel::from(outcome));
            }
            self.has_rival(key, server, attempt);
            self.server_settled(server);
            return false;
        }
        let both = self.exchanges.get(key).map(Exchange::under_way);
        let slower = both.and_then(|mut both| both.find(|sent| !sent.is(server, attempt)));
        let slower = slower.map(|sent| (sent.server, sent.attempt));
        let Some(slower) = slower.and_then(|slower| self.part(key, slower, "outrun")) else {
            return true;
        };
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return true;
        };
        let winner = exchange.attempt.replace(slower);
        self.abandon_attempt(key);
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.attempt = winner;
        }
        true
    }

    /// Of two attempts the given one does not count any more. Returns it.
    fn part(
        &mut self,
        key: ExchangeKey,
        (server, attempt): (ServerKey, AttemptKey),
        word: &'static str,
    ) -> Option<Sent> {
        let exchange = self.exchanges.get_mut(key)?;
        let (current, repeat) = (exchange.attempt?, exchange.repeat.as_mut()?);
        let first = repeat.rival?;
        let parted = match (current.is(server, attempt), first.is(server, attempt)) {
            (true, _) => current,
            (_, true) => first,
            _ => return None,
        };
        repeat.rival = None;
        if current.is(server, attempt) {
            exchange.attempt = Some(first);
        }
        self.log_parted(key, current.is(server, attempt), word);
        Some(parted)
    }
}
