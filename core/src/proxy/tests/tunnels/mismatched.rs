//! Services whose clients do not speak the protocol that the service has.

use super::*;
use crate::proxy::tests::harness::{Client, tcp_echo};

/// What is passed on there and what is a request go to different endpoints, so that one can tell.
fn spoken(endpoint: &Address, default_cluster: Option<&str>) -> Snapshot {
    let mut snapshot = snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]);
    let service = Service {
        default_cluster: default_cluster.map(str::to_owned),
        ..Service::clone(&snapshot.services[SERVICE])
    };
    snapshot.services.insert(SERVICE.into(), service.into());
    let other = passing(std::slice::from_ref(endpoint));
    let mut other = Cluster::clone(&other.clusters[CLUSTER]);
    other.name = "other".into();
    snapshot.clusters.insert("other".into(), other.into());
    snapshot
}

const MISMATCHES: &str =
    r#"meltemi_downstream_protocol_mismatches_total{service="default/echo",spoken="http1"}"#;

#[test]
fn bytes_that_are_surely_not_the_protocols_pass_from_the_first_on() {
    let endpoint = upstream(mirror);
    let proxy = Running::start(spoken(&endpoint, Some("other")));
    let mut request = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    request.extend(pattern(3 << 20));
    assert!(exchange(connect(&proxy), &request) == request);
    // However they come.
    let mut slow = connect(&proxy);
    slow.set_nodelay(true).unwrap();
    for byte in &request[..20] {
        slow.write_all(&[*byte]).unwrap();
        thread::sleep(Duration::from_millis(2));
    }
    let mut back = [0; 20];
    slow.read_exact(&mut back).unwrap();
    assert_eq!(back, request[..20]);
    assert_eq!(proxy.metric(MISMATCHES), Some(2.0));
    drop(slow);
    // Who speaks it is served, and counted as one client.
    let mut client = Client(connect(&proxy));
    client.call(7, b"hello");
    client.call(8, b"again");
    assert_eq!(proxy.metric(MISMATCHES), Some(2.0));
    let clients = format!(r#"meltemi_downstream_connections{{service="{SERVICE}"}}"#);
    wait("the others' end", || proxy.metric(&clients) == Some(1.0));
    let all = format!(r#"meltemi_downstream_connections_total{{service="{SERVICE}"}}"#);
    assert_eq!(proxy.metric(&all), Some(3.0));
}

#[test]
fn where_there_is_no_cluster_to_pass_them_to_they_are_malformed() {
    let proxy = Running::start(spoken(&dead(), None));
    let mut client = connect(&proxy);
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(rest(&mut client).unwrap_or_default(), b"");
    let errors = r#"meltemi_downstream_decode_errors_total{service="default/echo"}"#;
    assert_eq!(proxy.metric(errors), Some(1.0));
    assert_eq!(proxy.metric(MISMATCHES), None);
}

#[test]
fn what_becomes_malformed_later_is_not_passed_on() {
    let proxy = Running::start(spoken(&dead(), Some("other")));
    let mut client = Client(connect(&proxy));
    client.call(7, b"hello");
    client.0.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(rest(&mut client.0).unwrap_or_default(), b"");
    assert_eq!(proxy.metric(MISMATCHES), None);
}
