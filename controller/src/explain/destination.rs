//! Which endpoints of a destination get what share, by the arithmetic of the proxy itself.

use std::time::Duration;

use meltemi_policy::explain::{
    Budget, Connections, DestinationShare, Encryption, FailedParts, Keepalive, Outliers,
};
use meltemi_policy::hashing::Keyed;
use meltemi_policy::{ClusterName, Limits, Place};

use super::keyed;
use super::tiers::Endpoints;
use crate::manifest::{ConnectionPool, Simple};
use crate::model::{
    Cluster, ClusterTls, Identity, LocalityOrigin, LocalityState, Model, Rule, Trust,
};

/// Where a request goes that is asked about, and from where.
#[derive(Clone, Copy)]
pub(super) struct Situation<'a> {
    pub(super) model: &'a Model,
    /// Of the proxy.
    pub(super) place: Place<'a>,
    /// Addresses of endpoints that are to count as ejected.
    pub(super) failed: &'a [String],
    /// What is known of the request.
    pub(super) keyed: &'a Keyed<'a>,
}

/// The destinations of a rule.
pub(super) fn all(rule: &Rule, situation: Situation<'_>) -> Vec<DestinationShare> {
    let repeats = rule.retries.is_some() || rule.hedge.is_some();
    let of = |name: &ClusterName| share(name, repeats, situation);
    let destinations = rule.destinations.iter();
    destinations
        .map(|to| DestinationShare {
            weight: to.weight.into(),
            fallbacks: to.fallbacks.iter().map(of).collect(),
            ..of(&to.cluster)
        })
        .collect()
}

/// `repeats`: the route may send requests again.
fn share(name: &ClusterName, repeats: bool, situation: Situation<'_>) -> DestinationShare {
    let unknown = DestinationShare {
        cluster: name.to_string(),
        weight: 100.0,
        ..DestinationShare::default()
    };
    let Some(cluster) = situation.model.clusters.get(name) else {
        return unknown;
    };
    let keyed = situation.keyed;
    let placed = Endpoints::of(cluster, situation.place, situation.failed);
    let rule = keyed::rule(cluster);
    let unresolved = rule.as_ref().and_then(|_| unresolved(cluster));
    DestinationShare {
        load_balancer: Some(keyed::balance(cluster, keyed)),
        tls: cluster.tls.as_ref().map(encryption),
        connections: connections(cluster).described(),
        warmup: warmup(cluster),
        limits: limits(cluster).described(),
        retry_budget: budget(cluster).filter(|_| repeats).map(|it| it.to_string()),
        outlier_detection: outliers(cluster).map(|it| it.to_string()),
        health_check: health_check(cluster),
        locality: Some(locality(&cluster.locality)),
        resolution: resolution(cluster),
        unhashed: rule.and_then(|rule| keyed.unknown(&rule)).or(unresolved),
        key: rule
            .filter(|_| unresolved.is_none())
            .and_then(|rule| keyed.hash(&rule))
            .and_then(|hash| placed.owner(hash)),
        tiers: placed.tiers(),
        left_out: placed.left_out(),
        ..unknown
    }
}

fn resolution(cluster: &Cluster) -> Option<&'static str> {
    Some(match cluster.dns?.is_logical {
        false => {
            "names are resolved by the proxy: each address of a name is an endpoint there, which \
             its POST /explain shows"
        }
        true => {
            "the name is resolved by the proxy: each new connection is made to the first of its \
             addresses"
        }
    })
}

fn unresolved(cluster: &Cluster) -> Option<&'static str> {
    let is_logical = cluster.dns?.is_logical;
    let why = "who has a key is known where names are resolved: POST /explain of the proxy says it";
    (!is_logical).then_some(why)
}

/// Those that are written.
fn limits(cluster: &Cluster) -> Limits {
    let ConnectionPool { tcp, http } = cluster.pool;
    Limits {
        connections: tcp.max_connections,
        pending: http.max_pending_requests,
        requests: http.max_requests,
        // Beside a budget it does not count.
        retries: http.max_retries.filter(|_| cluster.retry_budget.is_none()),
        requests_per_connection: http.max_requests_per_connection,
    }
}

/// None where the retries themselves are bounded.
fn budget(cluster: &Cluster) -> Option<Budget> {
    let written = cluster.retry_budget.unwrap_or_default();
    let budget = Budget {
        percent: written.percent.unwrap_or(20.0),
        min_concurrency: written.min_concurrency.unwrap_or(3),
    };
    limits(cluster).retries.is_none().then_some(budget)
}

fn connections(cluster: &Cluster) -> Connections {
    // A socket's option has whole seconds.
    let whole = |time: Duration| {
        let more = u64::from(time.subsec_nanos() > 0);
        Duration::from_secs(time.as_secs().saturating_add(more))
    };
    Connections {
        connect_timeout: cluster.connect_timeout,
        idle_timeout: cluster.pool.http.idle_timeout,
        keepalive: cluster.pool.tcp.keepalive.map(|it| Keepalive {
            probes: it.probes,
            time: it.time.map(whole),
            interval: it.interval.map(whole),
        }),
    }
}

/// With what a proxy takes where nothing is written.
fn outliers(cluster: &Cluster) -> Option<Outliers> {
    let rule = cluster.outlier.as_ref()?;
    let seconds = Duration::from_secs;
    let base = rule.base_ejection.unwrap_or(seconds(30));
    let positive = |number: Option<u32>| number.filter(|number| *number > 0);
    Some(Outliers {
        consecutive: rule.consecutive_5xx.unwrap_or(5),
        gateway: rule.consecutive_gateway.unwrap_or(0),
        split: rule.split_errors,
        local: positive(rule.consecutive_local).unwrap_or(5),
        application_errors: rule.application_errors,
        interval: rule.interval.unwrap_or(seconds(10)),
        base,
        longest: rule.max_ejection.unwrap_or(base.max(seconds(300))),
        jitter: rule.max_ejection_jitter.unwrap_or_default(),
        max_percent: positive(rule.max_ejection_percent).unwrap_or(10),
        always_one: rule.always_eject_one_host.unwrap_or(true),
        success_rate: rule
            .success_rate
            .map(|rate| rate.stdev_factor.unwrap_or(1900)),
        failure_percentage: rule.failure_percentage.map(|rate| FailedParts {
            threshold: rate.threshold.unwrap_or(85),
            request_volume: rate.request_volume.unwrap_or(50),
        }),
    })
}

fn encryption(tls: &ClusterTls) -> String {
    let identity = tls.identity.as_ref().map(|identity| match identity {
        Identity::Workload => "that of the mesh".to_owned(),
        Identity::Secret { id, .. } => format!("that of the secret {}/{}", id.namespace, id.name),
        Identity::Files { chain, .. } => chain.clone(),
    });
    let trust = tls.trust.as_ref().map(|trust| match trust {
        Trust::Workload => "the roots of the mesh".to_owned(),
        Trust::Secret { id, .. } => format!("the secret {}/{}", id.namespace, id.name),
        Trust::Files { authorities, .. } => match authorities {
            Some(path) => path.clone(),
            None => "the proxy's system".to_owned(),
        },
    });
    let encryption = Encryption {
        identity: identity.as_deref(),
        sni: tls.sni.as_deref(),
        names: tls.names.iter().map(ToString::to_string).collect(),
        trust: trust.as_deref(),
    };
    encryption.to_string()
}

/// None where it does not act.
fn warmup(cluster: &Cluster) -> Option<String> {
    let warmup = cluster.warmup?;
    let acts = cluster.hash.is_none() && cluster.topology.is_none();
    let acts = acts && matches!(cluster.balance, Simple::RoundRobin | Simple::LeastRequest);
    // Envoy's, where nothing is said.
    let least = warmup.minimum_percent.unwrap_or(10.0);
    let warmup = meltemi_policy::Warmup {
        duration: warmup.duration,
        minimum: least / 100.0,
        aggression: warmup.aggression.unwrap_or(1.0),
    };
    acts.then(|| warmup.to_string())
}

fn health_check(cluster: &Cluster) -> Option<String> {
    let check = cluster.health_check.as_ref()?;
    let shown = meltemi_policy::HealthCheck {
        protocol: check.protocol.as_ref().map(|it| it.plugin.as_str()),
        interval: check.rule.interval,
        timeout: check.rule.timeout,
        unhealthy_threshold: check.rule.unhealthy_threshold,
        healthy_threshold: check.rule.healthy_threshold,
    };
    Some(shown.to_string())
}

fn locality(state: &LocalityState) -> String {
    match state {
        LocalityState::Active { rule, by } => format!("{rule}{}", origin(*by)),
        LocalityState::Disabled(by) => format!(
            "all localities alike: localityLbSetting.enabled is false{}",
            origin(*by)
        ),
        LocalityState::KeysAlone => {
            "all localities alike: the servers do not share what they store".to_owned()
        }
        LocalityState::NothingPermits => {
            "all localities alike: there is neither outlierDetection nor a traffic distribution"
                .to_owned()
        }
    }
}

fn origin(by: LocalityOrigin) -> String {
    match by {
        LocalityOrigin::DestinationRule | LocalityOrigin::Default => String::new(),
        LocalityOrigin::TrafficDistribution(distribution) => {
            format!(" (trafficDistribution {})", distribution.word())
        }
        LocalityOrigin::Mesh => " (MeshConfig)".to_owned(),
    }
}
