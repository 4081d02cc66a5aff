//! The tables that a person reads.

mod target;
pub(crate) mod updates;

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use self::target::{Target, target};
use crate::contender::Kind;
use crate::suite::{Absent, Cell, Memory, Outcome, Row, Shape, Speed};

/// What Meltemi is allowed to weigh with no connection, and for each idle one.
const IDLE_TARGET: &str = "15 MB";
const CONNECTION_TARGET: &str = "4096 B";

pub(crate) fn render(outcome: &Outcome) -> String {
    let mut text = String::new();
    for row in &outcome.rows {
        let _ = writeln!(text, "{}\n{}\n", title(row), costs(row, &outcome.absent));
    }
    if !outcome.memory.is_empty() {
        let _ = writeln!(text, "resident memory\n{}\n", memory(&outcome.memory));
    }
    for absent in &outcome.absent {
        let _ = writeln!(
            text,
            "{} is not installed: {}",
            absent.contender, absent.remedy
        );
    }
    for void in &outcome.void {
        let _ = writeln!(text, "void: {void}");
    }
    text
}

fn title(row: &Row) -> String {
    let shape = match row.plan.shape {
        Shape {
            connections: 1,
            depth: 1,
        } => "serial (1 connection, 1 in flight)".to_owned(),
        Shape { connections, depth } => {
            format!("{connections} connections, {depth} in flight each")
        }
    };
    let endpoints = match row.plan.endpoints {
        1 => String::new(),
        endpoints => format!(", {endpoints} endpoints that divide the keys"),
    };
    format!("{shape}, {}{endpoints}", row.plan.request)
}

fn costs(row: &Row, absent: &[Absent]) -> Table {
    let rulers = rulers(row);
    let mut header = vec!["contender".to_owned(), "CPU µs/request".to_owned()];
    header.push("median".to_owned());
    header.extend(rulers.iter().map(|ruler| format!("x {ruler}")));
    header
        .extend(["target", "requests/s", "p50 µs", "p99 µs", "p99.9 µs"].map(ToString::to_string));
    let mut table = table(&header);
    for cell in &row.cells {
        let cost = least(&cell.cost_us);
        let speed = |field: fn(&Speed) -> f64| median_of(cell, field);
        let mut line = vec![
            cell.contender.to_string(),
            micros(cost),
            micros(median(&cell.cost_us)),
        ];
        line.extend(rulers.iter().map(|&ruler| {
            let ratio = cost.zip(cost_of(row, ruler));
            number(ratio.map(|(cost, ruler)| cost / ruler), 2)
        }));
        let target = target(cell.contender, &row.plan);
        line.extend([
            target.map_or_else(String::new, |target| target.to_string()),
            number(speed(|s| s.requests_per_second), 0),
            number(speed(|s| s.p50_us), 1),
            number(speed(|s| s.p99_us), 1),
            number(speed(|s| s.p999_us), 1),
        ]);
        table.add_row(line);
    }
    for absent in absent {
        table.add_row([absent.contender.name(), "not installed"]);
    }
    table
}

/// What the costs of a row are compared with: the floor, and what Meltemi's targets there name.
fn rulers(row: &Row) -> Vec<Kind> {
    let named = row
        .cells
        .iter()
        .filter_map(|cell| target(cell.contender, &row.plan));
    let mut rulers = vec![Kind::Floor];
    for Target { of, .. } in named {
        if !rulers.contains(&of) {
            rulers.push(of);
        }
    }
    rulers
}

fn cost_of(row: &Row, kind: Kind) -> Option<f64> {
    let cell = row.cells.iter().find(|cell| cell.contender == kind)?;
    least(&cell.cost_us)
}

fn memory(entries: &[Memory]) -> Table {
    let header = [
        "contender",
        "idle MB",
        "target",
        "after load MB",
        "connections",
        "MB",
        "B/connection",
        "target",
    ];
    let mut table = table(&header.map(ToString::to_string));
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

fn table(header: &[String]) -> Table {
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

/// With three figures at least, since ratios of deep rows lie between tenths of a microsecond.
fn micros(value: Option<f64>) -> String {
    let digits = if value.is_some_and(|value| value < 1.0) {
        3
    } else {
        2
    };
    number(value, digits)
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
    use crate::suite::RowPlan;
    use crate::wire::Request;

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
            plan: RowPlan {
                shape: "64x1".parse().unwrap(),
                request: Request::Thrift { argument: 128 },
                endpoints: 1,
            },
            cells: vec![
                cell(Kind::Direct, &[]),
                cell(Kind::Floor, &[5.0, 4.0, 9.0]),
                cell(Kind::Haproxy, &[10.0, 11.0]),
                cell(Kind::Meltemi, &[7.0, 5.0, 6.0]),
            ],
        };
        let absent = Absent {
            contender: Kind::Envoy,
            remedy: "install it".to_owned(),
        };
        let text = costs(&row, &[absent]).to_string();
        let line = |name| {
            let line: &str = text
                .lines()
                .find(|l| l.trim_start().starts_with(name))
                .unwrap();
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(line("direct")[1..5], ["-", "-", "-", "-"]);
        assert_eq!(line("floor")[1..5], ["4.00", "5.00", "1.00", "0.40"]);
        let meltemi = ["5.00", "6.00", "1.25", "0.50", "1.00", "haproxy"];
        assert_eq!(line("meltemi")[1..7], meltemi);
        assert_eq!(line("envoy")[1..], ["not", "installed"]);
    }
}
