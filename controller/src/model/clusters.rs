//! The clusters that the rules lead to: endpoints, and the policy towards them.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_policy::{ClusterName, DEFAULT_CONNECT_TIMEOUT, Locality, subset};

use super::destination_rules::MergedRule;
use super::hashing;
use super::health_check::HealthCheck;
use super::locality::{self, LocalityState, Mesh};
use super::services::Port;
use super::{
    Bind, Bound, Cluster, ClusterTls, Clusters, Context, Dns, Endpoint, Findings, Rule, Server,
    Service, Waypoint, tls,
};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::manifest::{Simple, Spec, Subset, TrafficPolicy};

/// The closure of the servers' rules, and nothing else.
pub(super) fn of(
    (servers, waypoints): (&[Server], &[Waypoint]),
    context: &Context<'_>,
    findings: &mut Findings,
) -> Clusters {
    let mut clusters: BTreeMap<ClusterName, Cluster> = BTreeMap::new();
    let mut add = |clusters: &mut BTreeMap<_, _>, name: &ClusterName, namespace: &str| {
        if !clusters.contains_key(name) {
            let service = context.services.find(&name.host, namespace);
            let made = service.and_then(|service| cluster(name, service, context, findings));
            clusters.extend(made.map(|made| (name.clone(), made)));
        }
    };
    for bound in bound(servers, waypoints) {
        add(&mut clusters, &bound.cluster, &bound.namespace);
    }
    for server in servers {
        for (rule, name) in server.rules.iter().flat_map(|rule| named(rule)) {
            add(&mut clusters, name, &rule.source.id.namespace);
            // Of several servers that lead to it, the one that permits most.
            if let Some(cluster) = clusters.get_mut(name) {
                let limit = server.policy.max_unknown_nodes;
                cluster.max_unknown_nodes = cluster.max_unknown_nodes.max(limit);
            }
        }
    }
    let clusters = clusters.into_iter();
    clusters
        .map(|(name, cluster)| (name, Arc::new(cluster)))
        .collect()
}

/// The ports of services that waypoints stand before.
pub(super) fn bound<'a>(
    servers: &'a [impl Borrow<Server>],
    waypoints: &'a [Waypoint],
) -> impl Iterator<Item = &'a Bound> {
    let servers = servers.iter().map(Borrow::<Server>::borrow);
    let routed = servers.filter_map(|server| match &server.bind {
        Bind::Service(bound) => Some(bound),
        Bind::Tcp(..) | Bind::Unix(_) => None,
    });
    let passed = waypoints.iter().flat_map(|waypoint| &waypoint.passed);
    routed.chain(passed.map(|passed| &passed.bound))
}

/// The clusters that a rule leads to, copies to or asks.
pub(crate) fn named(rule: &Rule) -> impl Iterator<Item = (&Rule, &ClusterName)> {
    rule.clusters().map(move |name| (rule, name))
}

/// None where the service has no such port or subset, or the policy asks for what it cannot get.
pub(super) fn cluster(
    name: &ClusterName,
    service: &Service,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Cluster> {
    let port = service.port(name.port)?;
    let rule = context.rules.of(service);
    let subset = match name.subset.as_str() {
        "" => None,
        subset => Some(rule?.subset(subset)?),
    };
    let policy = rule
        .map(|rule| rule.policy(subset, port.number))
        .unwrap_or_default();
    let tls = match rule {
        Some(rule) => encryption(rule, &policy, (service, name), (context, findings))?,
        None => None,
    };
    let health_check = policy.health_check.as_deref();
    let health_check = health_check.map(|check| HealthCheck::of(check, port, context));
    if let (Some(rule), Some(check)) = (rule, &health_check) {
        check.check(rule, context, findings);
    }
    let balancer = policy.load_balancer.as_ref();
    if let (Some(rule), Some(hash)) = (rule, balancer.and_then(|lb| lb.hash.as_ref())) {
        hashing::check(rule.hashing(hash), hash, port, context, findings);
    }
    let pool = *policy.connection_pool.clone().unwrap_or_default();
    let mut cluster = Cluster {
        source: rule.map_or(&service.source, |rule| &rule.source).id.clone(),
        balance: balance(&policy),
        hash: balancer.and_then(|lb| lb.hash.clone()),
        warmup: balancer.and_then(|lb| lb.warmup),
        connect_timeout: pool.tcp.connect_timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT),
        pool,
        tls,
        max_unknown_nodes: None,
        settings: vec![],
        topology: None,
        locality: LocalityState::of(&policy, service, context.mesh),
        panic_threshold: locality::panic_threshold(&policy, service),
        outlier: policy.outlier_detection.as_deref().cloned(),
        health_check,
        retry_budget: policy.retry_budget,
        dns: Dns::of(service, context.mesh),
        service: service.source.id.clone(),
        subset: subset.map_or_else(BTreeMap::new, |subset| subset.labels.clone()),
        endpoints: vec![],
    };
    cluster.select(&port.endpoints);
    if let Some(destination) = context.redis.of(service, port) {
        let has_balancer = balancer.is_some_and(|lb| lb.simple.is_some() || lb.hash.is_some());
        destination.apply(&mut cluster, port.number, has_balancer, context.services);
    }
    Some(cluster)
}

impl Cluster {
    /// Takes those endpoints of its service's port that are of its subset.
    pub(super) fn select(&mut self, endpoints: &[Arc<Endpoint>]) {
        let selected = endpoints
            .iter()
            .filter(|it| subset::selects(&self.subset, &it.labels));
        self.endpoints = selected.cloned().collect();
        if let Some(tls) = &mut self.tls {
            tls.name_accounts(&self.endpoints);
        }
    }
}

/// None where TLS is asked for and cannot be given; `Some(None)` where plaintext is.
fn encryption(
    rule: &MergedRule,
    policy: &TrafficPolicy,
    led_to: (&Service, &ClusterName),
    (context, findings): (&Context<'_>, &mut Findings),
) -> Option<Option<ClusterTls>> {
    let Some(asked) = policy.tls.as_deref().filter(|tls| tls.is_asked_for()) else {
        return Some(None);
    };
    let asking = rule.asking(asked);
    tls::of((asking, asked), led_to, context, findings).map(Some)
}

/// Istio's default is LEAST_REQUEST.
fn balance(policy: &TrafficPolicy) -> Simple {
    policy
        .load_balancer
        .as_ref()
        .and_then(|lb| lb.simple)
        .unwrap_or(Simple::LeastRequest)
}

/// Says where endpoints lie apart and nothing prefers the nearest: of a whole service, else of its
/// subsets, which may have settings of their own.
pub(super) fn check_localities(context: &Context<'_>, findings: &mut Findings) {
    for service in context.services.iter() {
        let rule = context.rules.of(service);
        let said = rule.is_some_and(|rule| check_failover(service, rule, findings));
        if said {
            continue;
        }
        if let Some(inactive) = inactive(service, rule, None, context.mesh) {
            let source = rule.map_or(&service.source, |rule| &rule.source);
            let at = match &source.spec {
                Spec::DestinationRule(rule) => rule.host.at,
                _ => service.at,
            };
            findings.at(source, at, inactive);
            continue;
        }
        let Some(rule) = rule else { continue };
        for subset in rule.subsets() {
            if let Some(inactive) = inactive(service, Some(rule), Some(subset), context.mesh) {
                findings.at(rule.source_of(subset), subset.name.at, inactive);
            }
        }
    }
}

/// Says where a failover is written for a port of the service, or of a subset, and cannot act. Each
/// is said once.
fn check_failover(service: &Service, rule: &MergedRule, findings: &mut Findings) -> bool {
    let mut said: Vec<Position> = vec![];
    let levels = || std::iter::once(None).chain(rule.subsets().iter().map(Some));
    for port in service.ports.iter().filter(|p| p.protocol.is_some()) {
        for subset in levels() {
            let policy = rule.policy(subset, port.number);
            let Some((setting, diagnostic)) = locality::unpermitted(&policy) else {
                continue;
            };
            if !said.contains(&setting.mark.at) {
                said.push(setting.mark.at);
                findings.at(rule.setting(setting), setting.mark.at, diagnostic);
            }
        }
    }
    !said.is_empty()
}

fn inactive(
    service: &Service,
    rule: Option<&MergedRule>,
    subset: Option<&Subset>,
    mesh: &Mesh,
) -> Option<Diagnostic> {
    let is_inactive = |port: &&Port| {
        let policy = rule.map(|rule| rule.policy(subset, port.number));
        let state = LocalityState::of(&policy.unwrap_or_default(), service, mesh);
        state == LocalityState::NothingPermits && localities(port, subset).len() > 1
    };
    let mut ports = service.ports.iter().filter(|p| p.protocol.is_some());
    let port = ports.find(is_inactive)?;
    let missing = match (rule, subset) {
        (None, _) => "it has no DestinationRule with outlierDetection",
        (Some(_), None) => "its DestinationRule has no outlierDetection",
        (Some(_), Some(_)) => "what its DestinationRule says of the subset has no outlierDetection",
    };
    let whose = match subset {
        Some(subset) => format!("the subset `{}` of {}", subset.name.value, service.host),
        None => service.host.clone(),
    };
    let message = format!(
        "the endpoints of {whose} lie in {} localities, and the nearest are not preferred at port \
         {}: {missing}, and no annotation asks for a traffic distribution",
        localities(port, subset).len(),
        port.number
    );
    let remedy = "set `trafficPolicy.outlierDetection`, whose ejections move traffic to the next \
                  locality, or `loadBalancer.localityLbSetting.enabled: false` if this is meant; \
                  `portLevelSettings` replace everything, so that they need it too";
    Some(Diagnostic::warning(Code::LocalityInactive, message).remedy(remedy))
}

fn localities<'a>(port: &'a Port, subset: Option<&Subset>) -> BTreeSet<&'a Locality> {
    let endpoints = port.endpoints.iter();
    let selected =
        endpoints.filter(|e| subset.is_none_or(|s| subset::selects(&s.labels, &e.labels)));
    selected.map(|e| &e.locality).collect()
}
