//! What is no request: the server says so and closes.

use super::scenarios::{Scenario, plain};

pub const BROKEN: &[Scenario] = &[
    plain("a wrong count", &[("raw *x\r\n", 1)]),
    plain("too large a count", &[("raw *3000000000\r\n", 1)]),
    plain("no dollar", &[("raw *2\r\n$3\r\nGET\r\n:1\r\n", 1)]),
    plain(
        "a negative length",
        &[("raw *2\r\n$3\r\nGET\r\n$-1\r\n", 1)],
    ),
    plain(
        "too large a length",
        &[("raw *2\r\n$3\r\nGET\r\n$2000000000\r\n", 1)],
    ),
    plain(
        "a length that is none",
        &[("raw *2\r\n$3\r\nGET\r\n$1x\r\n", 1)],
    ),
];
