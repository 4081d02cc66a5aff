//! What a rate limit service is asked about a request.

use meltemi_policy::RouteTable;
use serde::Serialize;

use super::Attribute;
use super::limit::met;
use super::source::Source;
use super::treatment::seconds;
use crate::model::{Alternative, GlobalRateLimit, Model};

/// A global rate limit that covers a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GloballyLimited {
    /// `namespace/name` of the MetaRouter.
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

impl GloballyLimited {
    /// None: the request is not covered.
    pub(super) fn of(
        limit: &GlobalRateLimit,
        model: &Model,
        (attributes, source): (&[Attribute], Source<'_>),
    ) -> Option<Self> {
        let table = RouteTable::new([(Alternative::possible(&limit.alternatives), ())]).ok()?;
        met(&table, attributes, source)?;
        let (mut descriptor, mut missing) = (vec![], vec![]);
        for (property, key) in &limit.entries {
            let found = attributes.iter().find(|it| it.name == *property);
            match found.filter(|found| !found.value.is_empty()) {
                Some(found) => descriptor.push(Entry {
                    key: key.clone(),
                    value: found.value.clone(),
                }),
                None => missing.push(property.clone()),
            }
        }
        Some(Self {
            limit: limit.name.clone(),
            cluster: limit.cluster.to_string(),
            exists: model.clusters.contains_key(&limit.cluster),
            domain: limit.domain.clone(),
            descriptor,
            missing,
            timeout: seconds(limit.timeout),
            deny_on_fail: limit.deny_on_fail,
        })
    }
}
