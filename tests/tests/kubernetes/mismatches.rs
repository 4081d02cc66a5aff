//! A service whose port is named for one protocol while its clients speak another: they are served, and people are told.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use meltemi_tests::kubernetes::Pod;
use meltemi_tests::{PATIENCE, Ztunnel, until};

use super::waypoint::{Lab, waypoint};

const CONDITION: &str = "meltemi.io/ProtocolMismatch";
/// Which clients dial.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 10);
const REQUEST: &[u8] = b"GET /orders HTTP/1.1\r\nhost: cache\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// Answers each request of HTTP.
fn web(address: Ipv4Addr) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).expect("an address");
    let address = listener.local_addr().expect("it listens");
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = vec![0; REQUEST.len()];
            if client.read_exact(&mut request).is_ok() && request == REQUEST {
                // A client that has left is no matter here.
                let _ = client.write_all(ANSWER);
            }
        }
    });
    address
}

/// A service of it whose port has this name. An EndpointSlice may have no address of loopback.
fn cache(port: &str, server: SocketAddr) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: cache, namespace: shop, labels: {{istio.io/use-waypoint: l7}}}}\n\
         spec:\n  hosts: [cache.demo]\n  addresses: [{ADDRESS}]\n  resolution: STATIC\n  \
         ports: [{{number: 6379, name: {port}, protocol: TCP}}]\n  \
         endpoints: [{{address: {}, ports: {{{port}: {}}}}}]\n",
        server.ip(),
        server.port()
    )
}

fn is_answered(way: SocketAddr) {
    let mut client = TcpStream::connect(way).expect("a connection");
    client.set_read_timeout(Some(PATIENCE)).expect("a time");
    client.write_all(REQUEST).expect("it is sent");
    let mut answer = vec![0; ANSWER.len()];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, ANSWER);
}

fn is_told(lab: &Lab, reason: &str) {
    until(&format!("an Event says {reason}"), || {
        let events = lab.cluster.kubectl(&["events", "-n", "shop"]).stdout();
        events.contains(reason).then_some(())
    });
}

#[test]
fn clients_that_speak_something_else_are_served_and_people_are_told() {
    let Some(lab) = Lab::start() else {
        return;
    };
    lab.define();
    let controller = lab.controller(&[]);
    let server = web(lab.address);
    let manifests = [waypoint("l7", ""), cache("tcp-redis", server)];
    lab.cluster.apply(&manifests.join("---\n"));
    let _ = lab.get("deployment/l7");
    let names = [("meltemi-controller.meltemi-system.svc", lab.address)];
    let proxy = Pod::start(&lab.cluster, ("shop", "l7"), lab.address, &names);
    proxy.is_ready();
    let waypoint = SocketAddr::from((Ipv4Addr::LOCALHOST, 15088));
    let way = Ztunnel::start(waypoint, (ADDRESS, 6379).into(), None).address();
    is_answered(way);
    let words = [
        "clients of port 6379 `tcp-redis` of ServiceEntry shop/cache speak HTTP/1, and not redis",
        "passed on as TCP",
        "name the port http-…",
    ];
    lab.says("l7", CONDITION, "True/OtherProtocol", &words);
    is_told(&lab, "OtherProtocol");

    // Named for what is spoken there, it has no such clients.
    lab.cluster.apply(&cache("http", server));
    lab.says("l7", CONDITION, "False/NoMismatch", &[]);
    is_told(&lab, "NoMismatch");
    is_answered(way);
    let said = controller.process().said();
    assert!(!said.contains("is forbidden"), "{said}");
}
