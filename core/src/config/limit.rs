//! Local rate limits: how many requests this proxy lets through.

use std::time::Duration;

use meltemi_policy::{Alternative, TokenBucket, route::Conditions};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as proto;
use meltemi_proto::envoy::r#type::v3 as envoy;

use super::duration::duration;
use super::invalid::{Invalid, required};
use super::matching::alternatives;
use super::named::Named;

/// The buckets that requests of some routes take a token from: the first condition that matches
/// decides, else the default bucket; without either a request is not limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Whose it is: buckets of one name are the same, whatever routes refer to them.
    pub name: String,
    pub conditions: Vec<LimitCondition>,
    /// `None` only where there are conditions.
    pub default: Option<TokenBucket>,
    /// The conditions, so that no worker has to compile them.
    pub compiled: Option<Conditions>,
}

/// Requests that have a bucket of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitCondition {
    /// One of them must hold; at least one.
    pub matches: Vec<Alternative>,
    pub bucket: TokenBucket,
}

impl Named for RateLimit {
    const LIST: &'static str = "local_rate_limits";
    const REFERENCE: &'static str = "local_rate_limit";
    const NAME: &'static str = "stat_prefix";

    fn name(&self) -> &str {
        &self.name
    }
}

impl RateLimit {
    pub(super) fn parse(limit: proto::LocalRateLimit) -> Result<Self, Invalid> {
        let default = limit.token_bucket.map(bucket).transpose();
        let default = default.map_err(|e| e.within("token_bucket"))?;
        let conditions = limit.conditions.into_iter().enumerate();
        let conditions: Vec<_> = conditions
            .map(|(i, condition)| {
                LimitCondition::parse(condition).map_err(|e| e.within(&format!("conditions[{i}]")))
            })
            .collect::<Result<_, _>>()?;
        if default.is_none() && conditions.is_empty() {
            return Err(Invalid::new(
                "token_bucket",
                "is missing, and no condition has one",
            ));
        }
        let asked = conditions.iter().map(|it| it.matches.clone());
        Ok(Self {
            name: required("stat_prefix", limit.stat_prefix)?,
            compiled: Conditions::new(asked.collect()).ok(),
            conditions,
            default,
        })
    }
}

impl LimitCondition {
    fn parse(condition: proto::LocalRateLimitCondition) -> Result<Self, Invalid> {
        let missing = |field| move || Invalid::new(field, "is missing");
        let matches = condition.r#match.ok_or_else(missing("match"))?;
        let tokens = condition.token_bucket.ok_or_else(missing("token_bucket"))?;
        Ok(Self {
            matches: alternatives(matches).map_err(|e| e.within("match"))?,
            bucket: bucket(tokens).map_err(|e| e.within("token_bucket"))?,
        })
    }
}

fn bucket(bucket: envoy::TokenBucket) -> Result<TokenBucket, Invalid> {
    let interval = bucket
        .fill_interval
        .ok_or_else(|| Invalid::new("fill_interval", "is missing"))?;
    let interval: Duration = duration("fill_interval", interval)?;
    let tokens = bucket.tokens_per_fill.unwrap_or(1);
    TokenBucket::new(bucket.max_tokens, tokens, interval)
        .map_err(|refused| Invalid::new("", refused.to_string()))
}
