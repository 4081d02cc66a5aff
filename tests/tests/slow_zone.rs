//! A provider that answers slowly is healthy: it moves no load to a zone that should not have it, whatever balances
//! and whoever asks again. Timeouts that eject it move what Envoy's arithmetic says.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use meltemi_tests::thrift::HOST;
use meltemi_tests::thrift::wire::{Message, Scripted, connect, text_field};
use meltemi_tests::{Endpoint, Manifests, Meltemi, until};
use serde_json::Value;

const SLOW: Duration = Duration::from_millis(300);
const CLIENTS: i32 = 6;
/// Of each client.
const ROUNDS: i32 = 40;

/// It answers each call with its name, so long after the call came, whatever comes behind it.
fn server(name: &'static str, pause: Duration) -> Scripted {
    Scripted::start(move |mut stream| {
        let (calls, due) = mpsc::channel::<(Instant, Message)>();
        let mut answers = stream.try_clone().expect("a handle of the same socket");
        thread::spawn(move || {
            for (at, call) in due {
                thread::sleep(at.saturating_duration_since(Instant::now()));
                if answers.write_all(&call.reply(name).framed()).is_err() {
                    return;
                }
            }
        });
        while let Ok(call) = Message::read(&mut stream) {
            if calls.send((Instant::now() + pause, call)).is_err() {
                return;
            }
        }
    })
}

/// Who answered how many calls; what the proxy answered itself is `failed`.
type Counts = BTreeMap<String, usize>;

fn of(counts: &Counts, name: &str) -> usize {
    counts.get(name).copied().unwrap_or(0)
}

/// A proxy in r1/z1, before servers there and in r1/z2.
struct Zones {
    meltemi: Meltemi,
    _manifests: Manifests,
    _servers: Vec<Scripted>,
}

impl Zones {
    /// Near are the slow one and so many that are not; `policy` is the DestinationRule's, `treatment` the route's.
    fn with(fast: usize, policy: &str, treatment: &str) -> Self {
        let mut servers = vec![(server("slow", SLOW), "r1/z1/s1")];
        servers.extend((0..fast).map(|_| (server("fast", Duration::ZERO), "r1/z1/s1")));
        servers.extend((0..2).map(|_| (server("far", Duration::ZERO), "r1/z2/s1")));
        let endpoints = servers.iter().map(|(server, locality)| Endpoint {
            port: server.port(),
            version: "v1",
            locality,
        });
        let manifests = Manifests::thrift_gateway();
        manifests.service(HOST, &endpoints.collect::<Vec<_>>());
        let mut route = format!("- name: all\n  route: [{{ destination: {{ host: {HOST} }} }}]\n");
        for line in treatment.lines() {
            route.push_str(&format!("  {line}\n"));
        }
        manifests.routes(HOST, &route);
        let rule = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: probe}}\nspec:\n  \
             host: {HOST}\n  trafficPolicy: {policy}\n"
        );
        manifests.write("probe-subsets.yaml", &rule);
        let arguments = ["--workers", "1", "--locality", "r1/z1/s1"];
        Self {
            meltemi: Meltemi::run_with(manifests.path(), &arguments),
            _manifests: manifests,
            _servers: servers.into_iter().map(|(server, _)| server).collect(),
        }
    }

    /// Several clients, each with so many calls on their way at a time.
    fn load(&self, depth: i32) -> Counts {
        let address = self.meltemi.address("default/edge/thrift");
        let client = move || {
            let mut stream = connect(address).expect("the proxy listens");
            let mut answers = Vec::new();
            for _ in 0..ROUNDS {
                let calls = (0..depth).map(|seq| Message::call("echo", seq, text_field(1, "text")));
                let calls: Vec<u8> = calls.flat_map(|call| call.framed()).collect();
                stream.write_all(&calls).expect("the proxy reads");
                answers.extend((0..depth).map(|_| Message::read(&mut stream).expect("an answer")));
            }
            answers
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(client)).collect();
        let mut counts = Counts::new();
        for client in clients {
            for answer in client.join().expect("a client that ends") {
                let name = answer.text(0).unwrap_or("failed");
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
        counts
    }

    /// What part of the load each tier has.
    fn loads(&self) -> Vec<u64> {
        let page = self.meltemi.get("/clusters").expect("the clusters");
        let page: Value = serde_json::from_str(&page.body).expect("JSON");
        let cluster = &page["clusters"][format!("outbound|20880||{HOST}")];
        let tiers = cluster["tiers"].as_array().expect("tiers");
        tiers
            .iter()
            .map(|tier| tier["load"].as_u64().expect("percent"))
            .collect()
    }
}

const BALANCERS: [&str; 4] = [
    "simple: LEAST_REQUEST",
    "simple: ROUND_ROBIN",
    "simple: RANDOM",
    "peakEwma: {}",
];

#[test]
fn whatever_balances_the_load_stays_in_the_zone() {
    for balancer in BALANCERS {
        let policy = format!("{{loadBalancer: {{{balancer}}}, outlierDetection: {{}}}}");
        let zones = Zones::with(2, &policy, "");
        for depth in [1, 8] {
            let counts = zones.load(depth);
            let all = usize::try_from(CLIENTS * ROUNDS * depth).expect("a number");
            let near = of(&counts, "slow") + of(&counts, "fast");
            assert_eq!(near, all, "{balancer}, {depth} deep: {counts:?}");
        }
        assert_eq!(zones.loads(), [100, 0], "{balancer}");
    }
}

#[test]
fn fixed_shares_stay_what_they_are() {
    for balancer in BALANCERS {
        let policy = format!(
            "{{loadBalancer: {{{balancer}, localityLbSetting: {{distribute: \
             [{{from: r1/z1/*, to: {{r1/z1: 70, r1/z2: 30}}}}]}}}}}}"
        );
        // What takes too long is asked of another near one as well.
        let zones = Zones::with(2, &policy, "idempotent: true\nhedge: { delay: 50ms }\n");
        let counts = zones.load(1);
        let (all, far) = (CLIENTS * ROUNDS, of(&counts, "far"));
        let far = i32::try_from(far).expect("a number");
        // Five standard deviations of 240 draws of which 72 are expected: 35.5.
        assert!(far.abs_diff(all * 30 / 100) <= 36, "{balancer}: {counts:?}");
        assert_eq!(of(&counts, "failed"), 0, "{balancer}: {counts:?}");
    }
}

/// Where nobody else is near, the slow one is asked again, or alone.
#[test]
fn who_asks_again_asks_in_the_zone() {
    let hedged = "idempotent: true\nhedge: { delay: 30ms }\n";
    let retried =
        "idempotent: true\nretries: { attempts: 2, perTryTimeout: 60ms, retryOn: timeout }\n";
    // The treatment, how many near ones are fast, and who answers.
    for (treatment, fast, answered) in [
        (hedged, 0, "slow"),
        (hedged, 1, "fast"),
        (retried, 0, "failed"),
        (retried, 1, "fast"),
    ] {
        // The tiers count, nobody is ejected, and all may be repeated.
        let policy = "{loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 0}, \
                      retryBudget: {minRetryConcurrency: 100}}";
        let zones = Zones::with(fast, policy, treatment);
        let counts = zones.load(1);
        assert_eq!(of(&counts, "far"), 0, "{treatment}: {counts:?}");
        let all = usize::try_from(CLIENTS * ROUNDS).expect("a number");
        assert_eq!(of(&counts, answered), all, "{treatment}: {counts:?}");
    }
}

#[test]
fn timeouts_that_eject_it_move_what_envoys_arithmetic_says() {
    let policy = "{loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 3, \
                  interval: 1h, baseEjectionTime: 1h, maxEjectionPercent: 100}}";
    // One of four: 75 % could take 105 % of the load. One of two: 50 % can take 70 %.
    for (fast, loads) in [(3, [100, 0]), (1, [70, 30])] {
        let zones = Zones::with(fast, policy, "timeout: 100ms\n");
        assert_eq!(zones.loads(), [100, 0]);
        let tiers = until("the slow one is ejected", || {
            let counts = zones.load(1);
            (of(&counts, "failed") == 0).then(|| zones.loads())
        });
        assert_eq!(tiers, loads);
        let counts = zones.load(1);
        let all = CLIENTS * ROUNDS;
        let far = i32::try_from(of(&counts, "far")).expect("a number");
        match loads {
            [100, 0] => assert_eq!(far, 0, "{counts:?}"),
            // Five standard deviations.
            _ => assert!(far.abs_diff(all * 30 / 100) <= 36, "{counts:?}"),
        }
        assert_eq!(of(&counts, "slow") + of(&counts, "failed"), 0, "{counts:?}");
    }
}
