//! What a rate limit service is asked about a request of a route.

use std::{borrow::Cow, rc::Rc, sync::Arc};

use meltemi_codec::{AttributeKey, Protocol};
use meltemi_policy::route::Steps;

use super::selection::Selection;
use crate::engine::source::Source;
use crate::{
    config::GlobalRateLimit,
    telemetry::{GlobalLimitMetrics, WorkerTelemetry},
};

/// The global limit of a route.
pub(in crate::engine) struct GlobalLimit {
    pub(in crate::engine) rule: Arc<GlobalRateLimit>,
    pub(in crate::engine) metrics: GlobalLimitMetrics,
    covered: Selection<()>,
    /// The attributes whose values make the descriptor.
    entries: Vec<AttributeKey>,
}

impl GlobalLimit {
    /// `None`: no request is limited, since the conditions do not compile, which is logged.
    pub(super) fn build(
        rule: &Arc<GlobalRateLimit>,
        protocol: &dyn Protocol,
        telemetry: &WorkerTelemetry,
    ) -> Option<Rc<Self>> {
        let rules = [(rule.matches.clone(), ())];
        let covered = Selection::new(rules, protocol, rule.compiled.as_ref(), None);
        let covered = covered.inspect_err(
            |error| tracing::error!(limit = %rule.name, %error, "conditions do not compile"),
        );
        let schema = protocol.attributes();
        let entries = rule.entries.iter();
        Some(Rc::new(Self {
            covered: covered.ok()?,
            entries: entries
                .map(|entry| AttributeKey::resolve(schema, &entry.attribute))
                .collect(),
            metrics: telemetry.global_limit(&rule.name),
            rule: Arc::clone(rule),
        }))
    }

    /// The values of a request's descriptor. `None`: it is not covered, as far as regular expressions can
    /// tell in time, or has none, since a value is missing.
    pub(in crate::engine) fn values<'m>(
        &self,
        source: &'m Source,
        attribute: impl Fn(&AttributeKey) -> Option<Cow<'m, [u8]>>,
    ) -> Option<Vec<String>> {
        let mut steps = Steps::default();
        let covered = self.covered.select(source, &mut steps, &attribute);
        covered.ok()??;
        let entries = self.entries.iter().map(|entry| {
            let value = attribute(entry).filter(|value| !value.is_empty())?;
            Some(String::from_utf8_lossy(&value).into_owned())
        });
        entries.collect()
    }
}
