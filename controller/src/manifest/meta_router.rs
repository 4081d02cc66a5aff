//! `MetaRouter`: which requests of a service go where.

mod retries;

use std::time::Duration;

use meltemi_policy::Condition;
use meltemi_policy::route::{RegexRefusal, validate};

use super::decode::{Decoder, Field, Fields};
use super::{Located, Mark, name};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::yaml::{Entry, Node, Value};

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
    /// All of them have to match; none: every request.
    pub(crate) attributes: Vec<Attribute>,
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
pub(crate) struct Attribute {
    pub(crate) name: Located<String>,
    pub(crate) matcher: StringMatch,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StringMatch {
    /// `null`, `{}` and the regular expression `*` all mean this.
    Present,
    Exact(String),
    Prefix(String),
    /// Matches the whole value.
    Regex(Located<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Destination {
    pub(crate) host: Located<String>,
    pub(crate) subset: Option<Located<String>>,
    pub(crate) port: Option<Located<u16>>,
    /// 100 where there is only one.
    pub(crate) weight: u32,
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
    Field::InForce("route"),
    Field::InForce("timeout"),
    Field::InForce("retries"),
    Field::InForce("idempotent"),
    Field::NotYet("mirror"),
    Field::NotYet("mirrorPercentage"),
    Field::NotYet("requestMutation"),
    Field::NotYet("responseMutation"),
];

const MATCH: &[Field] = &[Field::InForce("attributes")];

const STRING_MATCH: &[Field] = &[
    Field::InForce("exact"),
    Field::InForce("prefix"),
    Field::InForce("regex"),
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
    let attributes = match fields.node("match") {
        Some(node) => attributes(d, node),
        None => vec![],
    };
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
        attributes,
        destinations,
        timeout,
        retries,
        idempotent,
        mark: Mark::new(node.at),
    })
}

fn attributes(d: &mut Decoder, node: &Node) -> Vec<Attribute> {
    let fields = d.fields("match", node, MATCH);
    let entries = fields.map(d, "attributes").iter();
    entries.filter_map(|entry| attribute(d, entry)).collect()
}

fn attribute(d: &mut Decoder, entry: &Entry) -> Option<Attribute> {
    if entry.key.is_empty() {
        let remedy = "name the attribute whose value is matched";
        d.invalid(entry.at, "an attribute without a name", remedy);
        return None;
    }
    let name = Located {
        value: entry.key.clone(),
        at: entry.at,
    };
    let path = format!("attributes.{}", entry.key);
    let fields = d.fields(&path, &entry.value, STRING_MATCH);
    let exact = fields.string(d, "exact");
    let prefix = fields.string(d, "prefix");
    let regex = fields.string(d, "regex");
    let matcher = match (exact, prefix, regex) {
        (None, None, None) => StringMatch::Present,
        (Some(exact), None, None) => StringMatch::Exact(exact.value),
        (None, Some(prefix), None) => StringMatch::Prefix(prefix.value),
        (None, None, Some(regex)) => compiled(d, regex)?,
        _ => {
            let message = format!("`{path}` takes one of exact, prefix and regex");
            let diagnostic = Diagnostic::error(Code::InvalidValue, message);
            d.report(
                entry.at,
                diagnostic.remedy("a request that has to meet two conditions needs a regex"),
            );
            return None;
        }
    };
    // A value of the wrong type must not read as presence: that would widen the route.
    let is_string_match = matches!(entry.value.value, Value::Map(_) | Value::Null);
    is_string_match.then_some(Attribute { name, matcher })
}

fn compiled(d: &mut Decoder, regex: Located<String>) -> Option<StringMatch> {
    if regex.value.is_empty() {
        d.invalid(
            regex.at,
            "an empty regular expression matches nothing but an empty value",
            "write `{exact: \"\"}` if that is meant, and `{}` for any value",
        );
        return None;
    }
    // As the proxy compiles it, with its limits: what is accepted here is accepted there.
    let Err(refusal) = validate(&Condition::Regex(regex.value.clone())) else {
        return Some(StringMatch::Regex(regex));
    };
    let text = &regex.value;
    let (message, remedy) = match refusal {
        RegexRefusal::TooLarge { limit, .. } => (
            format!("`{text}` is too large: compiled it takes more than {limit} bytes"),
            "write a wider one: `+` for a count such as `{200}`, `[A-Za-z]` for `\\p{L}`",
        ),
        RegexRefusal::Invalid { message, .. } => (
            format!("`{text}` is no regular expression: {message}"),
            "write it in RE2's syntax; `*` alone means any value",
        ),
        RegexRefusal::Star => return Some(StringMatch::Present),
    };
    let diagnostic = Diagnostic::error(Code::InvalidRegex, message);
    d.report(regex.at, diagnostic.remedy(remedy));
    None
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
