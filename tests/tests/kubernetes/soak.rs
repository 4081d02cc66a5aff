//! Objects that change at random while proxies and controllers come and go, and one of these hears late of what changes: in
//! the end everybody has what a fresh start gives, and no proxy ever went back.
//!
//! `MELTEMI_SOAK` is how many seconds it takes; a few unless given.

use meltemi_tests::kubernetes::REDIS_GATEWAY as GATEWAY;
use std::env;
use std::fs;
use std::time::{Duration, Instant};

use meltemi_tests::kubernetes::{ApiServer, Controller};
use meltemi_tests::relay::Gate;
use meltemi_tests::{Meltemi, until};
use serde_json::Value;

use crate::held::Replica;

const SHORT: u64 = 15;
/// So many services, each with a router.
const SERVICES: u64 = 8;
/// The resident memory of a controller may grow by this much after its first third (KiB).
const GROWTH: u64 = 24 << 10;

/// The same each time: xorshift.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn service(name: &str, ports: impl IntoIterator<Item = u64>) -> String {
    let ports = ports.into_iter();
    let endpoints: Vec<_> = ports
        .map(|port| format!("{{address: 127.0.0.1, ports: {{tcp-redis: {port}}}}}"))
        .collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: default}}\n\
         spec:\n  hosts: [{name}.demo]\n  ports: [{{number: 6379, name: tcp-redis, protocol: TCP}}]\n  \
         location: MESH_INTERNAL\n  resolution: STATIC\n  endpoints: [{}]\n---\n",
        endpoints.join(", ")
    )
}

fn router(name: &str, to: &str, priority: u64) -> String {
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: {name}, namespace: default}}\n\
         spec:\n  hosts: [{name}.demo]\n  gateways: [edge]\n  priority: {priority}\n  routes:\n  \
         - match: {{attributes: {{key: {{exact: {name}}}}}}}\n    route: [{{destination: {{host: {to}}}}}]\n---\n"
    )
}

/// A Service of Kubernetes, with endpoints of which each has its own readiness.
fn kubernetes_service(name: &str, ready: impl IntoIterator<Item = bool>) -> String {
    let endpoints: Vec<_> = ready
        .into_iter()
        .enumerate()
        .map(|(n, ready)| {
            format!(
                "{{addresses: [10.1.0.{}], conditions: {{ready: {ready}}}}}",
                n + 1
            )
        })
        .collect();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\n\
         spec: {{ports: [{{name: tcp-redis, port: 6379}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}-1, namespace: default, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: tcp-redis, port: 6379}}]\nendpoints: [{}]\n---\n",
        endpoints.join(", ")
    )
}

fn destination_rule(name: &str, host: &str, most: u64) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: default}}\n\
         spec:\n  host: {host}\n  trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {most}}}}}}}\n---\n"
    )
}

fn named(number: u64) -> String {
    format!("s{number}")
}

/// Where a router may lead: to a ServiceEntry, or to a Service of Kubernetes.
fn destination(chance: &mut Chance) -> String {
    let name = named(chance.below(SERVICES));
    match chance.below(3) {
        0 => format!("k{name}.default.svc.cluster.local"),
        _ => format!("{name}.demo"),
    }
}

/// Some services have other endpoints or come and go, some routers and rules do, and the clock goes on.
fn churn(cluster: &ApiServer, chance: &mut Chance, turn: u64) {
    let mut manifests = service("clock", [10_000 + turn]);
    for _ in 0..1 + chance.below(4) {
        let name = named(chance.below(SERVICES));
        let of_kubernetes = format!("k{name}");
        // What goes comes back in another turn.
        let gone = match chance.below(9) {
            0 => Some(("metarouter", &name)),
            1 => Some(("destinationrule", &name)),
            2 => Some(("serviceentry", &name)),
            3 => Some(("service", &of_kubernetes)),
            _ => None,
        };
        if let Some((kind, name)) = gone {
            let delete = ["delete", kind, name, "--ignore-not-found"];
            cluster.kubectl(&delete).expect_success("it goes");
            continue;
        }
        manifests.push_str(&match chance.below(5) {
            0 => {
                let ports = 0..1 + chance.below(5);
                let ports: Vec<_> = ports.map(|_| 20_000 + chance.below(1000)).collect();
                service(&name, ports)
            }
            1 => {
                let ready: Vec<_> = (0..1 + chance.below(4))
                    .map(|_| chance.below(3) > 0)
                    .collect();
                kubernetes_service(&of_kubernetes, ready)
            }
            2 => destination_rule(&name, &destination(chance), 1 + chance.below(1000)),
            _ => router(&name, &destination(chance), chance.below(100)),
        });
    }
    cluster.apply(&manifests);
}

fn dump(proxy: &Meltemi) -> Option<Value> {
    serde_json::from_str(&proxy.get("/config_dump")?.body).ok()
}

/// How far it has got.
fn clock(proxy: &Meltemi) -> Option<u64> {
    let page: Value = serde_json::from_str(&proxy.get("/clusters")?.body).ok()?;
    let endpoints = &page["clusters"]["outbound|6379||clock.demo"]["endpoints"];
    let address = endpoints.as_array()?.first()?["address"].as_str()?;
    address.rsplit_once(':')?.1.parse().ok()
}

/// Resident memory of a process (KiB).
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let size = line.and_then(|line| line.split_whitespace().next());
    size.and_then(|size| size.parse().ok()).expect("a size")
}

/// A proxy, and the furthest that it was seen at.
struct Watched {
    proxy: Meltemi,
    furthest: u64,
}

impl Watched {
    fn look(&mut self) {
        let Some(now) = clock(&self.proxy) else {
            return;
        };
        assert!(now >= self.furthest, "back from {} to {now}", self.furthest);
        self.furthest = now;
    }
}

/// A replica that hears of nothing now and then, and the way of a proxy that comes to it meanwhile.
struct Lagging {
    replica: Replica,
    way: Gate,
}

impl Lagging {
    const TURNS: u64 = 8;

    fn start(cluster: &ApiServer, stays: &Controller) -> Self {
        Self {
            replica: Replica::start(cluster),
            way: Gate::to(stays.address()),
        }
    }

    fn turn(&self, turn: u64, stays: &Controller) {
        match turn % Self::TURNS {
            1 => self.replica.gate.hold(),
            3 => self.way.leads_to(self.replica.controller.address()),
            5 => self.replica.gate.release(),
            7 => self.way.leads_to(stays.address()),
            _ => {}
        }
    }

    /// It hears of everything again, and has the proxy.
    fn ends(&self) {
        self.replica.gate.release();
        self.way.leads_to(self.replica.controller.address());
    }

    fn was_met(&self) -> bool {
        let said = self.replica.controller.process().said();
        said.contains("a client was served more than is known here")
    }
}

/// What rules still name stays where it was known, and a fresh one would not know it.
fn everything_is_there(cluster: &ApiServer) {
    let mut all = String::new();
    for name in (0..SERVICES).map(named) {
        all.push_str(&service(&name, [20_000]));
        all.push_str(&kubernetes_service(&format!("k{name}"), [true]));
    }
    cluster.apply(&all);
}

#[test]
fn nobody_goes_back_and_all_end_alike() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    let mut first = GATEWAY.to_owned() + "---\n" + &service("clock", [10_000]);
    first.push_str(&router("clock", "clock.demo", 1000));
    (0..SERVICES).for_each(|number| first.push_str(&service(&named(number), [20_000])));
    cluster.apply(&first);
    let stays = Controller::start(&cluster.kubeconfig());
    let mut leaves = Controller::start(&cluster.kubeconfig());
    let watched = |controller: &Controller| Watched {
        proxy: controller.proxy(),
        furthest: 0,
    };
    let lagging = Lagging::start(&cluster, &stays);
    let wanders = Watched {
        proxy: Controller::proxy_at(lagging.way.address(), &[]),
        furthest: 0,
    };
    let mut proxies = vec![watched(&stays), watched(&stays), watched(&leaves), wanders];

    let seconds = env::var("MELTEMI_SOAK").ok().and_then(|it| it.parse().ok());
    let duration = Duration::from_secs(seconds.unwrap_or(SHORT));
    let (start, mut chance, mut settled) = (Instant::now(), Chance(0x5eed), None);
    let mut turn = 0;
    while start.elapsed() < duration {
        turn += 1;
        churn(&cluster, &mut chance, turn);
        lagging.turn(turn, &stays);
        proxies.iter_mut().for_each(Watched::look);
        match chance.below(8) {
            // Its proxy is served by another one, which begins anew.
            0 => leaves = leaves.restarted(),
            1 => proxies[1] = watched(&stays),
            _ => {}
        }
        if start.elapsed() > duration / 3 {
            let now = resident(stays.process().pid());
            let settled = *settled.get_or_insert(now);
            assert!(now < settled + GROWTH, "from {settled} to {now} KiB");
        }
    }

    everything_is_there(&cluster);
    lagging.ends();
    assert!(turn < Lagging::TURNS || lagging.was_met());

    let fresh = Controller::start(&cluster.kubeconfig());
    let reference = fresh.proxy();
    until("a fresh one is at the end", || {
        (clock(&reference)? == 10_000 + turn).then_some(())
    });
    for Watched { proxy, .. } in &proxies {
        until("it has what a fresh one has", || {
            let (one, other) = (dump(proxy)?, dump(&reference)?);
            (one["version"] == other["version"]).then_some(())
        });
    }
}
