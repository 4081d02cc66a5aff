//! Pure functions that the data plane and the control plane share: route lookup, authorization, subsets, locality tiers, token
//! buckets, adaptive concurrency, and what both say of a request.
//!
//! Nothing here does I/O, reads a clock or draws a random number, so that a rule means the same
//! where it is checked, where it is explained and where it is applied.

pub mod authorization;
pub mod cluster_name;
pub mod explain;
pub mod foreign;
pub mod gradient;
pub mod hashing;
mod health_check;
pub mod host;
mod limits;
pub mod load;
mod locality;
pub mod place;
pub mod placement;
pub mod precedence;
pub mod retry;
pub mod route;
pub mod subset;
pub mod template;
pub mod token_bucket;
mod warmup;
pub mod weights;
pub mod words;

pub use cluster_name::ClusterName;
pub use foreign::{Foreign, Mismatches};
pub use gradient::{Gradient, GradientParams};
pub use hashing::{HashPolicy, HashTables, Hashed, Hashing, TierHost};
pub use health_check::HealthCheck;
pub use limits::{DEFAULT_CONNECT_TIMEOUT, Limits};
pub use load::{HostCounts, PriorityLoad};
pub use locality::{
    Distribution, Locality, LocalityParseError, LocalityPattern, LocalityRule, PatternError,
    PriorityLabel, RegionFailover,
};
pub use place::Place;
pub use placement::{Placed, Placement};
pub use precedence::Precedence;
pub use route::{Alternative, Attribute, AttributeMatch, Condition, RouteTable, Text};
pub use template::{Template, TemplateError};
pub use token_bucket::{BucketRefused, TokenBucket};
pub use warmup::Warmup;
pub use weights::WeightedCycle;
