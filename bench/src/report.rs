//! The tables that a person reads.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use crate::contender::Kind;
use crate::suite::{Cell, Memory, Outcome, Row, Shape, Speed};

/// What Meltemi is allowed to weigh with no connection, and for each idle one.
const IDLE_TARGET: &str = "15 MB";
const CONNECTION_TARGET: &str = "4096 B";

pub(crate) fn render(outcome: &Outcome) -> String {
    let mut text = String::new();
    for row in &outcome.rows {
        let _ = writeln!(
            text,
            "{}, {} B argument\n{}\n",
            title(row.shape),
            row.body_bytes,
            costs(row)
        );
    }
    if !outcome.memory.is_empty() {
        let _ = writeln!(text, "resident memory\n{}\n", memory(&outcome.memory));
    }
    for absent in &outcome.absent {
        let _ = writeln!(text, "absent: {}: {}", absent.contender, absent.remedy);
    }
    for void in &outcome.void {
        let _ = writeln!(text, "void: {void}");
    }
    text
}

fn title(shape: Shape) -> String {
    match shape {
        Shape {
            connections: 1,
            depth: 1,
        } => "serial (1 connection, 1 in flight)".to_owned(),
        Shape { connections, depth } => {
            format!("{connections} connections, {depth} in flight each")
        }
    }
}

fn costs(row: &Row) -> Table {
    let mut table = table(&[
        "contender",
        "CPU µs/request",
        "median",
        "x floor",
        "target",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
    ]);
    let floor = row
        .cells
        .iter()
        .find(|c| c.contender == Kind::Floor)
        .and_then(|c| least(&c.cost_us));
    for cell in &row.cells {
        let cost = least(&cell.cost_us);
        let ratio = cost.zip(floor).map(|(cost, floor)| cost / floor);
        let speed = |field: fn(&Speed) -> f64| median_of(cell, field);
        table.add_row([
            cell.contender.to_string(),
            number(cost, 2),
            number(median(&cell.cost_us), 2),
            number(ratio, 2),
            target(cell.contender, row.shape),
            number(speed(|s| s.requests_per_second), 0),
            number(speed(|s| s.p50_us), 1),
            number(speed(|s| s.p99_us), 1),
            number(speed(|s| s.p999_us), 1),
        ]);
    }
    table
}

fn memory(entries: &[Memory]) -> Table {
    let mut table = table(&[
        "contender",
        "idle MB",
        "target",
        "after load MB",
        "connections",
        "MB",
        "B/connection",
        "target",
    ]);
    for entry in entries {
        let ours = entry.contender.is_meltemi();
        let grown = entry.with_connections.saturating_sub(entry.idle);
        let each = (entry.connections > 0).then(|| grown as f64 / entry.connections as f64);
        let target = |text: &str| if ours { text.to_owned() } else { String::new() };
        table.add_row([
            entry.contender.to_string(),
            number(Some(megabytes(entry.idle)), 1),
            target(IDLE_TARGET),
            number(entry.after_load.map(megabytes), 1),
            entry.connections.to_string(),
            number(Some(megabytes(entry.with_connections)), 1),
            number(each, 0),
            target(CONNECTION_TARGET),
        ]);
    }
    table
}

/// The most that Meltemi may cost as a multiple of the floor.
fn target(kind: Kind, shape: Shape) -> String {
    let most = match shape {
        _ if !kind.is_meltemi() => return String::new(),
        Shape {
            connections: 1,
            depth: 1,
        } => "1.15",
        Shape { depth: 1, .. } => "1.25",
        _ => "2.00",
    };
    most.to_owned()
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn median_of(cell: &Cell, field: fn(&Speed) -> f64) -> Option<f64> {
    median(&cell.speed.iter().map(field).collect::<Vec<_>>())
}

fn least(values: &[f64]) -> Option<f64> {
    values.iter().copied().min_by(f64::total_cmp)
}

/// The middle value; of an even number the lower of the two, which was really measured.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_measured_value() {
        for (values, expected) in [
            (&[][..], None),
            (&[3.0], Some(3.0)),
            (&[9.0, 1.0], Some(1.0)),
            (&[9.0, 1.0, 5.0], Some(5.0)),
        ] {
            assert_eq!(median(values), expected);
        }
    }

    #[test]
    fn ratios_are_taken_between_the_least_of_each() {
        let cell = |contender, cost_us: &[f64]| Cell {
            contender,
            cost_us: cost_us.to_vec(),
            speed: Vec::new(),
        };
        let row = Row {
            shape: "64x1".parse().unwrap(),
            body_bytes: 128,
            cells: vec![
                cell(Kind::Direct, &[]),
                cell(Kind::Floor, &[5.0, 4.0, 9.0]),
                cell(Kind::Meltemi, &[7.0, 5.0, 6.0]),
            ],
        };
        let text = costs(&row).to_string();
        let line = |name| {
            let line: &str = text
                .lines()
                .find(|l| l.trim_start().starts_with(name))
                .unwrap();
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(line("direct")[1..4], ["-", "-", "-"]);
        assert_eq!(line("floor")[1..4], ["4.00", "5.00", "1.00"]);
        assert_eq!(line("meltemi")[1..5], ["5.00", "6.00", "1.25", "1.25"]);
    }
}
