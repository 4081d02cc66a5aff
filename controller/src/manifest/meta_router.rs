//! `MetaRouter`: which requests of a service go where.

mod retries;

use std::time::Duration;

use super::decode::{Decoder, Field, Fields};
use super::matching::{self, Alternative};
use super::{Located, Mark, name};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::yaml::Node;

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
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    pub(crate) name: Option<String>,
    /// One of them has to match; at least one.
    pub(crate) alternatives: Vec<Alternative>,
    /// None only where another object says where requests go.
    pub(crate) destinations: Vec<Destination>,
    /// From the end of a request to its answer; none: no limit.
    pub(crate) timeout: Option<Duration>,
    /// None: nothing is sent again of which a byte has left.
    pub(crate) retries: Option<Retries>,
    /// Repeating a request does no harm, whatever the protocol says.
    pub(crate) idempotent: bool,
    pub(crate) mark: Mark,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Destination {
    pub(crate) host: Located<String>,
    pub(crate) subset: Option<Located<String>>,
    pub(crate) port: Option<Located<u16>>,
    /// 100 where there is only one.
    pub(crate) weight: u32,
}

impl MetaRouter {
    /// Its host, as a destination of everything.
    pub(crate) fn whole_host(&self) -> Destination {
        Destination {
            host: self.host.clone(),
            subset: None,
            port: None,
            weight: 100,
        }
    }
}

const META_ROUTER: &[Field] = &[
    Field::InForce("hosts"),
    Field::InForce("gateways"),
    Field::InForce("routes"),
    Field::InForce("priority"),
    Field::NoEffect("exportTo"),
    Field::NotYet("localRateLimit"),
    Field::NotYet("globalRateLimit"),
];

const ROUTE: &[Field] = &[
    Field::InForce("name"),
    Field::InForce("match"),
    Field::InForce("matches"),
    Field::InForce("route"),
    Field::InForce("timeout"),
    Field::InForce("retries"),
    Field::InForce("idempotent"),
    Field::NotYet("mirror"),
    Field::NotYet("mirrorPercentage"),
    Field::NotYet("requestMutation"),
    Field::NotYet("responseMutation"),
];

const WEIGHTED: &[Field] = &[Field::InForce("destination"), Field::InForce("weight")];

const DESTINATION: &[Field] = &[
    Field::InForce("host"),
    Field::InForce("subset"),
    Field::InForce("port"),
];

const PORT: &[Field] = &[Field::InForce("number")];

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
    Some(MetaRouter {
        host: host?,
        gateways,
        priority: priority.and_then(|p| p.value.try_into().ok()).unwrap_or(0),
        routes,
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
    let idempotent = fields.boolean(d, "idempotent").unwrap_or(false);
    let entries = fields.list(d, "route");
    let mut destinations: Vec<_> = entries
        .iter()
        .filter_map(|node| destination(d, node))
        .collect();
    if destinations.len() == entries.len() && !entries.is_empty() {
        settle_weights(d, &fields, &mut destinations);
    }
    let destinations = destinations
        .into_iter()
        .map(|(destination, _)| destination)
        .collect();
    Some(Route {
        name,
        alternatives,
        destinations,
        timeout,
        retries,
        idempotent,
        mark: Mark::new(node.at),
    })
}

fn destination(d: &mut Decoder, node: &Node) -> Option<(Destination, Option<Position>)> {
    let fields = d.fields("route", node, WEIGHTED);
    let weight = fields.integer(d, "weight", 0..=100);
    if fields.node("weight").is_some() && weight.is_none() {
        return None;
    }
    let Some(node) = fields.node("destination") else {
        fields.missing(d, "destination");
        return None;
    };
    let fields = d.fields("destination", node, DESTINATION);
    let host = fields.required(d, "host");
    let host = host.filter(|host| d.check_name("destination.host", host, &name::HOST));
    let subset = fields.string(d, "subset").filter(|s| !s.value.is_empty());
    let port = fields.node("port").map(|node| {
        let port = d.fields("destination.port", node, PORT);
        if port.node("number").is_none() {
            port.missing(d, "number");
        }
        port.port(d, "number")
    });
    let at = weight.as_ref().map(|w| w.at);
    let weight = weight.map_or(0, |w| u32::try_from(w.value).unwrap_or(0));
    Some((
        Destination {
            host: host?,
            subset,
            port: port.flatten(),
            weight,
        },
        at,
    ))
}

/// One destination takes everything, whatever its weight; several have to add up to 100.
fn settle_weights(
    d: &mut Decoder,
    route: &Fields<'_>,
    destinations: &mut [(Destination, Option<Position>)],
) {
    if let [(only, _)] = destinations {
        only.weight = 100;
        return;
    }
    let weights: Vec<u32> = destinations.iter().map(|(d, _)| d.weight).collect();
    let sum: u32 = weights.iter().sum();
    if sum == 100 {
        return;
    }
    let terms = weights
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(" + ");
    let message = format!("the weights of a route must add up to 100, and {terms} is {sum}");
    let last = destinations.iter().rev().find_map(|&(_, at)| at);
    let at = last
        .or(route.entry("route").map(|e| e.at))
        .unwrap_or(route.at);
    let diagnostic = Diagnostic::error(Code::InvalidWeights, message);
    d.report(
        at,
        diagnostic.remedy("change the weights so that they add up to 100"),
    );
}
