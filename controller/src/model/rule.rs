//! A rule of a server: which requests go where, and how.

use std::sync::Arc;
use std::time::Duration;

use meltemi_policy::{AttributeMatch, ClusterName, HashPolicy};

use super::{CircuitBreaker, GlobalRateLimit, Mirror, RateLimit, RemovePrefix};
use crate::diagnostic::Position;
use crate::manifest::{AdaptiveConcurrency, Mutation, Object, Retries, RouteFault, Spec};

/// Which requests go where.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The MetaRouter or RedisService.
    pub(crate) source: Arc<Object>,
    /// Which of its routes; none for an object without routes.
    pub(crate) route: Option<usize>,
    pub(crate) name: String,
    /// One has to hold; at least one.
    pub(crate) alternatives: Vec<Alternative>,
    /// At least one; the weights of several add up to 100.
    pub(crate) destinations: Vec<WeightedCluster>,
    /// None: no limit.
    pub(crate) timeout: Option<Duration>,
    pub(crate) remove_prefix: Option<RemovePrefix>,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) request_mutation: Vec<Mutation>,
    pub(crate) response_mutation: Vec<Mutation>,
    /// None: nothing is sent again of which a byte has left.
    pub(crate) retries: Option<Retries>,
    /// After which time another endpoint is asked, too.
    pub(crate) hedge: Option<Duration>,
    pub(crate) idempotent: bool,
    /// None: any number of its requests may be unanswered.
    pub(crate) circuit_breaker: Option<CircuitBreaker>,
    /// What is hashed for clusters whose balancer hashes; nothing: what these say.
    pub(crate) hash_policy: Vec<HashPolicy>,
    /// None: its requests are not limited.
    pub(crate) limit: Option<Arc<RateLimit>>,
    /// None: no service is asked about them.
    pub(crate) global_limit: Option<Arc<GlobalRateLimit>>,
    pub(crate) fault: Option<RouteFault>,
    pub(crate) adaptive_concurrency: Option<AdaptiveConcurrency>,
    /// The MetaRouter whose policy it has, and which of its routes where it has any, where that is
    /// not the source.
    pub(crate) treated_by: Option<(Arc<Object>, Option<usize>)>,
}

/// What requests of a rule may be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Alternative {
    /// All have to hold.
    Of(Vec<AttributeMatch>),
    /// No request of its server can be: the reason, for people.
    Never(String),
}

impl Alternative {
    /// Those that requests can be like.
    pub(crate) fn possible(several: &[Self]) -> Vec<Vec<AttributeMatch>> {
        let possible = several.iter().filter_map(|alternative| match alternative {
            Self::Of(conditions) => Some(conditions.clone()),
            Self::Never(_) => None,
        });
        possible.collect()
    }
}

impl Rule {
    /// The clusters that it leads to, copies to or asks.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &ClusterName> {
        let destinations = self.destinations.iter();
        let destinations =
            destinations.flat_map(|d| std::iter::once(&d.cluster).chain(&d.fallbacks));
        let mirrors = self.mirrors.iter().map(|m| &m.cluster);
        let asked = self.global_limit.iter().map(|limit| &limit.cluster);
        destinations.chain(mirrors).chain(asked)
    }

    /// The alternatives that requests can be like, as route tables have them.
    pub(crate) fn matches(&self) -> Vec<Vec<AttributeMatch>> {
        Alternative::possible(&self.alternatives)
    }

    /// The same without limits.
    pub(super) fn unlimited(self) -> Self {
        Self {
            limit: None,
            global_limit: None,
            ..self
        }
    }

    /// A rule of an object that takes every request and leads nowhere yet.
    pub(super) fn of(object: &Arc<Object>) -> Self {
        Self {
            source: object.clone(),
            route: None,
            name: String::new(),
            alternatives: vec![Alternative::Of(vec![])],
            destinations: vec![],
            timeout: None,
            remove_prefix: None,
            mirrors: vec![],
            request_mutation: vec![],
            response_mutation: vec![],
            retries: None,
            hedge: None,
            idempotent: false,
            limit: None,
            global_limit: None,
            fault: None,
            adaptive_concurrency: None,
            hash_policy: vec![],
            circuit_breaker: None,
            treated_by: None,
        }
    }

    /// Where it is written.
    pub(crate) fn at(&self) -> Position {
        let route = match &self.source.spec {
            Spec::MetaRouter(router) => {
                self.route.and_then(|i| Some(router.routes.get(i)?.mark.at))
            }
            Spec::RedisService(redis) => {
                self.route.and_then(|i| Some(redis.routes.get(i)?.mark.at))
            }
            _ => None,
        };
        route.unwrap_or(self.source.at)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeightedCluster {
    /// There is no such cluster in the model if nobody defines the host, or if it is refused.
    pub(crate) cluster: ClusterName,
    pub(crate) weight: u32,
    /// Asked in this order where no endpoint of it can be; each is another cluster.
    pub(crate) fallbacks: Vec<ClusterName>,
}

impl WeightedCluster {
    /// What takes everything.
    pub(super) const fn only(cluster: ClusterName) -> Self {
        Self {
            cluster,
            weight: 100,
            fallbacks: vec![],
        }
    }
}
