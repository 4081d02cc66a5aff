//! Slow start: an endpoint joins two warm ones behind a real Envoy, as a proxy of Redis, and behind Meltemi.
//! What it gets of a burst of requests, at several ages, is in both what the formula says.
//!
//! Requests come one by one, so that both balancers give turns by weight. When it joined is known only to
//! be between two moments, so the share may be that of any age in between, [`TOLERANCE`] more or less: both
//! proxies take weights anew only now and then, and each time somebody may have a turn more or less.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use meltemi_controller::ads::Resources;
use meltemi_tests::{Envoy, until};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::case::{Case, Endpoint, Health};
use super::{istio, peers, proxies};

const WINDOW: Duration = Duration::from_secs(8);
const REQUESTS: usize = 300;
const TOLERANCE: f64 = 0.02;
/// Parts of the window at which bursts are sent.
const AGES: [f64; 4] = [0.05, 0.3, 0.55, 0.8];

/// A balancer, the least percentage, and the aggression.
const RULES: [(&str, f64, f64); 4] = [
    ("ROUND_ROBIN", 10.0, 1.0),
    ("ROUND_ROBIN", 40.0, 1.0),
    ("LEAST_REQUEST", 10.0, 2.0),
    ("LEAST_REQUEST", 5.0, 1.0),
];

#[test]
fn a_new_endpoint_gets_what_it_gets_from_envoy() {
    let Some(binary) = Envoy::binary() else {
        return;
    };
    let runtime = Runtime::new().unwrap();
    let addresses = runtime.block_on(peers::endpoints(3));
    let (before, after) = (cases(2), cases(3));
    let of_envoy = watch::Sender::new(proxies::published(assignments(&before, &addresses)));
    let of_meltemi =
        watch::Sender::new(proxies::published(proxies::resources(&before, &addresses)));
    let control = proxies::serve(&runtime, of_envoy.subscribe());
    let envoy = proxies::start(&binary, &clusters(control), &listeners());
    let meltemi = proxies::run(proxies::serve(&runtime, of_meltemi.subscribe()));
    // Until those that are there from the start are warm.
    thread::sleep(WINDOW);
    let published = Instant::now();
    of_envoy.send_replace(proxies::published(assignments(&after, &addresses)));
    of_meltemi.send_replace(proxies::published(proxies::resources(&after, &addresses)));
    let new = addresses[2].to_string();
    until("both know of the new endpoints", || {
        let theirs = envoy.text("/clusters");
        let ours = meltemi.get("/clusters")?.body;
        let in_all = |text: &str, times| text.matches(&new).count() >= times;
        (in_all(&theirs, RULES.len()) && in_all(&ours, RULES.len())).then_some(())
    });
    let seen = Instant::now();
    let mut compared = 0;
    for age in AGES {
        let due = seen + WINDOW.mul_f64(age);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        for (number, rule) in RULES.iter().enumerate() {
            let theirs = envoy.listener(&format!("warm-{number}"));
            let ours = meltemi.address(&format!("default/c{number}/it"));
            for (who, proxy) in [("Envoy", theirs), ("Meltemi", ours)] {
                let start = Instant::now();
                let share = runtime.block_on(share_of_the_new(proxy));
                let least = expected(rule, start - seen) - TOLERANCE;
                let most = expected(rule, published.elapsed()) + TOLERANCE;
                // Where all are warm, the least of requests are those of chance.
                if published.elapsed() >= WINDOW {
                    continue;
                }
                compared += 1;
                assert!(
                    (least..=most).contains(&share),
                    "{who} gives {share}, not {least} to {most}: {rule:?} at {age}"
                );
            }
        }
    }
    assert!(compared >= 2 * RULES.len(), "too slow: {compared}");
}

/// What the newest of three has of the requests.
async fn share_of_the_new(proxy: SocketAddr) -> f64 {
    let mut client = peers::connect(proxy, None).await;
    let mut its = 0;
    for _ in 0..REQUESTS {
        its += usize::from(peers::ask(&mut client).await == Some(2));
    }
    its as f64 / REQUESTS as f64
}

/// By the formula in Envoy's documentation, among two others that weigh 1.
fn expected((_, least, aggression): &(&str, f64, f64), age: Duration) -> f64 {
    let time = age.div_duration_f64(WINDOW).min(1.0);
    let weight = time.powf(1.0 / aggression).max(least / 100.0);
    weight / (2.0 + weight)
}

fn cases(endpoints: usize) -> Vec<Case> {
    let endpoint = Endpoint {
        locality: ["r1", "z1", "s1"].map(str::to_owned),
        labels: vec![],
        weight: 1,
        health: Health::Healthy,
    };
    let case = |(policy, least, aggression): &(&str, f64, f64)| Case {
        name: format!("{policy} {least} {aggression}"),
        endpoints: vec![endpoint.clone(); endpoints],
        balancer: json!({"simple": policy, "warmup": {
            "duration": format!("{}s", WINDOW.as_secs()),
            "minimumPercent": least, "aggression": aggression,
        }}),
        setting: None,
        distribution: None,
        min_health: None,
    };
    RULES.iter().map(case).collect()
}

fn assignments(cases: &[Case], addresses: &[SocketAddr]) -> Resources {
    let mut assignments = Resources::new();
    for (number, case) in cases.iter().enumerate() {
        let groups = istio::send(case).groups;
        let assignment = proxies::assignment(number, case, &groups, addresses);
        assignments.insert(format!("c{number}"), &assignment);
    }
    assignments
}

fn clusters(control: SocketAddr) -> Vec<Value> {
    let cases = cases(2);
    let mut clusters = vec![proxies::control_plane(control)];
    for (number, ((policy, least, aggression), case)) in RULES.iter().zip(&cases).enumerate() {
        let sent = istio::send(case);
        let mut cluster = proxies::cluster(&format!("warm-{number}"), number, policy, &sent);
        let config = match *policy {
            "ROUND_ROBIN" => "round_robin_lb_config",
            _ => "least_request_lb_config",
        };
        cluster[config] = json!({"slow_start_config": {
            "slow_start_window": format!("{}s", WINDOW.as_secs()),
            "min_weight_percent": {"value": least},
            "aggression": {"default_value": aggression, "runtime_key": "aggression"},
        }});
        clusters.push(cluster);
    }
    clusters
}

fn listeners() -> Vec<Value> {
    let names = (0..RULES.len()).map(|number| format!("warm-{number}"));
    names.map(|name| proxies::redis_listener(&name)).collect()
}
