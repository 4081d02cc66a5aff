//! Istio's `VirtualService`, as far as it says where sidecars lead connections that they pass on as they come: a port that
//! somebody else leads is left alone. What it says of HTTP is Istio's affair, and whose requests that is for a waypoint's.

use std::collections::BTreeSet;

use super::Located;
use super::decode::{Decoder, Fields, Known};
use super::http_rules::{self, HttpRules};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VirtualService {
    /// Each may begin with `*.`, or be `*`.
    pub(crate) hosts: Vec<Located<String>>,
    /// Those of its routes that sidecars follow.
    pub(crate) passing: Vec<Passing>,
    pub(crate) http: HttpRules,
}

/// A route of `tcp` or `tls`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Passing {
    /// None: all.
    pub(crate) ports: Option<BTreeSet<u16>>,
    /// Hosts, as they are written.
    pub(crate) to: Vec<String>,
}

impl Passing {
    pub(crate) fn is_for(&self, port: u16) -> bool {
        self.ports
            .as_ref()
            .is_none_or(|ports| ports.contains(&port))
    }
}

/// The API server has checked it: what nobody reads of it is passed over.
pub(super) fn decode(d: &mut Decoder, spec: &Node) -> VirtualService {
    let fields = d.fields("spec", spec, Known::Any);
    let is_for_mesh = is_for_mesh(d, &fields).unwrap_or(true);
    let mut passing = vec![];
    for (kind, path) in [("tcp", "spec.tcp"), ("tls", "spec.tls")] {
        for node in fields.list(d, kind) {
            let route = d.fields(path, node, Known::Any);
            passing.extend(self::passing(d, &route, is_for_mesh));
        }
    }
    VirtualService {
        hosts: fields.strings(d, "hosts"),
        passing,
        http: http_rules::of_hosts(d, spec),
    }
}

/// None: nothing is said.
fn is_for_mesh(d: &mut Decoder, fields: &Fields<'_>) -> Option<bool> {
    let gateways = fields.strings(d, "gateways");
    (!gateways.is_empty()).then(|| gateways.iter().any(|it| it.value == http_rules::MESH))
}

/// None where no sidecar follows it.
fn passing(d: &mut Decoder, route: &Fields<'_>, is_for_mesh: bool) -> Option<Passing> {
    let mut ports = Some(BTreeSet::new());
    let matches = route.list(d, "match");
    let mut is_followed = matches.is_empty() && is_for_mesh;
    if matches.is_empty() {
        ports = None;
    }
    for node in matches {
        let fields = d.fields(&route.path_of("match"), node, Known::Any);
        if !self::is_for_mesh(d, &fields).unwrap_or(is_for_mesh) {
            continue;
        }
        is_followed = true;
        let port = fields.port(d, "port");
        ports = ports.zip(port).map(|(mut ports, port)| {
            ports.insert(port.value);
            ports
        });
    }
    let mut to = vec![];
    for node in route.list(d, "route") {
        let fields = d.fields(&route.path_of("route"), node, Known::Any);
        if let Some(node) = fields.node("destination") {
            let path = fields.path_of("destination");
            let host = d.fields(&path, node, Known::Any).string(d, "host");
            to.extend(host.map(|host| host.value));
        }
    }
    is_followed.then_some(Passing { ports, to })
}
