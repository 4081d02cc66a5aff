//! TLS towards endpoints: what is shown, who is believed, how long it lasts. Never a key.

use std::fmt::Write;

use meltemi_tls::Certificate;
use serde_json::{Value, json};

use crate::config::Snapshot;
use crate::tls::{IdentitySource, Tls, TrustSource};

/// What a cluster asks for, and what it is made of now.
pub(super) fn page(tls: &Tls) -> Value {
    let settings = tls.settings();
    let names = settings.names.iter().map(ToString::to_string);
    let shown = tls.shown();
    let unavailable = shown.as_ref().err().map(ToString::to_string);
    let shown = shown.unwrap_or_default();
    json!({
        "mode": settings.mode(),
        "sni": settings.sni,
        "subject_alt_names": names.collect::<Vec<_>>(),
        "verifies": settings.trust.is_some(),
        "certificate_from": settings.identity.as_ref().map(identity),
        "certificate": shown.certificate.as_ref().map(certificate),
        "authorities_from": settings.trust.as_ref().map(trust),
        "authorities": shown.authorities.iter().map(certificate).collect::<Vec<_>>(),
        // Why nothing is dialled.
        "unavailable": unavailable,
    })
}

fn certificate(certificate: &Certificate) -> Value {
    json!({
        "subject": certificate.subject,
        "expires": certificate.expires,
    })
}

fn identity(source: &IdentitySource) -> Value {
    match source {
        IdentitySource::Secret(name) => json!({ "secret": name }),
        IdentitySource::Files { chain, key } => json!({ "certificate": chain, "key": key }),
    }
}

fn trust(source: &TrustSource) -> Value {
    match source {
        TrustSource::Secret(name) => json!({ "secret": name }),
        TrustSource::Files {
            authorities,
            revoked,
        } => {
            json!({ "authorities": authorities, "system": authorities.is_none(), "revoked": revoked })
        }
    }
}

/// How long certificates last, whether there are any, and what went wrong by them.
pub(super) fn metrics(snapshot: &Snapshot, page: &mut String) {
    let clusters = snapshot.clusters.iter();
    let clusters = clusters.filter_map(|(name, cluster)| Some((name, cluster.tls.as_ref()?)));
    let mut clusters: Vec<_> = clusters.collect();
    clusters.sort_by_key(|(name, _)| *name);
    if clusters.is_empty() {
        return;
    }
    head(
        page,
        EXPIRY,
        "gauge",
        "When the certificate of a cluster ends, of several authorities the first.",
    );
    for (name, tls) in &clusters {
        let shown = tls.shown().unwrap_or_default();
        let first = shown.authorities.iter().map(|ca| ca.not_after).min();
        let own = shown.certificate.map(|own| own.not_after);
        for (kind, ends) in [("own", own), ("authority", first)] {
            if let Some(ends) = ends {
                line(page, EXPIRY, (name, "certificate", kind), ends);
            }
        }
    }
    head(
        page,
        AVAILABLE,
        "gauge",
        "Whether connections with TLS can begin.",
    );
    for (name, tls) in &clusters {
        let is_there = i64::from(tls.shown().is_ok());
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "{AVAILABLE}{{cluster=\"{}\"}} {is_there}",
            name.escape_default()
        );
    }
    head(
        page,
        FAILURES,
        "counter",
        "Connections that did not come to be, or broke, by TLS.",
    );
    for (name, tls) in &clusters {
        for (failure, count) in tls.failures().counts() {
            line(page, FAILURES, (name, "reason", failure.as_str()), count);
        }
    }
}

const EXPIRY: &str = "meltemi_upstream_tls_certificate_expiry_timestamp_seconds";
const AVAILABLE: &str = "meltemi_upstream_tls_available";
const FAILURES: &str = "meltemi_upstream_tls_failures_total";

fn head(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(
    page: &mut String,
    name: &str,
    (cluster, label, value): (&str, &str, &str),
    number: impl std::fmt::Display,
) {
    let cluster = cluster.escape_default();
    let _ = writeln!(
        page,
        "{name}{{cluster=\"{cluster}\",{label}=\"{value}\"}} {number}"
    );
}
