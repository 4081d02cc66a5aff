//! What says how HTTP is routed, in Istio's words and the Gateway API's. Nothing of it acts here, and whether it is right is
//! somebody else's affair: of interest is whose requests it is for, since a waypoint passes HTTP on.

use std::collections::BTreeSet;

use super::decode::{Decoder, Fields};
use super::gateway_api::GROUP;
use super::id::Kind;
use crate::yaml::Node;

/// For whose requests there are rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HttpRules(pub(crate) Vec<Subject>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Subject {
    /// As it is written: short, whole, or with `*` for its first labels.
    Host {
        host: String,
        /// Empty: all of them.
        ports: BTreeSet<u16>,
    },
    /// A Service or ServiceEntry.
    Object {
        kind: Kind,
        /// None: that of the rules.
        namespace: Option<String>,
        name: String,
        /// None: all of them.
        port: Option<u16>,
    },
}

/// Istio's name for all sidecars and waypoints.
pub(super) const MESH: &str = "mesh";

/// A VirtualService.
pub(super) fn of_hosts(d: &mut Decoder, spec: &Node) -> HttpRules {
    let fields = Fields::of_any(spec);
    let routes = fields.list(d, "http");
    let gateways = fields.strings(d, "gateways");
    let is_of_mesh = gateways.is_empty() || gateways.iter().any(|it| it.value == MESH);
    if routes.is_empty() || !is_of_mesh {
        return HttpRules::default();
    }
    let ports: Option<BTreeSet<_>> = routes.iter().map(|route| ports(d, route)).collect();
    let ports: BTreeSet<_> = ports.into_iter().flatten().flatten().collect();
    let hosts = fields.strings(d, "hosts").into_iter();
    let hosts = hosts.map(|host| Subject::Host {
        host: host.value.to_lowercase(),
        ports: ports.clone(),
    });
    HttpRules(hosts.collect())
}

/// Those that a route of a VirtualService is for; none: all of them.
fn ports(d: &mut Decoder, route: &Node) -> Option<BTreeSet<u16>> {
    let fields = Fields::of_any(route);
    let matches = fields.list(d, "match");
    if matches.is_empty() {
        return None;
    }
    let ports = matches
        .iter()
        .map(|it| Some(Fields::of_any(it).port(d, "port")?.value));
    ports.collect()
}

/// An HTTPRoute or GRPCRoute: those of its parents that are a service of the mesh.
pub(super) fn of_parents(d: &mut Decoder, spec: &Node) -> HttpRules {
    let fields = Fields::of_any(spec);
    let parents = fields.list(d, "parentRefs").iter();
    let subjects = parents.filter_map(|parent| {
        let parent = Fields::of_any(parent);
        let text = |d: &mut Decoder, field: &str| parent.string(d, field).map(|it| it.value);
        let group = text(d, "group").unwrap_or_else(|| GROUP.to_owned());
        let kind = text(d, "kind").unwrap_or_default();
        let name = text(d, "name")?;
        let port = parent.port(d, "port").map(|it| it.value);
        let kind = match (group.as_str(), kind.as_str()) {
            ("", "Service") => Kind::Service,
            ("networking.istio.io", "ServiceEntry") => Kind::ServiceEntry,
            ("networking.istio.io", "Hostname") => {
                return Some(Subject::Host {
                    host: name.to_lowercase(),
                    ports: port.into_iter().collect(),
                });
            }
            _ => return None,
        };
        Some(Subject::Object {
            kind,
            namespace: text(d, "namespace"),
            name,
            port,
        })
    });
    HttpRules(subjects.collect())
}
