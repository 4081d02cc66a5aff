//! `globalRateLimit`: requests that a rate limit service is asked about.

use std::time::Duration;

use meltemi_policy::ClusterName;

use super::super::Located;
use super::super::decode::{Decoder, Field, Fields};
use super::super::matching::{self, Alternative};
use crate::diagnostic::Position;
use crate::yaml::Node;

/// Envoy's, and Aeraki's by its documentation.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(20);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GlobalRateLimit {
    /// One of them has to match; at least one.
    pub(crate) alternatives: Vec<Alternative>,
    pub(crate) domain: String,
    pub(crate) request_timeout: Duration,
    pub(crate) deny_on_fail: bool,
    pub(crate) service: RateLimitService,
    /// The entries of one descriptor; at least one.
    pub(crate) descriptors: Vec<Descriptor>,
}

/// Where the service is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RateLimitService {
    pub(crate) host: String,
    /// None: the only one that its host has.
    pub(crate) port: Option<u16>,
    pub(crate) at: Position,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Descriptor {
    /// The attribute whose value the entry has.
    pub(crate) property: Located<String>,
    pub(crate) key: String,
}

const GLOBAL_RATE_LIMIT: &[Field] = &[
    Field::InForce("match"),
    Field::InForce("matches"),
    Field::InForce("domain"),
    Field::InForce("requestTimeout"),
    Field::InForce("denyOnFail"),
    Field::InForce("rateLimitService"),
    Field::InForce("descriptors"),
];

const DESCRIPTOR: &[Field] = &[Field::InForce("property"), Field::InForce("descriptorKey")];

/// `None`: something is wrong.
pub(super) fn decode(d: &mut Decoder, node: &Node) -> Option<GlobalRateLimit> {
    let fields = d.fields("globalRateLimit", node, GLOBAL_RATE_LIMIT);
    let alternatives = matching::decode(d, &fields);
    let domain = fields.required(d, "domain");
    let has_timeout = fields.node("requestTimeout").is_some();
    let timeout = fields.duration(d, "requestTimeout");
    let deny_on_fail = fields.boolean(d, "denyOnFail");
    let service = service(d, &fields);
    let descriptors = descriptors(d, &fields);
    Some(GlobalRateLimit {
        alternatives: Some(alternatives).filter(|it| !it.is_empty())?,
        domain: domain?.value,
        request_timeout: match has_timeout {
            true => timeout?,
            false => REQUEST_TIMEOUT,
        },
        deny_on_fail: deny_on_fail.unwrap_or(false),
        service: service?,
        descriptors: descriptors?,
    })
}

/// Aeraki has the name of a cluster there.
fn service(d: &mut Decoder, fields: &Fields<'_>) -> Option<RateLimitService> {
    let Located { value, at } = fields.required(d, "rateLimitService")?;
    if let Ok(name) = value.parse::<ClusterName>()
        && name.subset.is_empty()
    {
        return Some(RateLimitService {
            host: name.host,
            port: Some(name.port),
            at,
        });
    }
    let (host, port) = match value.split_once(':') {
        None => (value.as_str(), None),
        Some((host, port)) => (
            host,
            Some(port.parse::<u16>().ok().filter(|port| *port > 0)),
        ),
    };
    let is_host = !host.is_empty() && !host.contains(['|', '/', ' ']);
    if port == Some(None) || !is_host {
        let message = format!("`globalRateLimit.rateLimitService` is no service: `{value}`");
        let remedy =
            "write `HOST:PORT`, or `outbound|PORT||HOST`, of a service's port that speaks gRPC";
        d.invalid(at, message, remedy);
        return None;
    }
    Some(RateLimitService {
        host: host.to_owned(),
        port: port.flatten(),
        at,
    })
}

fn descriptors(d: &mut Decoder, fields: &Fields<'_>) -> Option<Vec<Descriptor>> {
    let nodes = fields.list(d, "descriptors");
    if nodes.is_empty() {
        let at = fields.entry("descriptors").map_or(fields.at, |it| it.at);
        let message = "`globalRateLimit` has no `descriptors`: there is nothing to count by";
        d.invalid(
            at,
            message,
            "list what is counted, as in `{property: method, descriptorKey: method}`",
        );
        return None;
    }
    let descriptors = nodes.iter().map(|node| descriptor(d, node));
    // All of them first, so that each mistake is said.
    let descriptors: Vec<Option<_>> = descriptors.collect();
    descriptors.into_iter().collect()
}

fn descriptor(d: &mut Decoder, node: &Node) -> Option<Descriptor> {
    let fields = d.fields("descriptors", node, DESCRIPTOR);
    let property = fields.required(d, "property");
    let key = fields.required(d, "descriptorKey");
    Some(Descriptor {
        property: property?,
        key: key?.value,
    })
}
