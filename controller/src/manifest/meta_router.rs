//! `MetaRouter`: which requests of a service go where.

mod adaptive_concurrency;
mod circuit_breaker;
mod destination;
mod fault;
mod global_rate_limit;
mod hash_policy;
mod hedge;
mod mirrors;
mod mutations;
mod rate_limit;
mod retries;

use std::time::Duration;

use meltemi_policy::HashPolicy;

use super::decode::{Decoder, Fields, PERCENT};
use super::matching::{self, Alternative};
use super::shape::{Described, Literal, Shape, Takes};
use super::{Located, Mark, name};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Node;

pub(crate) use adaptive_concurrency::AdaptiveConcurrency;
pub(crate) use destination::Destination;
pub(crate) use fault::{Abort, AbortStatus, Delay, Fault as RouteFault};
pub(crate) use global_rate_limit::{GlobalRateLimit, RateLimitService};
pub(crate) use mirrors::Mirror;
pub(crate) use mutations::Mutation;
pub(crate) use rate_limit::RateLimit;
pub(crate) use retries::{Retries, RetryOn};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MetaRouter {
    /// The service whose requests these are: the only entry of `hosts`.
    pub(crate) host: Located<String>,
    /// `name` or `namespace/name`.
    pub(crate) gateways: Vec<Located<String>>,
    /// Higher comes first on a server; 0 where nothing is said.
    pub(crate) priority: i32,
    pub(crate) routes: Vec<Route>,
    /// Of the requests of its routes; none: they are not limited.
    pub(crate) limit: Option<RateLimit>,
    /// Of the same; none: no service is asked about them.
    pub(crate) global_limit: Option<GlobalRateLimit>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    pub(crate) name: Option<String>,
    /// One of them has to match; at least one.
    pub(crate) alternatives: Vec<Alternative>,
    /// None only where another object says where requests go.
    pub(crate) destinations: Vec<Destination>,
    /// Who gets copies.
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) request_mutation: Vec<Mutation>,
    pub(crate) response_mutation: Vec<Mutation>,
    /// From the end of a request to its answer; none: no limit.
    pub(crate) timeout: Option<Duration>,
    /// None: nothing is sent again of which a byte has left.
    pub(crate) retries: Option<Retries>,
    /// After which time another endpoint is asked, too.
    pub(crate) hedge: Option<Duration>,
    /// Repeating a request does no harm, whatever the protocol says.
    pub(crate) idempotent: bool,
    pub(crate) fault: Option<RouteFault>,
    /// What is hashed for destinations whose balancer hashes; nothing: what these say.
    pub(crate) hash_policy: Vec<Located<HashPolicy>>,
    /// So many of its requests may be unanswered; none: no limit.
    pub(crate) max_requests: Option<u32>,
    pub(crate) adaptive_concurrency: Option<AdaptiveConcurrency>,
    pub(crate) mark: Mark,
}

impl Route {
    /// Its changes of requests and of answers.
    pub(crate) fn mutations(&self) -> impl Iterator<Item = &Mutation> {
        self.request_mutation.iter().chain(&self.response_mutation)
    }

    /// What is hashed of its requests.
    pub(crate) fn hashed(&self) -> impl Iterator<Item = HashPolicy> {
        self.hash_policy.iter().map(|policy| policy.value.clone())
    }

    /// Whatever its requests, or copies of them, may go to.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Destination> {
        let mirrors = self.mirrors.iter().map(|mirror| &mirror.destination);
        let fallbacks = self.destinations.iter().flat_map(|to| &to.fallbacks);
        self.destinations.iter().chain(fallbacks).chain(mirrors)
    }
}

impl Route {
    /// Whether it says how requests are treated, besides where they go.
    pub(crate) fn treats(&self) -> bool {
        let is_mirrored = !self.mirrors.is_empty();
        let is_bounded = self.timeout.is_some() || self.max_requests.is_some();
        let is_repeated = self.retries.is_some() || self.hedge.is_some() || self.idempotent;
        let is_changed = is_mirrored || self.fault.is_some() || !self.hash_policy.is_empty();
        let is_measured = self.adaptive_concurrency.is_some();
        is_bounded || is_repeated || is_changed || is_measured
    }
}

impl MetaRouter {
    /// All that it asks of requests: of its routes and of the conditions of its limits.
    pub(crate) fn alternatives(&self) -> impl Iterator<Item = &Alternative> {
        let limits = self.limit.iter().flat_map(|limit| &limit.conditions);
        let routes = self.routes.iter().flat_map(|route| &route.alternatives);
        let global = self.global_limit.iter();
        routes
            .chain(limits.flat_map(|condition| &condition.alternatives))
            .chain(global.flat_map(|limit| &limit.alternatives))
    }

    /// The attributes that a rate limit service is told of requests.
    pub(crate) fn properties(&self) -> impl Iterator<Item = &Located<String>> {
        let limit = self.global_limit.iter();
        limit.flat_map(|limit| limit.descriptors.iter().map(|it| &it.property))
    }

    /// Its host, as a destination of everything.
    pub(crate) fn whole_host(&self) -> Destination {
        Destination {
            host: self.host.clone(),
            subset: None,
            port: None,
            weight: 100,
            fallbacks: vec![],
        }
    }
}

pub(crate) static META_ROUTER: Shape = Shape {
    name: "spec",
    meaning: "Several MetaRouters on one server are tried in the order of \
        [precedence](manifests.md#attributes-and-precedence).",
    given: "hosts: [greeter.shop], gateways: [edge]",
    instead: &[],
    fields: &[
        Described::new(
            "hosts",
            Takes::List(&Takes::Text),
            "exactly one: the service whose requests these are. Neither a wildcard nor an address",
        )
        .required()
        .example("hosts: [greeter.shop]"),
        Described::new(
            "gateways",
            Takes::List(&Takes::Text),
            "`name` or `namespace/name`. It attaches to each server whose protocol is that of a port \
             of the service; none is an error",
        )
        .absent("it acts nowhere (a warning)")
        .example("gateways: [default/edge]"),
        Described::new(
            "priority",
            Takes::Integer {
                least: i32::MIN as i64,
                most: i32::MAX as i64,
            },
            "of several on one server the higher comes first",
        )
        .default(Literal::Integer(PRIORITY as i64))
        .example("priority: 10"),
        Described::new(
            "routes",
            Takes::List(&Takes::Mapping(&ROUTE)),
            "in order; the first that matches decides",
        )
        .absent("everything goes to the host")
        .example("routes: [{route: [{destination: {host: greeter.shop}}]}]"),
        Described::new(
            "localRateLimit",
            Takes::Mapping(&rate_limit::RATE_LIMIT),
            "how many requests of its routes a proxy lets through",
        )
        .absent("they are not limited")
        .example("localRateLimit: {tokenBucket: {maxTokens: 100, tokensPerFill: 50, fillInterval: 1s}}"),
        Described::new(
            "globalRateLimit",
            Takes::Mapping(&global_rate_limit::GLOBAL_RATE_LIMIT),
            "requests of its routes that a rate limit service is asked about",
        )
        .absent("it is asked about none")
        .example(
            "globalRateLimit: {domain: shop, rateLimitService: limiter.shop, \
             descriptors: [{property: method, descriptorKey: method}]}",
        ),
        Described::no_effect(
            "exportTo",
            Takes::List(&Takes::Text),
            "no meaning here: what a rule acts on its `gateways` say",
        )
        .example("exportTo: ['.']"),
    ],
};

/// Where nothing is said.
const PRIORITY: i32 = 0;

static ROUTE: Shape = Shape {
    name: "Route",
    meaning: "Which requests, where they go, and how they are treated.",
    given: "route: [{destination: {host: greeter.shop}}]",
    instead: &[],
    fields: &[
        Described::new("name", Takes::Text, "for people, access logs and metrics")
            .example("name: hello"),
        matching::match_field("which requests; Aeraki's. A route takes one of `match` and `matches`", "every request"),
        matching::matches_field("every request"),
        Described::new(
            "route",
            Takes::List(&Takes::Mapping(&destination::WEIGHTED)),
            "where the requests go. On a server where a RedisService decides that, it is an error",
        )
        .absent("an error, but for Redis, where it is the host")
        .example(
            "route: [{destination: {host: greeter.shop, subset: v1}, weight: 90}, \
             {destination: {host: greeter.shop, subset: v2}, weight: 10}]",
        ),
        Described::new(
            "timeout",
            Takes::Duration,
            "from the end of a request to its answer; a deadline of the message's own counts where \
             it is shorter",
        )
        .absent("no limit")
        .example("timeout: 1.5s"),
        Described::new(
            "retries",
            Takes::Mapping(&retries::RETRIES),
            "when a request is sent again, named as in Istio's VirtualService: see \
             [retries](manifests.md#retries)",
        )
        .absent("nothing is of which a byte has left")
        .example("retries: {attempts: 2, perTryTimeout: 500ms}"),
        Described::new(
            "hedge",
            Takes::Mapping(&hedge::HEDGE),
            "our addition: when another endpoint is asked, although the first may still answer; see \
             [hedging](manifests.md#hedging)",
        )
        .absent("none is")
        .example("hedge: {delay: 50ms}"),
        Described::new(
            "idempotent",
            Takes::Boolean,
            "`true`: repeating these requests does no harm even after they may have been executed, \
             whatever the protocol says",
        )
        .default(Literal::Boolean(false))
        .example("idempotent: true, retries: {attempts: 2, retryOn: reset-before-bytes}"),
        Described::new(
            "hashPolicy",
            Takes::List(&Takes::TextOr(&hash_policy::POLICY)),
            "our addition: what is hashed of these requests where a destination has `consistentHash`",
        )
        .absent("what the DestinationRule names, else the key of the protocol")
        .example("hashPolicy: [method, {useSourceIp: true}]"),
        Described::new(
            "circuitBreaker",
            Takes::Mapping(&circuit_breaker::CIRCUIT_BREAKER),
            "our addition: how many of these requests may be unanswered at a time",
        )
        .absent("any number")
        .example("circuitBreaker: {maxRequests: 100}"),
        Described::new(
            "adaptiveConcurrency",
            Takes::Mapping(&adaptive_concurrency::ADAPTIVE_CONCURRENCY),
            "our addition: how many of these requests may be under way, found by their latencies",
        )
        .absent("any number")
        .example(
            "adaptiveConcurrency: {concurrencyUpdateInterval: 100ms, minRttCalcParams: {interval: 60s}}",
        ),
        Described::new(
            "mirror",
            Takes::Mapping(&destination::DESTINATION),
            "who gets a [copy](manifests.md#copies) of the requests",
        )
        .absent("nobody")
        .example("mirror: {host: greeter.shop, subset: v2}"),
        Described::new(
            "mirrorPercentage",
            Takes::Mapping(&PERCENT),
            "of how many of the requests; 0 is none. Only beside `mirror`",
        )
        .default(Literal::Percent(mirrors::ALL))
        .example("mirrorPercentage: {value: 10}, mirror: {host: greeter.shop, subset: v2}"),
        Described::new(
            "mirrors",
            Takes::List(&Takes::Mapping(&mirrors::MIRROR)),
            "the same as Istio writes it, in the place of `mirror`: several, of which each draws for \
             itself",
        )
        .absent("nobody")
        .example("mirrors: [{destination: {host: greeter.shop, subset: v2}, percentage: {value: 0.5}}]"),
        Described::new(
            "requestMutation",
            Takes::List(&Takes::Mapping(&mutations::MUTATION)),
            "what is [changed](manifests.md#changes) in requests",
        )
        .example("requestMutation: [{key: team, value: blue}]"),
        Described::new(
            "responseMutation",
            Takes::List(&Takes::Mapping(&mutations::MUTATION)),
            "what is changed in their answers",
        )
        .example("responseMutation: [{key: served-by, remove: true}]"),
        Described::new(
            "fault",
            Takes::Mapping(&fault::FAULT),
            "delays and errors on purpose, in the shape of Istio's VirtualService",
        )
        .absent("none")
        .example("fault: {abort: {percentage: {value: 0.1}, status: overloaded}}"),
    ],
};

pub(super) fn decode(d: &mut Decoder, spec: &Node) -> Option<MetaRouter> {
    let fields = d.fields("spec", spec, &META_ROUTER);
    let host = host(d, &fields);
    let gateways = fields.gateways(d);
    let priority = fields.whole(d, "priority");
    let routes = fields
        .list(d, "routes")
        .iter()
        .filter_map(|node| route(d, node))
        .collect();
    let limit = fields.node("localRateLimit");
    let limit = limit.and_then(|node| rate_limit::decode(d, node));
    let global_limit = fields.node("globalRateLimit");
    let global_limit = global_limit.and_then(|node| global_rate_limit::decode(d, node));
    Some(MetaRouter {
        host: host?,
        gateways,
        priority: priority
            .and_then(|p| p.value.try_into().ok())
            .unwrap_or(PRIORITY),
        routes,
        limit,
        global_limit,
    })
}

fn host(d: &mut Decoder, spec: &Fields<'_>) -> Option<Located<String>> {
    let mut hosts = spec.strings(d, "hosts");
    let one = "name the one service whose requests this MetaRouter routes";
    if hosts.len() != 1 {
        let at = spec.entry("hosts").map_or(spec.at, |e| e.at);
        let message = format!(
            "`spec.hosts` has {} entries; it takes exactly one",
            hosts.len()
        );
        d.report(
            at,
            Diagnostic::error(Code::InvalidValue, message).remedy(one),
        );
        return None;
    }
    let host = hosts.remove(0);
    d.check_name("spec.hosts", &host, &name::HOST)
        .then_some(host)
}

fn route(d: &mut Decoder, node: &Node) -> Option<Route> {
    let fields = d.fields("routes", node, &ROUTE);
    let name = fields
        .string(d, "name")
        .map(|n| n.value)
        .filter(|n| !n.is_empty());
    let alternatives = matching::decode(d, &fields);
    let timeout = fields.duration(d, "timeout");
    let retries = fields.node("retries");
    let retries = retries.and_then(|node| retries::decode(d, node, timeout));
    let hedge = fields.node("hedge");
    let hedge = hedge.and_then(|node| hedge::decode(d, node, timeout));
    let idempotent = fields.boolean(d, "idempotent").unwrap_or(false);
    let hash_policy = hash_policy::decode(d, &fields);
    let max_requests = circuit_breaker::decode(d, &fields);
    let destinations = destination::weighted(d, &fields);
    let mirrors = mirrors::decode(d, &fields);
    let request_mutation = mutations::decode(d, &fields, "requestMutation");
    let response_mutation = mutations::decode(d, &fields, "responseMutation");
    let fault = fields.node("fault");
    let fault = fault.and_then(|node| fault::decode(d, node));
    let adaptive_concurrency = fields.node("adaptiveConcurrency");
    let adaptive_concurrency =
        adaptive_concurrency.and_then(|node| adaptive_concurrency::decode(d, node));
    Some(Route {
        name,
        alternatives,
        destinations,
        mirrors,
        request_mutation,
        response_mutation,
        timeout,
        retries,
        hedge,
        idempotent,
        fault,
        hash_policy,
        max_requests,
        adaptive_concurrency,
        mark: Mark::new(node.at),
    })
}
