//! The same endpoints, health and rule for a real Envoy and for Meltemi: who is asked?
//!
//! Envoy gets what Istio would send it ([`istio`]), by EDS, as a TCP proxy. Meltemi gets manifests,
//! translated by our control plane, of which only the health of the endpoints is not said by them.
//! Which tier gets which percent of the load is compared exactly: where the source address is hashed,
//! Envoy's choice of a priority hangs on that hash alone, and a client may have any address of
//! loopback. What an endpoint gets of many requests is compared within four requests where Envoy takes
//! turns, and within five standard deviations where chance decides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by failing"
)]

#[path = "locality_differential/case.rs"]
mod case;
#[path = "locality_differential/hashing.rs"]
mod hashing;
#[path = "locality_differential/istio.rs"]
mod istio;
#[path = "locality_differential/peers.rs"]
mod peers;
#[path = "locality_differential/proxies.rs"]
mod proxies;
#[path = "locality_differential/random.rs"]
mod random;
#[path = "locality_differential/warming.rs"]
mod warming;

use std::net::{Ipv4Addr, SocketAddr};

use case::{Case, Health};
use istio::Sent;
use meltemi_tests::Envoy;
use serde_json::Value;
use xxhash_rust::xxh64::xxh64;

/// Cases that nobody thought of.
const RANDOM_CASES: usize = 64;
const SEED: u64 = 0x6d65_6c74_656d_6901;
/// Requests of each case.
const REQUESTS: usize = 600;

#[test]
fn meltemi_asks_whom_envoy_asks() {
    let Some(binary) = Envoy::binary() else {
        return;
    };
    let mut random = case::Random(SEED);
    let mut cases = case::rows();
    cases.extend(case::weighted());
    cases.extend((0..RANDOM_CASES).map(|number| case::any(&mut random, number)));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let most = cases.iter().map(|case| case.endpoints.len()).max().unwrap();
    let addresses = runtime.block_on(peers::endpoints(most));
    let sent: Vec<Sent> = cases.iter().map(istio::send).collect();
    let kinds = proxies::KINDS;
    let envoy = proxies::envoy(&binary, &runtime, (&cases, &sent), &addresses, kinds);
    let meltemi = proxies::meltemi(&runtime, &cases, &addresses);
    let page: Value = serde_json::from_str(&meltemi.get("/clusters").unwrap().body).unwrap();
    for (number, (case, sent)) in cases.iter().zip(&sent).enumerate() {
        // Shown where the test fails.
        println!("{}", case.name);
        let cluster = &page["clusters"][format!("outbound|6379||c{number}.test")];
        let trial = Trial {
            case,
            sent,
            cluster,
            addresses: &addresses,
        };
        trial.compare_tiers();
        let hashing = envoy.listener(&format!("hash-{number}"));
        trial.compare_loads(&runtime.block_on(by_hash(hashing)));
        let turns = envoy.listener(&format!("turn-{number}"));
        trial.compare_shares("Envoy", &runtime.block_on(many_clients(turns)));
        let server = meltemi.address(&format!("default/c{number}/it"));
        trial.compare_shares("Meltemi", &runtime.block_on(one_client(server)));
    }
}

/// Who answers the clients whose hashes are 0 to 99 beyond whole hundreds.
async fn by_hash(proxy: SocketAddr) -> Vec<Option<usize>> {
    let clients = (1..=u16::MAX).map(|n| {
        let [high, low] = n.to_be_bytes();
        Ipv4Addr::new(127, 2, high, low)
    });
    let mut of_percent = vec![None; 100];
    for ip in clients {
        let percent = usize::try_from(xxh64(ip.to_string().as_bytes(), 0) % 100).unwrap();
        of_percent[percent].get_or_insert(ip);
        if of_percent.iter().all(Option::is_some) {
            break;
        }
    }
    let mut answers = vec![];
    for ip in of_percent {
        answers.push(peers::ask(&mut peers::connect(proxy, ip).await).await);
    }
    answers
}

/// A TCP proxy decides once for each connection.
async fn many_clients(proxy: SocketAddr) -> Vec<Option<usize>> {
    let mut answers = vec![];
    for _ in 0..REQUESTS {
        answers.push(peers::ask(&mut peers::connect(proxy, None).await).await);
    }
    answers
}

async fn one_client(proxy: SocketAddr) -> Vec<Option<usize>> {
    let mut client = peers::connect(proxy, None).await;
    let mut answers = vec![];
    for _ in 0..REQUESTS {
        answers.push(peers::ask(&mut client).await);
    }
    answers
}

/// A case with what Istio sends, and what Meltemi says of its cluster.
struct Trial<'a> {
    case: &'a Case,
    sent: &'a Sent,
    cluster: &'a Value,
    addresses: &'a [SocketAddr],
}

impl Trial<'_> {
    fn priority(&self, endpoint: usize) -> Option<usize> {
        let groups = self.sent.groups.iter();
        groups
            .filter(|group| group.endpoints.contains(&endpoint))
            .map(|group| group.priority)
            .next()
    }

    /// What the admin page says of an endpoint of the case.
    fn shown(&self, endpoint: usize) -> &Value {
        let address = self.addresses[endpoint].to_string();
        let mut all = self.cluster["endpoints"].as_array().unwrap().iter();
        all.find(|shown| shown["address"] == address.as_str())
            .unwrap()
    }

    /// Our tiers are Istio's priorities.
    fn compare_tiers(&self) {
        for index in 0..self.case.endpoints.len() {
            let tier = self.shown(index)["tier"].as_u64();
            let priority = self.priority(index).map(|priority| priority as u64);
            assert_eq!(tier, priority, "endpoint {index} of {:?}", self.case);
        }
    }

    /// Our loads are Envoy's: for each percent, the tier that it goes to.
    fn compare_loads(&self, answers: &[Option<usize>]) {
        let tiers = self.cluster["tiers"].as_array().unwrap();
        let number =
            |tier: &Value, name: &str| usize::try_from(tier[name].as_u64().unwrap()).unwrap();
        let of_healthy = tiers.iter().enumerate().flat_map(|(index, tier)| {
            let percent = number(tier, "load") - number(tier, "load_of_degraded");
            std::iter::repeat_n(index, percent)
        });
        let of_degraded = tiers
            .iter()
            .enumerate()
            .flat_map(|(index, tier)| std::iter::repeat_n(index, number(tier, "load_of_degraded")));
        let ours: Vec<usize> = of_healthy.chain(of_degraded).collect();
        assert_eq!(
            ours.len(),
            answers.len(),
            "{:?}\n{}",
            self.case,
            self.cluster
        );
        for (percent, (ours, answer)) in ours.iter().zip(answers).enumerate() {
            // Envoy's hash tables have healthy endpoints alone.
            let nobody = number(&tiers[*ours], "healthy") == 0 && tiers[*ours]["panic"] == false;
            let expected = Some(*ours).filter(|_| !nobody);
            let envoys = answer.and_then(|answer| self.priority(answer));
            let context = || format!("percent {percent} of {:?}\n{}", self.case, self.cluster);
            assert_eq!(envoys, expected, "{}", context());
        }
    }

    /// Whether all load is that of the healthy or the degraded of one tier: Envoy draws no random
    /// number then, but goes through localities and endpoints in turn, by weight.
    fn is_in_turn(&self) -> bool {
        if self.case.balancer["simple"] == "RANDOM" {
            return false;
        }
        let tiers = self.cluster["tiers"].as_array().unwrap().iter();
        let mut loaded = tiers.filter(|tier| tier["load"] != 0);
        let is_whole = |tier: &Value| {
            tier["load"] == 100
                && (tier["load_of_degraded"] == 0 || tier["load_of_degraded"] == 100)
        };
        loaded.next().is_some_and(is_whole)
    }

    /// What an endpoint gets is what our admin page says that it gets.
    fn compare_shares(&self, who: &str, answers: &[Option<usize>]) {
        for index in 0..self.case.endpoints.len() {
            let share = self.shown(index)["share"].as_f64().unwrap() / 100.0;
            let got = answers
                .iter()
                .filter(|answer| **answer == Some(index))
                .count();
            let measured = got as f64 / answers.len() as f64;
            let requests = answers.len() as f64;
            let deviation = (share * (1.0 - share) / requests).sqrt();
            let tolerance = match who == "Envoy" && self.is_in_turn() {
                true => 4.0 / requests,
                false => 5.0 * deviation + 1e-3,
            };
            assert!(
                (measured - share).abs() <= tolerance,
                "{who} gives endpoint {index} {measured}, not {share}, of {:?}\n{:?}\n{}",
                self.case,
                self.sent,
                self.cluster
            );
        }
        // Where nobody is left, both say so.
        let is_left = |health| {
            self.case
                .endpoints
                .iter()
                .any(|endpoint| endpoint.health == health)
        };
        if !is_left(Health::Healthy)
            && !is_left(Health::Degraded)
            && self.sent.panic_threshold == Some(0)
        {
            assert!(
                answers.iter().all(Option::is_none),
                "{who}: {:?}",
                self.case
            );
        }
    }
}
