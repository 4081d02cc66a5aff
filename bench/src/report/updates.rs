//! The tables of updates under load.

use std::fmt::Write;

use comfy_table::Table;

use super::{median, number, table};
use crate::updates::{Kind, Outcome, Row, Slice, on_or_off};

/// CPU time that an update may take, and how long no request may wait longer for it.
const COST_TARGET: &str = "50 ms";
const PAUSE_TARGET: &str = "5 ms";

pub(crate) fn render(outcome: &Outcome) -> String {
    let Outcome {
        endpoints,
        updates,
        requests_per_second,
        ..
    } = outcome;
    let mut text = format!(
        "{endpoints} endpoints, {requests_per_second:.0} requests a second, {updates} updates of each kind; \
         at most {COST_TARGET} of one CPU and no pause above {PAUSE_TARGET}\n\n"
    );
    for row in &outcome.rows {
        let detection = on_or_off(row.outlier_detection);
        let _ = writeln!(
            text,
            "{}, outlier detection {detection}\n{}\n",
            row.policy,
            costs(row)
        );
    }
    for void in &outcome.void {
        let _ = writeln!(text, "void: {void}");
    }
    text
}

fn costs(row: &Row) -> Table {
    let header = [
        "update",
        "CPU ms",
        "most",
        "control",
        "worker",
        "requests",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "longest ms: median",
        "p90",
        "most",
    ];
    let mut table = table(&header);
    for slice in &row.slices {
        table.add_row(line(slice));
    }
    table
}

fn line(slice: &Slice) -> Vec<String> {
    let cost = |part: fn(&crate::updates::Cost) -> f64| slice.cost.iter().map(part).collect();
    let total: Vec<f64> = cost(|cost| cost.total_ms());
    let (control, worker): (Vec<f64>, Vec<f64>) =
        (cost(|cost| cost.control_ms), cost(|cost| cost.worker_ms));
    let longest: Vec<f64> = slice.longest_us.iter().map(|us| us / 1e3).collect();
    let mut line = vec![slice.kind.to_string()];
    match slice.kind {
        Kind::Nothing => line.extend((0..4).map(|_| String::new())),
        Kind::Update(_) => line.extend([
            number(median(&total), 1),
            number(most(&total), 1),
            number(median(&control), 1),
            number(median(&worker), 1),
        ]),
    }
    line.extend([
        slice.requests.to_string(),
        number(Some(slice.p50_us), 0),
        number(Some(slice.p99_us), 0),
        number(Some(slice.p999_us), 0),
        number(median(&longest), 2),
        number(quantile(&longest, 0.9), 2),
        number(most(&longest), 2),
    ]);
    line
}

fn most(values: &[f64]) -> Option<f64> {
    values.iter().copied().max_by(f64::total_cmp)
}

/// A measured value that at least so many of them do not exceed.
fn quantile(values: &[f64], quantile: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measured_values() {
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(quantile(&ten, 0.9), Some(9.0));
        assert_eq!(quantile(&[3.0], 0.9), Some(3.0));
        assert_eq!(quantile(&[], 0.9), None);
    }
}
