use super::super::*;
use crate::fixture::{Fixture, REDIS_SERVICE, SECRETS, redis_settings};

fn explained(fixture: &Fixture, attributes: &[(&str, &str)]) -> Explanation {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    let query = Query {
        service: "cache.shop".to_owned(),
        attributes: attributes.iter().map(owned).collect(),
        ..Query::default()
    };
    run(&fixture.paths(), redis_settings(), &query).unwrap()
}

#[test]
fn a_key_is_explained() {
    let fixture = Fixture::redis();
    let explanation = explained(&fixture, &[("command", "GET"), ("key", "a:session:7")]);
    insta::assert_snapshot!("redis", fixture.anonymous(&explanation.to_string()));
    let json = serde_json::to_string_pretty(&explanation).unwrap();
    insta::assert_snapshot!("redis_json", fixture.anonymous(&json));
    let shown = explanation.to_string() + &json;
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{shown}");
    }

    let rest = explained(&fixture, &[("command", "PING")]);
    let route = rest.route.unwrap();
    assert_eq!((route.number, route.name.as_str()), (Some(3), ""));
    assert_eq!(rest.passed_over.len(), 2);
    assert!(rest.treatment.faults.is_empty() && rest.treatment.mirrors.is_empty());
}

#[test]
fn prefixes_in_whatever_case_are_explained() {
    let fixture = Fixture::redis();
    fixture.write(
        "redis.yaml",
        &REDIS_SERVICE.replace("  settings:\n", "  settings:\n    caseInsensitive: true\n"),
    );
    let explanation = explained(&fixture, &[("key", "A:Session:7")]);
    let removed = explanation.treatment.remove_prefix.unwrap();
    assert_eq!(removed.sent.as_deref(), Some("7"));
    let other = explained(&fixture, &[("key", "b")]);
    let because = &other.passed_over[0].because[0];
    assert_eq!(
        because,
        "key is `b`, not a value that begins with `a:session:`, in whatever case"
    );
}

#[test]
fn the_policy_of_a_metarouter_is_explained_where_a_redisservice_routes() {
    let fixture = Fixture::redis();
    fixture.write(
        "policy.yaml",
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {name: policy}\n\
         spec:\n  hosts: [cache.shop]\n  gateways: [edge]\n  routes:\n  \
         - match: {attributes: {command: {exact: get}}}\n    timeout: 300ms\n  \
         - match: {attributes: {key: {prefix: 'a:session:'}}}\n    retries: {attempts: 1}\n",
    );
    let told = |attributes| explained(&fixture, attributes).to_string();
    let get = told(&[("command", "get"), ("key", "a:session:7")]);
    assert!(
        get.contains("RedisService shop/cache, route 2") || get.contains("route 2"),
        "{get}"
    );
    assert!(
        get.contains("as MetaRouter default/policy, route 1 says:"),
        "{get}"
    );
    assert!(get.contains("waits 0.3s for the answer"), "{get}");
    // The RedisService's own time holds where the MetaRouter gives none.
    let set = told(&[("command", "SET"), ("key", "a:session:7")]);
    assert!(
        set.contains("as MetaRouter default/policy, route 2 says:"),
        "{set}"
    );
    assert!(set.contains("waits 1.5s for the answer"), "{set}");
    let other = told(&[("command", "SET"), ("key", "b")]);
    assert!(!other.contains("says:"), "{other}");

    // Nothing is left for the second: no rule of the RedisService is taken for a dead one.
    fixture.edit(
        "policy.yaml",
        "- match: {attributes: {command: {exact: get}}}\n    timeout",
        "- timeout",
    );
    let all = told(&[("command", "SET"), ("key", "a:session:7")]);
    assert!(all.contains("route 1 says:"), "{all}");
}

/// A request has one fault: the first of the RedisService's that it draws, else its route's.
#[test]
fn of_several_delays_the_longest_is_the_worst() {
    let fixture = Fixture::redis();
    let faults = "  faults:\n  - {type: DELAY, percentage: {value: 50}, delay: 300ms}\n";
    fixture.edit("redis.yaml", "  faults:\n", faults);
    fixture.write(
        "policy.yaml",
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {name: policy}\n\
         spec:\n  hosts: [cache.shop]\n  gateways: [edge]\n  routes:\n  \
         - retries: {attempts: 1, perTryTimeout: 1s}\n    \
         fault: {delay: {percentage: {value: 50}, fixedDelay: 100ms}}\n",
    );
    let explanation = explained(&fixture, &[("command", "GET"), ("key", "b")]);
    assert_eq!(explanation.treatment.faults.len(), 3);
    let worst = explanation.treatment.worst_case.unwrap().because;
    assert!(worst.contains("+ 0.3s before it is sent"), "{worst}");
}

/// The hash of a key is the number that it is.
fn owned(key: &str, failed: &[&str]) -> DestinationShare {
    owned_of(&Fixture::redis(), "{maglev: {tableSize: 11}}", key, failed)
}

fn owned_of(fixture: &Fixture, hash: &str, key: &str, failed: &[&str]) -> DestinationShare {
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: cache}\n\
                spec: {host: cache.shop, trafficPolicy: {outlierDetection: {}, loadBalancer: \
                {consistentHash: HASH}}}\n";
    fixture.write("rule.yaml", &rule.replace("HASH", hash));
    let mut settings = redis_settings();
    settings.key_hash = Some(crate::KeyHash::new(|plugin, _, attributes| {
        assert_eq!(plugin, "redis");
        let (_, key) = attributes.iter().find(|(name, _)| *name == "key")?;
        key.parse().ok()
    }));
    let query = Query {
        service: "cache.shop".to_owned(),
        attributes: vec![("key".to_owned(), key.to_owned())],
        failed: failed.iter().map(|it| (*it).to_owned()).collect(),
        ..Query::default()
    };
    let explanation = run(&fixture.paths(), settings, &query).unwrap();
    explanation.destinations[0].clone()
}

#[test]
fn the_endpoint_of_a_key_is_explained() {
    let endpoint = |key: &str, failed: &[&str]| owned(key, failed).key.unwrap().endpoint;
    let owners: Vec<_> = (0..11)
        .map(|key| endpoint(&format!("{key}"), &[]).unwrap())
        .collect();
    for address in ["10.0.0.1:6379", "10.0.0.2:6379"] {
        assert!(owners.iter().any(|owner| owner == address), "{owners:?}");
        let others = endpoint("3", &[address]).unwrap();
        assert_ne!(others, address);
        let shown = owned("3", &[address]).to_string();
        let line = format!("the key is at {others} (hash 0x0000000000000003)");
        assert!(shown.contains(&line), "{shown}");
    }
    let all = ["10.0.0.1:6379", "10.0.0.2:6379"];
    assert_eq!(endpoint("3", &all), None);
    assert_eq!(owned("none", &[]).key, None);
}

/// A ring hangs on the order of its endpoints, and a proxy is sent them locality by locality.
#[test]
fn the_endpoint_of_a_key_is_that_of_a_proxy_in_whatever_order_endpoints_are_written() {
    let owners = |order: [usize; 4]| {
        let fixture = Fixture::redis();
        let endpoints = order.map(|n| {
            let (zone, weight) = (n % 2, [2, 3, 5, 7][n - 1]);
            format!("{{address: 10.0.0.{n}, locality: r/z{zone}, weight: {weight}}}")
        });
        let written = "{address: 10.0.0.1}, {address: 10.0.0.2}";
        fixture.edit("service.yaml", written, &endpoints.join(", "));
        let keys = (0..64).map(|n| (n * (u64::MAX / 64)).to_string());
        let ring = "{ringHash: {minimumRingSize: 7}}";
        let owner = |key: String| owned_of(&fixture, ring, &key, &[]).key.unwrap().endpoint;
        keys.map(owner).collect::<Vec<_>>()
    };
    assert_eq!(owners([1, 2, 3, 4]), owners([2, 4, 1, 3]));
}

#[test]
fn how_new_endpoints_warm_up_is_explained() {
    let rows = [
        (
            "{warmup: {duration: 60s, minimumPercent: 2.5, aggression: 2}}",
            Some("from 2.5% of its weight to all of it in 60s, aggression 2"),
        ),
        (
            "{simple: ROUND_ROBIN, warmupDurationSecs: 90s}",
            Some("from 10% of its weight to all of it in 90s, aggression 1"),
        ),
        ("{simple: RANDOM, warmupDurationSecs: 90s}", None),
        (
            "{consistentHash: {maglev: {}}, warmup: {duration: 1s}}",
            None,
        ),
        ("{simple: ROUND_ROBIN}", None),
    ];
    for (balancer, expected) in rows {
        let fixture = Fixture::redis();
        let rule = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: cache}}\n\
             spec: {{host: cache.shop, trafficPolicy: {{loadBalancer: {balancer}}}}}\n"
        );
        fixture.write("rule.yaml", &rule);
        let explanation = explained(&fixture, &[("key", "b")]);
        let warmup = explanation.destinations[0].warmup.as_deref();
        assert_eq!(warmup, expected, "{balancer}");
        let line = expected.unwrap_or("a new endpoint warms up");
        assert_eq!(explanation.to_string().contains(line), expected.is_some());
    }
}
