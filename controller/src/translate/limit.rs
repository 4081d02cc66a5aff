//! Limits and faults of routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_policy::TokenBucket;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as route;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::route_fault;
use meltemi_proto::envoy::r#type::v3 as envoy;

use super::policy::percent;
use super::{duration, matching};
use crate::manifest::{Abort, AbortStatus, Delay, RouteFault};
use crate::model::{Alternative, RateLimit, Rule};

/// The limits of rules, each once. A condition that no request of the server can meet is left out.
pub(super) fn limits(rules: &[Arc<Rule>]) -> Vec<route::LocalRateLimit> {
    let limits = rules.iter().filter_map(|rule| rule.limit.as_deref());
    let limits: BTreeMap<&str, _> = limits.map(|limit| (limit.name.as_str(), limit)).collect();
    limits.into_values().filter(acts).map(limit).collect()
}

/// What a rule calls its limit; empty where there is none.
pub(super) fn name(rule: &Rule) -> String {
    let limit = rule.limit.as_deref().filter(acts);
    limit.map_or_else(String::new, |limit| limit.name.clone())
}

fn acts(limit: &&RateLimit) -> bool {
    let conditions = limit.conditions.iter();
    let mut possible = conditions.map(|it| Alternative::possible(&it.alternatives));
    limit.default.is_some() || possible.any(|it| !it.is_empty())
}

fn limit(limit: &RateLimit) -> route::LocalRateLimit {
    let conditions = limit.conditions.iter().filter_map(|condition| {
        let possible = Alternative::possible(&condition.alternatives);
        Some(route::LocalRateLimitCondition {
            r#match: Some(matching::wire_match(&possible)?),
            token_bucket: Some(bucket(condition.bucket)),
        })
    });
    route::LocalRateLimit {
        stat_prefix: limit.name.clone(),
        token_bucket: limit.default.map(bucket),
        conditions: conditions.collect(),
    }
}

fn bucket(bucket: TokenBucket) -> envoy::TokenBucket {
    envoy::TokenBucket {
        max_tokens: bucket.max_tokens(),
        tokens_per_fill: Some(bucket.tokens_per_fill()),
        fill_interval: Some(duration(bucket.fill_interval())),
    }
}

pub(super) fn fault(fault: &RouteFault) -> route::RouteFault {
    route::RouteFault {
        delay: fault.delay.as_ref().map(delay),
        abort: fault.abort.as_ref().map(abort),
    }
}

fn delay(delay: &Delay) -> route_fault::Delay {
    route_fault::Delay {
        percentage: Some(percent(delay.percentage)),
        fixed_delay: Some(duration(delay.fixed)),
    }
}

fn abort(abort: &Abort) -> route_fault::Abort {
    use route_fault::Status;
    let status = match abort.status {
        AbortStatus::FaultInjected => Status::FaultInjected,
        AbortStatus::NoHealthyUpstream => Status::NoHealthyUpstream,
        AbortStatus::ConnectFailure => Status::ConnectFailure,
        AbortStatus::UpstreamReset => Status::UpstreamReset,
        AbortStatus::Timeout => Status::Timeout,
        AbortStatus::RateLimited => Status::RateLimited,
        AbortStatus::Overloaded => Status::Overloaded,
        AbortStatus::Denied => Status::Denied,
    };
    route_fault::Abort {
        percentage: Some(percent(abort.percentage)),
        status: status.into(),
    }
}
