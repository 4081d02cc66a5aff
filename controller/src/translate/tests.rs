use std::fmt::Write as _;

use prost::{Message, Name};

use super::*;
use crate::controller::Controller;
use crate::fixture::{Fixture, settings};

fn dump<M: Message + Name + Default + std::fmt::Debug>(resources: &Resources, out: &mut String) {
    for (name, resource) in resources.of_type(&M::type_url()) {
        let message: M = resource.body.unpack().unwrap();
        let _ = writeln!(out, "{} {name}\n{message:#?}\n", M::NAME);
    }
}

fn resources(fixture: &Fixture, locality: &str) -> Resources {
    let mut settings = settings();
    settings.locality = locality.parse().unwrap();
    let update = Controller::open(&fixture.paths(), settings).load();
    assert!(update.report.is_valid(), "{}", update.report);
    Resources::clone(&update.resources)
}

#[test]
fn every_resource_of_the_valid_manifests() {
    let resources = resources(&Fixture::valid(), "eu/a");
    let mut out = String::new();
    dump::<own::Self_>(&resources, &mut out);
    dump::<listener::Listener>(&resources, &mut out);
    dump::<own::Service>(&resources, &mut out);
    dump::<route::RouteConfiguration>(&resources, &mut out);
    dump::<meltemi_proto::envoy::config::cluster::v3::Cluster>(&resources, &mut out);
    dump::<ClusterLoadAssignment>(&resources, &mut out);
    insta::assert_snapshot!("resources", out);
}

#[test]
fn a_waypoint_is_two_listeners_and_the_ports_of_its_services() {
    let fixture = Fixture::valid();
    fixture.write(
        "waypoint.yaml",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: way}\n\
         spec:\n  gatewayClassName: meltemi-waypoint\n  listeners:\n  \
         - {name: proxy, port: 15088, protocol: istio.io/PROXY}\n---\n\
         apiVersion: v1\nkind: Service\n\
         metadata: {name: orders, labels: {istio.io/use-waypoint: way}}\nspec:\n  \
         clusterIPs: [10.96.0.10, 'fd00::10']\n  ports:\n  \
         - {name: tcp-metaprotocol-dubbo, port: 20880}\n  - {name: http, port: 8080}\n",
    );
    let resources = resources(&fixture, "");
    let mut out = String::new();
    dump::<listener::Listener>(&resources, &mut out);
    dump::<own::Service>(&resources, &mut out);
    let of_waypoint = out.split("\n\n").filter(|it| it.contains("default/way/"));
    let of_waypoint: Vec<_> = of_waypoint.collect();
    insta::assert_snapshot!("waypoint", of_waypoint.join("\n\n"));
}

#[test]
fn equal_manifests_give_equal_bytes() {
    let one = Fixture::valid();
    // Other places, other order of documents, the same meaning.
    let other = Fixture::valid();
    other.edit("router.yaml", "apiVersion", "# moved down\napiVersion");
    other.remove("rule.yaml");
    other.write("0.yaml", crate::fixture::RULE);
    assert_eq!(resources(&one, ""), resources(&other, ""));
}

#[test]
fn where_nobody_knows_the_proxys_locality_nothing_is_said_of_it() {
    let resources = resources(&Fixture::valid(), "");
    assert_eq!(resources.of_type(&own::Self_::type_url()).count(), 0);
}

/// The proxy reads what is written here into the conditions of the model.
#[test]
fn every_condition_arrives() {
    let fixture = Fixture::valid();
    fixture.edit(
        "router.yaml",
        "    match:\n      attributes:\n        method: {exact: sayHello}\n",
        "    matches:\n    \
         - attributes: {a: {suffix: x}, b: {contains: x, ignoreCase: true}, c: {present: false}}\n    \
         - attributes: {a: {range: {start: -1, end: 7}, invert: true}, b: {exact: x, invert: true}}\n      \
           source: {locality: eu}\n    \
         - source: {principal: nobody}\n    \
         - source: {labels: {version: v1}}\n",
    );
    let mut controller = Controller::open(&fixture.paths(), settings());
    let update = controller.load();
    assert!(update.report.is_valid(), "{}", update.report);
    let url = route::RouteConfiguration::type_url();
    let (_, resource) = update.resources.of_type(&url).next().unwrap();
    let message: route::RouteConfiguration = resource.body.unpack().unwrap();
    assert_eq!(
        message.routes[0]
            .r#match
            .as_ref()
            .unwrap()
            .alternatives
            .len(),
        3
    );
    let parsed = meltemi_core::config::RouteConfig::try_from(message).unwrap();
    let model = controller.model();
    assert_eq!(
        parsed.routes[0].matches,
        model.servers[0].rules[0].matches()
    );
    assert_eq!(parsed.routes.len(), 2);
}

const POOL: &str = "    connectionPool: {tcp: {maxConnections: 1, connectTimeout: 2s, idleTimeout: 3s, \
                    maxConnectionDuration: 4s}, http: {http1MaxPendingRequests: 5, http2MaxRequests: 6, \
                    maxRequestsPerConnection: 7, maxRetries: 8, idleTimeout: 9s}}\n    outlierDetection";

fn bounded() -> Resources {
    let fixture = Fixture::valid();
    fixture.edit("rule.yaml", "    outlierDetection", POOL);
    fixture.edit(
        "rule.yaml",
        "version: v2}}",
        "version: v2}, trafficPolicy: {connectionPool: {tcp: {maxConnectionDuration: 2s}}}}",
    );
    let breaker = "  - name: hello\n    circuitBreaker: {maxRequests: 10}";
    fixture.edit("router.yaml", "  - name: hello", breaker);
    resources(&fixture, "")
}

fn messages<M: Message + Name + Default>(resources: &Resources) -> Vec<M> {
    let url = M::type_url();
    let of_type = resources.of_type(&url);
    let messages = of_type.map(|(_, resource)| resource.body.unpack().unwrap());
    messages.collect()
}

/// The proxy reads what is written here into the bounds that were asked for, of a subset too.
#[test]
fn every_bound_of_a_cluster_arrives() {
    use meltemi_core::config::{Cluster, Limits};
    use meltemi_proto::envoy::config::cluster::v3 as wire;

    let all = Limits {
        connections: Some(1),
        pending: Some(5),
        requests: Some(6),
        requests_per_connection: Some(7),
        retries: Some(8),
    };
    let clusters = messages::<wire::Cluster>(&bounded());
    assert!(clusters.len() > 1);
    for message in clusters {
        let cluster = Cluster::try_from(message).unwrap();
        // What a subset says replaces all of it.
        let (limits, idle, connect) = match cluster.name.contains("|v2|") {
            true => (Limits::default(), None, 5),
            false => (all, Some(Duration::from_secs(9)), 2),
        };
        assert_eq!((cluster.limits, cluster.idle_timeout), (limits, idle));
        assert_eq!(cluster.connect_timeout, Duration::from_secs(connect));
    }
}

#[test]
fn every_bound_of_a_server_and_a_route_arrives() {
    use meltemi_core::config::{RouteConfig, Service};

    let resources = bounded();
    let service = messages::<own::Service>(&resources).remove(0);
    let service = Service::try_from(service).unwrap();
    assert_eq!(service.idle_timeout, Some(Duration::from_secs(3)));
    // The shortest of those that its routes lead to.
    let longest = service.max_connection_duration;
    assert_eq!(longest, Some(Duration::from_secs(2)));

    let routes = messages::<route::RouteConfiguration>(&resources).remove(0);
    let routes = RouteConfig::try_from(routes).unwrap().routes;
    let breaker = routes[0].circuit_breaker.as_ref().unwrap();
    assert_eq!(breaker.name, "MetaRouter/default/greeter/hello");
    assert_eq!(breaker.max_requests, 10);
    assert_eq!(routes[1].circuit_breaker, None);
}

/// A cluster as Envoy resolves it: the name, the port and the rest in the cluster itself.
#[test]
fn names_travel_in_their_cluster() {
    use meltemi_proto::envoy::config::cluster::v3::Cluster;
    use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
    let fixture = Fixture::valid();
    let address = "{address: 10.0.0.1, locality";
    fixture.edit(
        "service.yaml",
        address,
        "{address: a.example, weight: 3, locality",
    );
    fixture.edit("service.yaml", "STATIC", "DNS");
    fixture.write(
        "itself.yaml",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: itself}\nspec:\n  \
         hosts: [itself.shop]\n  ports: [{number: 1, name: tcp-dubbo, targetPort: 2}]\n  \
         resolution: DNS_ROUND_ROBIN\n",
    );
    let to = "- destination: {host: greeter.shop, subset: v1}";
    fixture.edit("router.yaml", to, "- destination: {host: itself.shop}");
    fixture.edit(
        "router.yaml",
        "      weight: 90\n    - destination: {host: greeter.shop, subset: v2}\n",
        "      weight: 90\n    - destination: {host: greeter.shop, subset: v1}\n",
    );
    fixture.write(
        "mesh.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  \
         mesh: |\n    dnsRefreshRate: 30s\n",
    );
    let resources = resources(&fixture, "eu/a");
    assert_eq!(
        resources
            .of_type(&ClusterLoadAssignment::type_url())
            .count(),
        0
    );
    let mut out = String::new();
    dump::<Cluster>(&resources, &mut out);
    insta::assert_snapshot!("names", out);
}
