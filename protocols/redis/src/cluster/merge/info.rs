//! Texts: `INFO`, and reports for people.

use std::collections::HashMap;

use crate::resp::{Reply, write};

/// Fields of `INFO` that are sums over the shards; all others are the first shard's. What is a
/// peak, a ratio or a time of a process cannot be added up.
const SUMS: &[&str] = &[
    "connected_clients",
    "blocked_clients",
    "tracking_clients",
    "pubsub_clients",
    "used_memory",
    "used_memory_rss",
    "used_memory_dataset",
    "maxmemory",
    "total_connections_received",
    "total_commands_processed",
    "instantaneous_ops_per_sec",
    "total_net_input_bytes",
    "total_net_output_bytes",
    "rejected_connections",
    "expired_keys",
    "evicted_keys",
    "keyspace_hits",
    "keyspace_misses",
    "total_error_replies",
    "unexpected_error_replies",
    "total_reads_processed",
    "total_writes_processed",
];

/// The first shard's text with sums in it. False where one is no text.
pub(super) fn merge(replies: &[Reply<'_>], out: &mut Vec<u8>) -> bool {
    let texts: Option<Vec<&str>> = replies
        .iter()
        .map(|reply| str::from_utf8(body(reply)?).ok())
        .collect();
    let Some(texts) = texts else {
        return false;
    };
    let shards: Vec<HashMap<&str, &str>> = texts.iter().map(|text| fields(text)).collect();
    let mut merged = String::new();
    let lines = texts
        .first()
        .copied()
        .unwrap_or_default()
        .split_inclusive('\n');
    let mut keyspace = false;
    for line in lines {
        // The keyspace is where the other shards may have lines that the first has not.
        if keyspace && !is_database(line) {
            missing(&shards, &mut merged);
        }
        keyspace = line.starts_with("# Keyspace") || (keyspace && is_database(line));
        let (field, end) = line.split_at(line.trim_end().len());
        let summed = field
            .split_once(':')
            .and_then(|(name, _)| sum(&shards, name));
        merged.push_str(summed.as_deref().unwrap_or(field));
        merged.push_str(end);
    }
    if keyspace {
        missing(&shards, &mut merged);
    }
    write_like(replies.first(), merged.as_bytes(), out);
    true
}

/// A field's line over all shards; `None` where it is the first shard's alone.
fn sum(shards: &[HashMap<&str, &str>], name: &str) -> Option<String> {
    let of = |name: &str| -> Vec<&str> {
        let values = shards.iter().filter_map(|shard| shard.get(name));
        values.copied().collect()
    };
    if is_database(name) {
        return Some(format!("{name}:{}", database(&of(name))));
    }
    let number = name.strip_suffix("_human").unwrap_or(name);
    if !SUMS.contains(&number) {
        return None;
    }
    let numbers: Option<Vec<u64>> = of(number).iter().map(|value| value.parse().ok()).collect();
    let sum = numbers?.into_iter().fold(0, u64::saturating_add);
    Some(match number == name {
        true => format!("{name}:{sum}"),
        false => format!("{name}:{}", human(sum)),
    })
}

/// Bytes as Redis writes them for people (`bytesToHuman`).
fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "K", "M", "G", "T", "P"].iter().peekable();
    while value >= 1024.0 && units.len() > 1 {
        value /= 1024.0;
        units.next();
    }
    match units.next() {
        Some(&"B") | None => format!("{bytes}B"),
        Some(unit) => format!("{value:.2}{unit}"),
    }
}

/// Lines of databases that the first shard has nothing in.
fn missing(shards: &[HashMap<&str, &str>], merged: &mut String) {
    let there = shards.first();
    let mut names: Vec<&str> = shards
        .iter()
        .flat_map(HashMap::keys)
        .copied()
        .filter(|name| is_database(name) && there.is_some_and(|it| !it.contains_key(name)))
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        if let Some(line) = sum(shards, name) {
            merged.push_str(&line);
            merged.push_str("\r\n");
        }
    }
}

/// `keys=1,expires=0,avg_ttl=0`: sums, and the mean of `avg_ttl` over the keys that expire.
fn database(values: &[&str]) -> String {
    let (mut keys, mut expires, mut ttl) = (0_u64, 0_u64, 0_u64);
    for value in values {
        let field = |name: &str| {
            let mut fields = value.split(',').filter_map(|field| field.split_once('='));
            let found = fields.find(|(field, _)| *field == name);
            found.map_or(0, |(_, value)| value.parse::<u64>().unwrap_or(0))
        };
        keys = keys.saturating_add(field("keys"));
        expires = expires.saturating_add(field("expires"));
        ttl = ttl.saturating_add(field("avg_ttl").saturating_mul(field("expires")));
    }
    let ttl = ttl.checked_div(expires).unwrap_or(0);
    format!("keys={keys},expires={expires},avg_ttl={ttl}")
}

fn is_database(line: &str) -> bool {
    let number = line
        .strip_prefix("db")
        .map(|rest| rest.split_once(':').map_or(rest, |(it, _)| it));
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

fn fields(text: &str) -> HashMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .collect()
}

/// The texts under the names of their nodes.
pub(super) fn texts(replies: &[Reply<'_>], names: &str, out: &mut Vec<u8>) -> bool {
    let mut merged = Vec::new();
    for (reply, name) in replies.iter().zip(names.lines()) {
        let Some(text) = body(reply) else {
            return false;
        };
        merged.extend_from_slice(format!("# {name}\n").as_bytes());
        merged.extend_from_slice(text);
        if !text.ends_with(b"\n") {
            merged.push(b'\n');
        }
    }
    write_like(replies.first(), &merged, out);
    true
}

/// A text without the format that RESP3 puts before it (`txt:`).
fn body<'r>(reply: &'r Reply<'_>) -> Option<&'r [u8]> {
    match reply {
        Reply::Verbatim(text) => text.get(FORMAT.len()..),
        reply => reply.text(),
    }
}

/// Writes a text as the kind of reply that the first shard's is.
fn write_like(first: Option<&Reply<'_>>, text: &[u8], out: &mut Vec<u8>) {
    match first {
        Some(Reply::Verbatim(_)) => {
            write::head(b'=', FORMAT.len() + text.len(), out);
            out.extend_from_slice(FORMAT);
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        }
        _ => write::bulk(text, out),
    }
}

const FORMAT: &[u8] = b"txt:";
