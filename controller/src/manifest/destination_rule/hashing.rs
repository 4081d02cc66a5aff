//! `loadBalancer.consistentHash`: which endpoint has what, and by what of a request.

use meltemi_policy::hashing::{DEFAULT_RING_SIZE, DEFAULT_TABLE_SIZE};
use meltemi_policy::{HashPolicy, Hashed, Hashing};

use super::super::Located;
use super::super::decode::{Decoder, Field, Fields};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConsistentHash {
    pub(crate) table: HashTable,
    /// Endpoints are told apart by their host names, and not by their addresses.
    pub(crate) by_hostname: bool,
    /// What of a request is hashed; none: the key that its protocol has.
    pub(crate) key: Option<Located<HashPolicy>>,
    /// In percent of its part of the requests in flight, what an endpoint has at most.
    pub(crate) balance_factor: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashTable {
    /// Entries of the table; Envoy's where nothing is said.
    Maglev { table_size: Option<u32> },
    /// Points on the ring at the least; Envoy's where nothing is said.
    Ring { minimum_size: Option<u32> },
}

impl HashTable {
    /// With what holds where nothing is said.
    pub(crate) fn hashing(self) -> Hashing {
        match self {
            Self::Maglev { table_size } => Hashing::Maglev {
                table_size: table_size.unwrap_or(DEFAULT_TABLE_SIZE),
            },
            Self::Ring { minimum_size } => Hashing::Ring {
                minimum_size: minimum_size.unwrap_or(DEFAULT_RING_SIZE),
            },
        }
    }
}

impl ConsistentHash {
    /// As Envoy's where nothing else is said.
    pub(crate) const MAGLEV: Self = Self {
        table: HashTable::Maglev { table_size: None },
        by_hostname: false,
        key: None,
        balance_factor: None,
    };
}

const HASH: &[Field] = &[
    Field::InForce("maglev"),
    Field::InForce("ringHash"),
    // Istio's older place of `ringHash.minimumRingSize`.
    Field::InForce("minimumRingSize"),
    Field::InForce(BY_HOSTNAME),
    Field::InForce(BALANCE_FACTOR),
    Field::InForce("attribute"),
    Field::InForce("httpHeaderName"),
    Field::InForce("useSourceIp"),
    Field::InForce("connection"),
    Field::InForce("httpCookie"),
    Field::InForce("httpQueryParameterName"),
];
/// Envoy's names; Istio has no such fields.
const BY_HOSTNAME: &str = "useHostnameForHashing";
const BALANCE_FACTOR: &str = "hashBalanceFactor";
const MAGLEV: &[Field] = &[Field::InForce("tableSize")];
const RING: &[Field] = &[Field::InForce("minimumRingSize")];

/// Envoy's bounds.
const LARGEST_TABLE: i64 = 5_000_011;
const LARGEST_RING: i64 = 8 * 1024 * 1024;

/// A key that only HTTP has does not act, and then nothing of the hash does.
pub(super) fn decode(d: &mut Decoder, balancer: &Fields<'_>) -> Option<ConsistentHash> {
    let entry = balancer.entry("consistentHash")?;
    let fields = d.fields("consistentHash", &entry.value, HASH);
    if is_of_http(d, &fields) {
        return None;
    }
    if let Some(simple) = balancer.entry("simple") {
        let message = "`loadBalancer` takes one of simple and consistentHash";
        d.invalid(simple.at, message, "remove one of the two");
    }
    let by_hostname = fields.boolean(d, BY_HOSTNAME).unwrap_or(false);
    let key = key(d, &fields);
    let table = hash_table(d, &fields);
    if table.is_none() && key.is_none() && !d.has_errors() {
        let message = "`consistentHash` says neither what is hashed nor how endpoints are found";
        d.invalid(
            entry.at,
            message,
            "name one of attribute, useSourceIp, connection, maglev, ringHash",
        );
    }
    let largest = i64::from(u32::MAX);
    let balance_factor = fields.integer(d, BALANCE_FACTOR, 100..=largest);
    if let (Some(factor), None) = (&balance_factor, &key) {
        let message = "`consistentHash.hashBalanceFactor` acts only for routes with `hashPolicy`: servers \
                       that have the keys of their protocol cannot stand in for each other";
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        let remedy = "name what is hashed beside it: attribute, useSourceIp or connection";
        d.report(factor.at, diagnostic.remedy(remedy));
    }
    Some(ConsistentHash {
        // Istio's default.
        table: table.unwrap_or(HashTable::Ring { minimum_size: None }),
        by_hostname,
        key,
        balance_factor: balance_factor.and_then(|factor| u32::try_from(factor.value).ok()),
    })
}

/// Whether only requests of HTTP have what is hashed.
fn is_of_http(d: &mut Decoder, fields: &Fields<'_>) -> bool {
    let names = ["httpCookie", "httpQueryParameterName"];
    let Some(entry) = names.iter().find_map(|name| fields.entry(name)) else {
        return false;
    };
    let message = format!(
        "`consistentHash` does not act: requests of these protocols have no `{}`",
        entry.key
    );
    let remedy = "name what is hashed with attribute, useSourceIp or connection";
    let diagnostic = Diagnostic::warning(Code::NotInForce, message);
    d.report(entry.at, diagnostic.remedy(remedy));
    true
}

/// What is hashed. In Istio's `httpHeaderName` a header is what an attribute is here.
fn key(d: &mut Decoder, fields: &Fields<'_>) -> Option<Located<HashPolicy>> {
    let mut found: Option<Located<HashPolicy>> = None;
    for name in ["attribute", "httpHeaderName", "useSourceIp", "connection"] {
        let Some(entry) = fields.entry(name) else {
            continue;
        };
        let of = match name {
            "useSourceIp" => flag(d, fields, name).then_some(Hashed::SourceAddress),
            "connection" => flag(d, fields, name).then_some(Hashed::Connection),
            _ => fields
                .required(d, name)
                .map(|name| Hashed::Attribute(name.value)),
        };
        let Some(of) = of else { continue };
        if found.is_some() {
            let message =
                "`consistentHash` takes one of attribute, httpHeaderName, useSourceIp, connection";
            let remedy = "remove all but one; a route's `hashPolicy` takes several";
            d.invalid(entry.at, message, remedy);
        }
        let value = HashPolicy {
            of,
            terminal: false,
        };
        found = Some(Located {
            value,
            at: entry.value.at,
        });
    }
    found
}

fn flag(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> bool {
    fields.boolean(d, name).unwrap_or(false)
}

/// None where no kind of table is named.
fn hash_table(d: &mut Decoder, hash: &Fields<'_>) -> Option<HashTable> {
    let older = ring_size(d, hash);
    match (hash.entry("maglev"), hash.entry("ringHash")) {
        (Some(_), Some(ring)) => {
            let message = "`consistentHash` takes one of maglev and ringHash";
            d.invalid(ring.at, message, "remove one of the two");
            None
        }
        (Some(maglev), None) => maglev_table(d, &maglev.value),
        (None, Some(ring)) => {
            let fields = d.fields("consistentHash.ringHash", &ring.value, RING);
            Some(HashTable::Ring {
                minimum_size: ring_size(d, &fields).or(older),
            })
        }
        (None, None) => older.map(|size| HashTable::Ring {
            minimum_size: Some(size),
        }),
    }
}

fn ring_size(d: &mut Decoder, fields: &Fields<'_>) -> Option<u32> {
    let size = fields.integer(d, "minimumRingSize", 1..=LARGEST_RING)?;
    u32::try_from(size.value).ok()
}

fn maglev_table(d: &mut Decoder, node: &Node) -> Option<HashTable> {
    let fields = d.fields("consistentHash.maglev", node, MAGLEV);
    let Some(size) = fields.integer(d, "tableSize", 2..=LARGEST_TABLE) else {
        return Some(HashTable::Maglev { table_size: None });
    };
    let table_size = u32::try_from(size.value).ok()?;
    // A proxy refuses any other: the permutations of the endpoints would not reach all entries.
    if !is_prime(table_size) {
        let message =
            format!("`consistentHash.maglev.tableSize` must be a prime, not {table_size}");
        d.invalid(size.at, message, "write a prime number, as in 65537");
    }
    let table_size = Some(table_size);
    Some(HashTable::Maglev { table_size })
}

/// By trial: the square root of the largest table is 2,236.
fn is_prime(number: u32) -> bool {
    let mut divisors = (2..).take_while(|d| d * d <= number);
    number > 1 && divisors.all(|d| !number.is_multiple_of(d))
}
