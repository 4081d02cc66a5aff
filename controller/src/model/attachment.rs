//! Which servers a rule of a host acts on: those of the Gateways that it names.

use std::borrow::Borrow;
use std::sync::Arc;

use meltemi_policy::host;

use super::protocols::{self, PortName};
use super::services::Service;
use super::{Bind, Context, Findings, Need, PortProtocol, Server};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{Kind, Located, Object, ObjectRef, nearest};

mod allowed;
mod destinations;

pub(super) use allowed::admits;

/// An object that attaches to servers, for one of its hosts.
pub(super) struct Attachment<'a> {
    pub(super) object: &'a Arc<Object>,
    /// The service whose requests it is about.
    pub(super) host: &'a Located<String>,
    /// `name` or `namespace/name`.
    pub(super) gateways: &'a [Located<String>],
    /// The only plugin whose requests it is about, where there is one.
    pub(super) plugin: Option<&'static str>,
    pub(super) context: &'a Context<'a>,
}

impl<'a> Attachment<'a> {
    fn namespace(&self) -> &'a str {
        &self.object.id.namespace
    }

    fn kind(&self) -> &'static str {
        self.object.id.kind.name()
    }

    /// The protocols of a service's ports that it is about.
    pub(super) fn spoken<'s>(
        &self,
        service: &'s Service,
    ) -> impl Iterator<Item = &'s PortProtocol> + use<'s> {
        let plugin = self.plugin;
        let protocols = service.ports.iter().filter_map(|p| p.protocol.as_ref());
        protocols.filter(move |p| plugin.is_none_or(|plugin| p.plugin == plugin))
    }

    /// The service that a name means: as it stands, or expanded.
    fn host_needs(&self, name: &str) -> [Need; 2] {
        [name.to_owned(), host::expand(name, self.namespace())].map(Need::Host)
    }

    /// The service of its host, if it is there and has a port that can be routed.
    pub(super) fn service(&self, findings: &mut Findings) -> Option<&'a Service> {
        let Located { value: host, at } = self.host;
        let Some(service) = self.context.services.find(host, self.namespace()) else {
            let near = self.context.services.nearest(host);
            let message = format!("no service has the host {host}{near}");
            let diagnostic = Diagnostic::error(Code::UnknownHost, message);
            findings.at(
                self.object,
                *at,
                diagnostic.remedy("a ServiceEntry defines a host"),
            );
            findings.needing(self.host_needs(host));
            return None;
        };
        if self.spoken(service).next().is_none() {
            let codecs = service.ports.iter().filter_map(|p| self.unserved(&p.name));
            let codecs: String = codecs.collect();
            let wanted = self.plugin.unwrap_or("a protocol that can be routed");
            let message = format!("no port of {host} speaks {wanted}{codecs}");
            let name = self.plugin.unwrap_or("NAME");
            let remedy = format!("name the port tcp-metaprotocol-{name} in its ServiceEntry");
            let diagnostic = Diagnostic::error(Code::UnknownPort, message).remedy(remedy);
            findings.at(self.object, *at, diagnostic);
            findings.needing([Need::Host(service.host.clone())]);
            findings.needing(
                service
                    .ports
                    .iter()
                    .filter_map(|p| protocols::need(&p.name)),
            );
            return None;
        }
        Some(service)
    }

    /// Why a port is not served, where its name says that it should be.
    fn unserved(&self, port: &str) -> Option<String> {
        let why = match self.context.protocols.of_port(port) {
            PortName::Unserved { codec } => {
                format!("is of the codec `{codec}`, which no plugin implements")
            }
            PortName::Unknown { named: None, .. } => "ends before it names a protocol".to_owned(),
            PortName::Unknown { named, .. } => {
                let named = named.unwrap_or_default();
                format!("names the protocol `{named}`, for which there is no ApplicationProtocol")
            }
            PortName::Ours(_) | PortName::NotOurs => return None,
        };
        Some(format!("; `{port}` {why}"))
    }

    /// The servers that it acts on, by their place in the list.
    pub(super) fn servers(
        &self,
        service: &Service,
        objects: &Objects,
        servers: &[impl Borrow<Server>],
        findings: &mut Findings,
    ) -> Vec<usize> {
        let mut attached = vec![];
        if self.gateways.is_empty() {
            return match self.is_owner(service, None, findings) {
                true => self.behind_waypoints(service, servers, findings),
                false => attached,
            };
        }
        for name in self.gateways {
            let gateway = self.gateway(&name.value);
            if !objects.contains_key(&gateway) {
                self.unknown_gateway(name, objects, findings);
                continue;
            }
            if !self.is_owner(service, Some(&gateway), findings) {
                continue;
            }
            let matching = servers.iter().map(Borrow::<Server>::borrow).enumerate();
            let matching =
                matching.filter(|(_, s)| s.source.id == gateway && self.speaks(service, s));
            let (admitting, others): (Vec<_>, Vec<_>) = matching.partition(|(_, server)| {
                let namespaces = (&*server.name.namespace, self.namespace());
                let allowed = server.allowed.as_ref();
                allowed.is_none_or(|allowed| admits(allowed, namespaces, objects))
            });
            match (admitting.is_empty(), others.first()) {
                (true, None) => self.no_server(service, name, findings),
                (true, Some((_, server))) => self.not_admitted(server, name, findings),
                (false, _) => attached.extend(admitting.into_iter().map(|(i, _)| i)),
            }
        }
        attached
    }

    /// The servers of the service's own ports, whichever waypoints stand before it.
    fn behind_waypoints(
        &self,
        service: &Service,
        servers: &[impl Borrow<Server>],
        findings: &mut Findings,
    ) -> Vec<usize> {
        let servers = servers.iter().map(Borrow::<Server>::borrow).enumerate();
        let own = servers.filter(|(_, server)| {
            matches!(server.bind, Bind::Service(_)) && self.speaks(service, server)
        });
        let own: Vec<_> = own.map(|(i, _)| i).collect();
        if own.is_empty() {
            let message = format!("this {} acts nowhere: it names no gateway", self.kind());
            let diagnostic = Diagnostic::warning(Code::NotAttached, message);
            let remedy = "name the Gateways whose requests it is to route in `spec.gateways`, or label \
                          its service istio.io/use-waypoint: WAYPOINT";
            findings.at(self.object, self.object.at, diagnostic.remedy(remedy));
        }
        own
    }

    /// Whether a port of the service has the server's protocol; behind a waypoint, whether it is that service.
    fn speaks(&self, service: &Service, server: &Server) -> bool {
        if let Bind::Service(bound) = &server.bind
            && !bound.is_of(service)
        {
            return false;
        }
        let mut spoken = self.spoken(service);
        spoken.any(|protocol| *protocol == server.protocol)
    }

    /// Istio's, unless only the Gateway API has one of this name.
    fn gateway(&self, name: &str) -> ObjectRef {
        let (namespace, name) = name.split_once('/').unwrap_or((self.namespace(), name));
        let of = |kind| ObjectRef::new(kind, namespace, name);
        let (istio, kubernetes) = (of(Kind::Gateway), of(Kind::KubernetesGateway));
        let objects = self.context.objects;
        match objects.contains_key(&kubernetes) && !objects.contains_key(&istio) {
            true => kubernetes,
            false => istio,
        }
    }

    fn unknown_gateway(&self, name: &Located<String>, objects: &Objects, findings: &mut Findings) {
        let wanted = self.gateway(&name.value);
        let gateways = || {
            let kinds = [Kind::Gateway, Kind::KubernetesGateway];
            objects.keys().filter(move |id| kinds.contains(&id.kind))
        };
        // The right name in another namespace is the more likely mistake.
        let elsewhere = gateways().find(|id| id.name == wanted.name);
        let near = elsewhere.or_else(|| {
            let names = gateways().map(|id| &*id.name);
            let near = nearest(&wanted.name, names)?;
            gateways().find(|id| &*id.name == near)
        });
        let hint = near.map(|id| format!("; did you mean `{}/{}`?", id.namespace, id.name));
        let hint = hint.unwrap_or_default();
        let message = format!(
            "there is no Gateway {}/{}{hint}",
            wanted.namespace, wanted.name
        );
        let names: Vec<_> = gateways()
            .map(|id| format!("{}/{}", id.namespace, id.name))
            .collect();
        let remedy = match names.as_slice() {
            [] => "add a Gateway with a server for these requests".to_owned(),
            names => format!("the Gateways are {}", names.join(", ")),
        };
        let diagnostic = Diagnostic::error(Code::UnknownGateway, message).remedy(remedy);
        findings.at(self.object, name.at, diagnostic);
        let other = ObjectRef::new(Kind::KubernetesGateway, &wanted.namespace, &wanted.name);
        findings.needing([wanted, other].map(Need::Gateway));
    }

    fn no_server(&self, service: &Service, name: &Located<String>, findings: &mut Findings) {
        let mut spoken: Vec<_> = self.spoken(service).collect();
        spoken.dedup_by_key(|p| &p.application);
        let spoken: Vec<_> = spoken.iter().map(|p| p.application.as_str()).collect();
        let spoken = spoken.join(" or ");
        let message = format!(
            "no server of the Gateway {} speaks {spoken}, the protocol of {}",
            name.value, service.host
        );
        let remedy = format!("name a server's port tcp-metaprotocol-{spoken}");
        let diagnostic = Diagnostic::error(Code::NoMatchingServer, message).remedy(remedy);
        findings.at(self.object, name.at, diagnostic);
        findings.or_blame([self.gateway(&name.value), service.source.id.clone()]);
    }

    fn not_admitted(&self, server: &Server, name: &Located<String>, findings: &mut Findings) {
        let own = self.namespace();
        let message = format!(
            "the listener {} admits no rules of namespace {own}",
            server.name
        );
        let diagnostic = Diagnostic::error(Code::NotAllowedByListeners, message);
        let remedy =
            "set its `allowedRoutes.namespaces`: `from: All`, or a Selector by `matchLabels`";
        findings.at(self.object, name.at, diagnostic.remedy(remedy));
        findings.or_blame([server.source.id.clone()]);
    }

    /// A rule counts in the namespace of its host or of its Gateway, or in the root namespace.
    fn is_owner(
        &self,
        service: &Service,
        gateway: Option<&ObjectRef>,
        findings: &mut Findings,
    ) -> bool {
        let own = self.namespace();
        let root = &self.context.settings.root_namespace;
        if own == &*service.namespace
            || own == root
            || gateway.is_some_and(|gateway| own == &*gateway.namespace)
        {
            return true;
        }
        let message = format!(
            "{} belongs to namespace {}, not to {own}",
            service.host, service.namespace
        );
        let remedy = format!(
            "move the {} to namespace {}, to its Gateway's, or to the root namespace {root}",
            self.kind(),
            service.namespace
        );
        let diagnostic = Diagnostic::error(Code::NotHostOwner, message).remedy(remedy);
        findings.at(self.object, self.host.at, diagnostic);
        findings.needing([Need::Host(service.host.clone())]);
        false
    }
}
