//! Instructions of requests as a table, and what moved.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{number, table};
use crate::callgrind::Part;
use crate::instructions::Counts;

const PARTS: [Part; 9] = [
    Part::Decode,
    Part::Attributes,
    Part::Route,
    Part::Pick,
    Part::Encode,
    Part::Engine,
    Part::Driver,
    Part::Telemetry,
    Part::Other,
];

/// Fewer instructions than these are no reason to look at a part.
const LEAST: f64 = 20.0;

/// One line for each case.
pub(crate) fn instructions(counted: &BTreeMap<String, Counts>) -> String {
    let parts = PARTS.map(|part| part.to_string());
    let mut header = vec!["instructions/request", "all"];
    header.extend(parts.iter().map(String::as_str));
    let mut table = table(&header);
    for (case, counts) in counted {
        let mut line = vec![case.clone(), number(Some(counts.total()), 0)];
        line.extend(PARTS.map(|part| number(counts.0.get(&part).copied(), 0)));
        table.add_row(line);
    }
    format!("{table}\n")
}

/// What is beyond `margin` percent of the budget, either way.
pub(crate) fn moved(
    budget: &BTreeMap<String, Counts>,
    counted: &BTreeMap<String, Counts>,
    margin: f64,
) -> String {
    let mut text = String::new();
    for (case, counts) in counted {
        let Some(before) = budget.get(case) else {
            let _ = writeln!(text, "{case}: not in the budget yet");
            continue;
        };
        let of = |counts: &Counts, part| counts.0.get(&part).copied().unwrap_or(0.0);
        let parts = PARTS.map(|part| (part.to_string(), of(before, part), of(counts, part)));
        let all = ("all".to_owned(), before.total(), counts.total());
        for (part, before, now) in [all].into_iter().chain(parts) {
            let moved = now - before;
            if moved.abs() > LEAST.max(before * margin / 100.0) {
                let _ = writeln!(
                    text,
                    "{case}, {part}: {before:.0} before, {now:.0} now ({moved:+.0})"
                );
            }
        }
    }
    match text.is_empty() {
        true => format!("nothing moved by more than {margin} %\n"),
        false => format!("moved by more than {margin} %:\n{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_is_named_either_way() {
        let counts = |engine, pick| {
            let parts = [(Part::Engine, engine), (Part::Pick, pick)];
            BTreeMap::from([("x".to_owned(), Counts(BTreeMap::from(parts)))])
        };
        let before = counts(1_000.0, 100.0);
        for (now, expected) in [
            (counts(1_040.0, 100.0), "nothing moved by more than 5 %\n"),
            // Few instructions are many percent of a small part.
            (counts(1_000.0, 119.0), "nothing moved by more than 5 %\n"),
            (
                counts(900.0, 100.0),
                "moved by more than 5 %:\n\
                 x, all: 1100 before, 1000 now (-100)\n\
                 x, engine: 1000 before, 900 now (-100)\n",
            ),
        ] {
            assert_eq!(moved(&before, &now, 5.0), expected);
        }
        let unknown = moved(&BTreeMap::new(), &before, 5.0);
        assert!(unknown.contains("x: not in the budget yet"), "{unknown}");
    }
}
