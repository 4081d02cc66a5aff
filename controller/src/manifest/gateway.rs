//! `Gateway`: the addresses that are listened on.

mod tls;

use std::collections::BTreeMap;

use super::decode::{Decoder, Field, Fields};
use super::{AllowedRoutes, Located, Mark, name};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Node;
pub(crate) use tls::{CertificateFiles, CredentialName, ServerTls};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gateway {
    /// The pods of Istio's gateways that open its servers; none: all of them.
    pub(crate) selector: Located<BTreeMap<String, String>>,
    pub(crate) servers: Vec<Server>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Server {
    /// `name`, else `port.name`; unique in its Gateway.
    pub(crate) name: Located<String>,
    /// An IP address, or `unix://` and a path.
    pub(crate) bind: String,
    /// 0: the system's choice.
    pub(crate) port: u16,
    /// Names the protocol.
    pub(crate) port_name: Located<String>,
    /// Which clients it is for, by the name that they ask for within TLS; none: all that no other is for.
    pub(crate) server_names: Vec<Located<String>>,
    /// None: its clients speak plaintext.
    pub(crate) tls: Option<ServerTls>,
    /// Whose rules may attach; none: anybody's.
    pub(crate) allowed: Option<AllowedRoutes>,
    pub(crate) mark: Mark,
}

impl Gateway {
    /// Whether a server asks for TLS here that there has none.
    pub(crate) fn encrypts_more_than(&self, other: &Self) -> bool {
        let encrypted = self.servers.iter().filter(|server| server.tls.is_some());
        let mut others = other.servers.iter().filter(|server| server.tls.is_none());
        let names: Vec<_> = encrypted.map(|server| &server.name.value).collect();
        others.any(|server| names.contains(&&server.name.value))
    }
}

const GATEWAY: &[Field] = &[Field::InForce("servers"), Field::InForce("selector")];

const SERVER: &[Field] = &[
    Field::InForce("name"),
    Field::InForce("bind"),
    Field::InForce("port"),
    Field::InForce("hosts"),
    Field::NoEffect("defaultEndpoint"),
    Field::InForce("tls"),
];

const PORT: &[Field] = &[
    Field::InForce("number"),
    Field::InForce("name"),
    Field::NoEffect("protocol"),
    Field::NoEffect("targetPort"),
];

pub(super) fn decode(d: &mut Decoder, spec: &Node) -> Option<Gateway> {
    let fields = d.fields("spec", spec, GATEWAY);
    let nodes = fields.list(d, "servers");
    if nodes.is_empty() {
        fields.missing(d, "servers");
        return None;
    }
    let servers: Vec<Server> = nodes.iter().filter_map(|node| server(d, node)).collect();
    for (i, server) in servers.iter().enumerate() {
        if servers[..i]
            .iter()
            .any(|s| s.name.value == server.name.value)
        {
            let message = format!("two servers are named `{}`", server.name.value);
            let diagnostic = Diagnostic::error(Code::DuplicateServer, message);
            d.report(
                server.name.at,
                diagnostic.remedy("give each server a `name` of its own"),
            );
        }
    }
    let selector = Located {
        value: fields.string_map(d, "selector"),
        at: fields.node("selector").map_or(spec.at, |node| node.at),
    };
    Some(Gateway { selector, servers })
}

fn server(d: &mut Decoder, node: &Node) -> Option<Server> {
    let fields = d.fields("servers", node, SERVER);
    let port = fields.node("port");
    let Some(port) = port else {
        fields.missing(d, "port");
        return None;
    };
    let port = d.fields("port", port, PORT);
    let number = match port.node("number") {
        Some(_) => port.integer(d, "number", 0..=65535),
        None => {
            port.missing(d, "number");
            None
        }
    };
    let port_name = port.required(d, "name");
    let port_name = port_name.filter(|n| d.check_name("port.name", n, &name::WORD));
    let bind = bind(d, &fields);
    let tls = fields.node("tls").map(|node| tls::decode(d, node));
    let name = fields.string(d, "name").filter(|n| !n.value.is_empty());
    let name = name.filter(|n| d.check_name("servers.name", n, &name::WORD));
    let (number, port_name) = (number?, port_name?);
    Some(Server {
        name: name.unwrap_or_else(|| port_name.clone()),
        bind: bind?,
        port: u16::try_from(number.value).ok()?,
        port_name,
        server_names: match tls {
            Some(_) => server_names(d, &fields),
            None => vec![],
        },
        tls,
        allowed: None,
        mark: Mark::new(number.at),
    })
}

/// `hosts`, of which `*` means all. Before a host may stand whose services it may lead to, which says nothing of clients.
fn server_names(d: &mut Decoder, server: &Fields<'_>) -> Vec<Located<String>> {
    let hosts = server.strings(d, "hosts").into_iter().map(|host| Located {
        value: host
            .value
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase(),
        at: host.at,
    });
    let hosts: Vec<_> = hosts
        .filter(|host| d.check_name("servers.hosts", host, &name::WILDCARD_HOST))
        .collect();
    match hosts.iter().any(|host| host.value == "*") {
        true => vec![],
        false => hosts,
    }
}

fn bind(d: &mut Decoder, server: &Fields<'_>) -> Option<String> {
    let Some(bind) = server.string(d, "bind") else {
        return Some("0.0.0.0".to_owned());
    };
    let is_path = bind
        .value
        .strip_prefix("unix://")
        .is_some_and(|path| !path.is_empty());
    if is_path && !d.check_name("servers.bind", &bind, &name::PATH) {
        return None;
    }
    if is_path || bind.value.parse::<std::net::IpAddr>().is_ok() {
        return Some(bind.value);
    }
    let message = format!("`{}` is not an address to bind", bind.value);
    let diagnostic = Diagnostic::error(Code::InvalidValue, message);
    d.report(
        bind.at,
        diagnostic.remedy("give an IPv4 or IPv6 address, or unix:// and a path"),
    );
    None
}
