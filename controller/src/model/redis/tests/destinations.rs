//! How the servers of a host are used, by RedisDestination and DestinationRule.

use super::*;

#[test]
fn a_redis_destination_decides_how_its_host_is_used() {
    valid(&Fixture::redis(), |model| {
        let sessions = cluster(model, "sessions.shop");
        assert_eq!(
            told(&sessions.settings),
            ["mode=PROXY", "upstreamPassword=Tr0ub4dor (secret)"]
        );
        assert_eq!(sessions.hash, Some(ConsistentHash::MAGLEV));
        assert_eq!(sessions.connect_timeout, Duration::from_secs(10));
        assert_eq!(sessions.pool.tcp.max_connections, Some(7));
        let keepalive = sessions.pool.tcp.keepalive.unwrap();
        assert_eq!(keepalive.time, Some(Duration::from_secs(60)));
        assert_eq!((keepalive.probes, keepalive.interval), (Some(3), None));
        assert_eq!(sessions.topology, None);
        assert_eq!(
            sessions.source.to_string(),
            "RedisDestination default/sessions"
        );
        // Nobody speaks of this one.
        let cache = cluster(model, "cache.shop");
        assert_eq!(cache.hash, None);
        assert_eq!(cache.balance, Simple::LeastRequest);
        assert_eq!(cache.connect_timeout, Duration::from_secs(5));
        assert!(cache.settings.is_empty());
    });
}

const RULE: &str = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                    metadata: {name: sessions}\nspec: {host: sessions.shop, trafficPolicy: \
                    {loadBalancer: LB, outlierDetection: {}}}\n";

#[test]
fn a_balancer_that_a_destination_rule_names_stands() {
    let ring = |by_hostname| {
        Some(ConsistentHash {
            table: HashTable::Ring {
                minimum_size: Some(64),
            },
            by_hostname,
            ..ConsistentHash::MAGLEV
        })
    };
    let maglev = |table_size| {
        let table = HashTable::Maglev { table_size };
        Some(ConsistentHash {
            table,
            ..ConsistentHash::MAGLEV
        })
    };
    let rows = [
        ("{simple: RANDOM}", None, Simple::Random),
        (
            "{consistentHash: {ringHash: {minimumRingSize: 64}}}",
            ring(false),
            Simple::LeastRequest,
        ),
        (
            "{consistentHash: {ringHash: {minimumRingSize: 64}, useHostnameForHashing: true}}",
            ring(true),
            Simple::LeastRequest,
        ),
        (
            "{consistentHash: {maglev: {tableSize: 251}}}",
            maglev(Some(251)),
            Simple::LeastRequest,
        ),
        (
            "{consistentHash: {maglev: {}}}",
            maglev(None),
            Simple::LeastRequest,
        ),
        // It names none.
        (
            "{localityLbSetting: {enabled: true}}",
            maglev(None),
            Simple::LeastRequest,
        ),
    ];
    for (balancer, hash, balance) in rows {
        let fixture = Fixture::redis();
        fixture.write("rule.yaml", &RULE.replace("LB", balancer));
        valid(&fixture, |model| {
            let cluster = cluster(model, "sessions.shop");
            assert_eq!(
                (cluster.hash.clone(), cluster.balance),
                (hash, balance),
                "{balancer}"
            );
            // The rest of both is in force.
            assert!(cluster.outlier.is_some());
            assert_eq!(cluster.pool.tcp.max_connections, Some(7));
        });
    }
}

#[test]
fn a_cluster_is_asked_for_its_topology() {
    let rows = [
        ("", vec![]),
        (
            ", discoveryEndpoints: ['10.9.9.9:7000', '10.9.9.8', 'cache.shop:6379']",
            vec![
                "10.9.9.9:7000",
                "10.9.9.8:6380",
                "10.0.0.1:6379",
                "10.0.0.2:6379",
            ],
        ),
    ];
    for (endpoints, expected) in rows {
        let fixture = Fixture::redis();
        let redis = format!("      redis: {{mode: CLUSTER{endpoints}}}\n");
        let auth =
            "      redis:\n        auth:\n          secret: {name: servers, passwordField: pw}\n";
        fixture.edit("destination.yaml", auth, &redis);
        valid(&fixture, |model| {
            let cluster = cluster(model, "sessions.shop");
            let seeds = cluster.topology.as_ref().unwrap();
            let seeds: Vec<_> = seeds.iter().map(ToString::to_string).collect();
            assert_eq!(seeds, expected);
            assert_eq!(cluster.hash, None);
            assert_eq!(told(&cluster.settings), ["mode=CLUSTER"]);
        });
    }
}

#[test]
fn a_destination_in_another_namespace_or_a_second_one_is_told() {
    let edits = [
        (
            "name: sessions}",
            "name: sessions, namespace: far}",
            "to namespace default",
        ),
        (
            "host: sessions.shop",
            "host: session.shop",
            "did you mean `sessions.shop`?",
        ),
        (
            "        auth:",
            "        discoveryEndpoints: [10.0.0.1]\n        auth:",
            "`mode` is not CLUSTER",
        ),
        (
            "        auth:",
            "        mode: CLUSTER\n        discoveryEndpoints: [nobody.shop]\n        auth:",
            "no ServiceEntry defines nobody.shop",
        ),
        (
            "apiVersion",
            "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisDestination\nmetadata: {name: a}\n\
             spec: {host: sessions.shop}\n---\napiVersion",
            "RedisDestination default/a comes first",
        ),
    ];
    for (from, to, expected) in edits {
        let fixture = Fixture::redis();
        fixture.edit("destination.yaml", from, to);
        if to.contains("far") {
            fixture.edit(
                "secret.yaml",
                "name: servers}",
                "name: servers, namespace: far}",
            );
        }
        let (_, report) = loaded(&fixture);
        assert_eq!((report.errors(), report.warnings()), (0, 1), "{report}");
        assert!(report.to_string().contains(expected), "{report}");
    }
}

#[test]
fn a_key_is_with_the_same_server_wherever_a_proxy_is() {
    for (balancer, expected) in [
        ("{}", "KeysAlone"),
        ("{localityLbSetting: {enabled: true}}", "Active"),
        ("{localityLbSetting: {enabled: false}}", "Disabled"),
        ("{consistentHash: {maglev: {}}}", "Active"),
    ] {
        let fixture = Fixture::redis();
        fixture.write("rule.yaml", &RULE.replace("LB", balancer));
        valid(&fixture, |model| {
            let state = format!("{:?}", cluster(model, "sessions.shop").locality);
            assert!(state.starts_with(expected), "{balancer}: {state}");
        });
    }
}
