//! What is done with requests and connections, in our own types.

use std::time::Duration;

use meltemi_policy::{HashPolicy, Hashed};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as route;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::retry_policy::Condition;
use meltemi_proto::envoy::r#type::v3::Percent;
use meltemi_proto::meltemi::config::v1 as own;
use meltemi_proto::meltemi::config::v1::hash_policy::{Of, Property};

use super::duration;
use crate::manifest::{Buffering, Mutation, Retries, RetryOn};
use crate::model::{
    CircuitBreaker, Fault, Mirror, RemovePrefix, Setting, SettingValue, WeightedCluster,
};

pub(super) fn settings(settings: &[Setting]) -> Vec<own::Setting> {
    let settings = settings.iter().map(|setting| {
        let name = setting.name.clone();
        let (value, secret_name) = match &setting.value {
            SettingValue::Plain(value) => (value.clone(), String::new()),
            SettingValue::Secret(secret) => (String::new(), secret.name.clone()),
        };
        own::Setting {
            name,
            value,
            secret_name,
        }
    });
    settings.collect()
}

pub(super) fn fault(fault: &Fault) -> own::Fault {
    let error = fault.error.clone();
    own::Fault {
        percentage: Some(percent(fault.percentage)),
        operations: fault.operations.clone(),
        delay: fault.delay.map(duration),
        error: error.map(|text| own::fault::Error { text }),
    }
}

pub(super) fn buffering(buffering: Buffering) -> own::Buffering {
    own::Buffering {
        bytes: buffering.bytes,
        timeout: Some(duration(buffering.timeout)),
    }
}

pub(super) fn remove_prefix(removed: &RemovePrefix) -> route::RemovePrefix {
    route::RemovePrefix {
        attribute: removed.attribute.clone(),
        prefix: removed.prefix.clone(),
    }
}

pub(super) fn mirror(mirror: &Mirror) -> route::Mirror {
    route::Mirror {
        cluster: mirror.cluster.to_string(),
        percentage: Some(percent(mirror.percentage)),
        exclude_idempotent: mirror.exclude_idempotent,
    }
}

/// One cluster that is named twice has the same each time.
pub(super) fn fallbacks(destinations: &[WeightedCluster]) -> Vec<route::Fallback> {
    let mut fallbacks: Vec<route::Fallback> = vec![];
    for to in destinations.iter().filter(|to| !to.fallbacks.is_empty()) {
        let cluster = to.cluster.to_string();
        if !fallbacks.iter().any(|other| other.cluster == cluster) {
            let next = to.fallbacks.iter().map(ToString::to_string).collect();
            fallbacks.push(route::Fallback { cluster, next });
        }
    }
    fallbacks
}

pub(super) fn circuit_breaker(breaker: &CircuitBreaker) -> route::CircuitBreaker {
    route::CircuitBreaker {
        name: breaker.name.clone(),
        max_requests: breaker.max_requests,
    }
}

pub(super) fn mutation(mutation: &Mutation) -> route::KeyValue {
    let value = mutation.value.as_ref();
    route::KeyValue {
        key: mutation.key.value.clone(),
        value: value.map_or_else(String::new, |value| value.text.value.clone()),
        remove: value.is_none(),
    }
}

pub(super) fn retries(retries: &Retries) -> route::RetryPolicy {
    route::RetryPolicy {
        attempts: retries.attempts,
        per_try_timeout: retries.per_try_timeout.map(duration),
        retry_on: retries.on.iter().map(|on| condition(*on).into()).collect(),
        backoff: Some(duration(retries.backoff)),
        non_idempotent: retries.non_idempotent,
    }
}

pub(super) fn hedge(delay: Duration) -> route::HedgePolicy {
    route::HedgePolicy {
        delay: Some(duration(delay)),
    }
}

const fn condition(on: RetryOn) -> Condition {
    match on {
        RetryOn::ConnectFailure => Condition::ConnectFailure,
        RetryOn::ResetBeforeBytes => Condition::ResetBeforeBytes,
        RetryOn::SystemError => Condition::SystemError,
        RetryOn::Overloaded => Condition::Overloaded,
        RetryOn::Timeout => Condition::Timeout,
    }
}

pub(super) fn hash_policy(policy: &HashPolicy) -> own::HashPolicy {
    let property = |property: Property| Of::Property(property.into());
    own::HashPolicy {
        of: Some(match &policy.of {
            Hashed::Attribute(name) => Of::Attribute(name.clone()),
            Hashed::SourceAddress => property(Property::SourceAddress),
            Hashed::Connection => property(Property::Connection),
        }),
        terminal: policy.terminal,
    }
}

pub(super) const fn percent(value: f64) -> Percent {
    Percent { value }
}
