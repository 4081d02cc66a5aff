//! `loadBalancer.consistentHash`, as far as it acts: by the key that the protocol itself has.

use super::super::decode::{Decoder, Field, Fields};
use crate::yaml::{Node, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConsistentHash {
    pub(crate) table: HashTable,
    /// Endpoints are told apart by their host names, and not by their addresses.
    pub(crate) by_hostname: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashTable {
    /// Entries of the table; Envoy's where nothing is said.
    Maglev { table_size: Option<u32> },
    /// Points on the ring at the least; Envoy's where nothing is said.
    Ring { minimum_size: Option<u32> },
}

impl ConsistentHash {
    /// As Envoy's where nothing else is said.
    pub(crate) const MAGLEV: Self = Self {
        table: HashTable::Maglev { table_size: None },
        by_hostname: false,
    };
}

const HASH: &[Field] = &[
    Field::InForce("maglev"),
    Field::InForce("ringHash"),
    Field::InForce(BY_HOSTNAME),
];
/// Envoy's name; Istio has no such field.
const BY_HOSTNAME: &str = "useHostnameForHashing";
const MAGLEV: &[Field] = &[Field::InForce("tableSize")];
const RING: &[Field] = &[Field::InForce("minimumRingSize")];

/// Envoy's bounds.
const LARGEST_TABLE: i64 = 5_000_011;
const LARGEST_RING: i64 = 8 * 1024 * 1024;

/// A key that only HTTP has does not act, and then nothing of the hash does.
pub(super) fn decode(d: &mut Decoder, balancer: &Fields<'_>) -> Option<ConsistentHash> {
    let entry = balancer.entry("consistentHash")?;
    let Some((algorithm, table)) = only_algorithm(&entry.value) else {
        d.not_yet(entry.at, "loadBalancer.consistentHash");
        return None;
    };
    if let Some(simple) = balancer.entry("simple") {
        let message = "`loadBalancer` takes one of simple and consistentHash";
        d.invalid(simple.at, message, "remove one of the two");
    }
    let fields = d.fields("consistentHash", &entry.value, HASH);
    let by_hostname = fields.boolean(d, BY_HOSTNAME).unwrap_or(false);
    let table = hash_table(d, algorithm, table)?;
    Some(ConsistentHash { table, by_hostname })
}

fn hash_table(d: &mut Decoder, algorithm: &str, node: &Node) -> Option<HashTable> {
    if algorithm == "ringHash" {
        let fields = d.fields("consistentHash.ringHash", node, RING);
        let size = fields.integer(d, "minimumRingSize", 1..=LARGEST_RING);
        let minimum_size = size.and_then(|size| u32::try_from(size.value).ok());
        return Some(HashTable::Ring { minimum_size });
    }
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

/// `maglev` or `ringHash`, if no key is given.
fn only_algorithm(node: &Node) -> Option<(&str, &Node)> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    let mut given = entries
        .iter()
        .filter(|e| e.value.value != Value::Null && e.key != BY_HOSTNAME);
    let (only, None) = (given.next()?, given.next()) else {
        return None;
    };
    let is_algorithm = ["maglev", "ringHash"].contains(&only.key.as_str());
    is_algorithm.then_some((&only.key, &only.value))
}

/// By trial: the square root of the largest table is 2,236.
fn is_prime(number: u32) -> bool {
    let mut divisors = (2..).take_while(|d| d * d <= number);
    number > 1 && divisors.all(|d| !number.is_multiple_of(d))
}
