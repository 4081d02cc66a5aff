//! Global rate limits: a service says whether requests are within them.

use std::time::Duration;

use meltemi_policy::{Alternative, route::Conditions};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as proto;

use super::duration::duration;
use super::invalid::{Invalid, required};
use super::matching::alternatives;
use super::named::Named;

/// As long as Envoy's filter waits where nothing is said.
const TIMEOUT: Duration = Duration::from_millis(20);

/// Requests that a rate limit service is asked about, and what it is told of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalRateLimit {
    /// Whose it is.
    pub name: String,
    /// One of them must hold; at least one.
    pub matches: Vec<Alternative>,
    /// The namespace of the descriptor in the service's configuration.
    pub domain: String,
    /// The entries of the one descriptor; at least one.
    pub entries: Vec<DescriptorEntry>,
    /// Of the service.
    pub cluster: String,
    /// How long it is waited for.
    pub timeout: Duration,
    /// What it does not decide on is refused, not let through.
    pub deny_on_fail: bool,
    /// Which requests, so that no worker has to compile it.
    pub compiled: Option<Conditions>,
}

/// An entry of a descriptor. A request without the attribute, or with an empty one, has no
/// descriptor and is not limited, as with Envoy's action `request_headers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorEntry {
    pub key: String,
    /// Its value is the attribute's.
    pub attribute: String,
}

impl Named for GlobalRateLimit {
    const LIST: &'static str = "global_rate_limits";
    const REFERENCE: &'static str = "global_rate_limit";
    const NAME: &'static str = "name";

    fn name(&self) -> &str {
        &self.name
    }
}

impl GlobalRateLimit {
    pub(super) fn parse(limit: proto::GlobalRateLimit) -> Result<Self, Invalid> {
        let entries = limit.descriptors.into_iter().enumerate();
        let entries: Vec<_> = entries
            .map(|(i, entry)| {
                DescriptorEntry::parse(entry).map_err(|e| e.within(&format!("descriptors[{i}]")))
            })
            .collect::<Result<_, _>>()?;
        if entries.is_empty() {
            return Err(Invalid::new("descriptors", "is empty"));
        }
        let timeout = limit.timeout.map(|it| duration("timeout", it));
        let matches =
            alternatives(limit.r#match.unwrap_or_default()).map_err(|e| e.within("match"))?;
        Ok(Self {
            name: required("name", limit.name)?,
            compiled: Conditions::new(vec![matches.clone()]).ok(),
            matches,
            domain: required("domain", limit.domain)?,
            entries,
            cluster: required("cluster", limit.cluster)?,
            timeout: timeout.transpose()?.unwrap_or(TIMEOUT),
            deny_on_fail: limit.failure_mode_deny,
        })
    }
}

impl DescriptorEntry {
    fn parse(entry: proto::global_rate_limit::Descriptor) -> Result<Self, Invalid> {
        Ok(Self {
            key: required("descriptor_key", entry.descriptor_key)?,
            attribute: required("property", entry.property)?,
        })
    }
}
