//! What a controller counts of itself, as it moves.

use std::net::SocketAddr;

use meltemi_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::google::rpc::Status;
use meltemi_tests::kubernetes::{
    ApiServer, Controller, Encrypted, Mounted, REDIS_GATEWAY as GATEWAY, Tokens, controller_account,
};
use meltemi_tests::redis::service;
use meltemi_tests::{get, until};
use serde_json::{Value, json};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use crate::status::seen::Seen;
use crate::whoami::router;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const LISTENERS: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";

/// A metric with its labels; none where it is not there.
fn metric(admin: SocketAddr, name: &str) -> Option<f64> {
    let page = get(admin, "/metrics").ok()?.body;
    let series = format!("meltemi_controller_{name} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&series))?;
    value.parse().ok()
}

fn becomes(admin: SocketAddr, name: &str, is_it: impl Fn(f64) -> bool) -> f64 {
    until(&format!("{name} is what it should be"), || {
        metric(admin, name).filter(|value| is_it(*value))
    })
}

fn cluster() -> Option<ApiServer> {
    let cluster = ApiServer::with_definitions()?;
    cluster.apply(GATEWAY);
    for host in ["one.demo", "two.demo"] {
        cluster.apply(&service(
            host,
            &["127.0.0.1:1".parse().expect("an address")],
        ));
    }
    cluster.apply(&router("one.demo"));
    Some(cluster)
}

#[test]
fn what_waits_what_is_sent_and_what_is_refused() {
    let Some(cluster) = cluster() else {
        return;
    };
    let account = controller_account(&cluster);
    // While one kind may not be read nothing is published: what was heard waits.
    let get_role = ["get", "clusterrole", "meltemi-controller", "-o", "json"];
    let mut role = cluster.kubectl(&get_role).json();
    // Whichever it replaces.
    role["metadata"] = json!({ "name": "meltemi-controller" });
    cluster.apply(&without(&role, "nodes").to_string());
    let controller = Controller::start(&account);
    let admin = controller.admin();
    becomes(admin, "queue_age_seconds", |age| age > 1.0);
    becomes(admin, "watch_age_seconds{kind=\"Node\"}", |age| age > 1.0);
    let is_ready = || get(admin, "/ready").expect("an answer").status;
    assert_eq!(is_ready(), 503);
    cluster.apply(&role.to_string());
    becomes(admin, "updated_timestamp_seconds", |time| time > 0.0);
    until("it is ready", || (is_ready() == 200).then_some(()));
    becomes(admin, "queue_age_seconds", |age| age < 1.0);
    becomes(admin, "watch_age_seconds{kind=\"Node\"}", |age| age < 60.0);
    becomes(admin, "leads", |leads| leads > 0.0);

    let proxy = controller.proxy();
    let _ = proxy.address("default/edge/redis");
    becomes(admin, "proxies", |proxies| proxies > 0.0);
    let before = metric(admin, "push_seconds_count").expect("it is there");
    cluster.apply(&router("two.demo"));
    becomes(admin, "push_seconds_count", |count| count > before);
    let sum = metric(admin, "push_seconds_sum").expect("it is there");
    assert!(sum > 0.0);
    let all = metric(admin, "push_seconds_bucket{le=\"+Inf\"}").expect("it is there");
    assert!(all >= before + 1.0);

    assert_eq!(metric(admin, "rejections_total"), Some(0.0));
    let _rejecting = rejects(controller.address());
    becomes(admin, "rejections_total", |count| count >= 1.0);
    becomes(admin, "lacking_resources{why=\"refused\"}", |count| {
        count >= 1.0
    });
    // Who wrote the rule is told, and in whose words.
    let refused = ("False", "RejectedByProxy");
    let words = ["not as it likes it"];
    Seen(&cluster).has("metarouter/cache", "Programmed", refused, &words);
}

/// The rules of a role without this resource.
fn without(role: &Value, resource: &str) -> Value {
    let mut role = role.clone();
    let rules = role["rules"].as_array_mut().expect("rules");
    for rule in rules {
        if let Some(resources) = rule["resources"].as_array_mut() {
            resources.retain(|it| it != resource);
        }
    }
    role
}

/// A client that takes listeners and no cluster, for as long as what is returned is kept.
fn rejects(address: SocketAddr) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.spawn(async move {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.connect().await.expect("it is there");
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let (requests, sent) = tokio::sync::mpsc::channel(4);
        let request = |type_url: &str, nonce: &str, error_detail| DeltaDiscoveryRequest {
            type_url: type_url.to_owned(),
            response_nonce: nonce.to_owned(),
            error_detail,
            ..DeltaDiscoveryRequest::default()
        };
        for of_type in [LISTENERS, CLUSTERS] {
            let asked = requests.send(request(of_type, "", None));
            asked.await.expect("it is sent");
        }
        let answers = client.delta_aggregated_resources(ReceiverStream::new(sent));
        let mut answers = answers.await.expect("a stream").into_inner();
        while let Ok(Some(answer)) = answers.message().await {
            let first = answer.resources.first();
            let first = first.filter(|_| answer.type_url == CLUSTERS);
            let refused = first.map(|resource| Status {
                code: 3,
                message: format!("{}: not as it likes it", resource.name),
                ..Status::default()
            });
            let answer = request(&answer.type_url, &answer.nonce, refused);
            requests.send(answer).await.expect("it is sent");
        }
    });
    runtime
}

#[test]
fn until_when_certificates_count_and_who_is_turned_away() {
    let Some(cluster) = cluster() else {
        return;
    };
    let account = controller_account(&cluster);
    let controller = Encrypted::start(&account, ANY, &["--ca-lifetime", "40s"]);
    let admin = controller.admin();
    let name = |certificate: &str| {
        format!("certificate_expiry_timestamp_seconds{{certificate=\"{certificate}\"}}")
    };
    let [server, root] = ["server", "root"].map(|it| becomes(admin, &name(it), |time| time > 0.0));
    assert!(server <= root, "{server} {root}");

    let tokens = Tokens::of_new(&cluster, "edge");
    tokens.create_pod("edge-1");
    let roots = until("the roots are published", || cluster.roots_of("default"));
    let mounted = Mounted::new(&roots, "garbage");
    let refused = |why: &str| format!("refused_clients_total{{why=\"{why}\"}}");
    assert_eq!(metric(admin, &refused("token")), Some(0.0));
    let _proxy = controller.proxy(&mounted);
    becomes(admin, &refused("token"), |count| count > 0.0);
    mounted.change_token(&tokens.of_pod("edge-1", "meltemi"));
    let _other = controller.proxy_with(&mounted, &["--gateway", "elsewhere/edge"]);
    becomes(admin, &refused("claim"), |count| count > 0.0);
    assert_eq!(metric(admin, &refused("connections")), Some(0.0));

    for (certificate, before) in [("server", server), ("root", root)] {
        becomes(admin, &name(certificate), |time| time > before);
    }
}
