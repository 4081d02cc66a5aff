//! Connections that begin with a PROXY header, where a listener has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Escaped, Page, WorkerCells};
use crate::proxy_protocol::Refused;

/// The cells of one listener, added up over the workers.
#[derive(Default)]
struct Sum {
    waiting: u64,
    refused: [u64; Refused::ALL.len()],
}

pub(super) fn arrivals(page: &mut Page, workers: &[Arc<WorkerCells>]) {
    let mut sums: BTreeMap<Arc<str>, Sum> = BTreeMap::new();
    for worker in workers {
        for (listener, cells) in worker.arrivals.all() {
            let sum = sums.entry(listener).or_default();
            sum.waiting += cells.waiting.value();
            for (total, (_, count)) in sum.refused.iter_mut().zip(cells.refused()) {
                *total += count;
            }
        }
    }
    if sums.is_empty() {
        return;
    }
    let name = "meltemi_downstream_proxy_protocol_waiting";
    let help = "Connections to destinations that no service is known by yet.";
    page.head(name, help, "gauge");
    for (listener, sum) in &sums {
        let labels = format_args!("listener=\"{}\"", Escaped(listener));
        page.value(name, labels, sum.waiting);
    }
    let name = "meltemi_downstream_proxy_protocol_refused_total";
    let help = "Connections that were closed for what their PROXY header said, or did not.";
    page.head(name, help, "counter");
    for (listener, sum) in &sums {
        for (reason, count) in Refused::ALL.iter().zip(sum.refused) {
            let (listener, reason) = (Escaped(listener), reason.as_str());
            let labels = format_args!("listener=\"{listener}\",reason=\"{reason}\"");
            page.value(name, labels, count);
        }
    }
}
