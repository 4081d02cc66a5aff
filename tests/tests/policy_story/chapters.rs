//! The chapters: rules, and what the clients see under them.

#[path = "chapters/deadlines.rs"]
mod deadlines;
#[path = "chapters/faults.rs"]
mod faults;
#[path = "chapters/hedging.rs"]
mod hedging;
#[path = "chapters/limits.rs"]
mod limits;
#[path = "chapters/mirrors.rs"]
mod mirrors;
#[path = "chapters/nobody.rs"]
mod nobody;
#[path = "chapters/retries.rs"]
mod retries;

use super::stage::Stage;

type Chapter = fn(&mut Stage);

pub(crate) const ALL: [(&str, Chapter); 17] = [
    ("a server that is too slow", deadlines::too_slow),
    ("nobody to ask", nobody::nobody),
    ("no route", nobody::no_route),
    ("a server that dies, and may", retries::dies),
    (
        "a server that dies with what must not be repeated",
        retries::dies_for_good,
    ),
    ("a server that freezes, and may", retries::freezes),
    (
        "a server that freezes with what must not be repeated",
        retries::freezes_for_good,
    ),
    ("a server in trouble", retries::in_trouble),
    (
        "another server is asked meanwhile",
        hedging::asked_meanwhile,
    ),
    ("tokens", limits::tokens),
    ("tokens of a rate limit service", limits::tokens_elsewhere),
    ("a full route", limits::full_route),
    ("a full cluster", limits::full_cluster),
    ("errors on purpose", faults::aborts),
    ("delays on purpose", faults::delays),
    ("copies", mirrors::copies),
    ("a mirror that misbehaves", mirrors::misbehaves),
];
