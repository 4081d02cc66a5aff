//! The command tips (<https://redis.io/docs/latest/develop/reference/command-tips/>).

/// Which nodes of a cluster a command is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestPolicy {
    /// The shard of its keys; any node where it has none.
    #[default]
    Default,
    /// Every node, replicas too.
    AllNodes,
    /// Every primary.
    AllShards,
    /// The shards of its keys, each with those that it owns.
    MultiShard,
    /// None of these (`SCAN`).
    Special,
}

/// How the answers of several nodes become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponsePolicy {
    /// Without keys: the elements of all arrays in any order. With keys: in the order of the keys.
    #[default]
    Default,
    /// The first that is not an error; an error where all are.
    OneSucceeded,
    /// One of them; an error where one is.
    AllSucceeded,
    /// Each number, or each element of the arrays: 1 where all are 1.
    AggLogicalAnd,
    /// Each number, or each element of the arrays: 1 where one is 1.
    AggLogicalOr,
    /// The least number.
    AggMin,
    /// The greatest number.
    AggMax,
    /// The sum of the numbers.
    AggSum,
    /// None of these: the command's own.
    Special,
}

impl RequestPolicy {
    /// Each tip with its variant's name and the name that servers give it.
    pub const ALL: &[(Self, &str, &str)] = &[
        (Self::AllNodes, "AllNodes", "all_nodes"),
        (Self::AllShards, "AllShards", "all_shards"),
        (Self::MultiShard, "MultiShard", "multi_shard"),
        (Self::Special, "Special", "special"),
    ];
}

impl ResponsePolicy {
    /// Each tip with its variant's name and the name that servers give it.
    pub const ALL: &[(Self, &str, &str)] = &[
        (Self::OneSucceeded, "OneSucceeded", "one_succeeded"),
        (Self::AllSucceeded, "AllSucceeded", "all_succeeded"),
        (Self::AggLogicalAnd, "AggLogicalAnd", "agg_logical_and"),
        (Self::AggLogicalOr, "AggLogicalOr", "agg_logical_or"),
        (Self::AggMin, "AggMin", "agg_min"),
        (Self::AggMax, "AggMax", "agg_max"),
        (Self::AggSum, "AggSum", "agg_sum"),
        (Self::Special, "Special", "special"),
    ];
}
