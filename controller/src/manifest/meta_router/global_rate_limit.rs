//! `globalRateLimit`: requests that a rate limit service is asked about.

use std::time::Duration;

use meltemi_policy::ClusterName;

use super::super::Located;
use super::super::decode::{Decoder, Fields};
use super::super::matching::{self, Alternative};
use super::super::shape::{Described, Literal, Shape, Takes};
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
    pub(crate) host: Located<String>,
    /// None: the only one that its host has.
    pub(crate) port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Descriptor {
    /// The attribute whose value the entry has.
    pub(crate) property: Located<String>,
    pub(crate) key: String,
}

pub(super) static GLOBAL_RATE_LIMIT: Shape = Shape {
    name: "GlobalRateLimit",
    meaning: "Aeraki's. The descriptors are the entries of one descriptor. See \
        [global rate limits](manifests.md#global-rate-limits).",
    given: "domain: shop, rateLimitService: limiter.shop, \
        descriptors: [{property: method, descriptorKey: method}]",
    instead: &[],
    fields: &[
        matching::match_field("which requests; Aeraki's", "all, as without `matches`"),
        matching::matches_field("all, as without `match`"),
        Described::new(
            "domain",
            Takes::Text,
            "the service's own name for this set of limits",
        )
        .required()
        .example("domain: shop"),
        Described::new(
            "requestTimeout",
            Takes::Duration,
            "how long the service is waited for",
        )
        .default(Literal::Duration(REQUEST_TIMEOUT))
        .example("requestTimeout: 50ms"),
        Described::new(
            "denyOnFail",
            Takes::Boolean,
            "`true`: what the service does not decide on is refused; else it goes on",
        )
        .default(Literal::Boolean(false))
        .example("denyOnFail: true"),
        Described::new(
            "rateLimitService",
            Takes::Text,
            "the host and port of a service that speaks gRPC (`envoy.service.ratelimit.v3`): \
             `HOST:PORT`, or Aeraki's `outbound|PORT||HOST`; `HOST` alone where it has one port",
        )
        .required()
        .example("rateLimitService: limiter.shop"),
        Described::new(
            "descriptors",
            Takes::List(&Takes::Mapping(&DESCRIPTOR)),
            "what is counted by; at least one",
        )
        .required()
        .example("descriptors: [{property: method, descriptorKey: method}]"),
    ],
};

static DESCRIPTOR: Shape = Shape {
    name: "Descriptor",
    meaning: "An entry of the descriptor. A request that has no value for it is not limited.",
    given: "property: method, descriptorKey: method",
    instead: &[],
    fields: &[
        Described::new(
            "property",
            Takes::Text,
            "the attribute whose value the entry has",
        )
        .required()
        .example("property: method"),
        Described::new("descriptorKey", Takes::Text, "what the service calls it")
            .required()
            .example("descriptorKey: method"),
    ],
};

/// `None`: something is wrong.
pub(super) fn decode(d: &mut Decoder, node: &Node) -> Option<GlobalRateLimit> {
    let fields = d.fields("globalRateLimit", node, &GLOBAL_RATE_LIMIT);
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
            host: Located {
                value: name.host,
                at,
            },
            port: Some(name.port),
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
        host: Located {
            value: host.to_owned(),
            at,
        },
        port: port.flatten(),
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
    let fields = d.fields("descriptors", node, &DESCRIPTOR);
    let property = fields.required(d, "property");
    let key = fields.required(d, "descriptorKey");
    Some(Descriptor {
        property: property?,
        key: key?.value,
    })
}
