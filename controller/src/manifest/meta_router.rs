//! `MetaRouter`: which requests of a service go where.

mod adaptive_concurrency;
mod destination;
mod fault;
mod global_rate_limit;
mod hedge;
mod mirrors;
mod mutations;
mod rate_limit;
mod retries;

use std::time::Duration;

use super::decode::{Decoder, Field, Fields};
use super::matching::{self, Alternative};
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
    pub(crate) adaptive_concurrency: Option<AdaptiveConcurrency>,
    pub(crate) mark: Mark,
}

impl Route {
    /// Its changes of requests and of answers.
    pub(crate) fn mutations(&self) -> impl Iterator<Item = &Mutation> {
        self.request_mutation.iter().chain(&self.response_mutation)
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
        let is_repeated = self.retries.is_some() || self.hedge.is_some() || self.idempotent;
        let is_changed = is_mirrored || self.fault.is_some() || self.adaptive_concurrency.is_some();
        self.timeout.is_some() || is_repeated || is_changed
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

const META_ROUTER: &[Field] = &[
    Field::InForce("hosts"),
    Field::InForce("gateways"),
    Field::InForce("routes"),
    Field::InForce("priority"),
    Field::NoEffect("exportTo"),
    Field::InForce("localRateLimit"),
    Field::InForce("globalRateLimit"),
];

const ROUTE: &[Field] = &[
    Field::InForce("name"),
    Field::InForce("match"),
    Field::InForce("matches"),
    Field::InForce("route"),
    Field::InForce("timeout"),
    Field::InForce("retries"),
    Field::InForce("hedge"),
    Field::InForce("idempotent"),
    Field::InForce("mirror"),
    Field::InForce("mirrorPercentage"),
    Field::InForce("mirrors"),
    Field::InForce("requestMutation"),
    Field::InForce("responseMutation"),
    Field::InForce("fault"),
    Field::InForce("adaptiveConcurrency"),
];

pub(super) fn decode(d: &mut Decoder, spec: &Node) -> Option<MetaRouter> {
    let fields = d.fields("spec", spec, META_ROUTER);
    let host = host(d, &fields);
    let gateways = fields.gateways(d);
    let priority = fields.integer(d, "priority", i32::MIN.into()..=i32::MAX.into());
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
        priority: priority.and_then(|p| p.value.try_into().ok()).unwrap_or(0),
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
    let fields = d.fields("routes", node, ROUTE);
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
        adaptive_concurrency,
        mark: Mark::new(node.at),
    })
}
