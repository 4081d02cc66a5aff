//! Gateways of the Gateway API: those of a class of ours are servers like Istio's.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::{Context, Findings, objects_of};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::index::Objects;
use crate::manifest::{
    CertificateRef, Kind, KubernetesGateway, Listener, Located, Object, ObjectRef, Server,
    ServerTls, Spec,
};
use crate::standing::DEFAULT;

/// Who we are among controllers: whose GatewayClasses are ours, and whose entries of a status.
pub(crate) const CONTROLLER: &str = "meltemi.io/controller";
/// The classes that are ours where no object defines them, as in a directory. Those of another revision than the default one
/// have its name behind theirs.
const CLASS: &str = "meltemi";
const WAYPOINT_CLASS: &str = "meltemi-waypoint";
/// Istio's, where a PROXY header comes first.
pub(in crate::model) const PROXY: &str = "istio.io/PROXY";
/// Before the name of a protocol, where `protocol` names it.
const PREFIX: &str = "meltemi.io/";

/// The servers of all that are ours.
pub(super) fn servers<'a>(
    context: &Context<'a>,
    findings: &mut Findings,
) -> Vec<(&'a Arc<Object>, Server)> {
    let mut servers = vec![];
    let objects = context.objects;
    for (object, gateway) in objects_of!(objects, KubernetesGateway) {
        if !is_ours(gateway, CLASS, objects) || has_waypoint_s_name(gateway) {
            continue;
        }
        let same = ObjectRef::new(Kind::Gateway, &object.id.namespace, &object.id.name);
        if objects.contains_key(&same) {
            let message = format!("{same} of Istio has the same name, and is the one that counts");
            let diagnostic = Diagnostic::error(Code::DuplicateServer, message);
            let remedy = "give one of the two another name: rules attach by it";
            findings.at(object, object.at, diagnostic.remedy(remedy));
            continue;
        }
        let bind = bind(object, gateway, findings);
        let (Some(bind), None) = (bind, &gateway.frontend_tls) else {
            refuse_clients(object, gateway, findings);
            continue;
        };
        // What sidecars lead to it stands behind it as behind a waypoint.
        let own = gateway.listeners.iter().filter(|it| !takes_sidecars(it));
        for listener in own {
            let made = server(object, listener, (&bind, objects), findings);
            servers.extend(made.map(|server| (object, server)));
        }
    }
    servers
}

/// Whether it is a waypoint of this revision.
pub(in crate::model) fn is_waypoint(gateway: &KubernetesGateway, context: &Context<'_>) -> bool {
    let own = match context.settings.revision.as_deref() {
        None | Some(DEFAULT) => Cow::Borrowed(WAYPOINT_CLASS),
        Some(revision) => format!("{WAYPOINT_CLASS}-{revision}").into(),
    };
    gateway.class.value == own && is_ours(gateway, &own, context.objects)
}

/// The listener of an edge of ours at which the sidecars of a mesh arrive, each behind a PROXY header, if it has one.
pub(in crate::model) fn of_sidecars<'g>(
    gateway: &'g KubernetesGateway,
    objects: &Objects,
) -> Option<&'g Listener> {
    let is_edge = is_ours(gateway, CLASS, objects) && !has_waypoint_s_name(gateway);
    let mut listeners = gateway.listeners.iter().filter(|_| is_edge);
    listeners.find(|it| takes_sidecars(it))
}

fn takes_sidecars(listener: &Listener) -> bool {
    listener.protocol.value == PROXY && listener.is_for_workloads()
}

fn has_waypoint_s_name(gateway: &KubernetesGateway) -> bool {
    let rest = gateway.class.value.strip_prefix(WAYPOINT_CLASS);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Whether its class is one of ours; where no object defines it, whether it has this name.
fn is_ours(gateway: &KubernetesGateway, class: &str, objects: &Objects) -> bool {
    let id = ObjectRef::new(Kind::GatewayClass, "", &gateway.class.value);
    match objects.get(&id).map(|class| &class.spec) {
        Some(Spec::GatewayClass(controller)) => controller == CONTROLLER,
        _ => gateway.class.value == class,
    }
}

/// The first of its addresses; all interfaces where it asks for none.
fn bind(object: &Object, gateway: &KubernetesGateway, findings: &mut Findings) -> Option<String> {
    let Some(first) = gateway.addresses.first() else {
        return Some("0.0.0.0".to_owned());
    };
    if let Some(second) = gateway.addresses.get(1) {
        let message = "only the first of `addresses` is listened on";
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        let remedy = "make another Gateway for the others";
        findings.at(object, second.at, diagnostic.remedy(remedy));
    }
    let is_address = first.value.parse::<std::net::IpAddr>().is_ok();
    if !is_address {
        let message = format!("`{}` is not an address to bind", first.value);
        let diagnostic = Diagnostic::error(Code::InvalidValue, message);
        let remedy = "give an IPv4 or IPv6 address";
        findings.at(object, first.at, diagnostic.remedy(remedy));
    }
    is_address.then(|| first.value.clone())
}

fn refuse_clients(object: &Object, gateway: &KubernetesGateway, findings: &mut Findings) {
    if let Some(mark) = &gateway.frontend_tls {
        let message = "`spec.tls` asks for what cannot be given: nothing is listened on";
        let diagnostic = Diagnostic::error(Code::TlsUnavailable, message);
        let remedy = "ask clients for certificates by a Gateway of Istio, with `tls.mode: MUTUAL`";
        findings.blameless(object, mark.at, diagnostic.remedy(remedy));
    }
}

/// None where it is not for us, or cannot be given; that is said.
fn server(
    object: &Object,
    listener: &Listener,
    (bind, objects): (&str, &Objects),
    findings: &mut Findings,
) -> Option<Server> {
    let protocol = &listener.protocol;
    let port_name = match protocol.value.strip_prefix(PREFIX) {
        Some(named) => Located {
            value: format!("tcp-{named}"),
            at: protocol.at,
        },
        None if ["TCP", "TLS"].contains(&protocol.value.as_str()) => listener.name.clone(),
        None => {
            let remedy = "write TCP or TLS, with a name such as tcp-metaprotocol-dubbo, or \
                          meltemi.io/dubbo";
            not_served(object, protocol, remedy, findings);
            return None;
        }
    };
    let tls = match (&listener.tls, protocol.value == "TLS") {
        (None, false) => None,
        (None, true) => {
            let remedy = "add `tls.certificateRefs`, or write TCP";
            refuse(object, protocol.at, "TLS without `tls`", remedy, findings);
            return None;
        }
        (Some(_), _) => Some(tls(object, listener, objects, findings)?),
    };
    Some(Server {
        name: listener.name.clone(),
        bind: bind.to_owned(),
        port: listener.port.value,
        port_name,
        tls,
        allowed: Some(listener.allowed.clone()),
        mark: crate::manifest::Mark::new(listener.port.at),
    })
}

/// Of a listener of this protocol.
pub(in crate::model) fn not_served(
    object: &Object,
    protocol: &Located<String>,
    remedy: &str,
    findings: &mut Findings,
) {
    let message = format!(
        "`{}` is not served; the listener is not opened",
        protocol.value
    );
    let diagnostic = Diagnostic::warning(Code::UnknownProtocol, message);
    findings.at(object, protocol.at, diagnostic.remedy(remedy));
}

/// In Istio's words.
fn tls(
    object: &Object,
    listener: &Listener,
    objects: &Objects,
    findings: &mut Findings,
) -> Option<ServerTls> {
    let asked = listener.tls.as_ref()?;
    if listener.is_for_workloads() {
        return Some(ServerTls::of_workloads(asked.mark.clone()));
    }
    let mode = asked
        .mode
        .as_ref()
        .map_or("Terminate", |mode| mode.value.as_str());
    let certificate = match (mode, asked.certificates.as_slice()) {
        ("Terminate", [certificate]) if certificate.is_secret => certificate,
        ("Terminate", certificates) => {
            let at = certificates.get(1).or(certificates.first());
            let at = at.map_or(asked.mark.at, |it| it.name.at);
            let remedy = "name one Secret of type kubernetes.io/tls in `certificateRefs`";
            refuse(
                object,
                at,
                "`certificateRefs` is not one Secret",
                remedy,
                findings,
            );
            return None;
        }
        _ => {
            let at = asked.mode.as_ref().map_or(asked.mark.at, |mode| mode.at);
            let message = format!("`tls.mode: {mode}` passes on what it cannot read");
            let remedy = "write Terminate, with `certificateRefs`";
            refuse(object, at, &message, remedy, findings);
            return None;
        }
    };
    if !is_permitted(object, certificate, objects) {
        let namespace = certificate.namespace.as_ref()?;
        let message = format!(
            "Secret {}/{} may not be named from here: no ReferenceGrant of its namespace permits it",
            namespace.value, certificate.name.value
        );
        let remedy = format!(
            "add a ReferenceGrant to namespace {}, `from` a Gateway of {}, `to` the Secret",
            namespace.value, object.id.namespace
        );
        let diagnostic = Diagnostic::error(Code::RefNotPermitted, message).remedy(remedy);
        findings.blameless(object, certificate.name.at, diagnostic);
        return None;
    }
    Some(ServerTls::simple(
        certificate.name.clone(),
        certificate.namespace.clone(),
        asked.mark.clone(),
    ))
}

/// Whether it is of the Gateway's namespace, or of one that lets it be named.
fn is_permitted(object: &Object, certificate: &CertificateRef, objects: &Objects) -> bool {
    let own = &*object.id.namespace;
    let Some(other) = certificate.namespace.as_ref().filter(|it| it.value != own) else {
        return true;
    };
    objects_of!(objects, ReferenceGrant).any(|(grant, permission)| {
        *grant.id.namespace == *other.value && permission.permits(own, &certificate.name.value)
    })
}

fn refuse(object: &Object, at: Position, message: &str, remedy: &str, findings: &mut Findings) {
    let message = format!("{message}: the listener is not opened");
    let diagnostic = Diagnostic::error(Code::TlsUnavailable, message);
    findings.blameless(object, at, diagnostic.remedy(remedy));
}
