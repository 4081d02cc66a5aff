//! What the connections of a service are served with: its protocol, its routes, where they lead.

use std::{
    borrow::Cow,
    cell::Cell,
    collections::{HashMap, HashSet},
    iter,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use meltemi_codec::{AttributeKey, Edit, Protocol, SettingRefused, Traits};
use meltemi_policy::{
    Condition, HashPolicy, WeightedCycle,
    route::{Steps, Undecided},
};

use super::{
    Authorization, Cluster, Concurrency, Passage, RouteLimit, Tables,
    changes::Changes,
    global_limit::GlobalLimit,
    rate_limit::{RateLimit, RateLimits},
    selection::Selection,
};
use crate::engine::source::Source;
use crate::{
    config::{self, Snapshot},
    engine::{ConcurrencyStatus, mirror::Mirror},
    telemetry::{ClusterMetrics, Series, ServiceMetrics, WorkerTelemetry},
};

/// What the connections of a service are served with.
pub(in crate::engine) struct Service {
    pub(in crate::engine) name: Arc<str>,
    pub(in crate::engine) protocol: Arc<dyn Protocol>,
    /// The protocol's own attributes, for the access log.
    pub(in crate::engine) known: Vec<AttributeKey>,
    pub(super) routes: Selection<Rc<Route>>,
    /// `None`: anybody may use it.
    pub(in crate::engine) authorization: Option<Authorization>,
    /// Which of the protocol's attributes says what datum a request concerns.
    pub(in crate::engine) key_attribute: Option<u16>,
    /// The one that says what a request asks to be done.
    pub(in crate::engine) operation_attribute: Option<AttributeKey>,
    pub(in crate::engine) faults: Vec<config::Fault>,
    /// Its routes lead to several clusters.
    pub(in crate::engine) divided: bool,
    pub(in crate::engine) metrics: ServiceMetrics,
    /// Of requests that no route matched.
    pub(in crate::engine) unrouted: Series,
    /// A client that sends nothing for so long is closed; `None`: after the worker's time.
    pub(in crate::engine) idle: Option<Duration>,
    /// A client that is connected for so long is told to leave.
    pub(in crate::engine) longest: Option<Duration>,
    /// What bytes are passed on with that are not the protocol's; `None`: they are malformed.
    pub(in crate::engine) passage: Option<Rc<Passage>>,
}

/// A route that was found.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Chosen {
    /// Its place among those of its service.
    pub(super) route: usize,
    /// Of which configuration.
    pub(super) generation: u64,
    /// Only attributes that the protocol names decide among the routes.
    pub(in crate::engine) by_named: bool,
}

/// Where requests go, and how long they may take.
pub(in crate::engine) struct Route {
    pub(in crate::engine) name: String,
    pub(in crate::engine) owner: String,
    pub(in crate::engine) timeout: Option<Duration>,
    pub(in crate::engine) changes: Changes,
    /// Of the answers.
    pub(in crate::engine) answer_changes: Changes,
    pub(in crate::engine) mirrors: Vec<Mirror>,
    pub(in crate::engine) retry: Option<config::RetryPolicy>,
    /// After which time another endpoint is asked, too.
    pub(in crate::engine) hedge: Option<Duration>,
    pub(in crate::engine) idempotent: bool,
    pub(in crate::engine) rate_limit: Option<Rc<RateLimit>>,
    pub(in crate::engine) global_limit: Option<Rc<GlobalLimit>>,
    pub(in crate::engine) concurrency: Option<Rc<Concurrency>>,
    /// `None` where no request has it.
    pub(in crate::engine) fault: Option<config::RouteFault>,
    /// `None`: nothing bounds its requests.
    pub(in crate::engine) limit: Option<RouteLimit>,
    pub(super) destinations: Vec<Rc<Destination>>,
    weights: WeightedCycle,
    /// Starts anywhere, so that workers and restarts do not walk in step.
    turn: Cell<u64>,
}

/// One of a route's clusters, as the route's service speaks with it.
pub(in crate::engine) struct Destination {
    pub(in crate::engine) cluster: Rc<Cluster>,
    pub(in crate::engine) dialect: Rc<Dialect>,
    pub(in crate::engine) buffering: Option<config::Buffering>,
    pub(in crate::engine) series: Series,
    /// What of a request is hashed; nothing: the protocol's key, where keys are divided.
    pub(in crate::engine) hash: Vec<HashPolicy<AttributeKey>>,
    /// What is asked in its place where no endpoint of it can be.
    pub(in crate::engine) fallback: Option<Rc<Self>>,
    /// Where only copies go there, what counts them.
    pub(in crate::engine) copies: Option<ClusterMetrics>,
}

/// A protocol with its settings, as it is spoken with endpoints. Two are equal where their
/// connections may be shared.
pub(in crate::engine) struct Dialect {
    pub(in crate::engine) protocol: Arc<dyn Protocol>,
    pub(in crate::engine) traits: Traits,
    /// Its answers may send a request elsewhere.
    pub(in crate::engine) redirects: bool,
    settings: Vec<config::Setting>,
    id: usize,
}

impl PartialEq for Dialect {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Dialect {}

impl std::fmt::Debug for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.protocol.id(), self.id)
    }
}

fn key_attribute(protocol: &dyn Protocol) -> Option<u16> {
    match AttributeKey::resolve(protocol.attributes(), protocol.key_attribute()?) {
        AttributeKey::Known(index) => Some(index),
        AttributeKey::Other(_) => None,
    }
}

/// What the rule takes off requests.
fn removed(rule: &config::Route) -> Vec<Edit> {
    let removed = rule.remove_prefix.iter();
    removed
        .map(|removed| Edit::StripPrefix {
            name: removed.attribute.as_str().into(),
            prefix: removed.prefix.as_str().into(),
            ignore_case: rule.matches.iter().flatten().any(|matched| {
                matched.attribute.is_named(&removed.attribute)
                    && matches!(&matched.condition, Condition::Prefix(text) if text.ignore_case)
            }),
        })
        .collect()
}

/// What is hashed for a cluster whose balancer hashes: as the route says, else as the cluster does.
fn hash_policies(
    rule: &config::Route,
    cluster: &Cluster,
    resolve: impl Fn(&str) -> AttributeKey,
) -> Vec<HashPolicy<AttributeKey>> {
    let Some(hashed) = cluster.hashed() else {
        return Vec::new();
    };
    let policies = match rule.hash_policy.as_slice() {
        [] => &hashed.policies,
        own => own,
    };
    let policies = policies.iter();
    policies
        .map(|policy| policy.map(|name| resolve(name)))
        .collect()
}

/// A protocol as settings want it.
fn configured(
    plain: &Arc<dyn Protocol>,
    settings: &[config::Setting],
) -> Result<Arc<dyn Protocol>, SettingRefused> {
    if settings.is_empty() {
        return Ok(Arc::clone(plain));
    }
    let pairs: Vec<(&str, &str)> = settings
        .iter()
        .map(|setting| (setting.name.as_str(), setting.value.as_str()))
        .collect();
    plain.configure(&pairs)
}

impl Service {
    /// The limits of its routes that are found by latencies.
    pub(in crate::engine) fn concurrency(&self) -> impl Iterator<Item = ConcurrencyStatus> {
        let routes = self.routes.targets().iter().enumerate();
        routes.filter_map(|(place, route)| {
            let concurrency = route.concurrency.as_ref()?;
            Some(concurrency.status(&self.name, place))
        })
    }

    /// The first route that matches a request from there.
    pub(in crate::engine) fn select<'m>(
        &self,
        source: &'m Source,
        steps: &mut Steps,
        attribute: impl Fn(&AttributeKey) -> Option<Cow<'m, [u8]>>,
    ) -> Result<Option<Rc<Route>>, Undecided> {
        let found = self.routes.select(source, steps, attribute)?;
        Ok(found.map(Rc::clone))
    }
}

impl Destination {
    /// Whether any of its endpoints serves any request, at once and once.
    pub(in crate::engine) fn is_plain(&self) -> bool {
        !self.cluster.is_divided() && !self.dialect.redirects && self.buffering.is_none()
    }

    /// Whether its endpoints have different keys.
    pub(in crate::engine) fn has_shards(&self) -> bool {
        self.hash.is_empty() && self.cluster.is_divided()
    }

    /// The number of the shard that has a key.
    pub(in crate::engine) fn shard(&self, slot: u32, hash: u64) -> Option<u32> {
        match self.hash.is_empty() {
            true => self.cluster.division.shard(slot, hash),
            false => Some(0),
        }
    }
}

impl Route {
    /// The destination of the next request: over time, exactly by weight.
    pub(in crate::engine) fn destination(&self) -> Option<&Rc<Destination>> {
        let next = self.next_destination();
        self.turn.set(self.turn.get().wrapping_add(1));
        next
    }

    /// Whether requests go on as they are, at once, and nowhere besides.
    pub(in crate::engine) fn changes_nothing(&self) -> bool {
        !self.changes_messages() && self.mirrors.is_empty() && !self.may_keep()
    }

    /// Whether a request that says this deadline may have all of it, so that it goes on as it is.
    pub(in crate::engine) fn allows(&self, deadline: Option<Duration>) -> bool {
        match (deadline, self.timeout) {
            (Some(own), Some(limit)) => own <= limit,
            _ => true,
        }
    }

    /// Whether some of its requests are kept before they are served.
    pub(in crate::engine) fn may_keep(&self) -> bool {
        self.fault.is_some() || self.global_limit.is_some() || self.concurrency.is_some()
    }

    /// Whether requests or their answers do not go on as they are.
    pub(in crate::engine) fn changes_messages(&self) -> bool {
        !self.changes.is_empty() || !self.answer_changes.is_empty()
    }

    /// Whether some of its requests go to this cluster.
    pub(in crate::engine) fn leads_to(&self, cluster: &Cluster) -> bool {
        self.asked().any(|to| to.cluster.name == cluster.name)
    }

    /// Its destinations, and what is asked in their place.
    pub(in crate::engine) fn asked(&self) -> impl Iterator<Item = &Rc<Destination>> {
        let destinations = self.destinations.iter();
        destinations.flat_map(|to| iter::successors(Some(to), |to| to.fallback.as_ref()))
    }

    /// What [`Route::destination`] would say.
    pub(in crate::engine) fn next_destination(&self) -> Option<&Rc<Destination>> {
        if let [only] = self.destinations.as_slice() {
            return Some(only);
        }
        self.destinations.get(self.weights.at(self.turn.get()))
    }
}

impl Tables {
    /// The service's protocol as it is spoken with each cluster that its routes name.
    fn dialects_of(
        &mut self,
        service: &config::Service,
        rules: &[Arc<config::Route>],
        plain: &Arc<dyn Protocol>,
        snapshot: &Snapshot,
    ) -> HashMap<String, Rc<Dialect>> {
        let mut dialects = HashMap::new();
        let mirrors = |rule: &Arc<config::Route>| -> Vec<String> {
            rule.mirrors.iter().map(|to| to.cluster.clone()).collect()
        };
        let named = rules.iter().flat_map(|rule| {
            let asked = rule.destinations.iter().flat_map(|to| to.asked());
            asked.map(str::to_owned).chain(mirrors(rule))
        });
        for cluster in named {
            let config = snapshot.clusters.get(&cluster);
            let own = config.map_or(&[][..], |config| config.settings.as_slice());
            let settings: Vec<_> = service.settings.iter().chain(own).cloned().collect();
            match self.dialect(plain, settings) {
                Ok(dialect) => {
                    dialects.insert(cluster, dialect);
                }
                Err(error) => tracing::error!(%cluster, %error,
                    "the protocol cannot be configured so: the cluster is not asked"),
            }
        }
        dialects
    }

    /// The protocol with these settings. It keeps its identity as long as the worker runs.
    fn dialect(
        &mut self,
        plain: &Arc<dyn Protocol>,
        settings: Vec<config::Setting>,
    ) -> Result<Rc<Dialect>, SettingRefused> {
        let id = self.dialects.len();
        let known = self
            .dialects
            .iter()
            .find(|dialect| dialect.protocol.id() == plain.id() && dialect.settings == settings);
        if let Some(known) = known {
            return Ok(Rc::clone(known));
        }
        let protocol = configured(plain, &settings)?;
        let dialect = Rc::new(Dialect {
            traits: protocol.traits(),
            redirects: protocol.redirects(),
            protocol,
            settings,
            id,
        });
        self.dialects.push(Rc::clone(&dialect));
        Ok(dialect)
    }

    pub(super) fn build_service(
        &mut self,
        service: &config::Service,
        snapshot: &Snapshot,
        telemetry: &WorkerTelemetry,
        random: u64,
    ) -> Option<Service> {
        // One without is served by its passage alone.
        let id = service.protocol.as_deref()?;
        let Some(plain) = self.protocols.find(id).cloned() else {
            tracing::error!(service = %service.name, protocol = id,
                "no such protocol in this build: the service is not served");
            return None;
        };
        let protocol = configured(&plain, &service.settings)
            .inspect_err(|error| {
                tracing::error!(service = %service.name, protocol = id, %error,
                    "the protocol cannot be configured so: the service is not served");
            })
            .ok()?;
        let config = service.route_config.as_ref();
        let config = config.and_then(|name| snapshot.routes.get(name));
        let rules = config
            .map(|config| config.routes.as_slice())
            .unwrap_or_default();
        let dialects = self.dialects_of(service, rules, &plain, snapshot);
        let led_to: HashSet<&str> = rules
            .iter()
            .flat_map(|rule| rule.destinations.iter().flat_map(|to| to.asked()))
            .collect();
        let at = (service, protocol.as_ref(), &dialects);
        let routes = self.build_routes(config.map(AsRef::as_ref), at, telemetry, random)?;
        let schema = protocol.attributes();
        let before = self.by_name.get(&service.name);
        let before = before.and_then(|key| self.services.get(*key)?.authorization.as_ref());
        Some(Service {
            authorization: Authorization::new(service, protocol.as_ref(), before),
            name: Arc::from(service.name.as_str()),
            known: (0..schema.len())
                .filter_map(|index| Some(AttributeKey::Known(u16::try_from(index).ok()?)))
                .collect(),
            routes,
            operation_attribute: protocol
                .operation_attribute()
                .map(|name| AttributeKey::resolve(schema, name)),
            faults: service.faults.clone(),
            key_attribute: key_attribute(protocol.as_ref()),
            divided: led_to.len() > 1,
            metrics: telemetry.service(&service.name),
            unrouted: telemetry.series(&service.name, "", ""),
            idle: service.idle_timeout,
            longest: service.max_connection_duration,
            passage: self.passages.get(&service.name).cloned(),
            protocol,
        })
    }

    fn build_routes(
        &self,
        config: Option<&config::RouteConfig>,
        (service, protocol, dialects): (
            &config::Service,
            &dyn Protocol,
            &HashMap<String, Rc<Dialect>>,
        ),
        telemetry: &WorkerTelemetry,
        random: u64,
    ) -> Option<Selection<Rc<Route>>> {
        let mut limits = RateLimits {
            protocol,
            buckets: &self.buckets,
            telemetry,
            built: HashMap::new(),
        };
        let before = self.by_name.get(&service.name);
        let before = before.and_then(|key| self.services.get(*key));
        let selection = before.map(|service| &service.routes);
        let before = selection.map_or(&[][..], Selection::targets);
        let rules = config.map_or(&[][..], |config| &config.routes);
        let built = rules.iter().enumerate().filter_map(|(i, rule)| {
            let at = (service, protocol, dialects);
            let mut route = self.build_route(rule, at, telemetry, random)?;
            route.rate_limit = rule.limit.as_ref().map(|limit| limits.of(limit));
            route.concurrency = rule.adaptive_concurrency.as_ref().map(|rule| {
                let same = before.get(i).map(Rc::as_ref);
                let same = same.filter(|it| it.name == route.name && it.owner == route.owner);
                let name = match route.name.as_str() {
                    "" => format!("{} {}", service.name, i + 1),
                    name => format!("{} {name}", service.name),
                };
                let at = (name.as_str(), self.workers, self.elapsed);
                Concurrency::find(rule, same, at, telemetry)
            });
            Some((rule.matches.clone(), Rc::new(route)))
        });
        let compiled = config.and_then(|config| config.compiled.as_ref());
        Selection::new(built, protocol, compiled, selection)
            .inspect_err(|error| {
                tracing::error!(service = %service.name, %error, "routes do not compile");
            })
            .ok()
    }

    fn build_route(
        &self,
        rule: &config::Route,
        (service, protocol, dialects): (
            &config::Service,
            &dyn Protocol,
            &HashMap<String, Rc<Dialect>>,
        ),
        telemetry: &WorkerTelemetry,
        random: u64,
    ) -> Option<Route> {
        let (service, buffering) = (&service.name, service.buffering);
        let resolve = |name: &str| AttributeKey::resolve(protocol.attributes(), name);
        let weights: Vec<u32> = rule.destinations.iter().map(|to| to.weight).collect();
        let to = |name: &str, fallback, copies| {
            let cluster = self.clusters.get(name).cloned();
            let cluster = cluster.unwrap_or_else(|| Rc::new(Cluster::unknown(name)));
            Some(Rc::new(Destination {
                hash: hash_policies(rule, &cluster, resolve),
                cluster,
                dialect: Rc::clone(dialects.get(name)?),
                buffering,
                series: telemetry.series(service, &rule.name, name),
                fallback,
                copies,
            }))
        };
        let destinations = rule.destinations.iter();
        let destinations = destinations
            .map(|destination| {
                // The last one first: each holds what is asked in its place.
                let mut asked: Vec<_> = destination.asked().collect();
                asked.reverse();
                let last = asked
                    .into_iter()
                    .try_fold(None, |fallback, name| Some(Some(to(name, fallback, None)?)));
                last.flatten()
            })
            .collect::<Option<_>>()?;
        Some(Route {
            name: rule.name.clone(),
            owner: rule.owner.clone(),
            timeout: rule.timeout,
            changes: Changes::new(removed(rule), &rule.request_mutation, resolve),
            answer_changes: Changes::new(Vec::new(), &rule.response_mutation, resolve),
            mirrors: rule
                .mirrors
                .iter()
                .filter_map(|mirror| {
                    let copies = Some(telemetry.cluster(&mirror.cluster));
                    Some(Mirror {
                        to: to(&mirror.cluster, None, copies)?,
                        share: mirror.share,
                        exclude_idempotent: mirror.exclude_idempotent,
                    })
                })
                .collect(),
            retry: rule.retry.clone(),
            hedge: rule.hedge,
            idempotent: rule.idempotent,
            rate_limit: None,
            concurrency: None,
            global_limit: global_limit(rule, protocol, telemetry),
            fault: rule.fault.clone().filter(config::RouteFault::acts),
            limit: rule
                .circuit_breaker
                .as_ref()
                .map(|breaker| RouteLimit::new(breaker, &self.circuits)),
            destinations,
            weights: WeightedCycle::new(&weights).ok()?,
            turn: Cell::new(random),
        })
    }
}

fn global_limit(
    rule: &config::Route,
    protocol: &dyn Protocol,
    telemetry: &WorkerTelemetry,
) -> Option<Rc<GlobalLimit>> {
    let limit = rule.global_limit.as_ref()?;
    GlobalLimit::build(limit, protocol, telemetry)
}
