//! What of a request is hashed to choose its endpoint.

use meltemi_policy::{HashPolicy, Hashed};
use meltemi_proto::meltemi::config::v1::HashPolicy as Proto;
use meltemi_proto::meltemi::config::v1::hash_policy::{Of, Property};

use super::invalid::{Invalid, required};

/// The policies of a field.
pub(super) fn parse(field: &str, policies: Vec<Proto>) -> Result<Vec<HashPolicy>, Invalid> {
    let policies = policies.into_iter().enumerate();
    policies
        .map(|(i, policy)| one(policy).map_err(|e| e.within(&format!("{field}[{i}]"))))
        .collect()
}

fn one(policy: Proto) -> Result<HashPolicy, Invalid> {
    let property = |number| Property::try_from(number).unwrap_or(Property::Unspecified);
    let of = match policy.of {
        Some(Of::Attribute(name)) => Hashed::Attribute(required("attribute", name)?),
        Some(Of::Property(number)) => match property(number) {
            Property::SourceAddress => Hashed::SourceAddress,
            Property::Connection => Hashed::Connection,
            Property::Unspecified => return Err(Invalid::new("property", "is unknown")),
        },
        None => return Err(Invalid::new("of", "is missing or unknown")),
    };
    Ok(HashPolicy {
        of,
        terminal: policy.terminal,
    })
}
