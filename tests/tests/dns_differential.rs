//! The same names before a real Envoy, by the clusters that our control plane makes: after the same
//! answers both have the same endpoints.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;

use meltemi_controller::ads::{Published, Rejection, Server};
use meltemi_controller::{Controller, ProtocolSchema, Settings};
use meltemi_tests::dns::{Answer, DnsServer};
use meltemi_tests::{Envoy, Manifests, Meltemi, Process, binary, until};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::TcpListenerStream;

const MANIFESTS: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec: {servers: [{port: {number: 0, name: tcp-redis}, bind: 127.0.0.1}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: strict}
spec:
  hosts: [strict.demo]
  ports: [{number: 6379, name: tcp-redis}]
  resolution: DNS
  endpoints:
  - {address: a.demo, weight: 2, locality: r1/z1}
  - {address: b.demo, locality: r2/z1, ports: {tcp-redis: 7000}}
  - {address: 127.0.0.9}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: logical}
spec:
  hosts: [logical.demo]
  ports: [{number: 6379, name: tcp-redis}]
  resolution: DNS_ROUND_ROBIN
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: strict}
spec:
  hosts: [strict.demo]
  gateways: [edge]
  routes:
  - {name: one, match: {attributes: {command: {exact: get}}}, route: [{destination: {host: logical.demo}}]}
  - {name: other}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'dnsRefreshRate: 200ms'}
";

fn resources() -> Arc<Published> {
    let manifests = Manifests::new();
    manifests.write("all.yaml", MANIFESTS);
    let settings = Settings::new(vec![ProtocolSchema {
        id: "redis".to_owned(),
        attributes: vec![],
        open: true,
        service_attribute: None,
        lower_case: vec![],
    }]);
    let update = Controller::open(&[manifests.path().to_owned()], settings).load();
    assert!(update.report.is_valid(), "{}", update.report);
    update.resources
}

/// The control plane of both, and what they reject.
fn serve(runtime: &Runtime) -> (SocketAddr, mpsc::Receiver<Rejection>) {
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (published, served) = watch::channel(Some(resources()));
    let (rejected, rejections) = mpsc::channel(64);
    runtime.spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        let ended = Server::new(served, rejected)
            .serve::<tokio::net::TcpStream>(incoming, std::future::pending::<()>());
        let ended = ended.await;
        drop(published);
        ended
    });
    (address, rejections)
}

fn envoy(control: SocketAddr, dns: &DnsServer) -> Option<Envoy> {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    const CARES: &str = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
    let socket = |address: &SocketAddr| {
        json!({"socket_address": {
            "address": address.ip().to_string(), "port_value": address.port()}})
    };
    let server: SocketAddr = dns.address().parse().expect("an address");
    let bootstrap = json!({
        "node": {"id": "envoy", "cluster": "test"},
        "typed_dns_resolver_config": {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": format!("type.googleapis.com/{CARES}"),
                "resolvers": [socket(&server)],
                "dns_resolver_options": {"no_default_search_domain": true},
            },
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC", "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "control-plane"}}],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [{
            "name": "control-plane",
            "type": "STATIC",
            "typed_extension_protocol_options": {OPTIONS: {
                "@type": format!("type.googleapis.com/{OPTIONS}"),
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "load_assignment": {
                "cluster_name": "control-plane",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(&control)}}]}],
            },
        }]},
    });
    Some(Envoy::start(&Envoy::binary()?, bootstrap))
}

fn meltemi(control: SocketAddr, dns: &DnsServer) -> Meltemi {
    let mut command = Command::new(binary());
    command
        .args(["proxy", "--admin", "127.0.0.1:0", "--workers", "1"])
        .args([
            "--xds",
            &control.to_string(),
            "--dns-server",
            &dns.address(),
        ]);
    Meltemi::of(Process::spawn("meltemi", &mut command))
}

/// Address, host name, weight and locality of each endpoint.
type Endpoints = Vec<(String, String, u64, String)>;

fn of_envoy(envoy: &Envoy, cluster: &str) -> Endpoints {
    let page = envoy.page("/clusters?format=json");
    let clusters = page["cluster_statuses"].as_array().into_iter().flatten();
    let found = clusters.filter(|it| it["name"] == cluster);
    let hosts = found.flat_map(|it| it["host_statuses"].as_array().into_iter().flatten());
    let mut endpoints: Endpoints = hosts
        .map(|host| {
            let socket = &host["address"]["socket_address"];
            let ip: IpAddr = text(&socket["address"]).parse().expect("an IP address");
            let port = socket["port_value"]
                .as_u64()
                .and_then(|port| port.try_into().ok());
            let address = SocketAddr::new(ip, port.expect("a port")).to_string();
            let parts = ["region", "zone"].map(|part| text(&host["locality"][part]));
            let locality = parts.join("/").trim_matches('/').to_owned();
            let weight = host["weight"].as_u64().unwrap_or(1);
            (address, text(&host["hostname"]), weight, locality)
        })
        .collect();
    endpoints.sort();
    endpoints
}

fn of_meltemi(meltemi: &Meltemi, cluster: &str) -> Endpoints {
    let page = meltemi.get("/clusters").expect("the admin address answers");
    let page: Value = serde_json::from_str(&page.body).expect("JSON");
    let cluster = &page["clusters"][cluster];
    let is_logical = cluster["dns"]["type"] == "LOGICAL_DNS";
    let hosts = cluster["endpoints"].as_array().into_iter().flatten();
    let mut endpoints: Endpoints = hosts
        .map(|host| {
            let mut address = text(&host["address"]);
            // Envoy shows where the next connection leads.
            if is_logical {
                let first = text(&cluster["dns"]["names"][0]["addresses"][0]);
                address = address.replace("logical.demo", &first);
            }
            let weight = host["weight"].as_u64().unwrap_or(1);
            (
                address,
                text(&host["hostname"]),
                weight,
                text(&host["locality"]),
            )
        })
        .collect();
    endpoints.sort();
    endpoints
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn both_have_the_same_endpoints_after_the_same_answers() {
    let runtime = Runtime::new().expect("threads");
    let dns = DnsServer::start();
    let sets: [&[(&str, Option<Answer>, usize)]; 7] = [
        // What is answered, and how many endpoints the strict cluster has then.
        &[
            (
                "a.demo",
                Some(Answer::addresses(&["127.0.0.2", "127.0.0.3"])),
                4,
            ),
            ("b.demo", Some(Answer::addresses(&["127.0.0.4"])), 4),
            (
                "logical.demo",
                Some(Answer::addresses(&["127.0.0.6", "127.0.0.5"])),
                4,
            ),
        ],
        &[
            ("a.demo", Some(Answer::Failure), 4),
            ("logical.demo", Some(Answer::Failure), 4),
        ],
        &[("a.demo", None, 2), ("logical.demo", None, 2)],
        &[("b.demo", Some(Answer::addresses(&["::1"])), 2)],
        &[("b.demo", Some(Answer::addresses(&["::1", "127.0.0.4"])), 2)],
        &[("a.demo", Some(Answer::Alias("b.demo")), 3)],
        &[(
            "logical.demo",
            Some(Answer::addresses(&["127.0.0.7", "127.0.0.6"])),
            3,
        )],
    ];
    let (control, mut rejections) = serve(&runtime);
    let mut proxies = None;
    for set in sets {
        for (name, answer, _) in set {
            match answer {
                Some(answer) => dns.set(name, answer.clone()),
                None => dns.remove(name),
            }
        }
        let (envoy, meltemi) = match &proxies {
            Some((envoy, meltemi)) => (envoy, meltemi),
            None => {
                let Some(envoy) = envoy(control, &dns) else {
                    return;
                };
                let made = proxies.insert((envoy, meltemi(control, &dns)));
                (&made.0, &made.1)
            }
        };
        agree(envoy, meltemi, &dns, set);
    }
    let rejected = rejections.try_recv().ok();
    assert!(rejected.is_none(), "{rejected:?}");
}

/// Each name is asked for twice more, so that both have heard the answer.
fn agree(envoy: &Envoy, meltemi: &Meltemi, dns: &DnsServer, set: &[(&str, Option<Answer>, usize)]) {
    use meltemi_tests::dns::Transport::Udp;
    for (name, ..) in set {
        let before = dns.asked(name, Udp);
        until("both have asked again", || {
            (dns.asked(name, Udp) >= before + 12).then_some(())
        });
    }
    for (cluster, count) in [
        ("strict.demo", set.last().map(|it| it.2)),
        ("logical.demo", Some(1)),
    ] {
        let cluster = format!("outbound|6379||{cluster}");
        until(&format!("the two agree on {cluster} after {set:?}"), || {
            let ours = of_meltemi(meltemi, &cluster);
            let theirs = of_envoy(envoy, &cluster);
            let agree = ours == theirs && Some(ours.len()) == count;
            agree.then_some(())
        });
    }
}
