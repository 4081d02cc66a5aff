//! By `peakEwma` a slow server gets hardly a request, where by turns it gets its share.

use std::io::Write;
use std::thread;
use std::time::Duration;

use meltemi_tests::thrift::HOST;
use meltemi_tests::thrift::wire::{Message, Scripted, connect, text_field};
use meltemi_tests::{Endpoint, Manifests, Meltemi};

const CALLS: i32 = 300;

/// It answers with its name, after a while.
fn server(name: &'static str, pause: Duration) -> Scripted {
    Scripted::start(move |mut stream| {
        while let Ok(call) = Message::read(&mut stream) {
            thread::sleep(pause);
            if stream.write_all(&call.reply(name).framed()).is_err() {
                return;
            }
        }
    })
}

/// How many of the calls the slow one of three servers has.
fn asked(balancer: &str) -> usize {
    let servers = [
        server("slow", Duration::from_millis(30)),
        server("fast", Duration::ZERO),
        server("fast", Duration::ZERO),
    ];
    let manifests = Manifests::thrift_gateway();
    let endpoints = servers.each_ref().map(|server| Endpoint {
        port: server.port(),
        version: "v1",
        locality: "r1/z1/s1",
    });
    manifests.service(HOST, &endpoints);
    manifests.routes(HOST, "");
    let rule = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a}}\nspec:\n  \
         host: {HOST}\n  trafficPolicy:\n    loadBalancer: {balancer}\n"
    );
    let subsets = format!("{}-subsets.yaml", HOST.split('.').next().unwrap_or(HOST));
    manifests.write(&subsets, &rule);
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
    let mut stream = connect(meltemi.address("default/edge/thrift")).expect("the proxy listens");
    let mut slow = 0;
    for seq in 1..=CALLS {
        let call = Message::call("echo", seq, text_field(1, "text"));
        stream.write_all(&call.framed()).expect("the proxy reads");
        let answer = Message::read(&mut stream).expect("an answer");
        slow += usize::from(answer.text(0) == Some("slow"));
    }
    slow
}

#[test]
fn a_slow_server_gets_hardly_a_request() {
    assert_eq!(asked("{simple: ROUND_ROBIN}"), 100);
    let slow = asked("{peakEwma: {decay: 60s}}");
    assert!((1..=10).contains(&slow), "{slow} of {CALLS}");
}
