//! Adaptive concurrency of a MetaRouter's route: a server that gets slower the more it has to do is
//! kept from having too much.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use meltemi_tests::thrift::HOST;
use meltemi_tests::thrift::wire::{Message, Scripted, connect};
use meltemi_tests::{Endpoint, Manifests, Meltemi, until};

const CLIENTS: usize = 24;
const MOST: u64 = 8;

/// A server that answers one call after the other, and how many it has had at a time.
fn busy() -> (Scripted, Arc<AtomicU64>) {
    let (at_work, under_way) = (Mutex::new(()), AtomicU64::new(0));
    let most = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&most);
    let server = Scripted::start(move |mut stream| {
        while let Ok(call) = Message::read(&mut stream) {
            let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
            seen.fetch_max(now, Ordering::SeqCst);
            let guard = at_work.lock().expect("nobody panics");
            thread::sleep(Duration::from_millis(2));
            drop(guard);
            under_way.fetch_sub(1, Ordering::SeqCst);
            if stream.write_all(&call.reply("served").framed()).is_err() {
                return;
            }
        }
    });
    (server, most)
}

fn proxy(port: u16) -> (Manifests, Meltemi) {
    let all = format!(
        "  - name: all\n    route: [{{ destination: {{ host: {HOST} }} }}]\n    adaptiveConcurrency:\n      \
         maxConcurrencyLimit: {MOST}\n      concurrencyUpdateInterval: 20ms\n      \
         minRttCalcParams: {{ interval: 3600s, requestCount: 10, minConcurrency: 2 }}\n"
    );
    proxy_with(port, &all)
}

fn proxy_with(port: u16, routes: &str) -> (Manifests, Meltemi) {
    let manifests = Manifests::thrift_gateway();
    let endpoint = Endpoint {
        port,
        version: "v1",
        locality: "r1/z1/s1",
    };
    manifests.service(HOST, &[endpoint]);
    let router = format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata:\n  name: shop\nspec:\n  \
         hosts: [{HOST}]\n  gateways: [edge]\n  routes:\n{routes}"
    );
    manifests.write("routes.yaml", &router);
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
    (manifests, meltemi)
}

fn metric(meltemi: &Meltemi, name: &str) -> u64 {
    let page = meltemi.get("/metrics").expect("the metrics").body;
    let lines = page.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}

/// Calls of one client: how many were served, and how many refused.
fn calls(address: SocketAddr, count: i32) -> (u64, u64) {
    let mut stream = connect(address).expect("the proxy listens");
    let (mut served, mut refused) = (0, 0);
    for seq in 0..count {
        let call = Message::call("buy", seq, vec![0]);
        stream.write_all(&call.framed()).expect("the proxy reads");
        let answer = Message::read(&mut stream).expect("an answer");
        assert_eq!(answer.seq, seq);
        match answer.exception() {
            None => served += 1,
            Some((_, text)) => {
                assert!(text.contains("as many requests are under way"), "{text}");
                refused += 1;
                // As a client does that is told to try later.
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
    (served, refused)
}

#[test]
fn a_busy_server_has_no_more_to_do_than_it_can() {
    let (server, most) = busy();
    let (_manifests, meltemi) = proxy(server.port());
    let address = meltemi.address("default/edge/thrift");
    let limit = "meltemi_adaptive_concurrency_limit{";
    // Who comes alone is served, and tells the least latency.
    assert_eq!(metric(&meltemi, limit), 2);
    assert_eq!(calls(address, 40), (40, 0));
    // Then there may be more, as it takes no longer than it did.
    until("a higher limit", || {
        calls(address, 5);
        (metric(&meltemi, limit) > 2).then_some(())
    });

    let all = thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|_| scope.spawn(|| calls(address, 60)));
        let clients: Vec<_> = clients.collect();
        let ends = clients.into_iter().map(|it| it.join().expect("a client"));
        ends.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    let (served, refused) = all;
    assert_eq!(served + refused, CLIENTS as u64 * 60);
    assert!(served > 0 && refused > 0, "{all:?}");
    let most = most.load(Ordering::SeqCst);
    assert!((2..=MOST).contains(&most), "{most} at a time");
    let blocked = "meltemi_adaptive_concurrency_rq_blocked_total{";
    assert_eq!(metric(&meltemi, blocked), refused);
    let end = metric(&meltemi, limit);
    assert!((2..MOST).contains(&end), "{end} with a queue");

    // What was under way is over: nobody is refused who comes alone.
    assert_eq!(calls(address, 40), (40, 0));
}

#[test]
fn routes_without_a_name_have_limits_of_their_own() {
    let (server, _) = busy();
    let route = |method: &str, least: u32| {
        format!(
            "  - match: {{ attributes: {{ method: {{ exact: {method} }} }} }}\n    \
             route: [{{ destination: {{ host: {HOST} }} }}]\n    adaptiveConcurrency:\n      \
             concurrencyUpdateInterval: 20ms\n      \
             minRttCalcParams: {{ interval: 3600s, minConcurrency: {least} }}\n"
        )
    };
    let routes = route("buy", 2) + &route("sell", 5);
    let (_manifests, meltemi) = proxy_with(server.port(), &routes);
    for (number, least) in [(1, 2), (2, 5)] {
        let limit =
            format!("meltemi_adaptive_concurrency_limit{{route=\"default/edge/thrift {number}\"}}");
        assert_eq!(metric(&meltemi, &limit), least);
    }
}
