//! Routes: in order, the first that matches decides.

use std::sync::Arc;
use std::time::Duration;

use meltemi_policy::{Alternative, HashPolicy, Template, route::Conditions};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as proto;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::route_action::ClusterSpecifier;
use meltemi_proto::meltemi::config::v1::SourceObject;

use super::adaptive_concurrency::AdaptiveConcurrency;
use super::duration::duration;
use super::fault::RouteFault;
use super::global_limit::GlobalRateLimit;
use super::hash_policy;
use super::invalid::{Invalid, required};
use super::limit::RateLimit;
use super::matching::alternatives;
use super::named::Named;
use super::retry::RetryPolicy;
use super::share::Share;

/// The routes of a service, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    pub name: String,
    pub routes: Vec<Arc<Route>>,
    /// Their conditions, so that no worker has to compile them.
    pub(crate) compiled: Option<Conditions>,
}

/// Which requests, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The name that its author gave it, possibly empty.
    pub name: String,
    /// `kind/namespace/name` of the object that it came from; empty if unknown.
    pub owner: String,
    /// One of them must hold; at least one.
    pub matches: Vec<Alternative>,
    /// At least one; the weights are relative and their sum is above zero.
    pub destinations: Vec<WeightedCluster>,
    /// From the request's last byte to the answer's; `None` is no limit.
    pub timeout: Option<Duration>,
    /// `None`: requests are sent as they came.
    pub remove_prefix: Option<RemovePrefix>,
    /// Clusters that get a copy.
    pub mirrors: Vec<Mirror>,
    pub request_mutation: Vec<Mutation>,
    pub response_mutation: Vec<Mutation>,
    /// `None`: nothing is sent again of which a byte has left.
    pub retry: Option<RetryPolicy>,
    /// How long an endpoint alone is asked by a request whose repetition does no harm; then another
    /// is, too. `None`: as long as it takes.
    pub hedge: Option<Duration>,
    /// Repeating a request does no harm, whatever the protocol says.
    pub idempotent: bool,
    /// `None`: its requests are not limited.
    pub limit: Option<Arc<RateLimit>>,
    /// `None`: no service is asked about its requests.
    pub global_limit: Option<Arc<GlobalRateLimit>>,
    /// `None`: as many requests may be under way as come.
    pub adaptive_concurrency: Option<AdaptiveConcurrency>,
    pub fault: Option<RouteFault>,
    /// What is hashed for clusters whose balancer hashes; nothing: what these say.
    pub hash_policy: Vec<HashPolicy>,
    /// `None`: any number of its requests may be unanswered at a time.
    pub circuit_breaker: Option<CircuitBreaker>,
}

/// How many requests may be unanswered at a time, of all workers together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Routes with the same name count together.
    pub name: String,
    pub max_requests: u32,
}

/// What is taken off the values of an attribute before a request is sent.
///
/// The route's conditions say that a value begins with it, perhaps in another case, so its length
/// in bytes is what is taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovePrefix {
    pub attribute: String,
    pub prefix: String,
}

/// A cluster that gets a copy of a share of the requests; what it answers is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub cluster: String,
    pub share: Share,
    /// Whether requests that change nothing (idempotent, says the protocol) are not copied.
    pub exclude_idempotent: bool,
}

/// A change of one key (an attachment, a header) of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    pub key: String,
    /// Its value from now on; `None`: it is removed.
    pub value: Option<Template>,
}

/// A share of a route's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedCluster {
    pub cluster: String,
    pub weight: u32,
    /// Asked in this order where no endpoint of it can be; no cluster occurs twice, nor the first.
    pub fallbacks: Vec<String>,
}

impl WeightedCluster {
    fn new(cluster: String, weight: u32) -> Self {
        Self {
            cluster,
            weight,
            fallbacks: Vec::new(),
        }
    }

    /// The clusters that its requests may go to.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        let fallbacks = self.fallbacks.iter().map(String::as_str);
        std::iter::once(self.cluster.as_str()).chain(fallbacks)
    }
}

impl TryFrom<proto::RouteConfiguration> for RouteConfig {
    type Error = Invalid;

    fn try_from(config: proto::RouteConfiguration) -> Result<Self, Invalid> {
        let limits = RateLimit::parse_all(config.local_rate_limits, RateLimit::parse)?;
        let global = GlobalRateLimit::parse_all(config.global_rate_limits, GlobalRateLimit::parse)?;
        let routes = config
            .routes
            .into_iter()
            .enumerate()
            .map(|(i, route)| {
                Route::parse(route, (&limits, &global))
                    .map(Arc::new)
                    .map_err(|e| e.within(&format!("routes[{i}]")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self::new(required("name", config.name)?, routes))
    }
}

impl RouteConfig {
    /// Those of this name, with their conditions compiled.
    #[must_use]
    pub fn new(name: impl Into<String>, routes: Vec<Arc<Route>>) -> Self {
        let conditions = routes.iter().map(|route| route.matches.clone());
        Self {
            name: name.into(),
            compiled: Conditions::new(conditions.collect()).ok(),
            routes,
        }
    }

    /// The names of the clusters that its routes lead to, copy to or ask, with repetitions.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().flat_map(|route| {
            let destinations = route.destinations.iter().flat_map(WeightedCluster::asked);
            let mirrors = route.mirrors.iter().map(|to| to.cluster.as_str());
            let limit = route.global_limit.iter().map(|it| it.cluster.as_str());
            destinations.chain(mirrors).chain(limit)
        })
    }
}

impl Route {
    /// A route of this name that takes every request to one cluster.
    #[must_use]
    pub fn new(name: &str, cluster: &str) -> Self {
        Self {
            name: name.into(),
            owner: String::new(),
            matches: vec![Alternative::new()],
            destinations: vec![WeightedCluster::new(cluster.into(), 1)],
            timeout: None,
            remove_prefix: None,
            mirrors: Vec::new(),
            request_mutation: Vec::new(),
            response_mutation: Vec::new(),
            retry: None,
            hedge: None,
            idempotent: false,
            limit: None,
            global_limit: None,
            adaptive_concurrency: None,
            fault: None,
            hash_policy: Vec::new(),
            circuit_breaker: None,
        }
    }

    fn parse(
        route: proto::Route,
        (limits, global): (&[Arc<RateLimit>], &[Arc<GlobalRateLimit>]),
    ) -> Result<Self, Invalid> {
        let matches =
            alternatives(route.r#match.unwrap_or_default()).map_err(|e| e.within("match"))?;
        let action = route
            .route
            .ok_or_else(|| Invalid::new("route", "is missing"))?;
        let timeout = action
            .timeout
            .map(|timeout| duration("route.timeout", timeout))
            .transpose()?;
        let mut destinations =
            destinations(action.cluster_specifier).map_err(|e| e.within("route"))?;
        for (i, fallback) in action.fallbacks.into_iter().enumerate() {
            fall_back(&mut destinations, fallback)
                .map_err(|e| e.within(&format!("route.fallbacks[{i}]")))?;
        }
        Ok(Self {
            name: route.name,
            owner: route.source.as_ref().map_or_else(String::new, owner),
            matches,
            destinations,
            timeout,
            remove_prefix: action
                .remove_prefix
                .map(RemovePrefix::parse)
                .transpose()
                .map_err(|e| e.within("route.remove_prefix"))?,
            mirrors: mirrors(action.mirrors)?,
            request_mutation: mutations("request_mutation", route.request_mutation)?,
            response_mutation: mutations("response_mutation", route.response_mutation)?,
            retry: action
                .retry_policy
                .map(RetryPolicy::parse)
                .transpose()
                .map_err(|e| e.within("route.retry_policy"))?,
            hedge: action
                .hedge_policy
                .and_then(|policy| policy.delay)
                .map(|delay| duration("route.hedge_policy.delay", delay))
                .transpose()?,
            idempotent: action.idempotent,
            limit: RateLimit::named(limits, &route.local_rate_limit)?,
            global_limit: GlobalRateLimit::named(global, &route.global_rate_limit)?,
            adaptive_concurrency: route
                .adaptive_concurrency
                .map(AdaptiveConcurrency::parse)
                .transpose()
                .map_err(|e| e.within("adaptive_concurrency"))?,
            fault: route
                .fault
                .map(RouteFault::parse)
                .transpose()
                .map_err(|e| e.within("fault"))?,
            hash_policy: hash_policy::parse("route.hash_policy", action.hash_policy)?,
            circuit_breaker: action
                .circuit_breaker
                .map(CircuitBreaker::parse)
                .transpose()
                .map_err(|e| e.within("route.circuit_breaker"))?,
        })
    }
}

impl RemovePrefix {
    fn parse(removed: proto::RemovePrefix) -> Result<Self, Invalid> {
        Ok(Self {
            attribute: required("attribute", removed.attribute)?,
            prefix: required("prefix", removed.prefix)?,
        })
    }
}

impl CircuitBreaker {
    fn parse(breaker: proto::CircuitBreaker) -> Result<Self, Invalid> {
        Ok(Self {
            name: required("name", breaker.name)?,
            max_requests: breaker.max_requests,
        })
    }
}

impl Mutation {
    fn parse(mutation: proto::KeyValue) -> Result<Self, Invalid> {
        let key = required("key", mutation.key)?;
        let value = match (mutation.remove, mutation.value) {
            (true, value) if value.is_empty() => None,
            (true, _) => {
                return Err(Invalid::new(
                    "value",
                    "is given although the key is removed",
                ));
            }
            (false, value) => {
                let text = required("value", value)?;
                let template = Template::parse(&text);
                Some(template.map_err(|error| Invalid::new("value", error.to_string()))?)
            }
        };
        Ok(Self { key, value })
    }
}

fn mutations(field: &str, mutations: Vec<proto::KeyValue>) -> Result<Vec<Mutation>, Invalid> {
    let mutations = mutations.into_iter().enumerate();
    mutations
        .map(|(i, mutation)| {
            Mutation::parse(mutation).map_err(|e| e.within(&format!("{field}[{i}]")))
        })
        .collect()
}

fn mirrors(mirrors: Vec<proto::Mirror>) -> Result<Vec<Mirror>, Invalid> {
    let parse = |mirror: proto::Mirror| {
        Ok(Mirror {
            cluster: required("cluster", mirror.cluster)?,
            share: Share::parse("percentage", mirror.percentage, Share::ALL)?,
            exclude_idempotent: mirror.exclude_idempotent,
        })
    };
    let mirrors = mirrors.into_iter().enumerate();
    mirrors
        .map(|(i, mirror)| {
            parse(mirror).map_err(|e: Invalid| e.within(&format!("route.mirrors[{i}]")))
        })
        .collect()
}

fn destinations(specifier: Option<ClusterSpecifier>) -> Result<Vec<WeightedCluster>, Invalid> {
    let clusters = match specifier {
        Some(ClusterSpecifier::Cluster(cluster)) => {
            return Ok(vec![WeightedCluster::new(required("cluster", cluster)?, 1)]);
        }
        Some(ClusterSpecifier::WeightedClusters(weighted)) => weighted.clusters,
        None => return Err(Invalid::new("cluster_specifier", "is missing or unknown")),
    };
    let destinations: Vec<_> = clusters
        .into_iter()
        .enumerate()
        .map(|(i, cluster)| {
            let field = format!("weighted_clusters.clusters[{i}].name");
            let name = required(&field, cluster.name)?;
            Ok(WeightedCluster::new(name, cluster.weight.unwrap_or(0)))
        })
        .collect::<Result<_, Invalid>>()?;
    // The sum is what a random number is drawn below, so it has to fit as well.
    let sum = destinations
        .iter()
        .try_fold(0u32, |sum, destination| sum.checked_add(destination.weight));
    match sum {
        Some(0) => Err(Invalid::new("weighted_clusters", "the weights add up to 0")),
        None => Err(Invalid::new(
            "weighted_clusters",
            "the weights add up to more than 4294967295",
        )),
        Some(_) => Ok(destinations),
    }
}

/// Says what is asked in the place of a destination.
fn fall_back(
    destinations: &mut [WeightedCluster],
    fallback: proto::Fallback,
) -> Result<(), Invalid> {
    let proto::Fallback { cluster, next } = fallback;
    if next.is_empty() {
        return Err(Invalid::new("next", "is empty"));
    }
    let mut seen = vec![cluster.as_str()];
    for name in &next {
        if name.is_empty() || seen.contains(&name.as_str()) {
            return Err(Invalid::new(
                "next",
                format!("`{name}` is empty, or asked twice"),
            ));
        }
        seen.push(name);
    }
    let mut found = false;
    for to in destinations.iter_mut().filter(|to| to.cluster == cluster) {
        if !to.fallbacks.is_empty() {
            return Err(Invalid::new("cluster", "has fallbacks already"));
        }
        to.fallbacks.clone_from(&next);
        found = true;
    }
    match found {
        true => Ok(()),
        false => Err(Invalid::new("cluster", "is no destination of the route")),
    }
}

fn owner(source: &SourceObject) -> String {
    format!("{}/{}/{}", source.kind, source.namespace, source.name)
}
