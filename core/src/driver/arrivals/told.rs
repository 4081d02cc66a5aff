//! What people were told of lately.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::proxy_protocol::Refused;

/// The same is told again after this time.
const SILENCE: Duration = Duration::from_secs(10);
/// So much is remembered for it.
const REMEMBERED: usize = 1024;

/// Why connections were refused, and where they were going.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<(Refused, Option<SocketAddr>), Instant>);

impl Told {
    /// Whether this is to be told.
    pub(super) fn is_news(&mut self, what: (Refused, Option<SocketAddr>), now: Instant) -> bool {
        let before = self.0.get(&what);
        if before.is_some_and(|at| now.saturating_duration_since(*at) < SILENCE) {
            return false;
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(what, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_in_a_while() {
        let mut told = Told::default();
        let start = Instant::now();
        let to = |port: u16| Some(SocketAddr::from(([10, 0, 0, 1], port)));
        assert!(told.is_news((Refused::Loop, to(1)), start));
        assert!(!told.is_news((Refused::Loop, to(1)), start + SILENCE / 2));
        assert!(told.is_news((Refused::Loop, to(2)), start));
        assert!(told.is_news((Refused::Missing, None), start));
        assert!(told.is_news((Refused::Loop, to(1)), start + SILENCE));
        for port in 0..5000 {
            told.is_news((Refused::UnknownDestination, to(port)), start);
            assert!(told.0.len() <= REMEMBERED);
        }
    }
}
