//! Global limits of routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as route;

use super::{duration, matching};
use crate::model::{Alternative, GlobalRateLimit, Rule};

/// The limits of rules, each once. One that no request of the server can be under is left out.
pub(super) fn limits(rules: &[Arc<Rule>]) -> Vec<route::GlobalRateLimit> {
    let limits = rules.iter().filter_map(|rule| rule.global_limit.as_deref());
    let limits: BTreeMap<&str, _> = limits.map(|limit| (limit.name.as_str(), limit)).collect();
    limits.into_values().filter_map(limit).collect()
}

/// What a rule calls its limit; empty where there is none.
pub(super) fn name(rule: &Rule) -> String {
    let limit = rule.global_limit.as_deref();
    let limit = limit.filter(|it| !Alternative::possible(&it.alternatives).is_empty());
    limit.map_or_else(String::new, |limit| limit.name.clone())
}

fn limit(limit: &GlobalRateLimit) -> Option<route::GlobalRateLimit> {
    let possible = Alternative::possible(&limit.alternatives);
    let entries = limit.entries.iter();
    let descriptors = entries.map(|(property, key)| route::global_rate_limit::Descriptor {
        property: property.clone(),
        descriptor_key: key.clone(),
    });
    Some(route::GlobalRateLimit {
        r#match: Some(matching::wire_match(&possible)?),
        domain: limit.domain.clone(),
        timeout: Some(duration(limit.timeout)),
        failure_mode_deny: limit.deny_on_fail,
        descriptors: descriptors.collect(),
        name: limit.name.clone(),
        cluster: limit.cluster.to_string(),
    })
}
