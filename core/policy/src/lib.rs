//! Pure functions that the data plane and the control plane share: route lookup, subsets, locality tiers.

/// Where a proxy or an endpoint runs; an empty part is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    pub region: String,
    pub zone: String,
    pub subzone: String,
}

/// How a cluster's endpoints are ranked by where they run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LocalityRule {
    /// Locality does not matter.
    #[default]
    Inactive,
    /// Region, zone and subzone equal; region and zone; region; the rest.
    Default,
}
