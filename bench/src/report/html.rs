//! A page of one file that shows a run: what each contender costs, round by round, and how long
//! requests take.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::ratio::{Ratio, least, median};
use super::target::{Judged, Verdict, judge};
use super::{connections_target, idle_target, megabytes, micros, number, open, title};
use crate::contender::Kind;
use crate::suite::{Cell, Memory, Outcome, Row, Speed};

/// Everything that the page needs: it loads nothing.
const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #223 }
table { border-collapse: collapse; margin: .6rem 0 1.4rem } th, td { padding: .15rem .7rem; text-align: right }
th { border-bottom: 1px solid #99a; font-weight: 600 } th:first-child, td:first-child { text-align: left }
.held { color: #177245 } .missed { color: #b3261e } .open { color: #8a6d00 }
svg text { font: 12px system-ui, sans-serif; fill: #223 } .bar { fill: #9bb7d4 } .own { fill: #2f6db5 }
.round { fill: #223; opacity: .45 } .axis { stroke: #99a } .note { color: #667 }
";

/// Pixels of a plot: where bars begin, how long the longest may be, and a line's height.
const LEFT: f64 = 150.0;
const LENGTH: f64 = 560.0;
const LINE: f64 = 22.0;

pub(super) fn page(outcome: &Outcome, json: &str) -> String {
    let name = format!("meltemi-bench {}", outcome.run.arguments.join(" "));
    // `</` would end the element that holds it.
    let json = json.replace("</", "<\\/");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { (name) } style { (PreEscaped(STYLE)) } }
            body {
                h1 { (name) }
                p class="note" { (outcome.run) }
                (conclusion(outcome))
                @for row in &outcome.rows { (section(row, outcome.run.cpus)) }
                @if !outcome.memory.is_empty() { h2 { "Resident memory" } (memory(&outcome.memory)) }
                @for absent in &outcome.absent { p { (absent.contender) " is not installed: " (absent.remedy) } }
                @for void in &outcome.void { p class="missed" { "void: " (void) } }
                script type="application/json" id="run" { (PreEscaped(json)) }
            }
        }
    };
    page.into_string()
}

fn conclusion(outcome: &Outcome) -> Markup {
    let (open, all) = open(outcome);
    html! {
        p {
            "CPU time is the proxy's, for each request. Bars show the least of the rounds, dots each round. "
            "A multiple is least by least, in brackets the range of what the thirds of the run say: where they \
             differ about a target, nothing is concluded."
        }
        @if open > 0 { p class="open" { (open) " of " (all) " targets stay open: measure again with nothing else at work, or with more rounds." } }
    }
}

fn section(row: &Row, cpus: usize) -> Markup {
    let judged = judge(row, cpus);
    html! {
        h2 { (title(row)) }
        @if row.rate.is_none() { (costs(row)) }
        @if !judged.is_empty() { (targets(&judged)) }
        (speeds(row))
    }
}

fn costs(row: &Row) -> Markup {
    let cells: Vec<_> = row
        .cells
        .iter()
        .filter(|cell| !cell.cost_us.is_empty())
        .collect();
    // A round that was disturbed would push all others together.
    let most = cells
        .iter()
        .filter_map(|cell| median(&cell.cost_us))
        .fold(0.0, f64::max)
        * 1.15;
    let at = |cost: f64| (cost / most * LENGTH).min(LENGTH);
    let floor = row.cells.iter().find(|cell| cell.contender == Kind::Floor);
    let height = LINE * cells.len() as f64 + 6.0;
    html! {
        svg width=(LEFT + LENGTH + 170.0) height=(height) role="img" aria-label="CPU time per request" {
            line class="axis" x1=(LEFT) x2=(LEFT) y1="0" y2=(height) {}
            @for (number, cell) in cells.iter().enumerate() {
                @let top = number as f64 * LINE + 4.0;
                @let cost = least(&cell.cost_us).unwrap_or(0.0);
                text x=(LEFT - 8.0) y=(top + 13.0) text-anchor="end" { (cell.contender) }
                rect class=(if cell.contender.is_meltemi() { "own" } else { "bar" })
                    x=(LEFT) y=(top) width=(format!("{:.1}", at(cost))) height=(LINE - 6.0) {}
                @for &round in &cell.cost_us {
                    circle class="round" cx=(format!("{:.1}", LEFT + at(round))) cy=(top + 8.0) r="2" {}
                }
                text x=(LEFT + LENGTH + 10.0) y=(top + 13.0) { (micros(Some(cost))) " µs" (multiple(cell, floor)) }
            }
        }
    }
}

fn multiple(cell: &Cell, floor: Option<&Cell>) -> String {
    let ratio = floor.and_then(|floor| Ratio::between(&cell.cost_us, &floor.cost_us));
    ratio.map_or_else(String::new, |ratio| format!(", {:.2} × floor", ratio.value))
}

fn targets(judged: &[Judged]) -> Markup {
    html! {
        table {
            tr { th { "contender" } th { "target" } th { "measured" } th { "" } }
            @for judged in judged {
                @let class = match judged.verdict {
                    Verdict::Held => "held",
                    Verdict::Missed => "missed",
                    Verdict::Unbound => "note",
                    _ => "open",
                };
                tr { td { (judged.contender) } td { (judged.target) } td { (judged.ratio) } td class=(class) { (judged.verdict) } }
            }
        }
    }
}

fn speeds(row: &Row) -> Markup {
    let median_of = |cell: &Cell, field: fn(&Speed) -> f64| {
        median(&cell.speed.iter().map(field).collect::<Vec<_>>())
    };
    html! {
        table {
            tr { th { "contender" } th { "median CPU µs" } th { "requests/s" } th { "p50 µs" } th { "p99 µs" } th { "p99.9 µs" } }
            @for cell in &row.cells {
                tr {
                    td { (cell.contender) }
                    td { (micros(median(&cell.cost_us))) }
                    td { (number(median_of(cell, |s| s.requests_per_second), 0)) }
                    td { (number(median_of(cell, |s| s.p50_us), 1)) }
                    td { (number(median_of(cell, |s| s.p99_us), 1)) }
                    td { (number(median_of(cell, |s| s.p999_us), 1)) }
                }
            }
        }
    }
}

fn memory(entries: &[Memory]) -> Markup {
    html! {
        table {
            tr { th { "contender" } th { "idle MB" } th { "target" } th { "connections" } th { "B/connection" } th { "target" } th { "after load MB" } }
            @for entry in entries {
                tr {
                    td { (entry.contender) }
                    td { (number(Some(megabytes(entry.idle)), 1)) }
                    td { (idle_target(entry)) }
                    td { (entry.connections) }
                    td { (number(entry.for_each_connection(), 0)) }
                    td { (connections_target(entry)) }
                    td { (number(entry.after_load.map(megabytes), 1)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{Absent, RowPlan, Run};
    use crate::wire::Request;

    #[test]
    fn a_page_holds_all_that_it_shows_and_no_markup_of_others() {
        let cell = |contender, cost: f64| Cell {
            contender,
            cost_us: vec![cost; 3],
            speed: Vec::new(),
        };
        let outcome = Outcome {
            run: Run {
                arguments: vec!["thrift".to_owned()],
                ..Run::default()
            },
            rows: vec![Row {
                plan: RowPlan {
                    shape: "serial".parse().unwrap(),
                    request: Request::Thrift { argument: 128 },
                    endpoints: 1,
                },
                rate: None,
                cells: vec![cell(Kind::Floor, 10.0), cell(Kind::Meltemi, 11.0)],
            }],
            absent: vec![Absent {
                contender: Kind::Envoy,
                remedy: "a <script>".to_owned(),
            }],
            ..Outcome::default()
        };
        let page = page(&outcome, r#"{"void":["</script>"]}"#);
        assert!(page.contains("meltemi-bench thrift"));
        assert!(page.contains("11.00 µs, 1.10 × floor"));
        assert!(page.contains(r#"<td class="held">held</td>"#), "{page}");
        assert!(page.contains("a &lt;script&gt;"));
        assert_eq!(page.matches("</script>").count(), 1);
        assert!(!page.contains("http"), "it loads nothing");
    }
}
