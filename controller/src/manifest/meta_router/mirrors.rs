//! `mirror` and `mirrors`: who gets copies of a route's requests.

use super::super::decode::{Decoder, Fields, PERCENT, WHOLE};
use super::super::shape::{Described, Literal, Shape, Takes};
use super::destination::{DESTINATION, Destination, destination};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mirror {
    pub(crate) destination: Destination,
    /// From 0 to 100.
    pub(crate) percentage: f64,
}

/// Of the requests, in percent, where nothing is said.
pub(super) const ALL: f64 = WHOLE;

pub(super) static MIRROR: Shape = Shape {
    name: "Mirror",
    meaning: "As in Istio's VirtualService.",
    given: "destination: {host: greeter.shop, subset: v2}",
    instead: &[],
    fields: &[
        Described::new(
            "destination",
            Takes::Mapping(&DESTINATION),
            "who gets copies",
        )
        .required()
        .example("destination: {host: greeter.shop, subset: v2}"),
        Described::new(
            "percentage",
            Takes::Mapping(&PERCENT),
            "of how many of the requests; 0 is none",
        )
        .default(Literal::Percent(ALL))
        .example("percentage: {value: 10}"),
    ],
};

/// Aeraki's one mirror, or Istio's several.
pub(super) fn decode(d: &mut Decoder, route: &Fields<'_>) -> Vec<Mirror> {
    let percentage = route.percent(d, "mirrorPercentage");
    let single = route.node("mirror");
    if let (Some(entry), None) = (route.entry("mirrorPercentage"), single) {
        let remedy = match route.node("mirrors") {
            Some(_) => "write `percentage` beside each `destination` of `mirrors`",
            None => "name who gets the copies in `mirror`, or remove it",
        };
        d.invalid(entry.at, "`mirrorPercentage` has no `mirror`", remedy);
    }
    if let (Some(entry), Some(_)) = (route.entry("mirrors"), single) {
        let remedy = "write the one of `mirror` into `mirrors`, with its `percentage`";
        let message = "a route takes one of `mirror` and `mirrors`";
        d.invalid(entry.at, message, remedy);
    }
    let single = single.and_then(|node| {
        Some(Mirror {
            destination: destination(d, "mirror", node)?,
            percentage: percentage.unwrap_or(ALL),
        })
    });
    let several = route.list(d, "mirrors").iter();
    let several: Vec<_> = several.filter_map(|node| mirror(d, node)).collect();
    single.into_iter().chain(several).collect()
}

fn mirror(d: &mut Decoder, node: &Node) -> Option<Mirror> {
    let fields = d.fields("mirrors", node, &MIRROR);
    let percentage = fields.percent(d, "percentage").unwrap_or(ALL);
    let Some(node) = fields.node("destination") else {
        fields.missing(d, "destination");
        return None;
    };
    Some(Mirror {
        destination: destination(d, "mirrors.destination", node)?,
        percentage,
    })
}
