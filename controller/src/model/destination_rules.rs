//! Which DestinationRule speaks of a host, and what it says of a subset and port of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_policy::{host, subset};

use super::{Findings, Service, Services, objects_of};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{DestinationRule, Object, Spec, Subset, TrafficPolicy, nearest};
use crate::schema::Settings;

/// Rules by namespace and host; those of one host are merged.
#[derive(Debug)]
pub(crate) struct DestinationRules {
    by_host: BTreeMap<(Arc<str>, String), MergedRule>,
    root: String,
}

/// As Istio merges: subsets come together, the first of a name counts; the first policy counts.
#[derive(Debug)]
pub(crate) struct MergedRule {
    /// The first, oldest.
    pub(crate) source: Arc<Object>,
    /// The others.
    later: Vec<Arc<Object>>,
    policy: TrafficPolicy,
    subsets: Vec<Subset>,
}

impl DestinationRules {
    pub(super) fn new(
        objects: &Objects,
        services: &Services,
        settings: &Settings,
        findings: &mut Findings,
    ) -> Self {
        let mut rules: Vec<_> = objects_of!(objects, DestinationRule).collect();
        // The oldest first; those without a time after those that have one.
        rules.sort_by_key(|(o, _)| {
            (
                o.metadata.creation_timestamp.is_none(),
                o.metadata.creation_timestamp.clone(),
            )
        });
        let mut merged = Self {
            by_host: BTreeMap::new(),
            root: settings.root_namespace.clone(),
        };
        for (object, rule) in rules {
            refuse_tls(object, rule, findings);
            let host = merged.add(object, rule, services);
            check_host((object, rule), &host, services, findings);
        }
        for service in services.iter() {
            if let Some(rule) = merged.of(service) {
                rule.check_subsets(service, findings);
            }
        }
        merged
    }

    fn add(&mut self, object: &Arc<Object>, rule: &DestinationRule, services: &Services) -> String {
        let namespace = object.id.namespace.clone();
        let host = &rule.host.value;
        // A name without a dot is a host as it stands where there is a service of that name.
        let host = match services.iter().any(|s| s.host == *host) {
            true => host.clone(),
            false => host::expand(host, &namespace),
        };
        let merged = self
            .by_host
            .entry((namespace, host.clone()))
            .or_insert_with(|| MergedRule {
                source: object.clone(),
                later: vec![],
                policy: rule.policy.clone(),
                subsets: vec![],
            });
        if merged.source.id != object.id {
            merged.later.push(object.clone());
        }
        if merged.policy == TrafficPolicy::default() {
            merged.policy.clone_from(&rule.policy);
        }
        for subset in &rule.subsets {
            if merged
                .subsets
                .iter()
                .all(|s| s.name.value != subset.name.value)
            {
                merged.subsets.push(subset.clone());
            }
        }
        host
    }

    /// The rule for a service, looked up as for a client in its namespace: that namespace, then the
    /// root namespace; in each the most specific host.
    pub(crate) fn of(&self, service: &Service) -> Option<&MergedRule> {
        [&*service.namespace, self.root.as_str()]
            .into_iter()
            .find_map(|namespace| {
                let rules: Vec<_> = self
                    .by_host
                    .iter()
                    .filter(|((ns, _), _)| **ns == *namespace)
                    .collect();
                let hosts = rules.iter().map(|((_, host), _)| host.as_str());
                let best = host::most_specific(&service.host, hosts)?;
                rules.get(best).map(|(_, rule)| *rule)
            })
    }
}

impl MergedRule {
    /// The DestinationRules that it was merged from.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Arc<Object>> {
        std::iter::once(&self.source).chain(&self.later)
    }

    pub(crate) fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|s| s.name.value == name)
    }

    /// "did you mean", for a subset that is not there.
    pub(super) fn nearest_subset(&self, name: &str) -> String {
        nearest(name, self.subsets.iter().map(|s| s.name.value.as_str()))
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default()
    }

    /// The policy for a port of a subset, or of the whole service.
    pub(crate) fn policy(&self, subset: Option<&Subset>, port: u16) -> TrafficPolicy {
        let whole = merge(TrafficPolicy::default(), &self.policy, port);
        match subset {
            Some(subset) => merge(whole, &subset.policy, port),
            None => whole,
        }
    }

    fn check_subsets(&self, service: &Service, findings: &mut Findings) {
        let endpoints: Vec<_> = service.ports.iter().flat_map(|p| &p.endpoints).collect();
        for selector in &self.subsets {
            if endpoints.is_empty()
                || endpoints
                    .iter()
                    .any(|e| subset::selects(&selector.labels, &e.labels))
            {
                continue;
            }
            let labels: Vec<_> = selector
                .labels
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            let message = format!(
                "the subset `{}` selects nothing: no endpoint of {} has {}",
                selector.name.value,
                service.host,
                labels.join(" and ")
            );
            let diagnostic = Diagnostic::warning(Code::EmptySubset, message);
            findings.at(&self.source, selector.name.at, diagnostic);
        }
    }
}

/// Istio's `MergeTrafficPolicy`: each part of the narrower policy replaces the wider one's, but the
/// settings of a port replace everything, and what they leave out is at its default.
fn merge(wide: TrafficPolicy, narrow: &TrafficPolicy, port: u16) -> TrafficPolicy {
    if let Some(settings) = narrow.ports.get(&port) {
        return settings.clone();
    }
    TrafficPolicy {
        load_balancer: narrow.load_balancer.clone().or(wide.load_balancer),
        outlier_detection: narrow.outlier_detection.clone().or(wide.outlier_detection),
        tls: narrow.tls.clone().or(wide.tls),
        ports: BTreeMap::new(),
    }
}

fn check_host(
    (object, rule): (&Object, &DestinationRule),
    host: &str,
    services: &Services,
    findings: &mut Findings,
) {
    if services.iter().any(|s| host::covers(host, &s.host)) {
        return;
    }
    let near = services.nearest(host);
    let message = format!("no service has the host {}{near}", rule.host.value);
    let diagnostic = Diagnostic::warning(Code::UnknownHost, message);
    findings.at(object, rule.host.at, diagnostic);
}

/// No better by refusing the rule: its host would then be dialled in plaintext.
fn refuse_tls(object: &Object, rule: &DestinationRule, findings: &mut Findings) {
    for tls in rule.tls() {
        let mode = &tls.mode;
        let message = format!(
            "`tls.mode: {}` asks for TLS, which is not available yet",
            mode.value
        );
        let remedy = "its clusters are refused, never dialled in plaintext; remove `tls`, or \
                      set `mode: DISABLE` where plaintext is meant";
        let diagnostic = Diagnostic::error(Code::TlsUnavailable, message).remedy(remedy);
        findings.blameless(object, mode.at, diagnostic);
    }
}
