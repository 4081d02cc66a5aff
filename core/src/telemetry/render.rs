//! The Prometheus text format: families with help and type, one line a labelled value.

mod arrivals;
mod operations;
mod tcp;

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use meltemi_policy::Foreign;

use super::cell::{Cell, HistogramSum};
use super::concurrency::ConcurrencyCells;
use super::global_limit::GlobalLimitCells;
use super::limit::LimitCells;
use super::scope::{ClusterCells, ServiceCells};
use super::series::{End, SeriesCells, SeriesName};
use super::{Named, OutcomeLabel, Telemetry, WorkerCells, lock};

/// A family whose values are one cell for each service or cluster.
struct Family<C> {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    cell: fn(&C) -> &Cell,
}

const SERVICES: [Family<ServiceCells>; 15] = [
    Family {
        name: "meltemi_downstream_connections",
        help: "Open client connections.",
        kind: "gauge",
        cell: |cells| &cells.open,
    },
    Family {
        name: "meltemi_downstream_connections_total",
        help: "Client connections that were accepted.",
        kind: "counter",
        cell: |cells| &cells.opened,
    },
    Family {
        name: "meltemi_downstream_connections_refused_total",
        help: "Client connections that were closed at once: a limit, or a drain.",
        kind: "counter",
        cell: |cells| &cells.refused,
    },
    Family {
        name: "meltemi_requests_in_flight",
        help: "Requests without their last answer.",
        kind: "gauge",
        cell: |cells| &cells.in_flight,
    },
    Family {
        name: "meltemi_downstream_decode_errors_total",
        help: "Clients' messages that cannot be read.",
        kind: "counter",
        cell: |cells| &cells.decode_errors,
    },
    Family {
        name: "meltemi_answers_dropped_total",
        help: "Answers whose client had left or did not read.",
        kind: "counter",
        cell: |cells| &cells.dropped_answers,
    },
    Family {
        name: "meltemi_mutations_refused_total",
        help: "Requests and answers that went on unchanged: they have no place for what their route changes.",
        kind: "counter",
        cell: |cells| &cells.refused_changes,
    },
    Family {
        name: "meltemi_overload_refused_total",
        help: "Requests that were refused: the worker has as many, or buffers as much, as it may.",
        kind: "counter",
        cell: |cells| &cells.overloaded,
    },
    Family {
        name: "meltemi_route_rq_overflow_total",
        help: "Requests that were refused: their route has as many as it may (`circuitBreaker.maxRequests`).",
        kind: "counter",
        cell: |cells| &cells.route_overflows,
    },
    Family {
        name: "meltemi_route_undecided_total",
        help: "Requests that were refused: the regular expressions of their routes take too many steps.",
        kind: "counter",
        cell: |cells| &cells.undecided,
    },
    Family {
        name: "meltemi_authorization_denied_total",
        help: "Requests that were refused: a policy denies them.",
        kind: "counter",
        cell: |cells| &cells.denied,
    },
    Family {
        name: "meltemi_authorization_not_allowed_total",
        help: "Requests that were refused: there are policies that allow, and none allows them.",
        kind: "counter",
        cell: |cells| &cells.not_allowed,
    },
    Family {
        name: "meltemi_authorization_audited_total",
        help: "Requests that a policy with the action AUDIT matches.",
        kind: "counter",
        cell: |cells| &cells.audited,
    },
    Family {
        name: "meltemi_authorization_connections_denied_total",
        help: "Connections that were closed: their clients may not, or no longer, use the service.",
        kind: "counter",
        cell: |cells| &cells.denied_connections,
    },
    Family {
        name: "meltemi_downstream_cx_max_duration_reached_total",
        help: "Clients that were told to leave: they were connected for as long as they may.",
        kind: "counter",
        cell: |cells| &cells.aged,
    },
];

const CLUSTERS: [Family<ClusterCells>; 26] = [
    Family {
        name: "meltemi_upstream_connections",
        help: "Open connections to endpoints.",
        kind: "gauge",
        cell: |cells| &cells.open,
    },
    Family {
        name: "meltemi_upstream_connections_total",
        help: "Connections to endpoints that were made.",
        kind: "counter",
        cell: |cells| &cells.opened,
    },
    Family {
        name: "meltemi_upstream_connect_failures_total",
        help: "Connections to endpoints that could not be made.",
        kind: "counter",
        cell: |cells| &cells.connect_failures,
    },
    Family {
        name: "meltemi_upstream_attempts_in_flight",
        help: "Requests that were sent to endpoints and not answered yet.",
        kind: "gauge",
        cell: |cells| &cells.in_flight,
    },
    Family {
        name: "meltemi_retries_total",
        help: "Attempts after an exchange's first.",
        kind: "counter",
        cell: |cells| &cells.retries,
    },
    Family {
        name: "meltemi_upstream_ejections_total",
        help: "Ejections of endpoints that failed.",
        kind: "counter",
        cell: |cells| &cells.ejections,
    },
    Family {
        name: "meltemi_upstream_ejected_endpoints",
        help: "Endpoints that are left out because they failed.",
        kind: "gauge",
        cell: |cells| &cells.ejected,
    },
    Family {
        name: "meltemi_health_check_attempts_total",
        help: "Health checks that were begun.",
        kind: "counter",
        cell: |cells| &cells.health_checks,
    },
    Family {
        name: "meltemi_health_check_successes_total",
        help: "Health checks that passed.",
        kind: "counter",
        cell: |cells| &cells.health_checks_passed,
    },
    Family {
        name: "meltemi_health_check_failures_total",
        help: "Health checks that failed.",
        kind: "counter",
        cell: |cells| &cells.health_checks_failed,
    },
    Family {
        name: "meltemi_health_check_healthy_endpoints",
        help: "Endpoints that count as healthy by their checks.",
        kind: "gauge",
        cell: |cells| &cells.healthy,
    },
    Family {
        name: "meltemi_dns_update_attempts_total",
        help: "Lookups of endpoints' names that were begun.",
        kind: "counter",
        cell: |cells| &cells.dns_updates,
    },
    Family {
        name: "meltemi_dns_update_successes_total",
        help: "Lookups of endpoints' names that were answered.",
        kind: "counter",
        cell: |cells| &cells.dns_successes,
    },
    Family {
        name: "meltemi_dns_update_empty_total",
        help: "Of those, the ones that said that there is no address.",
        kind: "counter",
        cell: |cells| &cells.dns_empty,
    },
    Family {
        name: "meltemi_dns_update_failures_total",
        help: "Lookups of endpoints' names that failed: the last addresses stayed.",
        kind: "counter",
        cell: |cells| &cells.dns_failures,
    },
    Family {
        name: "meltemi_dns_addresses_dropped_total",
        help: "Addresses in answers that were left out: none to dial, or too many.",
        kind: "counter",
        cell: |cells| &cells.dns_dropped,
    },
    Family {
        name: "meltemi_upstream_decode_errors_total",
        help: "Endpoints' messages that cannot be read.",
        kind: "counter",
        cell: |cells| &cells.decode_errors,
    },
    Family {
        name: "meltemi_upstream_unclaimed_answers_total",
        help: "Answers that nobody waited for: late, repeated, or under an unknown id.",
        kind: "counter",
        cell: |cells| &cells.unclaimed_answers,
    },
    Family {
        name: "meltemi_mirrored_requests_total",
        help: "Copies of requests that were made.",
        kind: "counter",
        cell: |cells| &cells.copies,
    },
    Family {
        name: "meltemi_mirrored_answers_total",
        help: "Answers to copies, which were dropped.",
        kind: "counter",
        cell: |cells| &cells.copies_answered,
    },
    Family {
        name: "meltemi_mirrored_failures_total",
        help: "Copies that got no answer: no endpoint, a lost connection, garbage, or 30 s without one.",
        kind: "counter",
        cell: |cells| &cells.copies_failed,
    },
    Family {
        name: "meltemi_mirrored_left_out_total",
        help: "Copies that were not made, since too many were under way.",
        kind: "counter",
        cell: |cells| &cells.copies_left_out,
    },
    Family {
        name: "meltemi_upstream_cx_overflow_total",
        help: "Connections to endpoints that were not made: there are as many as there may be.",
        kind: "counter",
        cell: |cells| &cells.connection_overflows,
    },
    Family {
        name: "meltemi_upstream_rq_pending_overflow_total",
        help: "Requests that were refused: as many wait for a connection as may.",
        kind: "counter",
        cell: |cells| &cells.pending_overflows,
    },
    Family {
        name: "meltemi_upstream_rq_overflow_total",
        help: "Requests that were refused: as many are under way as may.",
        kind: "counter",
        cell: |cells| &cells.request_overflows,
    },
    Family {
        name: "meltemi_upstream_rq_retry_overflow_total",
        help: "Requests that were not sent again: as many repetitions are under way as may.",
        kind: "counter",
        cell: |cells| &cells.retry_overflows,
    },
];

const LIMITS: [Family<LimitCells>; 2] = [
    Family {
        name: "meltemi_local_rate_limit_ok_total",
        help: "Requests that a local rate limit let through.",
        kind: "counter",
        cell: |cells| &cells.admitted,
    },
    Family {
        name: "meltemi_local_rate_limit_limited_total",
        help: "Requests that a local rate limit had no token for.",
        kind: "counter",
        cell: |cells| &cells.limited,
    },
];

const GLOBAL_LIMITS: [Family<GlobalLimitCells>; 7] = [
    Family {
        name: "meltemi_global_rate_limit_ok_total",
        help: "Requests that a rate limit service let through.",
        kind: "counter",
        cell: |cells| &cells.ok,
    },
    Family {
        name: "meltemi_global_rate_limit_over_limit_total",
        help: "Requests that a rate limit service said were over their limit.",
        kind: "counter",
        cell: |cells| &cells.over_limit,
    },
    Family {
        name: "meltemi_global_rate_limit_error_total",
        help: "Requests that a rate limit service did not decide on.",
        kind: "counter",
        cell: |cells| &cells.error,
    },
    Family {
        name: "meltemi_global_rate_limit_failure_mode_allowed_total",
        help: "Those of them that went on nevertheless.",
        kind: "counter",
        cell: |cells| &cells.failure_mode_allowed,
    },
    Family {
        name: "meltemi_global_rate_limit_timeout_total",
        help: "Errors: no verdict in time.",
        kind: "counter",
        cell: |cells| &cells.timeout,
    },
    Family {
        name: "meltemi_global_rate_limit_unreachable_total",
        help: "Those of them whose service could not be reached.",
        kind: "counter",
        cell: |cells| &cells.unreachable,
    },
    Family {
        name: "meltemi_global_rate_limit_overflow_total",
        help: "Errors: not asked, since too many questions were open.",
        kind: "counter",
        cell: |cells| &cells.overflow,
    },
];

const CONCURRENCY: [Family<ConcurrencyCells>; 2] = [
    Family {
        name: "meltemi_adaptive_concurrency_limit",
        help: "Requests that may be under way on a route, of all workers.",
        kind: "gauge",
        cell: |cells| &cells.limit,
    },
    Family {
        name: "meltemi_adaptive_concurrency_rq_blocked_total",
        help: "Requests that were refused, since as many were under way.",
        kind: "counter",
        cell: |cells| &cells.blocked,
    },
];

/// All metrics as text.
pub(super) fn render(telemetry: &Telemetry) -> String {
    let mut workers = lock(&telemetry.workers).clone();
    let count = workers.len();
    workers.push(Arc::clone(&telemetry.owner));
    let mut page = Page(String::with_capacity(16 * 1024));
    exchanges(&mut page, &workers);
    operations::operations(&mut page, &workers);
    tcp::tcp(&mut page, &workers);
    let services: Vec<_> = workers.iter().map(|worker| &worker.services).collect();
    families(&mut page, &SERVICES, "service", &services);
    mismatches(&mut page, telemetry);
    let clusters: Vec<_> = workers.iter().map(|worker| &worker.clusters).collect();
    families(&mut page, &CLUSTERS, "cluster", &clusters);
    arrivals::arrivals(&mut page, &workers);
    let limits: Vec<_> = workers.iter().map(|worker| &worker.limits).collect();
    families(&mut page, &LIMITS, "bucket", &limits);
    let limits: Vec<_> = workers.iter().map(|worker| &worker.global_limits).collect();
    families(&mut page, &GLOBAL_LIMITS, "limit", &limits);
    let limits: Vec<_> = workers.iter().map(|worker| &worker.concurrency).collect();
    families(&mut page, &CONCURRENCY, "route", &limits);
    process(&mut page, telemetry, count);
    page.0
}

/// The cells of one series, added up over the workers.
#[derive(Default)]
struct SeriesSum {
    duration: HistogramSum,
    request_bytes: u64,
    response_bytes: u64,
    ends: BTreeMap<End, u64>,
}

impl SeriesSum {
    fn add(&mut self, cells: &SeriesCells) {
        cells.duration.add_to(&mut self.duration);
        self.request_bytes += cells.request_bytes.value();
        self.response_bytes += cells.response_bytes.value();
        for (end, count) in lock(&cells.ends).iter() {
            *self.ends.entry(*end).or_default() += count.value();
        }
    }
}

fn exchanges(page: &mut Page, workers: &[Arc<WorkerCells>]) {
    let mut sums: BTreeMap<SeriesName, SeriesSum> = BTreeMap::new();
    for worker in workers {
        for (name, cells) in worker.series.all() {
            sums.entry(name).or_default().add(&cells);
        }
    }
    let series: Vec<_> = sums.iter().map(|(name, sum)| (labels(name), sum)).collect();

    let name = "meltemi_requests_total";
    page.head(name, "Exchanges by how they ended.", "counter");
    for (labels, sum) in &series {
        for (end, count) in &sum.ends {
            let code = end
                .code
                .map_or_else(|| "other".to_owned(), |code| code.to_string());
            let (outcome, flag) = (end.outcome, end.flag);
            let labels =
                format_args!("{labels},outcome=\"{outcome}\",code=\"{code}\",flag=\"{flag}\"");
            page.value(name, labels, count);
        }
    }
    let name = "meltemi_request_bytes_total";
    page.head(name, "Bytes of requests.", "counter");
    for (labels, sum) in &series {
        page.value(name, labels, sum.request_bytes);
    }
    let name = "meltemi_response_bytes_total";
    page.head(name, "Bytes of answers.", "counter");
    for (labels, sum) in &series {
        page.value(name, labels, sum.response_bytes);
    }
    durations(page, &series);
}

fn durations(page: &mut Page, series: &[(String, &SeriesSum)]) {
    let name = "meltemi_request_duration_seconds";
    page.head(
        name,
        "From a request's last byte to its answer's.",
        "histogram",
    );
    for (labels, sum) in series {
        histogram(page, name, labels, &sum.duration);
    }
}

fn histogram(page: &mut Page, name: &str, labels: &str, sum: &HistogramSum) {
    let bucket = format!("{name}_bucket");
    for (bound, count) in sum.cumulative() {
        page.value(&bucket, format_args!("{labels},le=\"{bound}\""), count);
    }
    let count = sum.count();
    page.value(&bucket, format_args!("{labels},le=\"+Inf\""), count);
    page.value(&format!("{name}_sum"), labels, sum.seconds());
    page.value(&format!("{name}_count"), labels, count);
}

/// The cells of several families, by the one label that they have.
fn families<C>(
    page: &mut Page,
    families: &[Family<C>],
    label: &str,
    workers: &[&Named<Arc<str>, C>],
) {
    let mut cells: BTreeMap<Arc<str>, Vec<Arc<C>>> = BTreeMap::new();
    for worker in workers {
        for (name, of_worker) in worker.all() {
            cells.entry(name).or_default().push(of_worker);
        }
    }
    for family in families {
        page.head(family.name, family.help, family.kind);
        for (name, cells) in &cells {
            let sum: u64 = cells.iter().map(|cells| (family.cell)(cells).value()).sum();
            page.value(
                family.name,
                format_args!("{label}=\"{}\"", Escaped(name)),
                sum,
            );
        }
    }
}

fn mismatches(page: &mut Page, telemetry: &Telemetry) {
    let name = "meltemi_downstream_protocol_mismatches_total";
    let help = "Clients whose first bytes were not of their service's protocol: they were passed on as they came.";
    page.head(name, help, "counter");
    for (service, counts) in telemetry.mismatches() {
        let counts = Foreign::ALL.iter().zip(counts);
        for (spoken, count) in counts.filter(|(_, count)| *count > 0) {
            let (service, spoken) = (Escaped(&service), spoken.as_str());
            let labels = format_args!("service=\"{service}\",spoken=\"{spoken}\"");
            page.value(name, labels, count);
        }
    }
}

fn process(page: &mut Page, telemetry: &Telemetry, workers: usize) {
    let process = &telemetry.process;
    let errors = process.accept_errors.load(Ordering::Relaxed);
    page.single(
        "meltemi_accept_errors_total",
        "Failures to accept.",
        "counter",
        errors,
    );
    let dropped = process.access_log_dropped.load(Ordering::Relaxed);
    let help = "Access log lines without room.";
    page.single("meltemi_access_log_dropped_total", help, "counter", dropped);
    let draining = u8::from(process.is_draining());
    page.single(
        "meltemi_draining",
        "Whether the proxy drains.",
        "gauge",
        draining,
    );
    page.single("meltemi_workers", "Worker threads.", "gauge", workers);
    let name = "meltemi_build_info";
    page.head(name, "The version of the program.", "gauge");
    page.value(
        name,
        format_args!("version=\"{}\"", env!("CARGO_PKG_VERSION")),
        1,
    );
}

impl<K: Hash + Eq + Clone, V> Named<K, V> {
    /// All of them, so that they are read without the lock.
    fn all(&self) -> Vec<(K, Arc<V>)> {
        let cells = lock(&self.0);
        cells
            .iter()
            .map(|(name, cells)| (name.clone(), Arc::clone(cells)))
            .collect()
    }
}

fn labels(name: &SeriesName) -> String {
    let (service, route) = (Escaped(&name.service), Escaped(&name.route));
    let destination = Escaped(&name.destination);
    format!("service=\"{service}\",route=\"{route}\",destination=\"{destination}\"")
}

/// The text as it grows. Writing to a string does not fail.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: impl Display, value: impl Display) {
        let _ = writeln!(self.0, "{name}{{{labels}}} {value}");
    }

    fn single(&mut self, name: &str, help: &str, kind: &str, value: impl Display) {
        self.head(name, help, kind);
        let _ = writeln!(self.0, "{name} {value}");
    }
}

/// A label's value with what would end it escaped.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
