//! Gateways of the Gateway API: those of a class of ours are servers like Istio's.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::{Context, Findings, objects_of};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::index::Objects;
use crate::manifest::{
    CertificateRef, ClientValidation, CredentialName, ISTIO_MODE, Kind, KubernetesGateway,
    Listener, ListenerTls, Located, Object, ObjectRef, Server, ServerTls, Spec,
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
        let (Some(bind), None) = (bind, &gateway.tls.unknown) else {
            refuse_tls(object, gateway, findings);
            continue;
        };
        // What sidecars lead to it stands behind it as behind a waypoint.
        let own = gateway.listeners.iter().filter(|it| !takes_sidecars(it));
        for listener in own {
            let place = Of {
                object,
                gateway,
                objects,
            };
            let made = place.server(listener, &bind, findings);
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

fn refuse_tls(object: &Object, gateway: &KubernetesGateway, findings: &mut Findings) {
    if let Some(mark) = &gateway.tls.unknown {
        let message = "`spec.tls` asks for what cannot be given: nothing is listened on";
        let diagnostic = Diagnostic::error(Code::TlsUnavailable, message);
        let remedy =
            "of `spec.tls` there is `frontend`; what servers are shown is up to a DestinationRule";
        findings.blameless(object, mark.at, diagnostic.remedy(remedy));
    }
}

/// A Gateway of which a listener is.
struct Of<'a> {
    object: &'a Object,
    gateway: &'a KubernetesGateway,
    objects: &'a Objects,
}

/// Why a listener is not opened, and what helps.
type Refused = (Position, String, String);

impl Of<'_> {
    /// None where it is not for us, or cannot be given; that is said.
    fn server(&self, listener: &Listener, bind: &str, findings: &mut Findings) -> Option<Server> {
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
                not_served(self.object, protocol, remedy, findings);
                return None;
            }
        };
        let tls = match (&listener.tls, protocol.value == "TLS") {
            (None, false) => None,
            (None, true) => {
                let remedy = "add `tls.certificateRefs`, or write TCP".to_owned();
                self.refuse(
                    (protocol.at, "TLS without `tls`".to_owned(), remedy),
                    findings,
                );
                return None;
            }
            (Some(asked), _) => Some(self.tls(listener, asked, findings)?),
        };
        let names = listener.hostname.iter().filter(|_| tls.is_some());
        Some(Server {
            name: listener.name.clone(),
            bind: bind.to_owned(),
            port: listener.port.value,
            port_name,
            server_names: names.cloned().collect(),
            tls,
            allowed: Some(listener.allowed.clone()),
            mark: crate::manifest::Mark::new(listener.port.at),
        })
    }

    /// In Istio's words.
    fn tls(
        &self,
        listener: &Listener,
        asked: &ListenerTls,
        findings: &mut Findings,
    ) -> Option<ServerTls> {
        if listener.is_for_workloads() {
            return Some(ServerTls::of_workloads(asked.mark.clone()));
        }
        let made = self.terminated(asked).and_then(|tls| {
            let validation = self.gateway.tls.validation(listener.port.value);
            match validation {
                None => Ok(tls),
                Some(validation) => Ok(tls.mutual(self.authorities(validation)?)),
            }
        });
        let named = asked.certificates.iter();
        let validation = self.gateway.tls.validation(listener.port.value);
        let named = named.chain(validation.iter().flat_map(|it| &it.authorities));
        let strange = named.clone().find(|it| !self.is_permitted(it));
        match (made, strange) {
            (Err(refused), _) => self.refuse(refused, findings),
            (Ok(_), Some(strange)) => self.not_permitted(strange, findings),
            (Ok(tls), None) => return Some(tls),
        }
        None
    }

    fn terminated(&self, asked: &ListenerTls) -> Result<ServerTls, Refused> {
        if let Some(mark) = &asked.validation {
            let message = "`tls.frontendValidation` is of versions before 1.4 of the Gateway API";
            let remedy = "write `spec.tls.frontend.default.validation`";
            return Err((mark.at, message.to_owned(), remedy.to_owned()));
        }
        let mode = asked.mode.as_ref();
        if let Some(mode) = mode.filter(|mode| mode.value != "Terminate") {
            let message = format!("`tls.mode: {}` passes on what it cannot read", mode.value);
            let remedy = "write Terminate, with `certificateRefs`".to_owned();
            return Err((mode.at, message, remedy));
        }
        let other = asked.certificates.iter().find(|it| !it.is_secret);
        if let Some(at) = other.map(|it| it.name.at).or_else(|| {
            let is_empty = asked.certificates.is_empty();
            is_empty.then_some(asked.mark.at)
        }) {
            let message = "`certificateRefs` has to name Secrets".to_owned();
            let remedy = "name Secrets of type kubernetes.io/tls in `certificateRefs`".to_owned();
            return Err((at, message, remedy));
        }
        let credentials = asked.certificates.iter().map(credential).collect();
        let tls = ServerTls::simple(credentials, asked.mark.clone());
        match &asked.istio_mode {
            None => Ok(tls),
            Some(mode) if ["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"].contains(&&*mode.value) => {
                Ok(ServerTls {
                    mode: Some(mode.clone()),
                    ..tls
                })
            }
            Some(mode) => {
                let message = format!("`{ISTIO_MODE}: {}` is no mode of Istio", mode.value);
                let remedy = "write SIMPLE, MUTUAL, OPTIONAL_MUTUAL or ISTIO_MUTUAL".to_owned();
                Err((mode.at, message, remedy))
            }
        }
    }

    /// Whose clients are let in.
    fn authorities(&self, asked: &ClientValidation) -> Result<CredentialName, Refused> {
        let mode = asked.mode.as_ref();
        if let Some(mode) = mode.filter(|mode| mode.value != "AllowValidOnly") {
            let message = format!(
                "`validation.mode: {}` lets in whoever shows a wrong certificate, too",
                mode.value
            );
            let remedy =
                "write AllowValidOnly; where clients need not show one, leave `validation` out"
                    .to_owned();
            return Err((mode.at, message, remedy));
        }
        match asked.authorities.as_slice() {
            [only] if only.is_secret => Ok(credential(only)),
            several => {
                let at = several.get(1).or(several.first());
                let message = "`caCertificateRefs` is not one Secret".to_owned();
                let remedy = "put the certificates of the authorities into the field `ca.crt` of one Secret, and name \
                              it with `kind: Secret`"
                    .to_owned();
                Err((at.map_or(asked.mark.at, |it| it.name.at), message, remedy))
            }
        }
    }

    /// Whether it is of the Gateway's namespace, or of one that lets it be named.
    fn is_permitted(&self, named: &CertificateRef) -> bool {
        let own = &*self.object.id.namespace;
        let Some(other) = named.namespace.as_ref().filter(|it| it.value != own) else {
            return true;
        };
        let objects = self.objects;
        objects_of!(objects, ReferenceGrant).any(|(grant, permission)| {
            *grant.id.namespace == *other.value && permission.permits(own, &named.name.value)
        })
    }

    fn not_permitted(&self, named: &CertificateRef, findings: &mut Findings) {
        let namespace = named.namespace.as_ref().map_or("", |it| &it.value);
        let message = format!(
            "Secret {namespace}/{} may not be named from here: no ReferenceGrant of its namespace permits it",
            named.name.value
        );
        let remedy = format!(
            "add a ReferenceGrant to namespace {namespace}, `from` a Gateway of {}, `to` the Secret",
            self.object.id.namespace
        );
        let diagnostic = Diagnostic::error(Code::RefNotPermitted, message).remedy(remedy);
        findings.blameless(self.object, named.name.at, diagnostic);
    }

    fn refuse(&self, (at, message, remedy): Refused, findings: &mut Findings) {
        let message = format!("{message}: the listener is not opened");
        let diagnostic = Diagnostic::error(Code::TlsUnavailable, message);
        findings.blameless(self.object, at, diagnostic.remedy(remedy));
    }
}

fn credential(named: &CertificateRef) -> CredentialName {
    CredentialName {
        name: named.name.clone(),
        namespace: named.namespace.as_ref().map(|it| it.value.clone()),
    }
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
