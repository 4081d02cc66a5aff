//! What `COMMAND` of redis-server 7.0.15 does not say, or says of something else than a proxy does.

/// One entry of the table that is not as the server says.
pub(crate) struct Override {
    pub(crate) name: &'static str,
    /// Its key specifications, as source.
    pub(crate) keys: Option<&'static str>,
    /// Variants of `RequestPolicy` and `ResponsePolicy`.
    pub(crate) policies: Option<(&'static str, &'static str)>,
    /// Why, for the table.
    pub(crate) why: &'static str,
}

const fn keys(name: &'static str, keys: &'static str, why: &'static str) -> Override {
    Override {
        name,
        keys: Some(keys),
        policies: None,
        why,
    }
}

const fn policies(
    name: &'static str,
    request: &'static str,
    response: &'static str,
    why: &'static str,
) -> Override {
    Override {
        name,
        keys: None,
        policies: Some((request, response)),
        why,
    }
}

const PUBSUB: &str = "7.0 gives no tip, and each node knows only its own clients' channels";
const EVERY_NODE: &str = "7.0 gives no tip, and one node of a cluster is of no use";
const ATOMIC: &str = "all or nothing: it is not split, so its keys must have one slot";

pub(crate) const OVERRIDES: &[Override] = &[
    keys(
        "sort",
        r#"key(at(1), range(0, 1, 0), ReadOnly), key(Begin::Option { word: "STORE", from: 2, skip: &[("LIMIT", 2), ("GET", 1), ("BY", 1)], last: true }, range(0, 1, 0), Overwrite)"#,
        "servers say `unknown`; this is Redis' sortGetKeys. Keys that BY and GET form are not known before the command runs",
    ),
    keys(
        "sort_ro",
        "key(at(1), range(0, 1, 0), ReadOnly)",
        "servers add `unknown` for keys that BY and GET form, which are not known before the command runs",
    ),
    keys(
        "migrate",
        r#"key(Begin::NonEmpty(3), range(0, 1, 0), ReadWrite), key(Begin::Option { word: "KEYS", from: 6, skip: &[("AUTH", 1), ("AUTH2", 2)], last: false }, range(-1, 1, 0), ReadWrite)"#,
        "servers say `incomplete`, since a password may look like KEYS; this is Redis' migrateGetKeys",
    ),
    policies("msetnx", "Default", "Default", ATOMIC),
    policies(
        "ping",
        "Default",
        "Default",
        "it asks for a sign of life of the connection, not of each shard",
    ),
    policies("pubsub|channels", "AllNodes", "Special", PUBSUB),
    policies("pubsub|numpat", "AllNodes", "AggSum", PUBSUB),
    policies("pubsub|numsub", "AllNodes", "Special", PUBSUB),
    policies("pubsub|shardchannels", "AllNodes", "Special", PUBSUB),
    policies("pubsub|shardnumsub", "AllNodes", "Special", PUBSUB),
    policies("config|resetstat", "AllNodes", "AllSucceeded", EVERY_NODE),
    policies("config|rewrite", "AllNodes", "AllSucceeded", EVERY_NODE),
    policies("acl|setuser", "AllNodes", "AllSucceeded", EVERY_NODE),
    policies("acl|deluser", "AllNodes", "AllSucceeded", EVERY_NODE),
    policies("acl|load", "AllNodes", "AllSucceeded", EVERY_NODE),
    policies("acl|save", "AllNodes", "AllSucceeded", EVERY_NODE),
];
