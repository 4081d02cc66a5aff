//! Which endpoints of a route's destinations get what share, as the workers' balancers have it.

use meltemi_policy::explain::{
    Budget, Connections, DestinationShare, Encryption, EndpointShare, FailedParts, Health,
    Keepalive, KeyOwner, Outliers, Tier,
};
use meltemi_policy::hashing::{HashRule, Keyed};
use meltemi_policy::{HealthCheck, load};

use crate::admin::clusters::{balancer, circuit_breakers, health};
use crate::admin::{Sources, dump};
use crate::balance::Balancer;
use crate::config::{self, Cluster, Endpoint, LbPolicy, OutlierDetection, Route, Snapshot};
use crate::driver::LeftOut;
use crate::tls::{IdentitySource, TlsSettings, TrustSource};

/// The destinations of a route. `keyed` is what is known of the request.
pub(super) fn all(
    route: &Route,
    at: (&Sources, &Snapshot),
    keyed: &Keyed<'_>,
) -> Vec<DestinationShare> {
    let sum: u32 = route.destinations.iter().map(|to| to.weight).sum();
    let repeats = route.retry.is_some() || route.hedge.is_some();
    let of = |name: &String| share(name, repeats, at, keyed);
    let destinations = route.destinations.iter();
    destinations
        .map(|to| DestinationShare {
            weight: f64::from(to.weight) * 100.0 / f64::from(sum.max(1)),
            fallbacks: to.fallbacks.iter().map(of).collect(),
            ..of(&to.cluster)
        })
        .collect()
}

/// `repeats`: the route may send requests again.
fn share(
    name: &str,
    repeats: bool,
    (sources, snapshot): (&Sources, &Snapshot),
    keyed: &Keyed<'_>,
) -> DestinationShare {
    let unknown = DestinationShare {
        cluster: name.to_owned(),
        weight: 100.0,
        ..DestinationShare::default()
    };
    let Some(cluster) = snapshot.clusters.get(name) else {
        return unknown;
    };
    let left_out = sources.overlay.of(name);
    let placed = Placed {
        balancer: balancer(cluster, snapshot.place(), &left_out),
        cluster,
        left_out: &left_out,
    };
    let usage = sources.acceptor.workers.circuits().cluster(name);
    let rule = rule(cluster);
    let tls = cluster.tls.as_deref();
    DestinationShare {
        load_balancer: Some(balance(cluster, keyed)),
        tls: tls.map(|tls| encryption(tls.settings())),
        connections: connections(cluster).described(),
        warmup: warmup(cluster),
        limits: cluster.limits.described(),
        retry_budget: budget(cluster).filter(|_| repeats).map(|it| it.to_string()),
        circuit_breakers: Some(circuit_breakers(cluster, &usage)),
        outlier_detection: cluster.outlier.as_ref().map(|it| outliers(it).to_string()),
        health_check: health_check(cluster),
        locality: Some(cluster.locality.to_string()),
        unhashed: rule.and_then(|rule| keyed.unknown(&rule)),
        key: placed.owner(rule, keyed),
        tiers: placed.tiers(),
        left_out: placed.endpoints(None),
        ..unknown
    }
}

fn balance(cluster: &Cluster, keyed: &Keyed<'_>) -> String {
    if cluster.topology.is_some() {
        return "as the servers say, from whom the endpoints are learned".to_owned();
    }
    match (rule(cluster), cluster.lb) {
        (Some(rule), _) => keyed.balance(&rule),
        (None, LbPolicy::PeakEwma { decay }) => format!("PEAK_EWMA, decay {decay:?}"),
        (None, other) => dump::lb_policy(other).to_owned(),
    }
}

/// None where no hash decides, or the servers say whose a key is.
fn rule(cluster: &Cluster) -> Option<HashRule<'_>> {
    let table = cluster.hashing.filter(|_| cluster.topology.is_none())?;
    Some(HashRule {
        table,
        policies: &cluster.hash_policy,
        balance_factor: cluster.hash_balance_factor,
    })
}

fn connections(cluster: &Cluster) -> Connections {
    Connections {
        connect_timeout: cluster.connect_timeout,
        idle_timeout: cluster.idle_timeout,
        keepalive: cluster.keepalive.map(|it| Keepalive {
            probes: it.probes,
            time: it.time,
            interval: it.interval,
        }),
    }
}

/// None where the retries themselves are bounded.
fn budget(cluster: &Cluster) -> Option<Budget> {
    let budget = Budget {
        percent: cluster.retry_budget.share.percent(),
        min_concurrency: cluster.retry_budget.min_concurrency,
    };
    cluster.limits.retries.is_none().then_some(budget)
}

fn outliers(rule: &OutlierDetection) -> Outliers {
    Outliers {
        consecutive: rule.consecutive_errors,
        gateway: rule.consecutive_gateway_errors,
        split: rule.split_errors,
        local: rule.consecutive_local_errors,
        application_errors: rule.application_errors,
        interval: rule.interval,
        base: rule.base_ejection_time,
        longest: rule.max_ejection_time,
        jitter: rule.max_ejection_time_jitter,
        max_percent: rule.max_ejection_percent,
        always_one: rule.always_eject_one_host,
        success_rate: rule.success_rate.map(|rate| rate.stdev_factor),
        failure_percentage: rule.failure_percentage.map(|rate| FailedParts {
            threshold: rate.threshold,
            request_volume: rate.request_volume,
        }),
    }
}

fn encryption(tls: &TlsSettings) -> String {
    let identity = tls.identities.first().map(|identity| match identity {
        IdentitySource::Workload => "that of the mesh".to_owned(),
        IdentitySource::Secret(name) => format!("that of the secret {name}"),
        IdentitySource::Files { chain, .. } => chain.display().to_string(),
    });
    let trust = tls.trust.as_ref().map(|trust| match trust {
        TrustSource::Workload => "the roots of the mesh".to_owned(),
        TrustSource::Secret(name) => format!("the secret {name}"),
        TrustSource::Files { authorities, .. } => match authorities {
            Some(path) => path.display().to_string(),
            None => "the proxy's system".to_owned(),
        },
    });
    let encryption = Encryption {
        identity: identity.as_deref(),
        sni: tls.side.sni.as_deref(),
        names: tls.names.iter().map(ToString::to_string).collect(),
        trust: trust.as_deref(),
    };
    encryption.to_string()
}

fn health_check(cluster: &Cluster) -> Option<String> {
    let check = cluster.health_check.as_ref()?;
    let shown = HealthCheck {
        protocol: check.protocol.as_ref().map(|it| it.id.as_str()),
        interval: check.interval,
        timeout: check.timeout,
        unhealthy_threshold: check.unhealthy_threshold,
        healthy_threshold: check.healthy_threshold,
    };
    Some(shown.to_string())
}

/// None where it does not act.
fn warmup(cluster: &Cluster) -> Option<String> {
    let acts = cluster.hashing.is_none() && cluster.topology.is_none();
    let warmup = cluster.warmup.filter(|_| acts)?;
    Some(warmup.to_string())
}

/// The endpoints of a cluster, where they are for this proxy, and how they are now.
struct Placed<'a> {
    cluster: &'a Cluster,
    balancer: Balancer,
    left_out: &'a LeftOut,
}

impl Placed<'_> {
    fn tiers(&self) -> Vec<Tier> {
        let overprovisioning = self.cluster.endpoints.overprovisioning;
        let tiers = self.balancer.counts().iter().zip(self.balancer.loads());
        let tiers = tiers.enumerate().map(|(priority, (counts, load))| Tier {
            priority,
            share: load.healthy + load.degraded,
            health: Health {
                healthy: counts.healthy,
                total: counts.total,
                overprovisioning,
                capacity: load::capacity(counts, overprovisioning),
                panic_threshold: self.cluster.panic_threshold,
                panic: load.panic,
            },
            endpoints: self.endpoints(Some(priority)),
        });
        tiers.collect()
    }

    /// Those of a tier; without one those that get nothing, whatever happens to the others.
    fn endpoints(&self, tier: Option<usize>) -> Vec<EndpointShare> {
        let hosts = self.cluster.endpoints.hosts.iter();
        let placed = hosts
            .zip(self.balancer.host_tiers())
            .zip(self.balancer.shares());
        let of_tier = placed.filter(|((_, of), _)| *of == tier);
        of_tier
            .map(|((host, _), share)| self.endpoint(host, share))
            .collect()
    }

    fn endpoint(&self, host: &Endpoint, share: f64) -> EndpointShare {
        use config::Health::{Degraded, Healthy};
        let is_usable = matches!(host.health, Healthy | Degraded);
        EndpointShare {
            address: host.address.to_string(),
            locality: host.locality.to_string(),
            share: (share * 1000.0).round() / 10.0,
            failed: self.left_out.contains(&host.address) || !is_usable,
            ejected: self.left_out.ejected.contains(&host.address),
            failed_check: self.left_out.unhealthy.contains(&host.address),
            health: (host.health != Healthy).then(|| health(host.health)),
        }
    }

    /// Who has what is hashed; none where that cannot be said.
    fn owner(&self, rule: Option<HashRule<'_>>, keyed: &Keyed<'_>) -> Option<KeyOwner> {
        let rule = rule?;
        let hash = keyed.hash(&rule)?;
        let names: Vec<_> = self.cluster.hashed_names().collect();
        let owner = self.balancer.hash_tables(rule.table, &names).at(hash);
        let endpoint = owner.and_then(|index| self.cluster.endpoints.hosts.get(index));
        let endpoint = endpoint.map(|host| host.address.to_string());
        Some(KeyOwner { hash, endpoint })
    }
}
