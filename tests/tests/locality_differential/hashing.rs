//! Keys by their hash: Envoy's redis_proxy and Meltemi ask the same endpoint for the same key, by
//! Maglev and on a ring, of whatever size, by address and by host name, over all tiers, and after
//! the health of endpoints has changed. And Envoy's tcp_proxy and Meltemi ask the same endpoint for
//! clients of the same address.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use meltemi_controller::ads::Resources;
use meltemi_tests::{Envoy, Meltemi, until};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::case::{self, Case, Health};
use super::istio::{self, Sent};
use super::{SEED, peers, proxies};

/// Cases that nobody thought of.
const RANDOM_CASES: usize = 48;
const KEYS: usize = 400;
/// Addresses of clients.
const SOURCES: u8 = 60;

#[test]
fn meltemi_asks_for_a_key_whom_envoy_asks() {
    let Some(binary) = Envoy::binary() else {
        return;
    };
    let mut cases = cases(false);
    let runtime = Runtime::new().unwrap();
    let most = cases.iter().map(|case| case.endpoints.len()).max().unwrap();
    let addresses = runtime.block_on(peers::endpoints(most));
    let of_envoy = watch::Sender::new(proxies::published(assignments(&cases, &addresses)));
    let of_meltemi = watch::Sender::new(proxies::published(proxies::resources(&cases, &addresses)));
    let envoy = envoy(
        &binary,
        &cases,
        proxies::serve(&runtime, of_envoy.subscribe()),
    );
    let meltemi = proxies::run(proxies::serve(&runtime, of_meltemi.subscribe()));
    let both = Both {
        envoy: &envoy,
        meltemi: &meltemi,
        runtime: &runtime,
    };
    both.compare(&cases);
    for case in &mut cases {
        turn_health(case);
    }
    of_envoy.send_replace(proxies::published(assignments(&cases, &addresses)));
    of_meltemi.send_replace(proxies::published(proxies::resources(&cases, &addresses)));
    both.wait_for_health(&cases);
    both.compare(&cases);
}

#[test]
fn meltemi_asks_for_a_source_whom_envoy_asks() {
    let Some(binary) = Envoy::binary() else {
        return;
    };
    let cases = cases(true);
    let runtime = Runtime::new().unwrap();
    let most = cases.iter().map(|case| case.endpoints.len()).max().unwrap();
    let addresses = runtime.block_on(peers::endpoints(most));
    let of_envoy = watch::Sender::new(proxies::published(assignments(&cases, &addresses)));
    let of_meltemi = watch::Sender::new(proxies::published(proxies::resources(&cases, &addresses)));
    let envoy = envoy(
        &binary,
        &cases,
        proxies::serve(&runtime, of_envoy.subscribe()),
    );
    let meltemi = proxies::run(proxies::serve(&runtime, of_meltemi.subscribe()));
    let mut answered = 0;
    for (number, case) in cases.iter().enumerate() {
        let theirs = envoy.listener(&format!("key-{number}"));
        let ours = meltemi.address(&format!("default/c{number}/it"));
        for last in 1..=SOURCES {
            let source = Ipv4Addr::new(127, 0, 7, last);
            let answer = |proxy| {
                runtime.block_on(async {
                    let mut client = peers::connect(proxy, Some(source)).await;
                    peers::ask(&mut client).await
                })
            };
            let (theirs, ours) = (answer(theirs), answer(ours));
            // Where Envoy has nobody, degraded endpoints and other tiers stand in here.
            if theirs.is_some() {
                assert_eq!(theirs, ours, "{source} of c{number}: {case:#?}");
                answered += 1;
            }
        }
    }
    assert!(
        answered > cases.len() * usize::from(SOURCES) / 2,
        "{answered}"
    );
}

/// All cases of localities, each with one of the balancers in turn.
fn cases(by_source: bool) -> Vec<Case> {
    let balancers = [
        json!({"maglev": {}}),
        json!({"ringHash": {}}),
        json!({"maglev": {"tableSize": 251}, "useHostnameForHashing": true}),
        json!({"ringHash": {"minimumRingSize": 77}}),
        json!({"maglev": {"tableSize": 5003}}),
        json!({"ringHash": {"minimumRingSize": 3000}, "useHostnameForHashing": true}),
        json!({"maglev": {"tableSize": 11}}),
    ];
    let mut random = case::Random(SEED + 1);
    let mut cases = case::rows();
    cases.extend(case::weighted());
    cases.extend((0..RANDOM_CASES).map(|number| case::any(&mut random, number)));
    for (number, case) in cases.iter_mut().enumerate() {
        let mut hash = balancers[number % balancers.len()].clone();
        if by_source {
            hash["useSourceIp"] = json!(true);
        }
        case.balancer = json!({"consistentHash": hash});
        if by_hostname(case) {
            for (index, endpoint) in case.endpoints.iter_mut().enumerate() {
                let pod = (case::POD.to_owned(), format!("cache-{}", index * 7 % 101));
                endpoint.labels.push(pod);
            }
        }
    }
    cases
}

fn by_hostname(case: &Case) -> bool {
    case.balancer["consistentHash"]["useHostnameForHashing"] == true
}

/// Each endpoint takes the health of the next.
fn turn_health(case: &mut Case) {
    let mut health: Vec<Health> = case.endpoints.iter().map(|it| it.health).collect();
    health.rotate_left(1);
    for (endpoint, health) in case.endpoints.iter_mut().zip(health) {
        endpoint.health = health;
    }
}

/// As Istio sends them: the localities in the order of their names.
fn assignments(cases: &[Case], addresses: &[SocketAddr]) -> Resources {
    let mut assignments = Resources::new();
    for (number, case) in cases.iter().enumerate() {
        let mut groups = istio::send(case).groups;
        groups.sort_by_key(|group| group.locality.clone());
        let assignment = proxies::assignment(number, case, &groups, addresses);
        assignments.insert(format!("c{number}"), &assignment);
    }
    assignments
}

fn envoy(binary: &Path, cases: &[Case], control: SocketAddr) -> Envoy {
    let numbered = || cases.iter().enumerate();
    let clusters = numbered().map(|(number, case)| cluster(number, case, &istio::send(case)));
    let mut clusters: Vec<Value> = clusters.collect();
    clusters.push(proxies::control_plane(control));
    let listener = |(number, case): (usize, &Case)| {
        let by_source = case.balancer["consistentHash"].get("useSourceIp").is_some();
        let name = format!("key-{number}");
        match by_source {
            true => proxies::listener(&name),
            false => proxies::redis_listener(&name),
        }
    };
    let listeners: Vec<Value> = numbered().map(listener).collect();
    proxies::start(binary, &clusters, &listeners)
}

fn cluster(number: usize, case: &Case, sent: &Sent) -> Value {
    let hash = &case.balancer["consistentHash"];
    let is_maglev = hash.get("maglev").is_some();
    let policy = if is_maglev { "MAGLEV" } else { "RING_HASH" };
    let mut cluster = proxies::cluster(&format!("key-{number}"), number, policy, sent);
    cluster.as_object_mut().unwrap().remove("maglev_lb_config");
    if let Some(size) = hash["maglev"].get("tableSize") {
        cluster["maglev_lb_config"] = json!({"table_size": size});
    }
    if let Some(size) = hash["ringHash"].get("minimumRingSize") {
        cluster["ring_hash_lb_config"] = json!({"minimum_ring_size": size});
    }
    if by_hostname(case) {
        by_extension(&mut cluster);
    }
    cluster
}

/// Host names count there only where the balancer is an extension, unless they come from DNS.
fn by_extension(cluster: &mut Value) {
    const POLICIES: &str = "envoy.extensions.load_balancing_policies";
    let fields = cluster.as_object_mut().unwrap();
    let common = fields["common_lb_config"].as_object_mut().unwrap();
    let weighted = common.remove("locality_weighted_lb_config");
    let (kind, config) = match fields.remove("lb_policy").unwrap() == "MAGLEV" {
        true => ("maglev.v3.Maglev", fields.remove("maglev_lb_config")),
        false => (
            "ring_hash.v3.RingHash",
            fields.remove("ring_hash_lb_config"),
        ),
    };
    let mut config = config.unwrap_or_else(|| json!({}));
    config["@type"] = json!(format!("type.googleapis.com/{POLICIES}.{kind}"));
    config["consistent_hashing_lb_config"] = json!({"use_hostname_for_hashing": true});
    if let Some(weighted) = weighted {
        config["locality_weighted_lb_config"] = weighted;
    }
    let policy = json!({"typed_extension_config": {"name": kind, "typed_config": config}});
    cluster["load_balancing_policy"] = json!({"policies": [policy]});
}

struct Both<'a> {
    envoy: &'a Envoy,
    meltemi: &'a Meltemi,
    runtime: &'a Runtime,
}

impl Both<'_> {
    fn compare(&self, cases: &[Case]) {
        let mut answered = 0;
        for (number, case) in cases.iter().enumerate() {
            let theirs = self.answers(self.envoy.listener(&format!("key-{number}")));
            let ours = self.answers(self.meltemi.address(&format!("default/c{number}/it")));
            for (key, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                match theirs {
                    Some(_) => assert_eq!(*theirs, ours, "k{key} of c{number}: {case:#?}"),
                    // It has no table of degraded endpoints, nor goes on to another tier.
                    None => {
                        let health = ours.map(|index| case.endpoints[index].health);
                        let stands_in = [None, Some(Health::Degraded)].contains(&health);
                        assert!(
                            stands_in || is_degraded(case),
                            "k{key} of c{number}: {case:#?}"
                        );
                    }
                }
                answered += usize::from(theirs.is_some());
            }
        }
        assert!(answered > cases.len() * KEYS / 2, "{answered}");
    }

    fn answers(&self, proxy: SocketAddr) -> Vec<Option<usize>> {
        self.runtime.block_on(async {
            let mut client = peers::connect(proxy, None).await;
            let mut answers = vec![];
            for key in 0..KEYS {
                answers.push(peers::ask_for(&mut client, &format!("k{key}")).await);
            }
            answers
        })
    }

    /// Until both show on their admin pages how many endpoints are not healthy.
    fn wait_for_health(&self, cases: &[Case]) {
        let ill = |case: &Case| -> Vec<bool> {
            let endpoints = case.endpoints.iter();
            endpoints.map(|it| it.health != Health::Healthy).collect()
        };
        until("both know of the endpoints' health", || {
            let theirs = self.envoy.page("/clusters?format=json");
            let ours = self.meltemi.get("/clusters")?;
            let ours: Value = serde_json::from_str(&ours.body).ok()?;
            let agree = cases.iter().enumerate().all(|(number, case)| {
                let expected = ill(case);
                let is_ill = |index: usize| expected.get(index).copied();
                let mine = &ours["clusters"][format!("outbound|6379||c{number}.test")];
                let mine = mine["endpoints"].as_array().into_iter().flatten();
                let mut mine = mine.filter_map(|it| {
                    Some((place(it["address"].as_str()?)?, it["health"] != "healthy"))
                });
                let clusters = theirs["cluster_statuses"].as_array().into_iter().flatten();
                let cluster = clusters.filter(|it| it["name"] == format!("key-{number}"));
                let hosts =
                    cluster.flat_map(|it| it["host_statuses"].as_array().into_iter().flatten());
                let mut hosts = hosts.filter_map(|it| {
                    let address = it["address"]["socket_address"]["address"].as_str()?;
                    let health = &it["health_status"]["eds_health_status"];
                    Some((place(address)?, health != "HEALTHY"))
                });
                mine.all(|(index, ill)| is_ill(index) == Some(ill))
                    && hosts.all(|(index, ill)| is_ill(index) == Some(ill))
            });
            agree.then_some(())
        });
    }
}

/// The number of an endpoint, which is the last part of its address.
fn place(address: &str) -> Option<usize> {
    let ip = address.split(':').next()?;
    let last: usize = ip.rsplit('.').next()?.parse().ok()?;
    last.checked_sub(1)
}

/// Whether a tier may have degraded endpoints alone, or nobody.
fn is_degraded(case: &Case) -> bool {
    case.endpoints
        .iter()
        .any(|endpoint| endpoint.health == Health::Degraded)
}
