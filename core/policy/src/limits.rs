//! What may be in use of a cluster at a time, and how long a connection may take.

use std::time::Duration;

/// How long a connection may take to be made: Envoy's, where a cluster gives none.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Envoy's circuit breakers: what all workers together may use of a cluster. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub connections: Option<u32>,
    /// Requests that wait for a connection to be made.
    pub pending: Option<u32>,
    pub requests: Option<u32>,
    /// Requests that were sent again; in the place of the retry budget.
    pub retries: Option<u32>,
    /// Of one connection, from its beginning to its end; above 0.
    pub requests_per_connection: Option<u32>,
}

impl Limits {
    /// Those that there are, in words, in the order in which a request meets them.
    #[must_use]
    pub fn described(&self) -> Vec<String> {
        let most =
            |most: Option<u32>, what: &str| most.map(|most| format!("at most {most} {what}"));
        let limits = [
            most(self.requests, "requests under way"),
            most(self.pending, "requests that wait for a connection"),
            most(
                self.connections,
                "connections, and one of each worker to each endpoint whatever there are",
            ),
            most(self.requests_per_connection, "requests to a connection"),
            most(self.retries, "requests under way that were sent again"),
        ];
        limits.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_limited_is_said() {
        assert_eq!(Limits::default().described(), [""; 0]);
        let limits = Limits {
            requests: Some(5),
            retries: Some(1),
            ..Limits::default()
        };
        let expected = [
            "at most 5 requests under way",
            "at most 1 requests under way that were sent again",
        ];
        assert_eq!(limits.described(), expected);
    }
}
