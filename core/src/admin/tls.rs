//! TLS with endpoints and with clients: what is shown, who is believed, how long it lasts. Never a key.

use std::fmt::{Display, Write};

use meltemi_credentials::Latest;
use meltemi_tls::{Certificate, Versions};
use serde_json::{Value, json};

use crate::config::Snapshot;
use crate::tls::{IdentitySource, Side, Tls, ToClients, TrustSource};

/// What a cluster asks for, and what it is made of now.
pub(super) fn of_cluster(tls: &Tls) -> Value {
    let settings = tls.settings();
    let mut page = page(tls);
    page["mode"] = settings.mode().into();
    page["sni"] = settings.side.sni.as_deref().into();
    page
}

/// The same of a listener.
pub(super) fn of_listener(tls: &Tls<ToClients>) -> Value {
    let settings = tls.settings();
    let mut page = page(tls);
    page["mode"] = settings.mode().into();
    page["versions"] = match settings.side.versions {
        Versions::Tls12 => json!(["1.2"]),
        Versions::Tls13 => json!(["1.3"]),
        Versions::Any => json!(["1.2", "1.3"]),
    };
    page
}

fn page<S: Side>(tls: &Tls<S>) -> Value {
    let settings = tls.settings();
    let names = settings.names.iter().map(ToString::to_string);
    let shown = tls.shown();
    let unavailable = shown.as_ref().err().map(ToString::to_string);
    let shown = shown.unwrap_or_default();
    json!({
        "subject_alt_names": names.collect::<Vec<_>>(),
        "verifies": settings.trust.is_some(),
        "certificates_from": settings.identities.iter().map(identity).collect::<Vec<_>>(),
        "certificates": shown.certificates.iter().map(certificate).collect::<Vec<_>>(),
        "authorities_from": settings.trust.as_ref().map(trust),
        "authorities": shown.authorities.iter().map(certificate).collect::<Vec<_>>(),
        // Why nothing is dialled, or nobody let in.
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
        IdentitySource::Workload => json!({ "mesh": true }),
        IdentitySource::Secret(name) => json!({ "secret": name }),
        IdentitySource::Files { chain, key } => json!({ "certificate": chain, "key": key }),
    }
}

fn trust(source: &TrustSource) -> Value {
    match source {
        TrustSource::Workload => json!({ "mesh": true }),
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
    let clusters = clusters.filter_map(|(name, cluster)| Some((name, cluster.tls.as_deref()?)));
    let mut clusters: Vec<_> = clusters.collect();
    clusters.sort_by_key(|(name, _)| *name);
    family(page, ("upstream", "cluster"), &clusters);
    let listeners = snapshot.listeners.iter();
    let listeners = listeners.filter_map(|(name, it)| Some((name, it.tls.as_deref()?)));
    family(
        page,
        ("downstream", "listener"),
        &listeners.collect::<Vec<_>>(),
    );
}

/// The certificate that the mesh's CA gives this process.
pub(super) fn workload_metrics(latest: &Latest, page: &mut String) {
    let issued = latest.issued.as_deref();
    let name = "meltemi_workload_certificate_available";
    let help = "Whether the CA of the mesh has given a certificate that counts now.";
    head(page, name, "gauge", help);
    let _ = writeln!(page, "{name} {}", u8::from(issued.is_some()));
    if let Some(issued) = issued {
        let name = "meltemi_workload_certificate_expiry_timestamp_seconds";
        let help = "When the certificate of the mesh ends, of several roots the first.";
        head(page, name, "gauge", help);
        let own = issued.identity.certificate().not_after;
        line(page, name, &[("certificate", "own")], own);
        let authorities = issued.trust.authorities().iter();
        if let Some(first) = authorities.map(|it| it.not_after).min() {
            line(page, name, &[("certificate", "authority")], first);
        }
    }
    let name = "meltemi_workload_certificate_requests_total";
    let help = "How often the CA of the mesh was asked for a certificate, and what came of it.";
    head(page, name, "counter", help);
    for (outcome, count) in [("granted", latest.granted), ("failed", latest.failed)] {
        line(page, name, &[("outcome", outcome)], count);
    }
}

/// The metrics of one side.
fn family<S: Side>(page: &mut String, (side, owner): (&str, &str), all: &[(&String, &Tls<S>)]) {
    if all.is_empty() {
        return;
    }
    let expiry = format!("meltemi_{side}_tls_certificate_expiry_timestamp_seconds");
    let help = format!(
        "When the certificate of a {owner} ends, of several, and of several authorities, the first."
    );
    head(page, &expiry, "gauge", &help);
    for (name, tls) in all {
        let shown = tls.shown().unwrap_or_default();
        let first = shown.authorities.iter().map(|ca| ca.not_after).min();
        let own = shown.certificates.iter().map(|own| own.not_after).min();
        for (kind, ends) in [("own", own), ("authority", first)] {
            if let Some(ends) = ends {
                line(page, &expiry, &[(owner, name), ("certificate", kind)], ends);
            }
        }
    }
    let available = format!("meltemi_{side}_tls_available");
    head(
        page,
        &available,
        "gauge",
        "Whether connections with TLS can begin.",
    );
    for (name, tls) in all {
        let is_there = i64::from(tls.shown().is_ok());
        line(page, &available, &[(owner, name)], is_there);
    }
    let failures = format!("meltemi_{side}_tls_failures_total");
    let help = "Connections that did not come to be, or broke, by TLS.";
    head(page, &failures, "counter", help);
    for (name, tls) in all {
        for (failure, count) in tls.failures().counts() {
            line(
                page,
                &failures,
                &[(owner, name), ("reason", failure.as_str())],
                count,
            );
        }
    }
}

fn head(page: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(page: &mut String, name: &str, labels: &[(&str, &str)], number: impl Display) {
    let labels = labels.iter();
    let labels = labels.map(|(label, value)| format!("{label}=\"{}\"", value.escape_default()));
    let labels: Vec<_> = labels.collect();
    let _ = writeln!(page, "{name}{{{}}} {number}", labels.join(","));
}
