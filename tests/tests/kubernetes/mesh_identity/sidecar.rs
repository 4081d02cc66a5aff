//! Real Envoys where sidecars are: one before a client, one before a server, with the settings that istiod gives sidecars.

use std::net::SocketAddr;

use meltemi_tests::Envoy;
use meltemi_tests::certificates::Pair;
use serde_json::{Value, json};

use super::lab::Lab;

/// Beside a client, whose bytes it takes from this address to a gateway that is of this account. With `says_where_to` the
/// address stands in a PROXY header before them: what a DestinationRule with `proxyProtocol` makes of it.
pub(super) fn of_client(
    lab: &Lab,
    own: &Pair,
    (gateway, account): (SocketAddr, &str),
    (at, says_where_to): (SocketAddr, bool),
) -> Option<Envoy> {
    let binary = Envoy::binary()?;
    let name = format!("spiffe://cluster.local/ns/default/sa/{account}");
    let exact = json!({"san_type": "URI", "matcher": {"exact": name}});
    let context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common(lab, own, &exact),
        "sni": "outbound_.6379_._.gateway.default.svc.cluster.local",
    });
    let mut socket = json!({"name": "envoy.transport_sockets.tls", "typed_config": context});
    if says_where_to {
        socket = json!({
            "name": "envoy.transport_sockets.upstream_proxy_protocol",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
                "config": {"version": "V2"},
                "transport_socket": socket,
            },
        });
    }
    let listener = json!({
        "name": "outbound", "address": address(at),
        "filter_chains": [{"filters": [passed_to("gateway")]}],
    });
    let cluster = cluster("gateway", gateway, Some(socket));
    Some(Envoy::start(&binary, bootstrap(&listener, &cluster)))
}

/// Beside a server: nobody is let in but who is of the mesh, and says so as sidecars do.
pub(super) fn of_server(lab: &Lab, own: &Pair, server: SocketAddr) -> Option<Envoy> {
    let binary = Envoy::binary()?;
    let prefix = json!({"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}});
    let context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": common(lab, own, &prefix),
        "require_client_certificate": true,
    });
    let listener = json!({
        "name": "inbound", "address": address(([127, 0, 0, 1], 0).into()),
        "listener_filters": [{
            "name": "envoy.filters.listener.tls_inspector",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"},
        }],
        "filter_chains": [{
            "filter_chain_match": {"transport_protocol": "tls", "application_protocols": ["istio"]},
            "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
            "filters": [passed_to("server")],
        }],
    });
    let cluster = cluster("server", server, None);
    Some(Envoy::start(&binary, bootstrap(&listener, &cluster)))
}

fn common(lab: &Lab, own: &Pair, peers: &Value) -> Value {
    let (chain, key) = (
        lab.file("chain.pem", &own.certificate),
        lab.file("key.pem", &own.key),
    );
    json!({
        "alpn_protocols": ["istio-peer-exchange", "istio"],
        "tls_certificates": [{
            "certificate_chain": {"filename": chain}, "private_key": {"filename": key},
        }],
        "validation_context": {
            "trusted_ca": {"filename": lab.path("roots.pem")},
            "match_typed_subject_alt_names": [peers],
        },
    })
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn passed_to(cluster: &str) -> Value {
    json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": cluster, "cluster": cluster,
        },
    })
}

fn cluster(name: &str, endpoint: SocketAddr, socket: Option<Value>) -> Value {
    let mut cluster = json!({
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": address(endpoint)}}]}]},
    });
    if let Some(socket) = socket {
        cluster["transport_socket"] = socket;
    }
    cluster
}

fn bootstrap(listener: &Value, cluster: &Value) -> Value {
    json!({"static_resources": {"listeners": [listener], "clusters": [cluster]}})
}
