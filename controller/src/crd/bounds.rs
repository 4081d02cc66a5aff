//! How much of everything there may be.
//!
//! The API server estimates what a rule costs by the largest object that its schema allows, and refuses a CRD whose rules
//! may cost too much: what has no bound is counted as if it were as large as a request.

/// Of characters, where nothing else is said.
const LENGTH: u64 = 1024;
/// Go's notation of a duration.
pub(super) const DURATION: u64 = 32;
/// Of items, where nothing else is said.
const ITEMS: u64 = 32;

/// By shape and field: the most characters of a text, or of each text of a list.
const LENGTHS: &[(&str, &str, u64)] = &[
    ("spec", "hosts", 253),
    ("spec", "gateways", 320),
    ("Destination", "host", 253),
    ("Destination", "subset", 253),
    ("Route", "name", 253),
    ("Mutation", "value", 4096),
    ("RedisService", "host", 253),
    ("RedisService", "gateways", 320),
    ("RedisHost", "host", 253),
    ("RedisDestination", "host", 253),
    ("ApplicationProtocol", "protocol", 253),
    ("ApplicationProtocol", "codec", 253),
];

/// By shape and field: the most items of a list, or entries of a map.
const COUNTS: &[(&str, &str, u64)] = &[
    ("spec", "hosts", 1),
    ("spec", "routes", 10_000),
    ("Route", "route", 32),
    ("Route", "matches", 8),
    ("LimitCondition", "matches", 8),
    ("GlobalRateLimit", "matches", 8),
    ("Match", "attributes", 16),
    ("Alternative", "attributes", 16),
    ("Source", "labels", 16),
    ("Route", "mirrors", 8),
    ("Weighted destination", "fallback", 8),
    ("LocalRateLimit", "conditions", 256),
    ("RedisService", "redis", 10_000),
    ("RedisRoute", "mirror", 8),
    ("RedisFault", "commands", 256),
    ("RedisSettings", "discoveryEndpoints", 64),
    ("ApplicationProtocol", "settings", 64),
];

/// By shape and field: lists of which there has to be something.
const NOT_EMPTY: &[(&str, &str)] = &[
    ("spec", "hosts"),
    ("Route", "matches"),
    ("LimitCondition", "matches"),
    ("GlobalRateLimit", "matches"),
    ("GlobalRateLimit", "descriptors"),
    ("Source", "labels"),
    ("RedisService", "host"),
];

pub(super) fn length(shape: &str, field: &str) -> u64 {
    find(LENGTHS, shape, field).unwrap_or(LENGTH)
}

pub(super) fn count(shape: &str, field: &str) -> u64 {
    find(COUNTS, shape, field).unwrap_or(ITEMS)
}

pub(super) fn is_not_empty(shape: &str, field: &str) -> bool {
    NOT_EMPTY.contains(&(shape, field))
}

fn find(table: &[(&str, &str, u64)], shape: &str, field: &str) -> Option<u64> {
    let mut rows = table.iter();
    let row = rows.find(|(of, name, _)| (*of, *name) == (shape, field))?;
    Some(row.2)
}

/// What the tables name, for a test that it is there.
#[cfg(test)]
pub(super) fn named() -> impl Iterator<Item = (&'static str, &'static str)> {
    let sized = LENGTHS.iter().chain(COUNTS);
    let sized = sized.map(|(shape, field, _)| (*shape, *field));
    sized.chain(NOT_EMPTY.iter().copied())
}
