//! Hashing with bounded load: the same clients come to a real Envoy, as a TCP proxy, and to Meltemi, in the
//! same order, wait for an answer, and give up now and then. Each waits at the same server in both.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use meltemi_tests::redis::script::Random;
use meltemi_tests::redis::{Scripted, Wire};
use meltemi_tests::{Envoy, Manifests, Meltemi, connect_from, until};
use serde_json::{Value, json};

const CLIENTS: usize = 80;
/// Addresses that they come from: few, so that servers have more to do than they may.
const SOURCES: usize = 5;

struct Case {
    name: &'static str,
    /// Of each server.
    weights: &'static [u32],
    is_ring: bool,
    /// `hashBalanceFactor`.
    factor: u32,
    /// Every other server is in another zone, and the zones have these shares.
    shares: Option<[u32; 2]>,
}

const CASES: [Case; 8] = [
    Case::new("tight", &[1, 1, 1, 1], false, 100),
    Case::new("tight-on-a-ring", &[1, 1, 1, 1, 1], true, 100),
    Case::new("usual", &[1, 1, 1, 1, 1, 1], false, 125),
    Case::new("weighted", &[1, 4, 2, 3], false, 150),
    Case::new("weighted-on-a-ring", &[5, 1, 1, 2, 1], true, 130),
    Case::new("loose", &[1, 1, 2], false, 300),
    Case::new("zones", &[1, 2, 1, 1, 3], false, 110).sharing([70, 30]),
    Case::new("zones-on-a-ring", &[1, 1, 2, 1], true, 120).sharing([25, 75]),
];

impl Case {
    const fn new(name: &'static str, weights: &'static [u32], is_ring: bool, factor: u32) -> Self {
        Self {
            name,
            weights,
            is_ring,
            factor,
            shares: None,
        }
    }

    const fn sharing(self, shares: [u32; 2]) -> Self {
        Self {
            shares: Some(shares),
            ..self
        }
    }

    /// The zone of a server.
    const fn zone(&self, server: usize) -> usize {
        match self.shares {
            Some(_) => server % 2,
            None => 0,
        }
    }
}

/// A client that waits, and where.
struct Waiting {
    _wire: Wire,
    server: usize,
}

/// Both proxies before the servers of all cases, which never answer.
struct Both {
    envoy: Envoy,
    meltemi: Meltemi,
    servers: Vec<Scripted>,
    _manifests: Manifests,
}

impl Both {
    fn start(envoy: &Path) -> Self {
        let silent = |case: &Case| Scripted::start(case.weights.len(), |_| None);
        let servers: Vec<Scripted> = CASES.iter().map(silent).collect();
        let manifests = Manifests::new();
        let (mut clusters, mut listeners) = (vec![], vec![]);
        for (case, servers) in CASES.iter().zip(&servers) {
            let addresses = (0..case.weights.len()).map(|node| servers.address(node));
            let addresses: Vec<SocketAddr> = addresses.collect();
            manifests.write(&format!("{}.yaml", case.name), &manifest(case, &addresses));
            clusters.push(cluster(case, &addresses));
            listeners.push(listener(case.name));
        }
        let bootstrap = json!({
            "node": {"id": "envoy", "cluster": "test"},
            "static_resources": {"clusters": clusters, "listeners": listeners},
        });
        Self {
            envoy: Envoy::start(envoy, bootstrap),
            meltemi: Meltemi::run_with(manifests.path(), &["--workers", "1", "--locality", "r/z0"]),
            servers,
            _manifests: manifests,
        }
    }

    /// A client from this address waits at one of the servers of a case.
    fn wait(&self, number: usize, proxy: SocketAddr, (source, name): (IpAddr, &str)) -> Waiting {
        let stream = connect_from(source, proxy).expect("the proxy listens");
        // It ends at once, and not when the server has said its last.
        let linger = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        linger.expect("an option of the system");
        let mut wire = Wire::on(stream);
        let command = format!("BLPOP {name} 0");
        wire.command(&command);
        let server = until("a server is asked", || {
            let log = self.servers[number].log();
            log.iter().find(|it| it.1 == command).map(|it| it.0)
        });
        Waiting {
            _wire: wire,
            server,
        }
    }

    /// Until both know that so many wait at the servers of a case.
    fn wait_for_counts(&self, case: &Case, count: usize) {
        until("all are counted", || {
            let page = self.meltemi.get("/clusters")?;
            let page: Value = serde_json::from_str(&page.body).ok()?;
            let cluster = &page["clusters"][format!("outbound|6379||{}.test", case.name)];
            let endpoints = cluster["endpoints"].as_array()?.iter();
            let ours: u64 = endpoints.filter_map(|it| it["active"].as_u64()).sum();
            let prefix = format!("{}::", case.name);
            let text = self.envoy.text("/clusters");
            let lines = text.lines().filter_map(|it| it.strip_prefix(&prefix));
            let counts =
                lines.filter_map(|it| it.split_once("::rq_active::")?.1.parse::<u64>().ok());
            let theirs: u64 = counts.sum();
            (ours == count as u64 && theirs == ours).then_some(())
        });
    }
}

#[test]
fn a_client_waits_where_it_would_behind_envoy() {
    let Some(binary) = Envoy::binary() else {
        return;
    };
    let both = Both::start(&binary);
    let mut random = Random::new(11);
    let mut overflowed = 0;
    for (number, case) in CASES.iter().enumerate() {
        let theirs = both.envoy.listener(case.name);
        let ours = both.meltemi.address(&format!("default/{}/it", case.name));
        let mut waiting: Vec<[Waiting; 2]> = vec![];
        let mut owners = BTreeMap::new();
        for client in 0..CLIENTS {
            if random.below(3) == 0 && !waiting.is_empty() {
                let gone = random.below(waiting.len());
                drop(waiting.swap_remove(gone));
                both.wait_for_counts(case, waiting.len());
            }
            let last = 1 + u8::try_from(random.below(SOURCES)).expect("few");
            let source = IpAddr::from(Ipv4Addr::new(127, 0, 9, last));
            let at = |proxy, who| both.wait(number, proxy, (source, &format!("{who}-{client}")));
            let pair = [at(theirs, "envoy"), at(ours, "meltemi")];
            let servers = pair.each_ref().map(|it| it.server);
            assert_eq!(servers[1], servers[0], "{}: client {client}", case.name);
            overflowed += usize::from(*owners.entry(source).or_insert(servers[0]) != servers[0]);
            waiting.push(pair);
            both.wait_for_counts(case, waiting.len());
        }
    }
    // That the bounds are felt; how often hangs on the servers' ports.
    assert!(overflowed > CLIENTS / 4, "{overflowed}");
}

fn manifest(case: &Case, servers: &[SocketAddr]) -> String {
    let name = case.name;
    let endpoints = servers.iter().zip(case.weights).enumerate();
    let endpoints = endpoints.map(|(i, (server, weight))| {
        json!({"address": server.ip().to_string(), "ports": {"tcp-redis": server.port()},
            "weight": weight, "locality": format!("r/z{}", case.zone(i))})
    });
    let endpoints: Vec<_> = endpoints.collect();
    let mut hash = json!({"useSourceIp": true, "hashBalanceFactor": case.factor});
    hash[if case.is_ring { "ringHash" } else { "maglev" }] = json!({});
    let mut policy = json!({"loadBalancer": {"consistentHash": hash}});
    if let Some([first, second]) = case.shares {
        let to = json!({"r/z0/*": first, "r/z1/*": second});
        policy["loadBalancer"]["localityLbSetting"] =
            json!({"distribute": [{"from": "r/*", "to": to}]});
    }
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  \
         hosts: [{name}.test]\n  ports: [{{number: 6379, name: tcp-redis}}]\n  resolution: STATIC\n  \
         endpoints: {}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}}}\n\
         spec: {{host: {name}.test, trafficPolicy: {policy}}}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\nspec:\n  \
         servers: [{{name: it, bind: 127.0.0.1, port: {{number: 0, name: tcp-redis}}}}]\n---\n\
         apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: {name}}}\n\
         spec: {{hosts: [{name}.test], gateways: [{name}]}}\n",
        json!(endpoints)
    )
}

fn cluster(case: &Case, servers: &[SocketAddr]) -> Value {
    let mut zones = [json!({"lb_endpoints": []}), json!({"lb_endpoints": []})];
    for (i, (server, weight)) in servers.iter().zip(case.weights).enumerate() {
        let endpoint = json!({"load_balancing_weight": weight, "endpoint": {"address": {
            "socket_address": {"address": server.ip().to_string(), "port_value": server.port()}}}});
        let list = zones[case.zone(i)]["lb_endpoints"].as_array_mut();
        list.expect("a list").push(endpoint);
    }
    for (i, zone) in zones.iter_mut().enumerate() {
        zone["locality"] = json!({"region": "r", "zone": format!("z{i}")});
        zone["load_balancing_weight"] = json!(case.shares.map_or(1, |shares| shares[i]));
    }
    let policy = if case.is_ring { "RING_HASH" } else { "MAGLEV" };
    let mut common = json!({
        "consistent_hashing_lb_config": {"hash_balance_factor": case.factor}});
    if case.shares.is_some() {
        common["locality_weighted_lb_config"] = json!({});
    }
    json!({
        "name": case.name, "type": "STATIC", "lb_policy": policy, "common_lb_config": common,
        "load_assignment": {"cluster_name": case.name, "endpoints": zones},
    })
}

fn listener(cluster: &str) -> Value {
    const PROXY: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    json!({
        "name": cluster,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": format!("type.googleapis.com/{PROXY}"),
                "stat_prefix": "it", "cluster": cluster, "hash_policy": [{"source_ip": {}}],
            },
        }]}],
    })
}
