//! The Gateway API's own kinds, as far as they have a meaning here. There are more of their fields each year, and most
//! Gateways are somebody else's: what nobody reads of them is passed over.

use std::collections::BTreeMap;

use super::decode::{Decoder, Fields, Known};
use super::{Located, Mark, name};
use crate::yaml::Node;

/// A Gateway of the Gateway API, of whatever class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KubernetesGateway {
    pub(crate) class: Located<String>,
    pub(crate) addresses: Vec<Located<String>>,
    pub(crate) listeners: Vec<Listener>,
    /// Asks clients for certificates, in a way that is not understood.
    pub(crate) frontend_tls: Option<Mark>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listener {
    pub(crate) name: Located<String>,
    pub(crate) port: Located<u16>,
    /// As it is written: `TCP`, `TLS`, or another one.
    pub(crate) protocol: Located<String>,
    pub(crate) tls: Option<ListenerTls>,
    pub(crate) allowed: AllowedRoutes,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListenerTls {
    /// `Terminate` unless given.
    pub(crate) mode: Option<Located<String>>,
    pub(crate) certificates: Vec<CertificateRef>,
    /// What Istio terminates otherwise: a mode of its own Gateways.
    pub(crate) istio_mode: Option<Located<String>>,
    pub(crate) mark: Mark,
}

/// Istio's option of a listener.
const ISTIO_MODE: &str = "gateway.istio.io/tls-terminate-mode";

impl Listener {
    /// Whether its clients have to show certificates of the mesh.
    pub(crate) fn is_for_workloads(&self) -> bool {
        let mode = self.tls.as_ref().and_then(|tls| tls.istio_mode.as_ref());
        mode.is_some_and(|mode| mode.value == "ISTIO_MUTUAL")
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CertificateRef {
    pub(crate) name: Located<String>,
    /// None: that of the Gateway.
    pub(crate) namespace: Option<Located<String>>,
    /// Whether it is a Secret, which it is unless it says otherwise.
    pub(crate) is_secret: bool,
}

/// Whose rules may attach: `allowedRoutes.namespaces`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AllowedRoutes {
    /// Those of the Gateway's namespace; so unless given.
    Same,
    All,
    /// Those of namespaces with these labels.
    Selector(BTreeMap<String, String>),
    /// What it says is not understood.
    Nobody(Mark),
}

impl KubernetesGateway {
    /// Whether a listener asks for TLS here that has none there.
    pub(crate) fn encrypts_more_than(&self, other: &Self) -> bool {
        let encrypted = self.listeners.iter().filter(|it| it.tls.is_some());
        let names: Vec<_> = encrypted.map(|it| &it.name.value).collect();
        let mut others = other.listeners.iter().filter(|it| it.tls.is_none());
        others.any(|it| names.contains(&&it.name.value))
    }
}

/// `controllerName`.
pub(super) fn class(d: &mut Decoder, spec: &Node) -> Option<String> {
    let fields = d.fields("spec", spec, Known::Any);
    fields.required(d, "controllerName").map(|it| it.value)
}

/// Who may name what of this namespace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReferenceGrant {
    /// Namespaces whose Gateways may.
    pub(crate) gateways_of: Vec<String>,
    /// The names of Secrets; none: all of them.
    pub(crate) secrets: Vec<Option<String>>,
}

impl ReferenceGrant {
    pub(crate) fn permits(&self, gateway_namespace: &str, secret: &str) -> bool {
        let mut secrets = self.secrets.iter();
        self.gateways_of.iter().any(|it| it == gateway_namespace)
            && secrets.any(|it| it.as_deref().is_none_or(|it| it == secret))
    }
}

pub(super) const GROUP: &str = "gateway.networking.k8s.io";

pub(super) fn grant(d: &mut Decoder, spec: &Node) -> ReferenceGrant {
    let fields = d.fields("spec", spec, Known::Any);
    let mut gateways_of = vec![];
    for node in fields.list(d, "from") {
        let from = d.fields("spec.from", node, Known::Any);
        if is(d, &from, GROUP, "Gateway") {
            gateways_of.extend(from.required(d, "namespace").map(|it| it.value));
        }
    }
    let mut secrets = vec![];
    for node in fields.list(d, "to") {
        let to = d.fields("spec.to", node, Known::Any);
        if is(d, &to, "", "Secret") {
            let name = to.string(d, "name").map(|it| it.value);
            secrets.push(name.filter(|name| !name.is_empty()));
        }
    }
    ReferenceGrant {
        gateways_of,
        secrets,
    }
}

fn is(d: &mut Decoder, fields: &Fields<'_>, group: &str, kind: &str) -> bool {
    let mut text = |name| {
        fields
            .string(d, name)
            .map_or_else(String::new, |it| it.value)
    };
    text("group") == group && text("kind") == kind
}

pub(super) fn gateway(d: &mut Decoder, spec: &Node) -> Option<KubernetesGateway> {
    let fields = d.fields("spec", spec, Known::Any);
    let class = fields.required(d, "gatewayClassName");
    let listeners = fields.list(d, "listeners").iter();
    let listeners = listeners.filter_map(|node| listener(d, node)).collect();
    let addresses = fields.list(d, "addresses").iter();
    let addresses = addresses.filter_map(|node| {
        let address = d.fields("spec.addresses", node, Known::Any);
        let kind = address.string(d, "type");
        let is_ip = kind.is_none_or(|kind| kind.value == "IPAddress");
        address
            .string(d, "value")
            .filter(|it| is_ip && !it.value.is_empty())
    });
    Some(KubernetesGateway {
        class: class?,
        addresses: addresses.collect(),
        listeners,
        frontend_tls: fields.node("tls").map(|node| Mark::new(node.at)),
    })
}

fn listener(d: &mut Decoder, node: &Node) -> Option<Listener> {
    let fields = d.fields("spec.listeners", node, Known::Any);
    let name = fields.required(d, "name");
    let name = name.filter(|it| d.check_name("spec.listeners.name", it, &name::WORD));
    let port = fields.port(d, "port");
    if fields.node("port").is_none() {
        fields.missing(d, "port");
    }
    let protocol = fields.required(d, "protocol");
    let tls = fields.node("tls").map(|node| tls(d, node));
    let allowed = allowed(d, &fields);
    Some(Listener {
        name: name?,
        port: port?,
        protocol: protocol?,
        tls,
        allowed,
    })
}

fn tls(d: &mut Decoder, node: &Node) -> ListenerTls {
    let fields = d.fields("spec.listeners.tls", node, Known::Any);
    let certificates = fields.list(d, "certificateRefs").iter();
    let certificates = certificates.filter_map(|node| {
        let fields = d.fields("certificateRefs", node, Known::Any);
        let mut text = |name| fields.string(d, name).filter(|it| !it.value.is_empty());
        let (group, kind) = (text("group"), text("kind"));
        let namespace = text("namespace");
        Some(CertificateRef {
            name: fields.required(d, "name")?,
            namespace,
            is_secret: group.is_none() && kind.is_none_or(|kind| kind.value == "Secret"),
        })
    });
    let certificates = certificates.collect();
    let options = fields.map(d, "options");
    let istio_mode = options.iter().find(|entry| entry.key == ISTIO_MODE);
    let istio_mode = istio_mode.and_then(|entry| d.string(ISTIO_MODE, &entry.value));
    ListenerTls {
        istio_mode,
        certificates,
        mode: fields.string(d, "mode"),
        mark: Mark::new(node.at),
    }
}

fn allowed(d: &mut Decoder, listener: &Fields<'_>) -> AllowedRoutes {
    let routes = listener.node("allowedRoutes");
    let routes = routes.map(|node| d.fields("allowedRoutes", node, Known::Any));
    let Some(node) = routes.and_then(|routes| routes.node("namespaces")) else {
        return AllowedRoutes::Same;
    };
    let namespaces = d.fields("allowedRoutes.namespaces", node, Known::Any);
    let from = namespaces.string(d, "from");
    match from.as_ref().map(|from| from.value.as_str()) {
        None | Some("Same") => AllowedRoutes::Same,
        Some("All") => AllowedRoutes::All,
        Some("Selector") => {
            let selector = namespaces.node("selector");
            let selector = selector.map(|node| d.fields("selector", node, Known::Any));
            match selector {
                Some(selector) if selector.list(d, "matchExpressions").is_empty() => {
                    AllowedRoutes::Selector(selector.string_map(d, "matchLabels"))
                }
                _ => AllowedRoutes::Nobody(Mark::new(node.at)),
            }
        }
        Some(_) => AllowedRoutes::Nobody(Mark::new(node.at)),
    }
}
