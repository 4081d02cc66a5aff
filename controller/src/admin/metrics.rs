//! What the controller counts of itself, in the Prometheus text format.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Sources;
use crate::check::Report;
use crate::leader::Leadership;

pub(super) const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A clone counts the same.
#[derive(Clone)]
pub struct Metrics(Arc<Counted>);

struct Counted {
    registry: Registry,
    updated: Gauge,
    objects: Gauge,
    findings: Family<Severity, Gauge>,
    rejections: Counter,
    proxies: Gauge,
    lacking: Family<Lack, Gauge>,
    watches: Family<Kind, Gauge<f64, std::sync::atomic::AtomicU64>>,
    outdated: Family<Definition, Gauge>,
    leads: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Severity {
    severity: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Lack {
    why: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Definition {
    definition: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut counted = Counted {
            registry: Registry::with_prefix("meltemi_controller"),
            updated: Gauge::default(),
            objects: Gauge::default(),
            findings: Family::default(),
            rejections: Counter::default(),
            proxies: Gauge::default(),
            lacking: Family::default(),
            watches: Family::default(),
            outdated: Family::default(),
            leads: Gauge::default(),
        };
        counted.register();
        Self(Arc::new(counted))
    }
}

impl Counted {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "updated_timestamp_seconds",
            "When something was published last",
            self.updated.clone(),
        );
        registry.register("objects", "Objects in force", self.objects.clone());
        registry.register(
            "findings",
            "What is wrong with objects, or has no effect in them",
            self.findings.clone(),
        );
        registry.register(
            "rejections",
            "Resources that a proxy did not take",
            self.rejections.clone(),
        );
        registry.register(
            "proxies",
            "Proxies that are connected",
            self.proxies.clone(),
        );
        registry.register(
            "lacking_resources",
            "Resources that a proxy was told of and does not have in their newest version",
            self.lacking.clone(),
        );
        registry.register(
            "watch_age_seconds",
            "Since the API server was last heard of the kind",
            self.watches.clone(),
        );
        registry.register(
            "outdated_definitions",
            "Fields and values that a definition in the cluster lacks: the API server drops or refuses them",
            self.outdated.clone(),
        );
        registry.register(
            "leads",
            "Whether this replica is the one that writes",
            self.leads.clone(),
        );
    }
}

impl Metrics {
    /// Something else is in force.
    pub fn changed(&self, report: &Report) {
        let counted = &self.0;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        counted
            .updated
            .set(whole(now.unwrap_or_default().as_secs()));
        counted.objects.set(whole(report.objects));
        for (severity, count) in [("error", report.errors()), ("warning", report.warnings())] {
            let labels = Severity { severity };
            counted
                .findings
                .get_or_create_owned(&labels)
                .set(whole(count));
        }
    }

    pub fn rejected(&self) {
        self.0.rejections.inc();
    }

    pub(super) fn page(&self, sources: &Sources) -> Result<String, fmt::Error> {
        self.look(sources);
        let mut page = String::new();
        encode(&mut page, &self.0.registry)?;
        Ok(page)
    }

    /// What is not counted as it happens.
    fn look(&self, sources: &Sources) {
        let counted = &self.0;
        let clients = sources.clients.snapshot();
        counted.proxies.set(whole(clients.len()));
        let resources = || clients.iter().flat_map(|client| client.resources.values());
        let refused = resources().filter(|it| it.refused.is_some()).count();
        let sent = resources().filter(|it| it.sent.is_some()).count();
        for (why, count) in [("refused", refused), ("unanswered", sent)] {
            counted
                .lacking
                .get_or_create_owned(&Lack { why })
                .set(whole(count));
        }
        for (kind, age) in sources.contacts.iter().flat_map(|it| it.ages()) {
            let labels = Kind { kind: kind.name() };
            counted
                .watches
                .get_or_create_owned(&labels)
                .set(age.as_secs_f64());
        }
        counted.outdated.clear();
        for (definition, lacking) in sources.definitions.iter().flat_map(|it| it.outdated()) {
            let gauge = counted
                .outdated
                .get_or_create_owned(&Definition { definition });
            gauge.set(whole(lacking));
        }
        let leads = sources.leadership.as_ref().is_some_and(Leadership::leads);
        counted.leads.set(i64::from(leads));
    }
}

fn whole(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
