//! Routes: in order, the first that matches decides.

use std::sync::Arc;
use std::time::Duration;

/// The routes of a service, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    pub name: String,
    pub routes: Vec<Arc<Route>>,
}

/// Which requests, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The name that its author gave it, possibly empty.
    pub name: String,
    /// `kind/namespace/name` of the object that it came from; empty if unknown.
    pub owner: String,
    /// All of them must hold; none means every request.
    pub matches: Vec<AttributeMatch>,
    /// At least one; the weights are relative and their sum is above zero.
    pub destinations: Vec<WeightedCluster>,
    /// From the request's last byte to the answer's; `None` is no limit.
    pub timeout: Option<Duration>,
}

/// A condition on one attribute of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeMatch {
    pub name: String,
    pub condition: Condition,
}

/// What an attribute's value must be; an absent attribute satisfies none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Exact(String),
    Prefix(String),
    /// A valid regular expression, which must match the whole value.
    Regex(String),
    Present,
}

/// A share of a route's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedCluster {
    pub cluster: String,
    pub weight: u32,
}
