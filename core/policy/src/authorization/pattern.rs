//! What values are compared with.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

/// Texts, of which a value has to be like one: Istio's exact, `prefix*`, `*suffix` and `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    /// In order.
    exact: Vec<Box<[u8]>>,
    prefixes: Vec<Box<[u8]>>,
    suffixes: Vec<Box<[u8]>>,
    /// Any value that is not empty.
    present: bool,
}

impl Patterns {
    /// As policies write them. A star anywhere but at one end is itself.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns = Self::default();
        for text in texts {
            let bytes = |text: &str| Box::from(text.as_bytes());
            match (text.strip_prefix('*'), text.strip_suffix('*')) {
                _ if text == "*" => patterns.present = true,
                (Some(suffix), _) => patterns.suffixes.push(bytes(suffix)),
                (None, Some(prefix)) => patterns.prefixes.push(bytes(prefix)),
                (None, None) => patterns.exact.push(bytes(text)),
            }
        }
        patterns.exact.sort_unstable();
        patterns.exact.dedup();
        patterns
    }

    /// As [`Self::new`] takes them.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let exact = self.exact.iter().map(move |it| text(it));
        let prefixes = self.prefixes.iter().map(move |it| text(it) + "*");
        let suffixes = self.suffixes.iter().map(move |it| format!("*{}", text(it)));
        let present = self.present.then(|| "*".to_owned());
        exact.chain(prefixes).chain(suffixes).chain(present)
    }

    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        let is_exact = || {
            let place = self.exact.binary_search_by(|it| it.as_ref().cmp(value));
            place.is_ok()
        };
        (self.present && !value.is_empty())
            || is_exact()
            || self.prefixes.iter().any(|it| value.starts_with(it))
            || self.suffixes.iter().any(|it| value.ends_with(it))
    }
}

/// Addresses with a common beginning, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block(IpNet);

/// A text that is no block of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is neither an IP address nor a block such as 10.0.0.0/8")]
pub struct BlockError(String);

impl Block {
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Block {
    type Err = BlockError;

    /// One of IPv4 addresses that are written as IPv6 is one of IPv4 addresses.
    fn from_str(text: &str) -> Result<Self, BlockError> {
        let parsed = text.parse::<IpNet>().ok();
        let parsed = parsed.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let net = parsed.ok_or_else(|| BlockError(text.to_owned()))?;
        let mapped = match (net.addr().to_canonical(), net.prefix_len().checked_sub(96)) {
            (IpAddr::V4(address), Some(length)) if net.addr().is_ipv6() => {
                IpNet::new(address.into(), length).ok()
            }
            _ => None,
        };
        Ok(Self(mapped.unwrap_or(net)))
    }
}

impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
