//! Endpoints in three localities, by real sockets: fixed shares, labels, and a tier that fails.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};

use meltemi_tests::redis::{Asked, Scripted, Wire, manifests};
use meltemi_tests::{Manifests, Meltemi, until};

/// Who answers is told by the answer: `+0` to `+2`.
fn endpoints() -> Scripted {
    Scripted::start(3, |asked: &Asked<'_>| {
        Some(format!("+{}\r\n", asked.node).into_bytes())
    })
}

/// The three in r1/z1, r1/z2 and r2, with a DestinationRule's policy and an annotation.
fn service(addresses: &[SocketAddr], policy: &str, annotation: &str) -> Manifests {
    let manifests = manifests(&[]);
    let mut text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: cache, annotations: {{{annotation}}}}}\nspec:\n  hosts: [cache.demo]\n  \
         ports: [{{number: 6379, name: tcp-redis}}]\n  resolution: STATIC\n  endpoints:\n"
    );
    let places = ["r1/z1/s1", "r1/z2/s1", "r2/z1/s1"];
    let labels = [
        "version: v1",
        "version: v2",
        "version: v1, kubernetes.io/hostname: node-7",
    ];
    for ((address, place), labels) in addresses.iter().zip(places).zip(labels) {
        let (ip, port) = (address.ip(), address.port());
        writeln!(
            text,
            "  - {{address: {ip}, ports: {{tcp-redis: {port}}}, locality: {place}, labels: {{{labels}}}}}"
        )
        .unwrap();
    }
    manifests.write("service.yaml", &text);
    let rule = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: cache}}\n\
         spec: {{host: cache.demo, trafficPolicy: {policy}}}\n"
    );
    manifests.write("rule.yaml", &rule);
    manifests
}

fn run(manifests: &Manifests, place: &[&str]) -> Meltemi {
    let mut arguments = vec!["--workers", "1"];
    arguments.extend(place);
    Meltemi::run_with(manifests.path(), &arguments)
}

fn connect(meltemi: &Meltemi) -> Wire {
    Wire::connect(meltemi.address("default/edge/redis"))
}

/// How many of so many requests each of them answers; the last is how many fail.
fn count(client: &mut Wire, requests: usize) -> [usize; 4] {
    let mut counts = [0; 4];
    for request in 0..requests {
        let reply = client.call(&format!("GET k{request}"));
        let node = reply
            .strip_prefix('+')
            .and_then(|node| node.parse::<usize>().ok());
        counts[node.unwrap_or(3)] += 1;
    }
    counts
}

const HERE: &[&str] = &["--locality", "r1/z1/s1"];

#[test]
fn shares_are_fixed_by_distribute() {
    let nodes = endpoints();
    let addresses = [0, 1, 2].map(|node| nodes.address(node));
    let policy = "{loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [\
                  {from: r9/*, to: {r9: 100}}, {from: r1/z1/*, to: {r1/z1: 70, r1/z2/*: 30}}]}}}";
    let manifests = service(&addresses, policy, "");
    let meltemi = run(&manifests, HERE);
    let [first, second, third, failed] = count(&mut connect(&meltemi), 2_000);
    assert_eq!((third, failed), (0, 0));
    // Five standard deviations of 2,000 draws.
    assert!(first.abs_diff(1_400) < 105, "{first} {second}");
    // A changed share applies to what is connected.
    let policy = policy.replace("{r1/z1: 70, r1/z2/*: 30}", "{r2: 100}");
    let changed = service(&addresses, &policy, "");
    let rule = std::fs::read_to_string(changed.path().join("rule.yaml")).unwrap();
    manifests.write("rule.yaml", &rule);
    let mut client = connect(&meltemi);
    until("everything goes to r2", || {
        (count(&mut client, 20) == [0, 0, 20, 0]).then_some(())
    });
}

#[test]
fn labels_order_the_tiers_and_a_node_comes_first() {
    let nodes = endpoints();
    let addresses = [0, 1, 2].map(|node| nodes.address(node));
    let policy = "{outlierDetection: {}, loadBalancer: {simple: RANDOM, localityLbSetting: \
                  {failoverPriority: [version]}}}";
    let manifests = service(&addresses, policy, "");
    for (labels, expected) in [
        ("version=v2,app=edge", [0, 100, 0, 0]),
        ("version=v3", [0; 4]),
    ] {
        let meltemi = run(&manifests, &[HERE, &["--labels", labels]].concat());
        let counts = count(&mut connect(&meltemi), 100);
        match expected {
            // Nobody is nearer than another.
            [0, 0, 0, 0] => assert!(
                counts[..3].iter().all(|n| *n > 0) && counts[3] == 0,
                "{counts:?}"
            ),
            expected => assert_eq!(counts, expected),
        }
    }
    // The endpoint on the own node, which is farther away than another.
    let annotation = "networking.istio.io/traffic-distribution: PreferSameNode";
    let manifests = service(&addresses, "{loadBalancer: {simple: RANDOM}}", annotation);
    let meltemi = run(&manifests, &["--locality", "r2/z1/s1", "--node", "node-7"]);
    assert_eq!(count(&mut connect(&meltemi), 100), [0, 0, 100, 0]);
}

#[test]
fn random_asks_endpoints_alike_whatever_they_weigh() {
    let nodes = endpoints();
    let addresses = [0, 1, 2].map(|node| nodes.address(node));
    let manifests = service(&addresses, "{loadBalancer: {simple: RANDOM}}", "");
    let services = std::fs::read_to_string(manifests.path().join("service.yaml")).unwrap();
    let weighted = services.replace("locality: r1/z1/s1", "weight: 28, locality: r1/z1/s1");
    manifests.write("service.yaml", &weighted);
    let meltemi = run(&manifests, HERE);
    let counts = count(&mut connect(&meltemi), 1_500);
    // Five standard deviations of 1,500 draws.
    let alike = counts[..3].iter().all(|count| count.abs_diff(500) < 92);
    assert!(alike && counts[3] == 0, "{counts:?}");
}

#[test]
fn a_tier_that_is_ejected_moves_its_load_to_the_next() {
    let nodes = endpoints();
    // Nobody listens where the nearest endpoint should be.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let addresses = [nobody, nodes.address(1), nodes.address(2)];
    let policy = "{loadBalancer: {simple: RANDOM, localityLbSetting: {failover: [{from: r1, to: r2}]}}, \
                  outlierDetection: {consecutive5xxErrors: 2, interval: 1h, baseEjectionTime: 1h, \
                  maxEjectionPercent: 100}}";
    let manifests = service(&addresses, policy, "");
    let meltemi = run(&manifests, HERE);
    let mut client = connect(&meltemi);
    let tiers = || -> Option<serde_json::Value> {
        let page: serde_json::Value = serde_json::from_str(&meltemi.get("/clusters")?.body).ok()?;
        Some(page["clusters"]["outbound|6379||cache.demo"]["tiers"].clone())
    };
    until("it is ejected", || {
        count(&mut client, 10);
        (tiers()?[0]["healthy"] == 0).then_some(())
    });
    assert_eq!(count(&mut client, 200), [0, 200, 0, 0]);
    let tiers = tiers().unwrap();
    let load = |tier: usize| {
        (
            tiers[tier]["healthy"].as_u64(),
            tiers[tier]["load"].as_u64(),
        )
    };
    assert_eq!(
        [load(0), load(1), load(2)],
        [(Some(0), Some(0)), (Some(1), Some(100)), (Some(1), Some(0))]
    );
}

#[test]
fn the_mesh_decides_where_nobody_else_does() {
    let nodes = endpoints();
    let addresses = [0, 1, 2].map(|node| nodes.address(node));
    let manifests = service(&addresses, "{loadBalancer: {simple: RANDOM}}", "");
    manifests.write(
        "mesh.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  \
         mesh: |\n    localityLbSetting:\n      distribute:\n      - from: r1/*\n        to: {r2: 100}\n",
    );
    let meltemi = run(&manifests, HERE);
    assert_eq!(count(&mut connect(&meltemi), 100), [0, 0, 100, 0]);
}
