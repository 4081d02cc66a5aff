//! The name of a cluster, as Istio writes it: `outbound|port|subset|host`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A service's port as a destination, whole or restricted to a subset.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName {
    pub port: u16,
    /// Empty for all endpoints.
    pub subset: String,
    pub host: String,
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "outbound|{}|{}|{}", self.port, self.subset, self.host)
    }
}

/// The text is not `outbound|port|subset|host`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not a cluster name of the form outbound|port|subset|host")]
pub struct ClusterNameParseError {
    pub text: String,
}

impl FromStr for ClusterName {
    type Err = ClusterNameParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ClusterNameParseError {
            text: text.to_owned(),
        })
    }
}

fn parse(text: &str) -> Option<ClusterName> {
    let rest = text.strip_prefix("outbound|")?;
    let (port, rest) = rest.split_once('|')?;
    let (subset, host) = rest.split_once('|')?;
    if host.is_empty() || host.contains('|') {
        return None;
    }
    Some(ClusterName {
        port: port.parse().ok().filter(|&port| port != 0)?,
        subset: subset.to_owned(),
        host: host.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for text in [
            "outbound|20880||demo.default.svc.cluster.local",
            "outbound|1|v1|*.example.com",
        ] {
            let name: ClusterName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
        }
        let name: ClusterName = "outbound|20880|v1|a.b".parse().unwrap();
        assert_eq!(
            (name.port, &*name.subset, &*name.host),
            (20880, "v1", "a.b")
        );
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "inbound|1||a",
            "outbound|0||a",
            "outbound|65536||a",
            "outbound|x||a",
            "outbound|1|a",
            "outbound|1||",
            "outbound|1||a|b",
        ] {
            assert!(text.parse::<ClusterName>().is_err(), "{text}");
        }
    }
}
