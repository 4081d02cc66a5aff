//! What the controller counts of itself, in the Prometheus text format.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::pushes::Pushes;
use super::{Sources, Watched};
use crate::ads::Counts;
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
    proxies: Gauge,
    waiting: Gauge,
    lacking: Family<Lack, Gauge>,
    watches: Family<Kind, Gauge<f64, AtomicU64>>,
    outdated: Family<Definition, Gauge>,
    leads: Gauge,
    queue: Gauge<f64, AtomicU64>,
    certificates: Family<Certificate, Gauge>,
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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Certificate {
    certificate: &'static str,
}

impl Metrics {
    /// Beside what the server counts.
    #[must_use]
    pub fn new(server: &Counts) -> Self {
        let mut counted = Counted {
            registry: Registry::with_prefix("meltemi_controller"),
            updated: Gauge::default(),
            objects: Gauge::default(),
            findings: Family::default(),
            proxies: Gauge::default(),
            waiting: Gauge::default(),
            lacking: Family::default(),
            watches: Family::default(),
            outdated: Family::default(),
            leads: Gauge::default(),
            queue: Gauge::default(),
            certificates: Family::default(),
        };
        counted.register();
        let pushes = Box::new(Pushes(server.clone()));
        counted.registry.register_collector(pushes);
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
            "proxies",
            "Proxies that are connected",
            self.proxies.clone(),
        );
        registry.register(
            "waiting_proxies",
            "Proxies that were served more than was read here, and are told nothing before it was",
            self.waiting.clone(),
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
        registry.register(
            "queue_age_seconds",
            "How long the oldest change has waited that is not published yet",
            self.queue.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When what proxies are shown does not count any more",
            self.certificates.clone(),
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
        counted.watched(sources.watched.as_ref());
        let expiry = &sources.expiry;
        let certificates = [("server", expiry.certificate()), ("root", expiry.root())];
        for (certificate, time) in certificates {
            if let Some(time) = time {
                let labels = Certificate { certificate };
                counted
                    .certificates
                    .get_or_create_owned(&labels)
                    .set(whole(time));
            }
        }
        let leads = sources.leadership.as_ref().is_some_and(Leadership::leads);
        counted.leads.set(i64::from(leads));
    }
}

impl Counted {
    fn watched(&self, watched: Option<&Watched>) {
        let Some(Watched {
            contacts,
            queue,
            definitions,
            progress,
        }) = watched
        else {
            return;
        };
        self.queue.set(queue.age().as_secs_f64());
        self.waiting.set(whole(progress.waiting()));
        // Several watches may be of one kind, and one that is deaf is not to hide behind others; those that are over are gone.
        let mut oldest = BTreeMap::new();
        for (kind, age) in contacts.ages() {
            let known: &mut Duration = oldest.entry(kind.name()).or_default();
            *known = age.max(*known);
        }
        self.watches.clear();
        for (kind, age) in oldest {
            self.watches
                .get_or_create_owned(&Kind { kind })
                .set(age.as_secs_f64());
        }
        self.outdated.clear();
        for (definition, lacking) in definitions.outdated() {
            self.outdated
                .get_or_create_owned(&Definition { definition })
                .set(whole(lacking));
        }
    }
}

fn whole(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
