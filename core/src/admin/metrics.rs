//! The metrics page: what the workers count, and how the configuration is doing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::{Sources, tls};
use crate::driver::Vitals;
use crate::xds::Stats;

/// All metrics in the Prometheus text format.
pub(super) fn render(sources: &Sources) -> String {
    let mut page = sources.acceptor.telemetry.render();
    workers(&sources.acceptor.workers.vitals(), &mut page);
    limited(&sources.acceptor.workers.sources().limited(), &mut page);
    configuration(&sources.configuration.stats, &mut page);
    let snapshot = sources.snapshot();
    tls::metrics(&snapshot, &mut page);
    if let Some(workload) = &sources.options.workload {
        tls::workload_metrics(&workload.borrow(), &mut page);
    }
    // Hexadecimal, so that nothing in it has to be escaped.
    let version = &snapshot.version;
    let _ = writeln!(
        page,
        "# HELP meltemi_config_info The version of the configuration in force.\n\
         # TYPE meltemi_config_info gauge\n\
         meltemi_config_info{{version=\"{}\"}} 1",
        version.escape_default()
    );
    page
}

/// Connections of sources that have as many as they may.
fn limited(limited: &BTreeMap<Arc<str>, u64>, page: &mut String) {
    if limited.is_empty() {
        return;
    }
    let name = "meltemi_downstream_connections_limited_total";
    let help = "Connections that were refused since their source had as many as it may have.";
    // Writing to a string does not fail.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} counter");
    for (listener, count) in limited {
        let listener = listener.escape_default();
        let _ = writeln!(page, "{name}{{listener=\"{listener}\"}} {count}");
    }
}

/// What a worker that has too much to do, or hangs, is known by. None of them is asked.
fn workers(workers: &[Vitals], page: &mut String) {
    for (name, kind, help, value) in [
        (
            "meltemi_worker_connections",
            "gauge",
            "Client connections of a worker.",
            (|it| Some(it.connections as f64)) as fn(&Vitals) -> Option<f64>,
        ),
        (
            "meltemi_worker_cpu_seconds_total",
            "counter",
            "What a worker has had of a CPU: one that is hot has nearly all of one.",
            |it| Some(it.cpu?.as_secs_f64()),
        ),
        (
            "meltemi_worker_turn_seconds",
            "gauge",
            "For how long a worker has been at what it was told last; 0 while it waits. One that is stuck has more each time.",
            |it| Some(it.turn.as_secs_f64()),
        ),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (number, vitals) in workers.iter().enumerate() {
            if let Some(value) = value(vitals) {
                let _ = writeln!(page, "{name}{{worker=\"{number}\"}} {value}");
            }
        }
    }
}

/// How the configuration is doing.
fn configuration(stats: &Stats, page: &mut String) {
    let connected = u64::from(stats.is_connected());
    for (name, kind, help, value) in [
        (
            "meltemi_control_plane_connected",
            "gauge",
            "Whether there is a stream to the control plane.",
            connected,
        ),
        (
            "meltemi_config_responses_accepted_total",
            "counter",
            "Responses of the control plane of which every resource was applied.",
            stats.accepted(),
        ),
        (
            "meltemi_config_responses_rejected_total",
            "counter",
            "Responses of the control plane of which some resource was refused.",
            stats.rejected(),
        ),
        (
            "meltemi_config_resources_refused",
            "gauge",
            "Resources whose newest version is refused.",
            stats.refused().len() as u64,
        ),
        (
            "meltemi_config_updates_total",
            "counter",
            "Configurations that came into force.",
            stats.snapshots(),
        ),
        (
            "meltemi_config_last_success_timestamp_seconds",
            "gauge",
            "When the configuration in force arrived; 0 is never.",
            stats.last_success(),
        ),
        (
            "meltemi_config_age_seconds",
            "gauge",
            "For how long nobody knows whether the configuration is still the control plane's; 0 while connected.",
            stats.age(),
        ),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        );
    }
}
