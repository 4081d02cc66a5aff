//! The limits of MetaRouters, as they mean on a server.

use meltemi_policy::TokenBucket;

use super::Alternative;

/// The buckets of a MetaRouter, from which all requests of its routes take: the first condition
/// that matches decides, else the default bucket; without either a request is not limited.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    /// `namespace/name` of the MetaRouter: on all servers the buckets are the same.
    pub(crate) name: String,
    pub(crate) conditions: Vec<LimitCondition>,
    pub(crate) default: Option<TokenBucket>,
}

#[derive(Clone, Debug)]
pub(crate) struct LimitCondition {
    /// One has to hold; at least one.
    pub(crate) alternatives: Vec<Alternative>,
    pub(crate) bucket: TokenBucket,
}
