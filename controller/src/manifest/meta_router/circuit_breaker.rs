//! `circuitBreaker`: how many requests of a route may be unanswered at a time.

use super::super::connection_pool::{MOST, bound};
use super::super::decode::{Decoder, Fields};
use super::super::shape::{Described, Shape, Takes};

pub(super) static CIRCUIT_BREAKER: Shape = Shape {
    name: "CircuitBreaker",
    meaning: "Our addition.",
    given: "",
    instead: &[],
    fields: &[Described::new(
        "maxRequests",
        Takes::Integer {
            least: 1,
            most: MOST,
        },
        "so many of the route's requests may be unanswered at a time, over all workers and servers, \
         however they are repeated. Those beyond it are refused with \"try later\" before anybody is \
         asked",
    )
    .required()
    .example("maxRequests: 100")],
};

/// `None`: no limit, or something is wrong.
pub(super) fn decode(d: &mut Decoder, route: &Fields<'_>) -> Option<u32> {
    let node = route.node("circuitBreaker")?;
    let fields = d.fields("circuitBreaker", node, &CIRCUIT_BREAKER);
    if fields.node("maxRequests").is_none() {
        fields.missing(d, "maxRequests");
    }
    bound(d, &fields, "maxRequests")
}
