//! What keeps a request back: the bucket that it takes a token from, what a service is asked about it,
//! how many may be under way with it.

use serde::Serialize;
use std::fmt;

use super::{Asked, seconds};
use crate::TokenBucket;

/// A bucket of a local rate limit. All requests that it covers share it, on every server and worker
/// of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limited {
    /// `namespace/name` of the object that has it.
    pub limit: String,
    /// The condition that the request meets, counted from one; none: the default bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<usize>,
    pub max_tokens: u32,
    pub tokens_per_fill: u32,
    pub fill_interval: String,
    /// How many it has now, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
}

impl Limited {
    #[must_use]
    pub fn of(limit: &str, condition: Option<usize>, bucket: TokenBucket) -> Self {
        Self {
            limit: limit.to_owned(),
            condition,
            max_tokens: bucket.max_tokens(),
            tokens_per_fill: bucket.tokens_per_fill(),
            fill_interval: seconds(bucket.fill_interval()),
            tokens: None,
        }
    }
}

/// A global rate limit that covers a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GloballyLimited {
    /// `namespace/name` of the object that has it.
    pub limit: String,
    /// Of the service.
    pub cluster: String,
    /// Whether there is such a cluster; otherwise the service decides on nothing.
    pub exists: bool,
    pub domain: String,
    /// The entries of the one descriptor, those that the request has a value for.
    pub descriptor: Vec<Entry>,
    /// The attributes that it has no value for: with any of them it is not limited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    pub timeout: String,
    pub deny_on_fail: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub key: String,
    pub value: String,
}

impl Entry {
    /// Those of a descriptor, of attributes and what they are called there, that the request has a value
    /// for; and the attributes that it has none for.
    #[must_use]
    pub fn all<'e>(
        entries: impl IntoIterator<Item = (&'e str, &'e str)>,
        asked: &Asked<'_>,
    ) -> (Vec<Self>, Vec<String>) {
        let (mut descriptor, mut missing) = (vec![], vec![]);
        for (attribute, key) in entries {
            match (asked.attribute)(attribute).filter(|value| !value.is_empty()) {
                Some(value) => descriptor.push(Self {
                    key: key.to_owned(),
                    value: String::from_utf8_lossy(value).into_owned(),
                }),
                None => missing.push(attribute.to_owned()),
            }
        }
        (descriptor, missing)
    }
}

/// How many requests may be under way with one: each worker finds it between these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Concurrency {
    /// Of each worker.
    pub least: u32,
    /// Of all.
    pub most: u32,
    /// What the workers together have found, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// How many are under way now, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under_way: Option<u32>,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limited by MetaRouter {}, ", self.limit)?;
        match self.condition {
            Some(number) => write!(f, "condition {number}")?,
            None => write!(f, "default bucket")?,
        }
        write!(
            f,
            ": {} per {}, {} at once",
            self.tokens_per_fill, self.fill_interval, self.max_tokens
        )
    }
}

impl fmt::Display for GloballyLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            limit,
            cluster,
            domain,
            timeout,
            ..
        } = self;
        if !self.missing.is_empty() {
            let missing = self.missing.join(", ");
            return write!(
                f,
                "not limited globally by MetaRouter {limit}: it has no {missing}"
            );
        }
        let entries = self.descriptor.iter();
        let entries: Vec<_> = entries
            .map(|it| format!("{}={}", it.key, it.value))
            .collect();
        let entries = entries.join(", ");
        write!(f, "limited globally by MetaRouter {limit}: {cluster}")?;
        if !self.exists {
            write!(f, " (there is no such cluster)")?;
        }
        let otherwise = match self.deny_on_fail {
            true => "it is refused",
            false => "it goes on",
        };
        write!(
            f,
            " is asked about {entries} in {domain}; without a verdict in {timeout} {otherwise}"
        )
    }
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, most, .. } = self;
        write!(
            f,
            "refused where too many are under way: latencies say how many, {most} at most and {least} \
             for each worker at least"
        )
    }
}
