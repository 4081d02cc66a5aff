//! Waypoints: their listeners, and what they pass on as it comes.

use std::net::IpAddr;

use meltemi_proto::envoy::config::listener::v3 as listener;
use meltemi_proto::meltemi::config::v1 as own;

use super::authorization::authorization;
use super::{HANDSHAKE, duration, filter_chain, socket, source_of, tls};
use crate::ads::Resources;
use crate::model::{Bound, Passed, Waypoint};

pub(super) fn add(waypoint: &Waypoint, resources: &mut Resources) {
    for (name, address) in waypoint.listeners() {
        resources.insert(&name, &listener(waypoint, &name, address));
    }
    for passed in &waypoint.passed {
        let name = passed.name.to_string();
        resources.insert(&name, &service(passed, &name));
    }
}

fn listener(waypoint: &Waypoint, name: &str, address: IpAddr) -> listener::Listener {
    let mode = own::listener::Mode::ProxyProtocol(own::listener::ProxyProtocol {
        own_identity: waypoint.identity.clone(),
        patience: None,
    });
    let tls = waypoint.sidecars.as_ref().map(|(_, tls)| tls);
    let chain = listener::FilterChain {
        transport_socket: tls.map(tls::downstream),
        transport_socket_connect_timeout: tls.map(|_| duration(HANDSHAKE)),
        ..filter_chain(mode, None, &waypoint.gateway)
    };
    listener::Listener {
        name: name.to_owned(),
        address: Some(socket(address, waypoint.port)),
        filter_chains: vec![chain],
        ..listener::Listener::default()
    }
}

fn service(passed: &Passed, name: &str) -> own::Service {
    own::Service {
        name: name.to_owned(),
        addresses: addresses(&passed.bound),
        ports: vec![own::service::Port {
            number: passed.bound.port.into(),
            default_cluster: passed.bound.cluster.to_string(),
            ..own::service::Port::default()
        }],
        authorization: authorization(&passed.authorization),
        source: Some(source_of(&passed.source)),
        ..own::Service::default()
    }
}

pub(super) fn addresses(bound: &Bound) -> Vec<String> {
    let addresses = bound.addresses.iter();
    addresses.map(ToString::to_string).collect()
}
