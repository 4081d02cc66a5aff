//! System calls of a request as a table.

use super::{number, table};
use crate::contender::Kind;
use crate::suite::RowPlan;
use crate::syscalls::Calls;

/// What Meltemi may take of what the floor takes.
const MOST: f64 = 1.05;
/// Fewer of a request are summed up.
const FEW: f64 = 0.005;

/// One line for each contender: all, and by name.
pub(crate) fn syscalls(row: &RowPlan, counted: &[(Kind, Calls)]) -> String {
    let all = counted.iter().flat_map(|(_, calls)| &calls.0);
    let mut names: Vec<_> = all
        .filter(|(_, calls)| **calls >= FEW)
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut header = vec!["system calls/request", "all", "x floor", "target"];
    header.extend(&names);
    header.push("others");
    let mut table = table(&header);
    let floor = counted.iter().find(|(kind, _)| *kind == Kind::Floor);
    for (kind, calls) in counted {
        let total = calls.total();
        let ratio = floor.map(|(_, floor)| total / floor.total());
        let of = |name: &&str| calls.0.get(*name).copied().unwrap_or(0.0);
        let target = match ratio.filter(|_| kind.is_meltemi()) {
            Some(ratio) if ratio <= MOST => "at most 1.05: held",
            Some(_) => "at most 1.05: missed",
            None => "",
        };
        let mut line = vec![
            kind.to_string(),
            number(Some(total), 3),
            number(ratio, 3),
            target.to_owned(),
        ];
        line.extend(names.iter().map(|name| number(Some(of(name)), 3)));
        let named: f64 = names.iter().map(of).sum();
        line.push(number(Some(total - named), 3));
        table.add_row(line);
    }
    format!("{row}\n{table}\n\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::wire::Request;

    #[test]
    fn meltemi_is_held_against_the_floor() {
        let row = RowPlan {
            shape: "serial".parse().unwrap(),
            request: Request::Dubbo { argument: 128 },
            endpoints: 1,
        };
        let calls = |writes| {
            let all = [("write".to_owned(), writes), ("brk".to_owned(), 0.001)];
            Calls(BTreeMap::from(all))
        };
        for (writes, expected) in [(2.0, "held"), (2.2, "missed")] {
            let counted = [(Kind::Floor, calls(2.0)), (Kind::Meltemi, calls(writes))];
            let text = syscalls(&row, &counted);
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("brk"), "{text}");
        }
    }
}
