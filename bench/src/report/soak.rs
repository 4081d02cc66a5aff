//! A soak as a table of its minutes.

use std::fmt::Write;

use super::{megabytes, number, table};
use crate::soak::{Growth, Outcome, Sample};

const MINUTE: f64 = 60.0;

pub(crate) fn soak(outcome: &Outcome) -> String {
    let mut table = table(&["minute", "resident MB, least", "most", "open files, most"]);
    let minute = |sample: &Sample| (sample.seconds / MINUTE) as u64;
    for samples in outcome.samples.chunk_by(|a, b| minute(a) == minute(b)) {
        let resident = samples.iter().map(|sample| sample.resident);
        let files = samples.iter().map(|sample| sample.open_files).max();
        table.add_row([
            samples.first().map_or(0, minute).to_string(),
            number(resident.clone().min().map(megabytes), 1),
            number(resident.max().map(megabytes), 1),
            files.unwrap_or(0).to_string(),
        ]);
    }
    let Outcome {
        requests,
        connections,
        changes,
        applied,
        growth,
        ..
    } = outcome;
    let mut text = format!("{table}\n\n");
    let _ = writeln!(
        text,
        "{requests} requests on connections that stay, {connections} on connections that came and \
         went: every answer right\n{changes} changes of endpoints and routes, {applied} updates applied"
    );
    let Growth { before, after } = growth;
    let verdict = if growth.is_flat() { "flat" } else { "it grows" };
    let _ = writeln!(
        text,
        "resident memory, medians of the last two thirds: {:.1} and {:.1} MB: {verdict}",
        megabytes(*before),
        megabytes(*after)
    );
    text
}
