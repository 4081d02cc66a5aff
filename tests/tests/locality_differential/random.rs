//! RANDOM: endpoints that weigh differently are asked alike, by both; localities by what they weigh.
//!
//! All are in one tier: for several Envoy draws one number, by which the tier and the endpoint hang on each
//! other.

use meltemi_tests::Envoy;
use serde_json::{Value, json};

use super::case::Case;
use super::{Trial, istio, many_clients, one_client, peers, proxies};

fn cases() -> Vec<Case> {
    let mut flat = Case::of_tiers("one pool", &[(5, 4, 0)], 0);
    flat.setting = Some(json!({"enabled": false}));
    let mut cases = super::case::weighted();
    cases.push(flat);
    for case in &mut cases {
        case.balancer = json!({"simple": "RANDOM"});
        for (endpoint, weight) in case.endpoints.iter_mut().zip([7, 1, 2].into_iter().cycle()) {
            endpoint.weight = weight;
        }
    }
    cases
}

#[test]
fn random_asks_whom_envoy_asks() {
    let Some(binary) = Envoy::binary() else {
        return;
    };
    let cases = cases();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let most = cases.iter().map(|case| case.endpoints.len()).max().unwrap();
    let addresses = runtime.block_on(peers::endpoints(most));
    let sent: Vec<_> = cases.iter().map(istio::send).collect();
    let kinds = &[("random", "RANDOM")];
    let envoy = proxies::envoy(&binary, &runtime, (&cases, &sent), &addresses, kinds);
    let meltemi = proxies::meltemi(&runtime, &cases, &addresses);
    let page: Value = serde_json::from_str(&meltemi.get("/clusters").unwrap().body).unwrap();
    for (number, (case, sent)) in cases.iter().zip(&sent).enumerate() {
        println!("{}", case.name);
        let trial = Trial {
            case,
            sent,
            cluster: &page["clusters"][format!("outbound|6379||c{number}.test")],
            addresses: &addresses,
        };
        trial.compare_tiers();
        let theirs = envoy.listener(&format!("random-{number}"));
        trial.compare_shares("Envoy", &runtime.block_on(many_clients(theirs)));
        let ours = meltemi.address(&format!("default/c{number}/it"));
        trial.compare_shares("Meltemi", &runtime.block_on(one_client(ours)));
    }
}
