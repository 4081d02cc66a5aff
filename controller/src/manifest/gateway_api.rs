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
    pub(crate) tls: GatewayTls,
}

/// `spec.tls`: for all listeners of a Gateway, since version 1.4 of the Gateway API.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GatewayTls {
    /// Which clients are let in.
    default: Option<ClientValidation>,
    /// The same of listeners at this port, in its place.
    per_port: Vec<(u16, Option<ClientValidation>)>,
    /// What is asked for beside that.
    pub(crate) unknown: Option<Mark>,
}

/// `frontend.default.validation`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClientValidation {
    pub(crate) authorities: Vec<CertificateRef>,
    /// `AllowValidOnly` unless given.
    pub(crate) mode: Option<Located<String>>,
    pub(crate) mark: Mark,
}

impl GatewayTls {
    /// What clients of a listener at this port are asked for.
    pub(crate) fn validation(&self, port: u16) -> Option<&ClientValidation> {
        let mut per_port = self.per_port.iter();
        match per_port.find(|(of, _)| *of == port) {
            Some((_, validation)) => validation.as_ref(),
            None => self.default.as_ref(),
        }
    }

    #[cfg(feature = "kubernetes")]
    pub(crate) fn validations(&self) -> impl Iterator<Item = &ClientValidation> {
        let per_port = self.per_port.iter().filter_map(|(_, it)| it.as_ref());
        self.default.iter().chain(per_port)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listener {
    pub(crate) name: Located<String>,
    pub(crate) port: Located<u16>,
    /// As it is written: `TCP`, `TLS`, or another one.
    pub(crate) protocol: Located<String>,
    /// Which clients it is for, by the name that they ask for within TLS; none: all that no other is for.
    pub(crate) hostname: Option<Located<String>>,
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
    /// Where versions before 1.4 of the Gateway API asked clients for certificates.
    pub(crate) validation: Option<Mark>,
    pub(crate) mark: Mark,
}

/// Istio's option of a listener.
pub(crate) const ISTIO_MODE: &str = "gateway.istio.io/tls-terminate-mode";

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
        tls: fields
            .node("tls")
            .map_or_else(GatewayTls::default, |node| gateway_tls(d, node)),
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
    let hostname = fields.string(d, "hostname");
    let hostname = hostname.filter(|it| {
        let is_given = !it.value.is_empty() && it.value != "*";
        is_given && d.check_name("spec.listeners.hostname", it, &name::WILDCARD_HOST)
    });
    let tls = fields.node("tls").map(|node| tls(d, node));
    let allowed = allowed(d, &fields);
    Some(Listener {
        name: name?,
        port: port?,
        protocol: protocol?,
        hostname,
        tls,
        allowed,
    })
}

fn tls(d: &mut Decoder, node: &Node) -> ListenerTls {
    let fields = d.fields("spec.listeners.tls", node, Known::Any);
    let certificates = references(d, &fields, "certificateRefs");
    let options = fields.map(d, "options");
    let istio_mode = options.iter().find(|entry| entry.key == ISTIO_MODE);
    let istio_mode = istio_mode.and_then(|entry| d.string(ISTIO_MODE, &entry.value));
    ListenerTls {
        istio_mode,
        certificates,
        mode: fields.string(d, "mode"),
        validation: fields
            .node("frontendValidation")
            .map(|node| Mark::new(node.at)),
        mark: Mark::new(node.at),
    }
}

/// Whatever has a certificate in it.
fn references(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Vec<CertificateRef> {
    let references = fields.list(d, name).iter();
    let references = references.filter_map(|node| {
        let fields = d.fields(name, node, Known::Any);
        let mut text = |name| fields.string(d, name).filter(|it| !it.value.is_empty());
        let (group, kind) = (text("group"), text("kind"));
        let namespace = text("namespace");
        Some(CertificateRef {
            name: fields.required(d, "name")?,
            namespace,
            is_secret: group.is_none() && kind.is_none_or(|kind| kind.value == "Secret"),
        })
    });
    references.collect()
}

fn gateway_tls(d: &mut Decoder, node: &Node) -> GatewayTls {
    let fields = d.fields("spec.tls", node, Known::Any);
    let mut entries = fields.entries.iter();
    let unknown = entries.find(|entry| entry.key != "frontend");
    let unknown = unknown.map(|entry| Mark::new(entry.at));
    let Some(frontend) = fields.node("frontend") else {
        return GatewayTls {
            unknown,
            ..GatewayTls::default()
        };
    };
    let frontend = d.fields("spec.tls.frontend", frontend, Known::Any);
    let default = frontend.node("default");
    let default = default.and_then(|node| validation(d, "spec.tls.frontend.default", node));
    let per_port = frontend.list(d, "perPort").iter();
    let per_port = per_port.filter_map(|node| {
        let fields = d.fields("spec.tls.frontend.perPort", node, Known::Any);
        let port = fields.port(d, "port")?;
        let tls = fields.node("tls");
        let of = tls.and_then(|node| validation(d, "spec.tls.frontend.perPort.tls", node));
        Some((port.value, of))
    });
    GatewayTls {
        default,
        per_port: per_port.collect(),
        unknown,
    }
}

fn validation(d: &mut Decoder, path: &str, node: &Node) -> Option<ClientValidation> {
    let fields = d.fields(path, node, Known::Any);
    let node = fields.node("validation")?;
    let fields = d.fields("validation", node, Known::Any);
    Some(ClientValidation {
        authorities: references(d, &fields, "caCertificateRefs"),
        mode: fields.string(d, "mode"),
        mark: Mark::new(node.at),
    })
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
