//! Which bucket a request of a route takes a token from.

use std::{borrow::Cow, collections::HashMap, rc::Rc, sync::Arc};

use meltemi_codec::{AttributeKey, Protocol};
use meltemi_policy::route::Steps;

use super::selection::Selection;
use crate::engine::source::Source;
use crate::{
    buckets::{Bucket, Buckets},
    config,
    telemetry::{LimitMetrics, WorkerTelemetry},
};

/// The buckets of a route's limit.
pub(in crate::engine) struct RateLimit {
    /// `None`: there is no condition.
    conditions: Option<Selection<Metered>>,
    default: Option<Metered>,
}

/// A bucket, and what counts whom it let through.
pub(in crate::engine) struct Metered {
    bucket: Arc<Bucket>,
    pub(in crate::engine) metrics: LimitMetrics,
}

impl RateLimit {
    /// The bucket of a request, where it has one. Where regular expressions take too long, its conditions
    /// do not hold.
    #[inline]
    pub(in crate::engine) fn bucket<'m>(
        &self,
        source: &'m Source,
        attribute: impl Fn(&AttributeKey) -> Option<Cow<'m, [u8]>>,
    ) -> Option<&Metered> {
        let conditions = self.conditions.as_ref();
        let own = conditions.and_then(|conditions| {
            let found = conditions.select(source, &mut Steps::default(), attribute);
            found.ok().flatten()
        });
        own.or(self.default.as_ref())
    }
}

impl Metered {
    /// Takes a token at this time, which is the engine's. False: there is none.
    #[inline]
    pub(in crate::engine) fn take(&self, now: u64) -> bool {
        self.bucket.take(now)
    }

    /// A request that has taken a token was let through; or it is judged once more, and its bucket has
    /// the token back.
    #[inline(always)]
    pub(in crate::engine) fn settle(of: Option<&Self>, admitted: bool) {
        match of {
            Some(it) if admitted => it.metrics.admitted(),
            Some(it) => it.bucket.give_back(),
            None => {}
        }
    }

    /// Lets a request through that nothing else can keep back. False: there is no token.
    #[inline]
    pub(in crate::engine) fn admits(&self, now: u64) -> bool {
        let taken = self.take(now);
        if taken {
            self.metrics.admitted();
        }
        taken
    }
}

/// The limits of a service's routes, each built once.
pub(super) struct RateLimits<'a> {
    pub(super) protocol: &'a dyn Protocol,
    pub(super) buckets: &'a Buckets,
    pub(super) telemetry: &'a WorkerTelemetry,
    pub(super) built: HashMap<&'a str, Rc<RateLimit>>,
}

impl<'a> RateLimits<'a> {
    pub(super) fn of(&mut self, rule: &'a config::RateLimit) -> Rc<RateLimit> {
        if let Some(limit) = self.built.get(rule.name.as_str()) {
            return Rc::clone(limit);
        }
        let limit = Rc::new(self.build(rule));
        self.built.insert(&rule.name, Rc::clone(&limit));
        limit
    }

    fn build(&self, rule: &config::RateLimit) -> RateLimit {
        let metered = |covered: &[_], numbers, name: &str| Metered {
            bucket: self.buckets.find(&rule.name, covered, numbers),
            metrics: self.telemetry.limit(&rule.name, name),
        };
        let conditions = rule.conditions.iter().enumerate().map(|(i, condition)| {
            let name = format!("conditions[{i}]");
            let bucket = metered(&condition.matches, condition.bucket, &name);
            (condition.matches.clone(), bucket)
        });
        let conditions = Selection::new(conditions, self.protocol, rule.compiled.as_ref(), None);
        let conditions = conditions.inspect_err(
            |error| tracing::error!(limit = %rule.name, %error, "conditions do not compile"),
        );
        RateLimit {
            conditions: conditions.ok().filter(|it| !it.targets().is_empty()),
            default: rule.default.map(|numbers| metered(&[], numbers, "default")),
        }
    }
}
