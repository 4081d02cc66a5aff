//! A cluster: endpoints that are equal to the client, and the policy to choose among them.

mod connection;
mod dns;
mod hashing;
mod health_check;
mod locality;
mod outlier;
mod tls;
mod warmup;

use std::sync::Arc;
use std::time::Duration;

use meltemi_policy::{
    DEFAULT_CONNECT_TIMEOUT, HashPolicy, Hashing, Limits, LocalityRule, Place, Placed, Placement,
    Warmup,
};
use meltemi_proto::EXTENSION_NAME;
use meltemi_proto::envoy::config::cluster::v3 as proto;
use meltemi_proto::envoy::config::core::v3::Metadata;
use meltemi_proto::meltemi::config::v1 as own;

pub use connection::Keepalive;
pub use dns::{Discovery, Dns, DnsKind, DnsTarget, Family, Refresh};
pub use health_check::{HealthCheck, ProtocolCheck};
pub use outlier::{FailurePercentage, OutlierDetection, SuccessRate};

use super::address::Address;
use super::duration::duration;
use super::invalid::{Invalid, required};
use super::retry::RetryBudget;
use super::{Endpoint, Endpoints, Setting, hash_policy};
use crate::tls::Tls;

/// Envoy's, where the cluster gives none, in percent.
const DEFAULT_PANIC_THRESHOLD: u32 = 50;
/// Envoy's, where the cluster gives none.
const DEFAULT_UNKNOWN_NODES: u32 = 100;

/// Endpoints and how they are used.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// `outbound|port|subset|host`.
    pub name: String,
    pub lb: LbPolicy,
    /// `None`: an endpoint that is new has all of its weight at once. Never with `Random`.
    pub warmup: Option<Warmup>,
    /// `None`: the key of a request does not matter.
    pub hashing: Option<Hashing>,
    /// Whether the host names of endpoints are hashed, as far as they have one, and not their
    /// addresses.
    pub hashes_hostnames: bool,
    /// What of a request is hashed; nothing: the key that the protocol itself has.
    pub hash_policy: Vec<HashPolicy>,
    /// In percent of an endpoint's part of the requests in flight: with more it is passed over, where
    /// `hash_policy` says what is hashed. At least 100; `None` is no limit.
    pub hash_balance_factor: Option<u32>,
    pub connect_timeout: Duration,
    /// `None`: its endpoints are dialled in plaintext.
    pub tls: Option<Arc<Tls>>,
    /// `None`: idle connections are not probed.
    pub keepalive: Option<Keepalive>,
    pub limits: Limits,
    /// A connection without requests closes after this time; `None`: after the worker's.
    pub idle_timeout: Option<Duration>,
    /// Of one worker, to servers that the cluster does not list and a redirection leads to.
    pub max_unknown_nodes: u32,
    /// How many requests may be repetitions at a time.
    pub retry_budget: RetryBudget,
    /// `None`: no endpoint is ever ejected.
    pub outlier: Option<OutlierDetection>,
    /// `None`: endpoints are not asked how they are.
    pub health_check: Option<HealthCheck>,
    /// In percent: a tier with fewer healthy endpoints uses all of them; 0 never does.
    pub panic_threshold: u32,
    pub locality: LocalityRule,
    /// Whether localities share the load of their tier by weight and availability; otherwise the
    /// endpoints of a tier are one pool.
    pub locality_weighted: bool,
    /// What the plugin is told about these servers.
    pub settings: Vec<Setting>,
    /// `None`: the endpoints are those of the control plane.
    pub topology: Option<Topology>,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    pub endpoints: Arc<Endpoints>,
}

/// The endpoints are learned from the servers themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Who is asked first; none: the endpoints that the control plane gives.
    pub seeds: Vec<Address>,
}

/// How one endpoint of a tier is chosen, where no key decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LbPolicy {
    RoundRobin,
    /// The less loaded of two random choices.
    #[default]
    LeastRequest,
    Random,
    /// Of two random choices the one that costs less, by its latency and its load. Ours.
    PeakEwma {
        /// In which the weight of a latency falls to 1/e.
        decay: Duration,
    },
}

impl Cluster {
    /// A cluster without endpoints, all else as Envoy has it by default.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            lb: LbPolicy::default(),
            warmup: None,
            hashing: None,
            hashes_hostnames: false,
            hash_policy: Vec::new(),
            hash_balance_factor: None,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            tls: None,
            keepalive: None,
            limits: Limits::default(),
            idle_timeout: None,
            max_unknown_nodes: DEFAULT_UNKNOWN_NODES,
            retry_budget: RetryBudget::default(),
            outlier: None,
            health_check: None,
            panic_threshold: DEFAULT_PANIC_THRESHOLD,
            locality: LocalityRule::default(),
            locality_weighted: false,
            settings: Vec::new(),
            topology: None,
            discovery: Discovery::Eds(name.into()),
            endpoints: Arc::default(),
        }
    }

    /// What is hashed of each of its endpoints.
    pub fn hashed_names(&self) -> impl Iterator<Item = String> {
        let hosts = self.endpoints.hosts.iter();
        hosts.map(
            |host| match self.hashes_hostnames && !host.hostname.is_empty() {
                true => host.hostname.clone(),
                false => host.address.to_string(),
            },
        )
    }

    /// Whether endpoints that weigh more get more. Envoy's random balancer takes one of the hosts
    /// as they are listed; where hashes decide, its tables go by weight, and so does who has none.
    #[must_use]
    pub fn weighs_endpoints(&self) -> bool {
        self.lb != LbPolicy::Random || self.hashing.is_some()
    }

    /// The tiers of its endpoints, and what their localities weigh there, for a proxy at `own`.
    #[must_use]
    pub fn placement(&self, own: Place<'_>) -> Placement {
        let of_names = match &self.discovery {
            Discovery::Dns(dns) => {
                Placement::new(own, &self.locality, dns.endpoints.hosts.iter().map(placed))
            }
            Discovery::Eds(_) => {
                let hosts = self.endpoints.hosts.iter();
                return Placement::new(own, &self.locality, hosts.map(placed));
            }
        };
        // Istio sets priorities and weights of localities before names are resolved, and Envoy keeps
        // them, however many addresses a name has.
        let from = self.endpoints.resolved_from.iter();
        Placement {
            members: from.map(|name| *of_names.members.get(*name)?).collect(),
            groups: of_names.groups,
        }
    }
}

fn placed<A>(endpoint: &Endpoint<A>) -> Placed<'_> {
    Placed {
        place: Place {
            locality: &endpoint.locality,
            labels: &endpoint.labels,
        },
        priority: endpoint.priority,
        weight: endpoint.weight,
    }
}

impl TryFrom<proto::Cluster> for Cluster {
    type Error = Invalid;

    /// The cluster, still without endpoints and without what it needs of secrets.
    fn try_from(mut cluster: proto::Cluster) -> Result<Self, Invalid> {
        let tls = tls::parse(&cluster)?;
        let discovery = Discovery::parse(&mut cluster)?;
        let (lb, hashing) = lb_policy(&cluster)?;
        let policy = Policy::parse(cluster.metadata)
            .map_err(|e| e.within("metadata.typed_filter_metadata[meltemi]"))?;
        let lb = lb.by_latency(policy.decay)?;
        let name = required("name", cluster.name)?;
        let connect_timeout = cluster
            .connect_timeout
            .map(|timeout| duration("connect_timeout", timeout))
            .transpose()?
            .unwrap_or(DEFAULT_CONNECT_TIMEOUT);
        let thresholds = connection::thresholds(cluster.circuit_breakers);
        Ok(Self {
            name,
            lb,
            warmup: warmup::parse(cluster.lb_config.as_ref())?,
            hashing,
            hashes_hostnames: hashing::by_hostname(cluster.common_lb_config.as_ref()),
            hash_policy: policy.hash_policy,
            hash_balance_factor: hashing::balance_factor(cluster.common_lb_config.as_ref())?,
            connect_timeout,
            tls,
            keepalive: keepalive(cluster.upstream_connection_options)?,
            limits: connection::limits(thresholds.as_ref(), policy.max_requests_per_connection)?,
            idle_timeout: policy.idle_timeout,
            retry_budget: RetryBudget::parse(thresholds.and_then(|it| it.retry_budget))
                .map_err(|e| e.within("circuit_breakers.thresholds.retry_budget"))?,
            max_unknown_nodes: policy.max_unknown_nodes,
            outlier: cluster
                .outlier_detection
                .map(|outlier| {
                    OutlierDetection::parse(outlier, policy.application_errors_count)
                        .map_err(|e| e.within("outlier_detection"))
                })
                .transpose()?,
            health_check: health_check::parse(cluster.health_checks, &policy.settings)?,
            panic_threshold: panic_threshold(cluster.common_lb_config.as_ref())?,
            locality: policy.locality,
            locality_weighted: locality::is_weighted(cluster.common_lb_config.as_ref()),
            settings: policy.settings,
            topology: policy.topology,
            discovery,
            endpoints: Arc::default(),
        })
    }
}

impl LbPolicy {
    /// The policy in the place of `LEAST_REQUEST`, where there is a time of decay.
    fn by_latency(self, decay: Option<Duration>) -> Result<Self, Invalid> {
        match (decay, self) {
            (None, policy) => Ok(policy),
            (Some(decay), Self::LeastRequest) => Ok(Self::PeakEwma { decay }),
            (Some(_), _) => Err(Invalid::new(
                "lb_policy",
                "is not LEAST_REQUEST beside peak_ewma",
            )),
        }
    }
}

/// As Envoy: where hashing is asked for, a request without a key has an endpoint at random.
fn lb_policy(cluster: &proto::Cluster) -> Result<(LbPolicy, Option<Hashing>), Invalid> {
    use proto::cluster::LbPolicy as Wire;
    let config = cluster.lb_config.as_ref();
    match Wire::try_from(cluster.lb_policy) {
        Ok(Wire::RoundRobin) => Ok((LbPolicy::RoundRobin, None)),
        Ok(Wire::LeastRequest) => Ok((LbPolicy::LeastRequest, None)),
        Ok(Wire::Random) => Ok((LbPolicy::Random, None)),
        Ok(Wire::Maglev) => Ok((LbPolicy::Random, Some(hashing::maglev(config)?))),
        Ok(Wire::RingHash) => Ok((LbPolicy::Random, Some(hashing::ring(config)?))),
        Ok(other) => Err(Invalid::new(
            "lb_policy",
            format!("{} is not supported", other.as_str_name()),
        )),
        Err(_) => Err(Invalid::new(
            "lb_policy",
            format!("{} is unknown", cluster.lb_policy),
        )),
    }
}

fn panic_threshold(common: Option<&proto::cluster::CommonLbConfig>) -> Result<u32, Invalid> {
    let Some(threshold) = common.and_then(|common| common.healthy_panic_threshold.as_ref()) else {
        return Ok(DEFAULT_PANIC_THRESHOLD);
    };
    let field = "common_lb_config.healthy_panic_threshold";
    if !(0.0..=100.0).contains(&threshold.value) {
        return Err(Invalid::new(field, "is not between 0 and 100"));
    }
    // Envoy compares with the fraction too, but nothing that we read writes one. In range, so the
    // conversion is exact up to that fraction.
    Ok(threshold.value as u32)
}

fn percent(field: &str, value: u32) -> Result<u32, Invalid> {
    if value > 100 {
        return Err(Invalid::new(field, format!("{value} is above 100")));
    }
    Ok(value)
}

fn keepalive(
    options: Option<proto::UpstreamConnectionOptions>,
) -> Result<Option<Keepalive>, Invalid> {
    let keepalive = options.and_then(|options| options.tcp_keepalive);
    keepalive
        .map(|keepalive| {
            Keepalive::parse(keepalive)
                .map_err(|e| e.within("upstream_connection_options.tcp_keepalive"))
        })
        .transpose()
}

/// What Envoy's cluster has no field for.
struct Policy {
    /// Of peak EWMA.
    decay: Option<Duration>,
    hash_policy: Vec<HashPolicy>,
    locality: LocalityRule,
    settings: Vec<Setting>,
    topology: Option<Topology>,
    max_unknown_nodes: u32,
    idle_timeout: Option<Duration>,
    max_requests_per_connection: Option<u32>,
    application_errors_count: bool,
}

impl Policy {
    fn parse(metadata: Option<Metadata>) -> Result<Self, Invalid> {
        let policy = metadata.and_then(|mut m| m.typed_filter_metadata.remove(EXTENSION_NAME));
        let policy: own::ClusterPolicy = policy
            .map(|policy| policy.unpack())
            .transpose()?
            .unwrap_or_default();
        Ok(Self {
            decay: policy.peak_ewma.map(decay).transpose()?,
            hash_policy: hash_policy::parse("hash_policy", policy.hash_policy)?,
            locality: locality::rule(policy.locality).map_err(|e| e.within("locality"))?,
            settings: Setting::parse_all(policy.settings)?,
            topology: policy.topology.map(Topology::parse).transpose()?,
            max_unknown_nodes: policy.max_unknown_nodes.unwrap_or(DEFAULT_UNKNOWN_NODES),
            idle_timeout: policy
                .idle_timeout
                .map(|idle| duration("idle_timeout", idle))
                .transpose()?,
            max_requests_per_connection: policy.max_requests_per_connection,
            application_errors_count: policy.application_errors_count,
        })
    }
}

fn decay(peak_ewma: own::PeakEwma) -> Result<Duration, Invalid> {
    let field = "peak_ewma.decay";
    let decay = peak_ewma.decay;
    duration(
        field,
        decay.ok_or_else(|| Invalid::new(field, "is missing"))?,
    )
}

impl Topology {
    fn parse(topology: own::Topology) -> Result<Self, Invalid> {
        let seeds = topology.seeds.into_iter().enumerate();
        let seeds = seeds.map(|(i, seed)| {
            let field = format!("topology.seeds[{i}]");
            match Address::parse(Some(seed)).map_err(|e| e.within(&field))? {
                Address::Tcp(address) if address.port() == 0 => {
                    Err(Invalid::new(field, "port 0 cannot be dialled"))
                }
                address => Ok(address),
            }
        });
        Ok(Self {
            seeds: seeds.collect::<Result<_, _>>()?,
        })
    }
}
