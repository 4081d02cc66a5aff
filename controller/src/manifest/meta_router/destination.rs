//! Where a route's requests go: hosts, and the weights among several.

use super::super::decode::{Decoder, Fields};
use super::super::shape::{Described, Shape, Takes};
use super::super::{Located, name};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Destination {
    pub(crate) host: Located<String>,
    pub(crate) subset: Option<Located<String>>,
    pub(crate) port: Option<Located<u16>>,
    /// 100 where there is only one.
    pub(crate) weight: u32,
    /// Who is asked in its place, in this order, where none of its endpoints can be.
    pub(crate) fallbacks: Vec<Self>,
}

pub(super) static WEIGHTED: Shape = Shape {
    name: "Weighted destination",
    meaning: "",
    given: "destination: {host: greeter.shop}",
    instead: &[],
    fields: &[
        Described::new("destination", Takes::Mapping(&DESTINATION), "who is asked")
            .required()
            .example("destination: {host: greeter.shop, subset: v1}"),
        Described::new(
            "weight",
            Takes::Integer {
                least: 0,
                most: HUNDRED as i64,
            },
            "percent of the route's requests, not by chance: of any hundred that a worker decides in \
             a row each gets exactly its own. Several have to add up to 100; of one the weight is \
             ignored",
        )
        .absent("0 of several")
        .example("weight: 100"),
        Described::new(
            "fallback",
            Takes::List(&Takes::Mapping(&DESTINATION)),
            "our addition: who is asked, in this order, where the destination has no endpoint that \
             may be asked, or none of those that are tried can be reached before a byte of the \
             request has left. The destination itself, or a fallback that is listed already, is an \
             error; of a destination that a route lists twice, its first `fallback` counts",
        )
        .absent("the request fails")
        .example(
            "fallback: [{host: greeter.shop, subset: v2}], \
             destination: {host: greeter.shop, subset: v1}",
        ),
    ],
};

/// What the weights of a route add up to.
const HUNDRED: u32 = 100;

pub(super) static DESTINATION: Shape = Shape {
    name: "Destination",
    meaning: "",
    given: "host: greeter.shop",
    instead: &[],
    fields: &[
        Described::new(
            "host",
            Takes::Text,
            "of a service; a name without a dot is one of the MetaRouter's namespace",
        )
        .required()
        .example("host: greeter.shop"),
        Described::new("subset", Takes::Text, "of the DestinationRule of the host")
            .absent("all endpoints of the host")
            .example("subset: v2"),
        Described::new("port", Takes::Mapping(&PORT), "one of the service's")
            .absent(
                "the service's port with the server's number, else its only port of that protocol",
            )
            .example("port: {number: 20880}"),
    ],
};

static PORT: Shape = Shape {
    name: "Port",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[Described::new(
        "number",
        Takes::Integer {
            least: 1,
            most: u16::MAX as i64,
        },
        "",
    )
    .required()
    .example("number: 20880")],
};

/// The field `route`.
pub(super) fn weighted(d: &mut Decoder, route: &Fields<'_>) -> Vec<Destination> {
    let entries = route.list(d, "route");
    let mut destinations: Vec<_> = entries.iter().filter_map(|node| entry(d, node)).collect();
    if destinations.len() == entries.len() && !entries.is_empty() {
        settle_weights(d, route, &mut destinations);
    }
    let destinations = destinations.into_iter();
    destinations.map(|(destination, _)| destination).collect()
}

fn entry(d: &mut Decoder, node: &Node) -> Option<(Destination, Option<Position>)> {
    let fields = d.fields("route", node, &WEIGHTED);
    let weight = fields.whole(d, "weight");
    if fields.node("weight").is_some() && weight.is_none() {
        return None;
    }
    let Some(node) = fields.node("destination") else {
        fields.missing(d, "destination");
        return None;
    };
    let fallbacks = fields.list(d, "fallback").iter();
    let fallbacks = fallbacks.filter_map(|node| destination(d, "fallback", node));
    let fallbacks = fallbacks.collect();
    let destination = destination(d, "destination", node)?;
    let at = weight.as_ref().map(|w| w.at);
    let weight = weight.map_or(0, |w| u32::try_from(w.value).unwrap_or(0));
    Some((
        Destination {
            weight,
            fallbacks,
            ..destination
        },
        at,
    ))
}

/// A host, which gets everything.
pub(super) fn destination(d: &mut Decoder, path: &str, node: &Node) -> Option<Destination> {
    let fields = d.fields(path, node, &DESTINATION);
    let host = fields.required(d, "host");
    let host = host.filter(|host| d.check_name(&fields.path_of("host"), host, &name::HOST));
    let subset = fields.string(d, "subset").filter(|s| !s.value.is_empty());
    let port = fields.node("port").map(|node| {
        let port = d.fields(&fields.path_of("port"), node, &PORT);
        if port.node("number").is_none() {
            port.missing(d, "number");
        }
        port.port(d, "number")
    });
    Some(Destination {
        host: host?,
        subset,
        port: port.flatten(),
        weight: HUNDRED,
        fallbacks: vec![],
    })
}

/// One destination takes everything, whatever its weight; several have to add up to 100.
fn settle_weights(
    d: &mut Decoder,
    route: &Fields<'_>,
    destinations: &mut [(Destination, Option<Position>)],
) {
    if let [(only, _)] = destinations {
        only.weight = HUNDRED;
        return;
    }
    let weights: Vec<u32> = destinations.iter().map(|(d, _)| d.weight).collect();
    let sum: u32 = weights.iter().sum();
    if sum == HUNDRED {
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
