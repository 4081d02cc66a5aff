//! Global rate limits: a request is kept until a service has said whether it is within its limit, or
//! the time to do so is over.

use std::rc::Rc;

use meltemi_codec::{Frame, Pin, Status};

use super::{
    Action, Engine, ExchangeKey, QuestionId, Timer,
    held::{Held, Until},
    tables::GlobalLimit,
};
use crate::{
    rate_limit::{Failure, Question, Verdict},
    telemetry::ResponseFlag,
};

/// What a client is told that has reached its limit.
const LIMITED: &str = "a rate limit was reached";

/// What it is told where nobody knows.
const fn undecided(failure: Failure) -> &'static str {
    match failure {
        Failure::Timeout => "the rate limit service did not decide in time",
        Failure::Unreachable => "the rate limit service cannot be reached",
        Failure::Error => "the rate limit service answered with an error",
        Failure::Overflow => "too much is asked of the rate limit service already",
    }
}

impl Engine {
    /// Whether the request has to wait for what a rate limit service says, or was answered since that
    /// cannot be known.
    ///
    /// What ends a transaction passes always, as with local limits.
    pub(super) fn questioned(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> bool {
        let Some((limit, values)) = self.question(key, bytes, whole) else {
            return false;
        };
        let failure = match self.questions >= self.settings.questions {
            true => Some(Failure::Overflow),
            false => self.came_behind_in_vain(key).then_some(Failure::Timeout),
        };
        if let Some(failure) = failure {
            return !self.passes(key, &limit, Verdict::Failed(failure));
        }
        self.questions += 1;
        let due = self.now + limit.rule.timeout;
        let timer = self.timers.set(due, Timer::Undecided(key));
        self.actions.push_back(Action::Ask(Question {
            id: QuestionId(key),
            limit: limit.rule.clone(),
            values,
            due,
        }));
        self.hold(key, (bytes, whole), Until::Decided(limit, timer));
        true
    }

    /// Whether its client had sent it already when a verdict was waited for in vain. A pipeline waits
    /// once, not once for each of its requests.
    fn came_behind_in_vain(&self, key: ExchangeKey) -> bool {
        let exchange = self.exchanges.get(key);
        let client = exchange.and_then(|exchange| self.clients.get(exchange.client));
        client.is_some_and(|client| client.waited_in_vain)
    }

    /// What is to be asked about a request.
    fn question(
        &self,
        key: ExchangeKey,
        bytes: &[u8],
        whole: bool,
    ) -> Option<(Rc<GlobalLimit>, Vec<String>)> {
        let exchange = self.exchanges.get(key)?;
        let client = self.clients.get(exchange.client)?;
        let limit = exchange.route.as_ref()?.global_limit.as_ref()?;
        if exchange.pin == Pin::Release {
            return None;
        }
        let memo = &exchange.memo;
        let frame = Frame { bytes, whole, memo };
        let values = limit.values(&client.source, |attribute| {
            client.codec.attribute(frame, attribute)
        })?;
        Some((Rc::clone(limit), values))
    }

    /// No verdict has come in time.
    pub(super) fn undecided(&mut self, key: ExchangeKey) {
        let client = self.exchanges.get(key).map(|exchange| exchange.client);
        if let Some(client) = client.and_then(|client| self.clients.get_mut(client)) {
            client.waited_in_vain = client.keeps_order();
        }
        self.heed(key, Verdict::Failed(Failure::Timeout));
    }

    /// A verdict has come. One that is late is nobody's.
    pub(super) fn heed(&mut self, key: ExchangeKey, verdict: Verdict) {
        let Some(held) = self.release(key, |until| matches!(until, Until::Decided(..))) else {
            return;
        };
        let Held {
            request,
            whole,
            until,
        } = held;
        let Until::Decided(limit, timer) = until else {
            return;
        };
        self.timers.cancel(timer);
        self.questions = self.questions.saturating_sub(1);
        let client = self.exchanges.get(key).map(|exchange| exchange.client);
        if self.passes(key, &limit, verdict) && !self.kept_at_last(key, &request, whole) {
            return self.go_on(key, (request, whole));
        }
        self.spare.give(request);
        if let Some(client) = client.filter(|_| !whole) {
            self.client_received(client, &[]);
        }
    }

    /// Whether the request goes on; else it was answered, or, where it is owed no answer, dropped.
    fn passes(&mut self, key: ExchangeKey, limit: &GlobalLimit, verdict: Verdict) -> bool {
        let metrics = &limit.metrics;
        match verdict {
            Verdict::Ok => metrics.ok(),
            Verdict::OverLimit => {
                metrics.over_limit();
                self.answer(key, Status::RateLimited, LIMITED);
                return false;
            }
            Verdict::Failed(failure) => {
                metrics.failed(failure);
                if limit.rule.deny_on_fail {
                    let told = (Status::RateLimited, ResponseFlag::RateLimitServiceError);
                    self.answer_one(key, told, undecided(failure));
                    return false;
                }
                metrics.failure_mode_allowed();
            }
        }
        true
    }
}
