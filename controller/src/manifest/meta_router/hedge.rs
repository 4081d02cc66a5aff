//! `hedge`: when another endpoint is asked, although the first may still answer.

use std::time::Duration;

use super::super::decode::Decoder;
use super::super::shape::{Described, Shape, Takes};
use crate::yaml::Node;

pub(super) static HEDGE: Shape = Shape {
    name: "Hedge",
    meaning: "Our addition; which requests are hedged [manifests.md](manifests.md#hedging) says.",
    given: "",
    instead: &[],
    fields: &[Described::new(
        "delay",
        Takes::Duration,
        "an endpoint that has not answered for so long does not keep a request waiting alone. Not \
         shorter than the route's `timeout` is an error",
    )
    .required()
    .example("delay: 50ms")],
};

/// How long the first is asked alone. `None`: something is wrong.
pub(super) fn decode(
    d: &mut Decoder,
    node: &Node,
    route_timeout: Option<Duration>,
) -> Option<Duration> {
    let fields = d.fields("hedge", node, &HEDGE);
    if fields.node("delay").is_none() {
        fields.missing(d, "delay");
    }
    let delay = fields.duration(d, "delay")?;
    if let (Some(route), Some(entry)) = (route_timeout, fields.entry("delay"))
        && delay >= route
    {
        d.invalid(
            entry.at,
            "`hedge.delay` is not shorter than the route's `timeout`, so that no second endpoint is ever asked",
            "make it shorter than `timeout`, such as what 95 of 100 answers take",
        );
    }
    Some(delay)
}
