//! What is said of a request: where it would go, what is done to it, what it comes to at worst.
//!
//! The control plane says it of manifests, a proxy of what it runs. Each knows its own configuration and
//! fills in the same answer with it, so that both have the same fields, words and arithmetic. What only
//! one of them knows is left out by the other.

mod cluster;
mod destination;
mod limit;
mod treatment;
mod worst;

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

pub use cluster::{Budget, Connections, Encryption, FailedParts, Keepalive, Outliers};
pub use destination::{
    CircuitBreakers, DestinationShare, EndpointShare, Health, InUse, KeyOwner, Tier,
};
pub use limit::{Concurrency, Entry, GloballyLimited, Limited};
pub use treatment::{FaultShare, Hedged, MirrorShare, Mutated, Removed, Retried, Treatment};
pub use worst::WorstCase;

use crate::route::{Steps, proven_namespace};
use crate::{Attribute, RouteTable};

/// The request that is asked about, as far as it was said.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The value of an attribute.
    pub attribute: &'a dyn Fn(&str) -> Option<&'a [u8]>,
    /// The address that its client's connection comes from.
    pub source: Option<IpAddr>,
    /// The identity that its client has proven, as conditions name it.
    pub principal: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// What a condition looks at.
    #[must_use]
    pub fn value(&self, of: &Attribute) -> Option<Cow<'a, [u8]>> {
        match of {
            Attribute::Message(name) => (self.attribute)(name).map(Cow::Borrowed),
            Attribute::SourceAddress => Some(Cow::Owned(self.source?.to_string().into_bytes())),
            Attribute::SourcePrincipal => Some(Cow::Borrowed(self.principal?.as_bytes())),
            Attribute::SourceNamespace => match self.principal.and_then(proven_namespace) {
                Some(namespace) => Some(Cow::Borrowed(namespace.as_bytes())),
                None => self.value(&Attribute::SourceAddress),
            },
        }
    }

    /// The first rule of a table that it meets, and its place.
    pub fn met<'t, T>(&self, table: &'t RouteTable<T>) -> Option<(usize, &'t T)> {
        let value = |index| self.value(table.attributes().get(index)?);
        table.select(&mut Steps::default(), value).ok().flatten()
    }
}

/// As protobuf's JSON writes it.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    let (whole, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let text = format!("{whole}.{nanos:09}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        for (millis, text) in [(0, "0s"), (40, "0.04s"), (1140, "1.14s"), (100_000, "100s")] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
        assert_eq!(seconds(Duration::from_nanos(1)), "0.000000001s");
    }
}
