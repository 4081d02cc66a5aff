//! The names that endpoints have, as far as they are resolved.

use std::time::Instant;

use serde_json::{Value, json};

use super::dump::duration;
use crate::config::{Cluster, Discovery, DnsKind, Family, Refresh};
use crate::dns::{Known, Names, questions_of};

/// What is known of the names of a cluster; null where its endpoints have none.
pub(super) fn page(cluster: &Cluster, names: &Names, now: Instant) -> Value {
    let Discovery::Dns(dns) = &cluster.discovery else {
        return Value::Null;
    };
    let asked = questions_of(dns).map(|question| {
        let mut shown = match names.get(&question) {
            Some(known) => state(known, now),
            None => json!({}),
        };
        shown["name"] = question.name.as_ref().into();
        shown
    });
    json!({ "type": kind(dns.kind), "names": asked.collect::<Vec<_>>() })
}

fn state(known: &Known, now: Instant) -> Value {
    let addresses = known.addresses.iter().map(ToString::to_string);
    let answered = known.answered;
    json!({
        "addresses": addresses.collect::<Vec<_>>(),
        "answer_age": answered.map(|at| seconds(now.saturating_duration_since(at))),
        "next_in": known.next.map(|at| seconds(at.saturating_duration_since(now))),
        "error": known.error,
    })
}

/// To the millisecond.
fn seconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// How a cluster resolves them.
pub(super) fn rule(cluster: &Cluster) -> Value {
    let Discovery::Dns(dns) = &cluster.discovery else {
        return Value::Null;
    };
    let Refresh {
        rate,
        respects_ttl,
        jitter,
        failure_base,
        failure_max,
        family,
    } = dns.refresh;
    let endpoints = dns.endpoints.hosts.iter();
    json!({
        "type": kind(dns.kind),
        "endpoints": endpoints.map(|it| it.address.to_string()).collect::<Vec<_>>(),
        "dns_refresh_rate": duration(rate),
        "respect_dns_ttl": respects_ttl,
        "dns_jitter": duration(jitter),
        "dns_failure_refresh_rate": {
            "base_interval": duration(failure_base),
            "max_interval": duration(failure_max),
        },
        "dns_lookup_family": match family {
            Family::Auto => "AUTO",
            Family::V4 => "V4_ONLY",
            Family::V6 => "V6_ONLY",
            Family::V4Preferred => "V4_PREFERRED",
            Family::All => "ALL",
        },
    })
}

fn kind(kind: DnsKind) -> &'static str {
    match kind {
        DnsKind::Strict => "STRICT_DNS",
        DnsKind::Logical => "LOGICAL_DNS",
    }
}
