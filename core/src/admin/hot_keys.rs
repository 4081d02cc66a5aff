//! The keys that are asked for most, of all workers together.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{Sources, clusters::PATIENCE};
use crate::engine::ServiceKeys;
use crate::hot_keys::{COUNTERS, HotKey, Summary};

/// The hot keys of all services whose protocol has keys.
pub(super) async fn hot_keys(sources: &Sources) -> Value {
    let workers = tokio::time::timeout(PATIENCE, sources.acceptor.workers.hot_keys()).await;
    page(workers.unwrap_or_default())
}

fn page(workers: Vec<Vec<ServiceKeys>>) -> Value {
    let mut services: BTreeMap<String, Vec<Summary>> = BTreeMap::new();
    for found in workers.into_iter().flatten() {
        let summaries = services.entry(found.service).or_default();
        summaries.push(found.summary);
    }
    let services: Map<_, _> = services
        .into_iter()
        .map(|(name, summaries)| (name, service(&Summary::merge(summaries, COUNTERS))))
        .collect();
    json!({ "services": services })
}

/// Halved counts are fractions: what is below half a request is over.
fn service(summary: &Summary) -> Value {
    let hot = summary.keys.iter().filter(|hot| hot.count >= 0.5);
    let keys: Vec<_> = hot.map(|hot| key(hot, summary.total)).collect();
    json!({ "requests": whole(summary.total), "keys": keys })
}

fn key(hot: &HotKey, total: f64) -> Value {
    let (text, encoding) = match str::from_utf8(&hot.key) {
        Ok(text) => (text.to_owned(), "utf8"),
        Err(_) => (STANDARD.encode(&hot.key), "base64"),
    };
    json!({
        "key": text,
        "encoding": encoding,
        "cut": hot.cut,
        "requests": whole(hot.count),
        "share": (hot.count / total * 10_000.0).round() / 10_000.0,
        "error": whole(hot.error),
    })
}

fn whole(requests: f64) -> u64 {
    // Never below 0, and far from what a u64 takes.
    requests.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keys: &[(&[u8], f64)]) -> ServiceKeys {
        let keys = keys.iter().map(|(key, count)| HotKey {
            key: key.to_vec(),
            cut: false,
            count: *count,
            error: 0.0,
        });
        let keys: Vec<_> = keys.collect();
        ServiceKeys {
            service: "default/cache".into(),
            summary: Summary {
                total: keys.iter().map(|key| key.count).sum(),
                absent: 0.0,
                keys,
            },
        }
    }

    #[test]
    fn keys_are_added_up_over_workers_and_lose_nothing() {
        let first = found(&[(b"user:1", 30.0), (b"\xff\x00", 5.0)]);
        let second = found(&[
            (b"user:1", 4.5),
            (b"over", 0.25),
            ("\u{fc}\n".as_bytes(), 0.5),
        ]);
        let idle = ServiceKeys {
            service: "default/idle".into(),
            summary: Summary::default(),
        };
        let expected = json!({ "services": {
            "default/cache": { "requests": 40, "keys": [
                { "key": "user:1", "encoding": "utf8", "cut": false,
                  "requests": 35, "share": 0.8571, "error": 0 },
                { "key": "/wA=", "encoding": "base64", "cut": false,
                  "requests": 5, "share": 0.1242, "error": 0 },
                { "key": "\u{fc}\n", "encoding": "utf8", "cut": false,
                  "requests": 1, "share": 0.0124, "error": 0 },
            ] },
            "default/idle": { "requests": 0, "keys": [] },
        } });
        assert_eq!(page(vec![vec![first], vec![second, idle]]), expected);
    }
}
