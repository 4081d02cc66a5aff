//! Requests that are sent again because a route says so: after a failure that it names, as often as
//! it allows, within the budget of the cluster.

use meltemi_codec::{Answers, Outcome, Pin};
use meltemi_policy::retry::longest_pause;
use rand::Rng;

use super::{
    Engine, ExchangeKey, ServerKey, Timer, exchange::Exchange, own::Purpose, tables::Route,
    wire_ids::AttemptKey,
};
use crate::{
    config::{RetryOn, RetryPolicy},
    outlier,
    telemetry::OutcomeLabel,
};

/// Requests above this are sent once: more bytes are not kept for a repetition.
const KEPT: usize = 64 * 1024;

impl RetryOn {
    fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::SystemError { .. } => Some(Self::SystemError),
            Outcome::TryLater { .. } => Some(Self::Overloaded),
            _ => None,
        }
    }

    /// Whether the request may have been executed.
    fn may_be_done(self) -> bool {
        self != Self::ConnectFailure
    }

    /// Whether the endpoint is there all the same: slow, broken or with too much to do.
    fn is_of_who_is_there(self) -> bool {
        matches!(self, Self::SystemError | Self::Overloaded | Self::Timeout)
    }

    /// In the access log's words.
    fn word(self) -> &'static str {
        match self {
            Self::ConnectFailure => "connect_failure",
            Self::ResetBeforeBytes => "upstream_reset",
            Self::SystemError => OutcomeLabel::SystemError.as_str(),
            Self::Overloaded => OutcomeLabel::TryLater.as_str(),
            Self::Timeout => "timeout",
        }
    }
}

impl Route {
    /// Whether it may want a request of so many bytes sent again.
    #[inline(always)]
    pub(super) fn keeps(&self, bytes: usize) -> bool {
        (self.retry.is_some() || self.hedge.is_some()) && bytes <= KEPT
    }
}

impl Exchange {
    /// What its route says of repetitions.
    pub(super) fn retry_policy(&self) -> Option<&RetryPolicy> {
        self.route.as_ref()?.retry.as_ref()
    }

    /// Whether its request is kept for a repetition that its route may ask for.
    pub(super) fn may_be_retried(&self, bytes: usize) -> bool {
        let route = self.route.as_ref();
        route.is_some_and(|route| route.keeps(bytes)) && self.answers != Answers::None
    }

    /// Whether anything of an answer is there that may be passed on.
    pub(super) fn is_being_answered(&self) -> bool {
        let own = self.own.as_ref();
        self.answered || self.response_bytes > 0 || own.is_some_and(|own| !own.answer.is_empty())
    }

    /// Its cluster, whose budget allows it, counts one more repetition.
    pub(super) fn count_repetition(&mut self) {
        let budget = self.to.as_ref().and_then(|to| to.cluster.budget.as_ref());
        if let (Some(repeat), Some(budget)) = (&mut self.repeat, budget) {
            repeat.counted = true;
            budget.count();
        }
    }

    /// Whether its route asks for a repetition after such a failure, and its request bears it.
    fn bears(&self, failure: RetryOn) -> bool {
        let Some(policy) = self.retry_policy().filter(|it| it.on.contains(&failure)) else {
            return false;
        };
        let harmless = self.idempotent
            || policy.non_idempotent
            || self.route.as_ref().is_some_and(|route| route.idempotent);
        let purpose = self.own.as_ref().map(|own| own.purpose);
        let is_passing = self.pin == Pin::None && !self.waits && !self.is_being_answered();
        let left = self.repeat.as_ref();
        left.is_some_and(|repeat| repeat.retries < policy.attempts)
            && (harmless || !failure.may_be_done())
            && is_passing
            && matches!(purpose, None | Some(Purpose::Part { .. }))
    }
}

impl Engine {
    /// Whether the request of an attempt that failed is sent again instead of being answered. The
    /// exchange does not wait for that attempt any more.
    pub(super) fn is_retried(&mut self, key: ExchangeKey, failure: RetryOn) -> bool {
        let may = self.may_retry(key, failure);
        if may {
            self.retry(key, failure);
        }
        may
    }

    /// If so, what follows is [`Engine::retry`].
    pub(super) fn may_retry(&self, key: ExchangeKey, failure: RetryOn) -> bool {
        let Some(exchange) = self.exchanges.get(key) else {
            return false;
        };
        let pinned = self.clients.get(exchange.client);
        let pinned = pinned.is_some_and(|client| client.pin.is_some());
        // Of a server that is there, the first attempt may yet arrive, behind what goes in turn.
        let is_lost = matches!(failure, RetryOn::ConnectFailure | RetryOn::ResetBeforeBytes);
        let is_followed = match is_lost && self.keeps_turn(key) {
            true => self.is_followed_out_of_turn(key),
            false => self.is_followed(key),
        };
        exchange.bears(failure)
            && !pinned
            && !self.is_for_nobody(key)
            && !is_followed
            && self.begins_within_budget(exchange)
    }

    /// Whether the cluster may have another repetition under way, which it has from then on, or has this
    /// one already.
    pub(super) fn begins_within_budget(&self, exchange: &Exchange) -> bool {
        let Some(to) = &exchange.to else {
            return false;
        };
        let counted = exchange.repeat.as_ref().is_some_and(|it| it.counted);
        counted || to.cluster.begins_retry(self.settings.workers)
    }

    pub(super) fn retry(&mut self, key: ExchangeKey, failure: RetryOn) {
        let jitter = self.random.random_range(0.0..1.0);
        let in_turn = self.keeps_turn(key);
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(policy) = exchange.retry_policy() else {
            return;
        };
        let first = policy.backoff;
        exchange.count_repetition();
        let Some(repeat) = exchange.repeat.as_mut() else {
            return;
        };
        let timers = [repeat.limit.take(), repeat.hedge.take()];
        for timer in timers.into_iter().flatten() {
            self.timers.cancel(timer);
        }
        let longest = longest_pause(first, repeat.retries);
        repeat.retries += 1;
        repeat.in_turn = in_turn;
        exchange.chosen = 0;
        exchange.within_load |= failure.is_of_who_is_there();
        exchange.note_failure(failure.word());
        let pause = longest.mul_f64(jitter);
        self.let_nothing_follow(key);
        // Behind another it goes with that one.
        if self.is_behind_another(key) {
            return;
        }
        let timer = self.timers.set(self.now + pause, Timer::Again(key));
        let exchange = self.exchanges.get_mut(key);
        if let Some(repeat) = exchange.and_then(|exchange| exchange.repeat.as_mut()) {
            repeat.pause = Some(timer);
        }
    }

    /// Whether an answer is not passed on, and its request is sent again.
    pub(super) fn answer_is_retried(
        &mut self,
        key: ExchangeKey,
        (server, attempt): (ServerKey, AttemptKey),
        outcome: &Outcome,
    ) -> bool {
        let Some(failure) = RetryOn::of(outcome).filter(|it| self.may_retry(key, *it)) else {
            return false;
        };
        let host = self.servers.get(server).map(|server| server.host);
        if let Some(host) = host {
            self.judge(host, OutcomeLabel::from(outcome));
        }
        self.detach_answered(key, server, attempt);
        self.retry(key, failure);
        true
    }

    /// Limits the time of the try that has just begun, and how long an endpoint is asked alone in it.
    ///
    /// It goes on where an endpoint that could not be reached was replaced by another. With a second
    /// attempt beside the first its time begins anew.
    #[inline(always)]
    pub(super) fn watch_try(&mut self, key: ExchangeKey) {
        self.limit_try(key);
        self.watch_for_hedge(key);
    }

    #[inline(always)]
    fn limit_try(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let limit = exchange.retry_policy().and_then(|it| it.per_try_timeout);
        let (Some(limit), false) = (limit, exchange.waits) else {
            return;
        };
        let repeat = exchange.repeat.as_mut();
        let Some(repeat) = repeat.filter(|it| it.limit.is_none() || it.rival.is_some()) else {
            return;
        };
        let timer = self.timers.set(self.now + limit, Timer::Try(key));
        if let Some(before) = repeat.limit.replace(timer) {
            self.timers.cancel(before);
        }
    }

    /// An attempt has taken too long, for each request that it stands for.
    pub(super) fn try_timed_out(&mut self, key: ExchangeKey) {
        let exchange = self.exchanges.get_mut(key);
        if let Some(repeat) = exchange.and_then(|it| it.repeat.as_mut()) {
            repeat.limit = None;
        }
        self.each_of_run(key, Self::one_try_timed_out);
    }

    fn one_try_timed_out(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let begun = exchange.is_being_answered();
        let under_way = exchange.under_way();
        if begun || exchange.attempt.is_none() {
            // It is being answered, or waits for the next one.
            return;
        }
        if !self.may_retry(key, RetryOn::Timeout) {
            return self.exchange_timed_out(key);
        }
        for sent in under_way {
            self.report(sent.host, outlier::Outcome::Timeout);
            self.measure(sent);
            self.suspect(sent.host);
        }
        self.abandon_attempt(key);
        self.retry(key, RetryOn::Timeout);
    }
}
