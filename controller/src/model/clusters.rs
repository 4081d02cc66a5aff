//! The clusters that the rules lead to: endpoints, and the policy towards them.

use std::collections::BTreeMap;

use meltemi_policy::{ClusterName, subset};

use super::{Cluster, Context, Findings, LocalityState, Server, Service};
use crate::diagnostic::{Code, Diagnostic};
use crate::manifest::{Simple, Spec, TrafficPolicy};

/// The closure of the servers' rules, and nothing else.
pub(super) fn of(servers: &[Server], context: &Context<'_>) -> BTreeMap<ClusterName, Cluster> {
    let mut clusters = BTreeMap::new();
    for rule in servers.iter().flat_map(|s| &s.rules) {
        for destination in &rule.destinations {
            let name = &destination.cluster;
            if clusters.contains_key(name) {
                continue;
            }
            let service = context.services.find(&name.host, &rule.source.id.namespace);
            if let Some(cluster) = service.and_then(|service| cluster(name, service, context)) {
                clusters.insert(name.clone(), cluster);
            }
        }
    }
    clusters
}

/// None where the service has no such port or subset, or the policy asks for what it cannot get.
fn cluster(name: &ClusterName, service: &Service, context: &Context<'_>) -> Option<Cluster> {
    let port = service.port(name.port)?;
    let rule = context.rules.of(service);
    let subset = match name.subset.as_str() {
        "" => None,
        subset => Some(rule?.subset(subset)?),
    };
    let policy = rule
        .map(|rule| rule.policy(subset, port.number))
        .unwrap_or_default();
    if policy.tls.as_ref().is_some_and(|tls| tls.is_asked_for()) {
        return None;
    }
    let selected = |labels| subset.is_none_or(|s| subset::selects(&s.labels, labels));
    let endpoints = port
        .endpoints
        .iter()
        .filter(|e| selected(&e.labels))
        .cloned()
        .collect();
    Some(Cluster {
        source: rule.map_or(&service.source, |rule| &rule.source).id.clone(),
        balance: balance(&policy),
        locality: locality(&policy, service),
        outlier: policy.outlier_detection,
        endpoints,
    })
}

/// Istio's default is LEAST_REQUEST.
fn balance(policy: &TrafficPolicy) -> Simple {
    policy
        .load_balancer
        .as_ref()
        .and_then(|lb| lb.simple)
        .unwrap_or(Simple::LeastRequest)
}

fn locality(policy: &TrafficPolicy, service: &Service) -> LocalityState {
    let enabled = policy
        .load_balancer
        .as_ref()
        .and_then(|lb| lb.locality_enabled);
    if enabled == Some(false) {
        LocalityState::Disabled
    } else if policy.outlier_detection.is_some() || service.has_traffic_distribution {
        LocalityState::Active
    } else {
        LocalityState::NothingPermits
    }
}

/// Says where endpoints lie apart and nothing prefers the nearest.
pub(super) fn check_localities(context: &Context<'_>, findings: &mut Findings) {
    for service in context.services.iter() {
        let localities = service.localities().len();
        let port = service.ports.iter().find(|p| p.protocol.is_some());
        let Some(port) = port.filter(|_| localities > 1) else {
            continue;
        };
        let rule = context.rules.of(service);
        let policy = rule
            .map(|rule| rule.policy(None, port.number))
            .unwrap_or_default();
        if locality(&policy, service) != LocalityState::NothingPermits {
            continue;
        }
        let missing = match rule {
            Some(_) => "its DestinationRule has no outlierDetection",
            None => "it has no DestinationRule with outlierDetection",
        };
        let message = format!(
            "the endpoints of {} lie in {localities} localities, and the nearest are not \
             preferred: {missing}, and no annotation asks for a traffic distribution",
            service.host
        );
        let diagnostic = Diagnostic::warning(Code::LocalityInactive, message).remedy(
            "set `trafficPolicy.outlierDetection`, whose ejections move traffic to the next \
             locality, or `loadBalancer.localityLbSetting.enabled: false` if this is meant",
        );
        let source = rule.map_or(&service.source, |rule| &rule.source);
        let at = match &source.spec {
            Spec::DestinationRule(rule) => rule.host.at,
            _ => service.at,
        };
        findings.at(source, at, diagnostic);
    }
}
