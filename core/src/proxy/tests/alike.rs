//! Requests with the attributes of the one before take its route, as long as there is such a route.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use meltemi_codec::kit::sample::by_id::{Header, Kind, frame};
use meltemi_policy::{AttributeMatch, Condition};

use super::harness::{CLUSTER, Client, Running, any_port, snapshot, tcp_echo, wait};
use crate::config::{Address, Route, RouteConfig, Snapshot};

const LISTENER: &str = "default/edge/sample";

/// Routes in this order, each for one value of `attribute`, and one for all else.
fn routed(upstream: &Address, attribute: &str, values: &[&str]) -> Snapshot {
    let upstreams = std::slice::from_ref(upstream);
    let mut snapshot = snapshot("v", &[(LISTENER, any_port())], upstreams);
    let named = values.iter().map(|value| Route {
        matches: vec![vec![AttributeMatch::new(
            attribute,
            Condition::Exact((*value).into()),
        )]],
        ..Route::new(value, CLUSTER)
    });
    let routes = named.chain([Route::new("rest", CLUSTER)]);
    let config = RouteConfig::new("echo-routes", routes.map(Arc::new).collect());
    snapshot.routes.insert("echo-routes".into(), config.into());
    snapshot
}

fn call(client: &mut Client<TcpStream>, id: u64, attributes: &[(&str, &str)]) {
    let header = Header::new(Kind::Request, id);
    client
        .0
        .write_all(&frame(header, attributes, b"x"))
        .unwrap();
    assert_eq!(client.receive().0.id, id);
}

fn requests(proxy: &Running, route: &str) -> f64 {
    let labels = format!(r#"service="default/echo",route="{route}",destination="{CLUSTER}""#);
    let line = format!(r#"meltemi_requests_total{{{labels},outcome="ok""#);
    proxy.metric(&line).unwrap_or(0.0)
}

#[test]
fn the_route_changes_with_the_attributes() {
    for attribute in ["method", "tenant"] {
        let upstream = tcp_echo();
        let proxy = Running::start(routed(&upstream, attribute, &["one", "two"]));
        proxy.ready();
        let mut client = proxy.client(LISTENER);
        let values = ["one", "one", "two", "other", "other", "two", "two", "one"];
        for (id, value) in (1..).zip(values) {
            call(&mut client, id, &[("service", "echo"), (attribute, value)]);
        }
        let counted = ["one", "two", "rest"].map(|route| requests(&proxy, route));
        assert_eq!(counted, [3.0, 3.0, 2.0], "{attribute}");
    }
}

#[test]
fn a_new_configuration_decides_anew() {
    let upstream = tcp_echo();
    let proxy = Running::start(routed(&upstream, "method", &["one", "two"]));
    proxy.ready();
    let mut client = proxy.client(LISTENER);
    let two = [("service", "echo"), ("method", "two")];
    call(&mut client, 1, &two);
    call(&mut client, 2, &two);
    assert_eq!(requests(&proxy, "two"), 2.0);
    // What is the second route now is for others.
    proxy
        .snapshots
        .send_replace(routed(&upstream, "method", &["zero", "one"]).into());
    let mut id = 3;
    wait("the route to be gone", || {
        call(&mut client, id, &two);
        id += 1;
        requests(&proxy, "rest") > 0.0
    });
    assert_eq!(requests(&proxy, "one"), 0.0);
}
