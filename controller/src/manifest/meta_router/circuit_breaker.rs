//! `circuitBreaker`: how many requests of a route may be unanswered at a time.

use super::super::connection_pool::limit;
use super::super::decode::{Decoder, Field, Fields};

const CIRCUIT_BREAKER: &[Field] = &[Field::InForce("maxRequests")];

/// `None`: no limit, or something is wrong.
pub(super) fn decode(d: &mut Decoder, route: &Fields<'_>) -> Option<u32> {
    let node = route.node("circuitBreaker")?;
    let fields = d.fields("circuitBreaker", node, CIRCUIT_BREAKER);
    if fields.node("maxRequests").is_none() {
        fields.missing(d, "maxRequests");
    }
    limit(d, &fields, "maxRequests")
}
