//! What a person reads: tables in a terminal, a page in a browser.

mod flame;
mod html;
mod instructions;
mod ratio;
mod soak;
mod syscalls;
mod target;
pub(crate) mod updates;

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};

pub(crate) use self::flame::flame;
pub(crate) use self::instructions::{instructions, moved};
use self::ratio::{Ratio, least, median};
pub(crate) use self::soak::soak;
pub(crate) use self::syscalls::syscalls;
use self::target::{Judged, Verdict, added, judge};
use crate::contender::Kind;
use crate::suite::{Absent, Cell, Memory, Outcome, Row, Shape, Speed};

/// What Meltemi is allowed to weigh with no connection, and for each idle one.
const IDLE_TARGET: &str = "15 MB";
const CONNECTION_TARGET: &str = "3.3 KiB";

pub(crate) fn render(outcome: &Outcome) -> String {
    let mut text = String::new();
    for row in &outcome.rows {
        let _ = writeln!(text, "{}\n{}\n", title(row), costs(row, &outcome.absent));
        let judged = judge(row, outcome.run.cpus);
        if !judged.is_empty() {
            let _ = writeln!(text, "{}\n", targets(&judged));
        }
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
    let (open, all) = open(outcome);
    if open > 0 {
        let _ = writeln!(
            text,
            "{open} of {all} targets stay open: measure again with nothing else at work, or with more \
             --rounds"
        );
    }
    text
}

/// Writes `NAME.json` and `NAME.html` into a directory, which is made where it is missing.
pub(crate) fn save(outcome: &Outcome, name: &str, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    let json = serde_json::to_string(outcome)?;
    for (ending, text) in [("html", html::page(outcome, &json)), ("json", json)] {
        let path = dir.join(format!("{name}.{ending}"));
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

/// Targets that the run says nothing about, and all of them.
fn open(outcome: &Outcome) -> (usize, usize) {
    let judged: Vec<_> = outcome
        .rows
        .iter()
        .flat_map(|row| judge(row, outcome.run.cpus))
        .filter(|judged| judged.verdict != Verdict::Unbound)
        .collect();
    let open = judged.iter().filter(|judged| judged.verdict.is_open());
    (open.count(), judged.len())
}

fn title(row: &Row) -> String {
    let shape = match row.plan.shape {
        Shape::Open {
            connections: 1,
            depth: 1,
        } => "serial (1 connection, 1 in flight)".to_owned(),
        Shape::Open { connections, depth } => {
            format!("{connections} connections, {depth} in flight each")
        }
        Shape::Churn { rate } => format!("{rate} connections a second, one call each"),
        Shape::Half { of } => {
            let rate = number(row.rate, 0);
            format!("{rate} requests/s on 64 connections (half of the most that {of} answers)")
        }
    };
    let endpoints = match row.plan.endpoints {
        1 => String::new(),
        endpoints => format!(", {endpoints} endpoints"),
    };
    format!("{shape}, {}{endpoints}", row.plan.request)
}

fn costs(row: &Row, absent: &[Absent]) -> Table {
    let header = [
        "contender",
        "CPU µs/request",
        "median",
        "x floor",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
    ];
    let mut header = header.to_vec();
    if row.rate.is_some() {
        header.push("p99.9 beyond direct, least");
    }
    let mut table = table(&header);
    let floor = row.cells.iter().find(|cell| cell.contender == Kind::Floor);
    for cell in &row.cells {
        let speed = |field: fn(&Speed) -> f64| median_of(cell, field);
        let ratio = floor.and_then(|floor| Ratio::between(&cell.cost_us, &floor.cost_us));
        let mut line = vec![
            cell.contender.to_string(),
            micros(least(&cell.cost_us)),
            micros(median(&cell.cost_us)),
            number(ratio.map(|ratio| ratio.value), 2),
            number(speed(|s| s.requests_per_second), 0),
            number(speed(|s| s.p50_us), 1),
            number(speed(|s| s.p99_us), 1),
            number(speed(|s| s.p999_us), 1),
        ];
        if row.rate.is_some() && cell.contender != Kind::Direct {
            line.push(number(least(&added(row, cell)), 1));
        }
        table.add_row(line);
    }
    for absent in absent {
        table.add_row([absent.contender.name(), "not installed"]);
    }
    table
}

fn targets(judged: &[Judged]) -> Table {
    let mut table = table(&["contender", "target", "measured", "verdict"]);
    for judged in judged {
        table.add_row([
            judged.contender.to_string(),
            judged.target.to_string(),
            judged.ratio.to_string(),
            judged.verdict.to_string(),
        ]);
    }
    table
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
    let mut table = table(&header);
    for entry in entries {
        table.add_row([
            entry.contender.to_string(),
            number(Some(megabytes(entry.idle)), 1),
            idle_target(entry).to_owned(),
            number(entry.after_load.map(megabytes), 1),
            entry.connections.to_string(),
            number(Some(megabytes(entry.with_connections)), 1),
            number(entry.for_each_connection(), 0),
            connections_target(entry).to_owned(),
        ]);
    }
    table
}

fn idle_target(entry: &Memory) -> &'static str {
    if entry.contender.is_meltemi() {
        IDLE_TARGET
    } else {
        ""
    }
}

fn connections_target(entry: &Memory) -> &'static str {
    if entry.contender.is_meltemi() {
        CONNECTION_TARGET
    } else {
        ""
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::RowPlan;
    use crate::wire::Request;

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
            rate: None,
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
        let line = |text: &str, name| -> Vec<String> {
            let mut lines = text.lines();
            let line = lines.find(|l| l.trim_start().starts_with(name));
            line.unwrap()
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        let text = costs(&row, &[absent]).to_string();
        assert_eq!(line(&text, "direct")[1..4], ["-", "-", "-"]);
        assert_eq!(line(&text, "floor")[1..4], ["4.00", "5.00", "1.00"]);
        assert_eq!(line(&text, "meltemi")[1..4], ["5.00", "6.00", "1.25"]);
        assert_eq!(line(&text, "envoy")[1..], ["not", "installed"]);
        let text = targets(&judge(&row, 2)).to_string();
        let expected = "at most 1.00 × haproxy 0.50 too few rounds to say";
        assert_eq!(line(&text, "meltemi")[1..].join(" "), expected);
    }
}
