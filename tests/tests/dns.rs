//! Endpoints that have names: answers that change, fail or lie, before real servers.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use meltemi_tests::dns::{Answer, DnsServer, Transport};
use meltemi_tests::redis::{Server, Wire, manifests};
use meltemi_tests::{Manifests, Meltemi, until};
use serde_json::Value;

const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const THREE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// Names are asked for five times a second.
const MESH: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    dnsRefreshRate: 200ms
";

/// Two real servers at one port, which say who they are, and names that lead to them.
struct Shop {
    dns: DnsServer,
    servers: Vec<Server>,
    manifests: Manifests,
}

impl Shop {
    /// `None`: redis-server is not installed.
    fn open() -> Option<Self> {
        if !Server::is_installed() {
            return None;
        }
        let servers = Server::start_together(&[TWO, THREE]);
        for server in &servers {
            let ip = server.address().ip();
            assert_eq!(server.connect().call(&format!("SET who {ip}")), "+OK");
        }
        let manifests = manifests(&[]);
        manifests.write("mesh.yaml", MESH);
        Some(Self {
            dns: DnsServer::start(),
            servers,
            manifests,
        })
    }

    /// The ServiceEntry of `cache.demo`, at the servers' port.
    fn service(&self, rest: &str) {
        let port = self.servers.first().expect("two servers").address().port();
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: cache}}\n\
             spec:\n  hosts: [cache.demo]\n  \
             ports: [{{number: 6379, name: tcp-redis, targetPort: {port}}}]\n  {rest}\n"
        );
        self.manifests.write("service.yaml", &text);
    }

    fn run(&self, arguments: &[&str]) -> Meltemi {
        let server = self.dns.address();
        let mut all = vec!["--workers", "1", "--dns-server", &server];
        all.extend(arguments);
        Meltemi::run_with(self.manifests.path(), &all)
    }
}

fn connect(meltemi: &Meltemi) -> Wire {
    Wire::connect(meltemi.address("default/edge/redis"))
}

/// Who answers, or what is said instead.
fn who(client: &mut Wire) -> String {
    client.call("GET who")
}

fn until_answers(client: &mut Wire, expected: &str) {
    until(&format!("{expected} answers"), || {
        (who(client) == expected).then_some(())
    });
}

fn metric(meltemi: &Meltemi, name: &str) -> f64 {
    let page = meltemi.get("/metrics").expect("the admin address answers");
    let mut lines = page.body.lines();
    let line = lines.find(|line| line.starts_with(name) && line.contains("cache.demo"));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_default()
}

/// A cluster as `/clusters` has it.
fn cluster(meltemi: &Meltemi) -> Value {
    let page = meltemi.get("/clusters").expect("the admin address answers");
    let page: Value = serde_json::from_str(&page.body).expect("JSON");
    page["clusters"]["outbound|6379||cache.demo"].clone()
}

const NOBODY: &str = "-ERR proxy: no healthy endpoint in outbound|6379||cache.demo";

#[test]
fn answers_change_under_load_and_nothing_fails() {
    let Some(shop) = Shop::open() else { return };
    shop.service("resolution: DNS");
    shop.dns
        .set("cache.demo", Answer::addresses(&["127.0.0.2"]));
    let meltemi = shop.run(&[]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = connect(&meltemi);
            let mut seen = vec![];
            while !stop.load(Ordering::Relaxed) {
                seen.push(who(&mut client));
            }
            seen
        });
        let mut client = connect(&meltemi);
        until_answers(&mut client, "127.0.0.2");
        for answer in ["127.0.0.3", "127.0.0.2"] {
            shop.dns.set("cache.demo", Answer::addresses(&[answer]));
            until_answers(&mut client, answer);
            // Nobody else from then on.
            assert!((0..50).all(|_| who(&mut client) == answer));
        }
        shop.dns
            .set("cache.demo", Answer::addresses(&["127.0.0.2", "127.0.0.3"]));
        until_answers(&mut client, "127.0.0.3");
        until_answers(&mut client, "127.0.0.2");
        stop.store(true, Ordering::Relaxed);
        let seen = load.join().expect("the load runs to its end");
        let is_known = |who: &String| who == "127.0.0.2" || who == "127.0.0.3";
        let odd: Vec<_> = seen.iter().filter(|who| !is_known(who)).collect();
        assert!(odd.is_empty(), "of {}: {odd:?}", seen.len());
    });
    assert!(metric(&meltemi, "meltemi_dns_update_successes_total") >= 4.0);
}

#[test]
fn failures_keep_the_last_answer_and_a_name_that_is_gone_has_no_endpoint() {
    let Some(shop) = Shop::open() else { return };
    shop.service("resolution: DNS");
    shop.dns
        .set("cache.demo", Answer::addresses(&["127.0.0.2"]));
    let meltemi = shop.run(&[]);
    let mut client = connect(&meltemi);
    until_answers(&mut client, "127.0.0.2");

    shop.dns.set("cache.demo", Answer::Failure);
    until("two lookups fail", || {
        (metric(&meltemi, "meltemi_dns_update_failures_total") >= 2.0).then_some(())
    });
    assert_eq!(who(&mut client), "127.0.0.2");
    let name = &cluster(&meltemi)["dns"]["names"][0];
    assert_eq!(name["name"], "cache.demo");
    assert_eq!(name["addresses"][0], "127.0.0.2");
    assert!(
        name["error"]
            .as_str()
            .is_some_and(|error| !error.is_empty()),
        "{name}"
    );
    assert!(
        name["answer_age"].as_f64().is_some_and(|age| age > 0.0),
        "{name}"
    );

    shop.dns.remove("cache.demo");
    until_answers(&mut client, NOBODY);
    assert!(metric(&meltemi, "meltemi_dns_update_empty_total") >= 1.0);
    let gone = cluster(&meltemi);
    assert_eq!(gone["endpoints"], serde_json::json!([]));
    let name = &gone["dns"]["names"][0];
    assert_eq!(name["error"], "there is no such name (NXDOMAIN)", "{name}");
    shop.dns.set("cache.demo", Answer::addresses(&[]));
    until("the name is told to have no addresses", || {
        let told = &cluster(&meltemi)["dns"]["names"][0]["error"];
        (told == "the name has no addresses").then_some(())
    });

    shop.dns.set("cache.demo", Answer::Alias("real.demo"));
    shop.dns.set("real.demo", Answer::addresses(&["127.0.0.3"]));
    until_answers(&mut client, "127.0.0.3");
    // Aliases that lead in a circle lead to nobody.
    shop.dns.set("real.demo", Answer::Alias("cache.demo"));
    until_answers(&mut client, NOBODY);
}

#[test]
fn each_endpoint_has_its_name_and_its_place() {
    let Some(shop) = Shop::open() else { return };
    shop.service(
        "resolution: DNS\n  endpoints:\n  \
         - {address: near.demo, locality: r1/z1, labels: {version: v1}}\n  \
         - {address: far.demo, locality: r2/z1, labels: {version: v2}}",
    );
    shop.manifests.write(
        "rule.yaml",
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: cache}\n\
         spec: {host: cache.demo, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}}\n",
    );
    shop.dns.set("near.demo", Answer::addresses(&["127.0.0.2"]));
    shop.dns.set("far.demo", Answer::addresses(&["127.0.0.3"]));
    let meltemi = shop.run(&["--locality", "r1/z1"]);
    let mut client = connect(&meltemi);
    assert!((0..50).all(|_| who(&mut client) == "127.0.0.2"));
    let page = cluster(&meltemi);
    for (index, tier, name) in [(0, 0, "near.demo"), (1, 1, "far.demo")] {
        let endpoint = &page["endpoints"][index];
        assert_eq!(endpoint["tier"], tier, "{endpoint}");
        assert_eq!(endpoint["hostname"], name, "{endpoint}");
    }
    let explained = meltemi.post("/explain", r#"{"service": "cache.demo"}"#);
    assert!(explained.body.contains("127.0.0.3"), "{}", explained.body);
    shop.dns.remove("near.demo");
    until_answers(&mut client, "127.0.0.3");
    assert!((0..50).all(|_| who(&mut client) == "127.0.0.3"));
}

/// As in Envoy: what localities weigh is decided before names are resolved.
#[test]
fn a_locality_has_its_share_however_many_addresses_its_name_has() {
    let Some(shop) = Shop::open() else { return };
    shop.service(
        "resolution: DNS\n  endpoints:\n  \
         - {address: many.demo, locality: r1/z1}\n  \
         - {address: one.demo, locality: r1/z2}",
    );
    shop.manifests.write(
        "rule.yaml",
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: cache}\n\
         spec: {host: cache.demo, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [\
         {from: '*', to: {'r1/*': 100}}]}}}}\n",
    );
    let many = ["127.0.0.2", "127.0.0.4", "127.0.0.5"];
    shop.dns.set("many.demo", Answer::addresses(&many));
    shop.dns.set("one.demo", Answer::addresses(&["127.0.0.3"]));
    let meltemi = shop.run(&[]);
    let page = cluster(&meltemi);
    let endpoints = page["endpoints"].as_array().into_iter().flatten();
    let shares: Vec<_> = endpoints
        .map(|it| {
            it["share"]
                .as_f64()
                .map(|share| (share * 6.0 / 100.0).round())
        })
        .collect();
    assert_eq!(shares, [1.0, 1.0, 1.0, 3.0].map(Some), "{page}");
}

/// What holds it is a subscription; whoever ejected it has forgotten it with its address.
#[test]
fn an_ejected_endpoint_that_leaves_and_comes_back_is_new() {
    let Some(shop) = Shop::open() else { return };
    shop.service("resolution: DNS");
    shop.manifests.write("routes.yaml", IMPATIENT);
    let both = ["127.0.0.2", "127.0.0.3"];
    shop.dns.set("cache.demo", Answer::addresses(&both));
    let meltemi = shop.run(&[]);
    let mut subscribers = [connect(&meltemi), connect(&meltemi)];
    for subscriber in &mut subscribers {
        subscriber.call("SUBSCRIBE news");
    }
    let mut client = connect(&meltemi);
    until_answers(&mut client, "127.0.0.3");
    let frozen = shop.servers.last().expect("two servers").process();
    frozen.signal("STOP");
    until("it is ejected", || {
        who(&mut client);
        (metric(&meltemi, "meltemi_upstream_ejected_endpoints") == 1.0).then_some(())
    });
    frozen.signal("CONT");
    assert!((0..50).all(|_| who(&mut client) == "127.0.0.2"));
    for (addresses, count) in [(&both[..1], 1), (&both[..], 2)] {
        shop.dns.set("cache.demo", Answer::addresses(addresses));
        until("the answer counts", || {
            let endpoints = cluster(&meltemi)["endpoints"].as_array().map(Vec::len);
            (endpoints == Some(count)).then_some(())
        });
    }
    until_answers(&mut client, "127.0.0.3");
}

/// An endpoint that is silent is out for long.
const IMPATIENT: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: cache}
spec: {hosts: [cache.demo], gateways: [edge], routes: [{name: all, timeout: 200ms}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cache}
spec:
  host: cache.demo
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 600s}
";

#[test]
fn one_endpoint_of_many_addresses_keeps_its_connections() {
    let Some(shop) = Shop::open() else { return };
    shop.service("resolution: DNS_ROUND_ROBIN");
    shop.dns
        .set("cache.demo", Answer::addresses(&["127.0.0.2", "127.0.0.3"]));
    let meltemi = shop.run(&[]);
    let mut client = connect(&meltemi);
    assert!((0..50).all(|_| who(&mut client) == "127.0.0.2"));
    let page = cluster(&meltemi);
    let port = shop.servers[0].address().port();
    assert_eq!(
        page["endpoints"].as_array().map(Vec::len),
        Some(1),
        "{page}"
    );
    assert_eq!(
        page["endpoints"][0]["address"],
        format!("cache.demo:{port}")
    );

    shop.dns
        .set("cache.demo", Answer::addresses(&["127.0.0.3", "127.0.0.2"]));
    until("the name leads to the other", || {
        (cluster(&meltemi)["endpoints"][0]["ip"] == "127.0.0.3").then_some(())
    });
    // The connection that there is stays, and a new one is made to the first address.
    assert!((0..50).all(|_| who(&mut client) == "127.0.0.2"));
    assert_eq!(client.call("MULTI"), "+OK");
    assert_eq!(client.call("GET who"), "+QUEUED");
    assert_eq!(who(&mut connect(&meltemi)), "127.0.0.3");
    assert_eq!(client.call("EXEC"), "[127.0.0.2]");
    // A name that is gone closes nothing.
    shop.dns.remove("cache.demo");
    until("a lookup fails", || {
        (metric(&meltemi, "meltemi_dns_update_failures_total") >= 1.0).then_some(())
    });
    assert!(who(&mut client).starts_with("127.0.0."));
}

#[test]
fn a_server_that_says_nothing_holds_nobody_up_for_long() {
    let Some(shop) = Shop::open() else { return };
    shop.service("resolution: DNS");
    shop.dns.set("cache.demo", Answer::Silence);
    let meltemi = shop.run(&[]);
    let mut client = connect(&meltemi);
    assert_eq!(who(&mut client), NOBODY);
    shop.dns
        .set("cache.demo", Answer::addresses(&["127.0.0.3"]));
    until_answers(&mut client, "127.0.0.3");
}

#[test]
fn long_answers_come_whole_and_lies_are_left_out() {
    let Some(shop) = Shop::open() else { return };
    shop.service("resolution: DNS");
    let mut addresses: Vec<_> = (0..1500u32)
        .map(|n| Ipv4Addr::from(0x7f01_0001 + n).into())
        .collect();
    addresses.push(Ipv4Addr::UNSPECIFIED.into());
    addresses.push(Ipv4Addr::new(224, 0, 0, 1).into());
    shop.dns
        .set("cache.demo", Answer::Addresses { addresses, ttl: 0 });
    let meltemi = shop.run(&[]);
    assert!(shop.dns.asked("cache.demo", Transport::Tcp) >= 1);
    let endpoints = cluster(&meltemi)["endpoints"].as_array().map(Vec::len);
    assert_eq!(endpoints, Some(1024));
    assert!(metric(&meltemi, "meltemi_dns_addresses_dropped_total") >= 478.0);
    // Of lies alone nothing is believed.
    shop.dns
        .set("cache.demo", Answer::addresses(&["127.0.0.2"]));
    let mut client = connect(&meltemi);
    until("the addresses are there", || {
        let endpoints = cluster(&meltemi)["endpoints"].as_array().map(Vec::len);
        (endpoints == Some(1)).then_some(())
    });
    until_answers(&mut client, "127.0.0.2");
    shop.dns.set("cache.demo", Answer::addresses(&["0.0.0.0"]));
    until("the lie fails", || {
        (metric(&meltemi, "meltemi_dns_update_failures_total") >= 1.0).then_some(())
    });
    assert_eq!(who(&mut client), "127.0.0.2");
}
