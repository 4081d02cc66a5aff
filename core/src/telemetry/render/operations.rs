//! Exchanges by operation, where a service asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Escaped, HistogramSum, OutcomeLabel, Page, WorkerCells, histogram};
use crate::telemetry::operation::OperationCells;

/// The cells of one operation, added up over the workers.
#[derive(Default)]
struct OperationSum {
    duration: HistogramSum,
    outcomes: [u64; OutcomeLabel::ALL.len()],
}

impl OperationSum {
    fn add(&mut self, cells: &OperationCells) {
        cells.duration.add_to(&mut self.duration);
        for (sum, outcome) in self.outcomes.iter_mut().zip(&cells.outcomes) {
            *sum += outcome.value();
        }
    }
}

pub(super) fn operations(page: &mut Page, workers: &[Arc<WorkerCells>]) {
    let mut sums: BTreeMap<(Arc<str>, Arc<str>), OperationSum> = BTreeMap::new();
    for worker in workers {
        for (service, operations) in worker.operations.all() {
            for (operation, cells) in operations.all() {
                let sum = sums.entry((Arc::clone(&service), operation)).or_default();
                sum.add(&cells);
            }
        }
    }
    // Where nothing was recorded a label says nothing: `other` of a well-behaved service.
    let seen = sums.iter().filter(|(_, sum)| sum.duration.count() > 0);
    let operations: Vec<_> = seen
        .map(|((service, operation), sum)| {
            let (service, operation) = (Escaped(service), Escaped(operation));
            (
                format!("service=\"{service}\",operation=\"{operation}\""),
                sum,
            )
        })
        .collect();

    let name = "meltemi_operation_requests_total";
    let help = "Exchanges by what they asked to be done and how they ended.";
    page.head(name, help, "counter");
    for (labels, sum) in &operations {
        for (outcome, count) in OutcomeLabel::ALL.iter().zip(sum.outcomes) {
            if count > 0 {
                page.value(name, format_args!("{labels},outcome=\"{outcome}\""), count);
            }
        }
    }
    let name = "meltemi_operation_duration_seconds";
    let help = "From a request's last byte to its answer's, by what it asked to be done.";
    page.head(name, help, "histogram");
    for (labels, sum) in &operations {
        histogram(page, name, labels, &sum.duration);
    }
}
