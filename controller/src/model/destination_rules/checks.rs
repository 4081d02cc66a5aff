//! What in DestinationRules has no effect, or not the one that was meant.

use std::collections::BTreeSet;

use meltemi_policy::{host, subset};

use super::super::{Findings, Service, Services};
use super::{DestinationRules, MergedRule, exports};
use crate::diagnostic::{Code, Diagnostic, Place, Position};
use crate::manifest::{DestinationRule, Object, Spec, TrafficPolicy};

/// Whether a rule is for the clients that it selects: Istio's `workloadSelector` speaks of workloads
/// with a sidecar, of which none is a proxy of ours.
pub(super) fn is_for_others(
    (object, rule): (&Object, &DestinationRule),
    findings: &mut Findings,
) -> bool {
    let Some(selector) = &rule.selector else {
        return false;
    };
    let message = "this DestinationRule never acts here: its `workloadSelector` names the clients \
                   that it is for";
    let remedy = "write a DestinationRule without `workloadSelector` for what is routed here";
    let diagnostic = Diagnostic::warning(Code::UnusedRule, message).remedy(remedy);
    findings.at(object, selector.at, diagnostic);
    true
}

/// Hosts and ports that no service has.
pub(super) fn targets(
    (object, rule): (&Object, &DestinationRule),
    host: &str,
    services: &Services,
    findings: &mut Findings,
) {
    let covered: Vec<_> = services
        .iter()
        .filter(|s| host::covers(host, &s.host))
        .collect();
    if covered.is_empty() {
        let near = services.nearest(host);
        let message = format!("no service has the host {}{near}", rule.host.value);
        let diagnostic = Diagnostic::warning(Code::UnknownHost, message);
        let remedy = "name the host of a ServiceEntry, or `*` and the end of several";
        findings.at(object, rule.host.at, diagnostic.remedy(remedy));
        return;
    }
    for (&number, settings) in rule.policies().flat_map(|p| &p.ports) {
        if covered.iter().any(|s| s.port(number).is_some()) {
            continue;
        }
        let message = format!("these settings have no effect: {host} has no port {number}");
        let diagnostic = Diagnostic::warning(Code::UnknownPort, message);
        let ports: Vec<_> = covered.iter().map(|s| s.port_list()).collect();
        let remedy = format!("its ports are {}", ports.join(", "));
        findings.at(object, settings.at, diagnostic.remedy(remedy));
    }
}

/// What an earlier rule for the same host says already.
pub(super) fn overruled(
    (object, rule): (&Object, &DestinationRule),
    earlier: &MergedRule,
    findings: &mut Findings,
) {
    let mut warn = |at, what: &str| {
        let message = format!("{what} has no effect: {} comes first", earlier.source.id);
        let diagnostic = Diagnostic::warning(Code::UnusedRule, message)
            .related("the first is here", place(&earlier.source))
            .remedy("write all of it into one DestinationRule");
        findings.at(object, at, diagnostic);
    };
    let unset = TrafficPolicy::default();
    if rule.policy != unset && earlier.policy != unset {
        warn(rule.host.at, "the policy of this DestinationRule");
    }
    for subset in &rule.subsets {
        let name = &subset.name.value;
        if earlier.subset(name).is_some() {
            warn(subset.name.at, &format!("this subset `{name}`"));
        }
    }
}

fn place(rule: &Object) -> Place {
    Place::of(&rule.file, host_at(rule))
}

/// Where a DestinationRule's host stands.
fn host_at(rule: &Object) -> Position {
    match &rule.spec {
        Spec::DestinationRule(spec) => spec.host.at,
        _ => rule.at,
    }
}

impl DestinationRules {
    /// Rules that are for a service, and are looked up for none.
    pub(super) fn check_use(&self, services: &Services, findings: &mut Findings) {
        let used: Vec<_> = services.iter().filter_map(|s| self.of(s)).collect();
        for (namespace, host, rule) in self.iter() {
            let covered = |s: &&Service| host::covers(host, &s.host);
            let Some(service) = services.iter().find(covered) else {
                continue;
            };
            if used.iter().any(|used| std::ptr::eq(*used, rule)) {
                continue;
            }
            let root = &self.root;
            let own = &service.namespace;
            let host = &service.host;
            let is_looked_up = *namespace == **own || namespace == root;
            let (reason, remedy) = if is_looked_up && !exports(&rule.export_to, namespace, own) {
                (
                    format!("its `exportTo` does not name {own}, the namespace of {host}"),
                    format!("add {own} to `exportTo`, or leave it out"),
                )
            } else if is_looked_up {
                (
                    format!("one that is nearer or more specific counts for {host}"),
                    "write what it says into the one that counts, or remove it".to_owned(),
                )
            } else {
                (
                    format!(
                        "the rules for {host} are those of its namespace {own} and of {root}, \
                         not of {namespace}"
                    ),
                    format!("move it to namespace {own}"),
                )
            };
            let message = format!("this DestinationRule never acts: {reason}");
            for source in rule.sources() {
                let diagnostic = Diagnostic::warning(Code::UnusedRule, &*message);
                findings.at(source, host_at(source), diagnostic.remedy(&*remedy));
            }
        }
    }
}

impl MergedRule {
    pub(super) fn check_subsets(&self, service: &Service, findings: &mut Findings) {
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
            let labels = endpoints.iter().flat_map(|e| e.labels.iter());
            let labels: BTreeSet<_> = labels.map(|(k, v)| format!("{k}={v}")).collect();
            let labels: Vec<_> = labels.into_iter().collect();
            let remedy = match labels.as_slice() {
                [] => "give the endpoints labels: they have none".to_owned(),
                labels => format!("its endpoints have {}", labels.join(", ")),
            };
            let diagnostic = Diagnostic::warning(Code::EmptySubset, message).remedy(remedy);
            findings.at(self.source_of(selector), selector.name.at, diagnostic);
        }
    }
}
