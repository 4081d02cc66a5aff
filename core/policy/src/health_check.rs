//! How endpoints are asked whether they can serve.

use std::fmt;
use std::time::Duration;

/// The numbers of a health check, which are Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck<'a> {
    /// The protocol whose question is asked; none: a connection is enough.
    pub protocol: Option<&'a str>,
    /// From the end of one check to the next.
    pub interval: Duration,
    pub timeout: Duration,
    /// So many checks without an answer in a row make a healthy endpoint unhealthy.
    pub unhealthy_threshold: u32,
    /// So many checks in a row make an unhealthy endpoint healthy.
    pub healthy_threshold: u32,
}

/// In a few words.
impl fmt::Display for HealthCheck<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.protocol.unwrap_or("a connection");
        let (interval, timeout) = (self.interval, self.timeout);
        let (bad, good) = (self.unhealthy_threshold, self.healthy_threshold);
        write!(f, "by {by} every {interval:?}, left out after {bad} ")?;
        write!(f, "without an answer in {timeout:?}, back after {good}")
    }
}
