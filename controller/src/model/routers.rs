//! Which MetaRouters act on which servers, and what their routes mean there.

use std::sync::Arc;

use meltemi_policy::{AttributeMatch, Condition, Precedence, host};

use super::protocols::{self, PortName, schema};
use super::services::Service;
use super::{Context, Findings, Need, Rule, Server, attributes, objects_of};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{
    Destination, Kind, Located, MetaRouter, Object, ObjectRef, Route, Spec, StringMatch, nearest,
    one_of,
};

mod destinations;

/// Attaches each MetaRouter to the servers that it names, in the order of precedence.
pub(super) fn attach(
    objects: &Objects,
    context: &Context<'_>,
    servers: &mut [Server],
    findings: &mut Findings,
) {
    let mut routers: Vec<_> = objects_of!(objects, MetaRouter).collect();
    routers.sort_by_cached_key(|(object, router)| precedence(object, router));
    for (object, router) in routers {
        let router = Router {
            object,
            spec: router,
            context,
        };
        if let Some(service) = router.service(findings) {
            router.check_destinations(findings);
            router.attach(service, objects, servers, findings);
        }
    }
}

fn precedence(object: &Object, router: &MetaRouter) -> Precedence {
    Precedence::new(
        router.priority,
        object.metadata.created,
        &object.id.namespace,
        &object.id.name,
    )
}

struct Router<'a> {
    object: &'a Arc<Object>,
    spec: &'a MetaRouter,
    context: &'a Context<'a>,
}

impl<'a> Router<'a> {
    fn namespace(&self) -> &'a str {
        &self.object.id.namespace
    }

    /// The service that a name means: as it stands, or expanded.
    fn host_needs(&self, name: &str) -> [Need; 2] {
        [name.to_owned(), host::expand(name, self.namespace())].map(Need::Host)
    }

    /// The service of `hosts[0]`, if it is there and has a port that can be routed.
    fn service(&self, findings: &mut Findings) -> Option<&'a Service> {
        let Located { value: host, at } = &self.spec.host;
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
        let mut protocols: Vec<_> = service
            .ports
            .iter()
            .filter_map(|p| p.protocol.as_ref())
            .collect();
        protocols.sort_unstable_by_key(|p| &p.plugin);
        protocols.dedup_by_key(|p| &p.plugin);
        if protocols.is_empty() {
            let codecs = service.ports.iter().filter_map(|p| self.unserved(&p.name));
            let codecs: String = codecs.collect();
            let message = format!("no port of {host} speaks a protocol that can be routed{codecs}");
            let remedy = "name the port tcp-metaprotocol-NAME in its ServiceEntry";
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
        let schemas = protocols
            .iter()
            .filter_map(|p| schema(self.context.settings, &p.plugin));
        schemas.for_each(|schema| attributes::check(self.object, self.spec, schema, findings));
        Some(service)
    }

    /// Why a port is not served, where its protocol has no plugin.
    fn unserved(&self, port: &str) -> Option<String> {
        let PortName::Unserved { codec } = self.context.protocols.of_port(port) else {
            return None;
        };
        Some(format!(
            "; `{port}` is of the codec `{codec}`, which no plugin implements"
        ))
    }

    fn attach(
        &self,
        service: &Service,
        objects: &Objects,
        servers: &mut [Server],
        findings: &mut Findings,
    ) {
        if self.spec.gateways.is_empty() {
            if self.is_owner(service, None, findings) {
                let message = "this MetaRouter acts nowhere: it names no gateway";
                let diagnostic = Diagnostic::warning(Code::NotAttached, message);
                let remedy = "name the Gateways whose requests it is to route in `spec.gateways`";
                findings.at(self.object, self.object.at, diagnostic.remedy(remedy));
            }
            return;
        }
        for name in &self.spec.gateways {
            let gateway = self.gateway(&name.value);
            if !objects.contains_key(&gateway) {
                self.unknown_gateway(name, objects, findings);
                continue;
            }
            if !self.is_owner(service, Some(&gateway), findings) {
                continue;
            }
            let mut matching = servers
                .iter_mut()
                .filter(|s| s.source.id == gateway && speaks(service, s))
                .peekable();
            if matching.peek().is_none() {
                self.no_server(service, name, findings);
            }
            for server in matching {
                let rules = self.rules(service, server, findings);
                server.rules.extend(rules);
            }
        }
    }

    fn gateway(&self, name: &str) -> ObjectRef {
        let (namespace, name) = name.split_once('/').unwrap_or((self.namespace(), name));
        ObjectRef::new(Kind::Gateway, namespace, name)
    }

    fn unknown_gateway(&self, name: &Located<String>, objects: &Objects, findings: &mut Findings) {
        let wanted = self.gateway(&name.value);
        let gateways = || objects.keys().filter(|id| id.kind == Kind::Gateway);
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
        findings.needing([Need::Gateway(wanted)]);
    }

    fn no_server(&self, service: &Service, name: &Located<String>, findings: &mut Findings) {
        let mut spoken: Vec<_> = service
            .ports
            .iter()
            .filter_map(|p| p.protocol.as_ref())
            .collect();
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
            "move the MetaRouter to namespace {}, to its Gateway's, or to the root namespace {root}",
            service.namespace
        );
        let diagnostic = Diagnostic::error(Code::NotHostOwner, message).remedy(remedy);
        findings.at(self.object, self.spec.host.at, diagnostic);
        findings.needing([Need::Host(service.host.clone())]);
        false
    }

    /// Its rules on one server, in their order.
    fn rules(&self, service: &Service, server: &Server, findings: &mut Findings) -> Vec<Rule> {
        let interface = self.interface_condition(service, server);
        if let Some(AttributeMatch { name, .. }) = &interface {
            self.check_interfaces(service, name, findings);
        }
        let own = |route, name, conditions: Vec<AttributeMatch>, destinations| Rule {
            source: self.object.clone(),
            route,
            name,
            conditions: interface.iter().cloned().chain(conditions).collect(),
            destinations,
        };
        if self.spec.routes.is_empty() {
            let host = Destination {
                host: self.spec.host.clone(),
                subset: None,
                port: None,
                weight: 100,
            };
            let destinations = vec![self.weighted(&host, service, server, findings)];
            return vec![own(None, String::new(), vec![], destinations)];
        }
        let routes = self.spec.routes.iter().enumerate();
        routes
            .map(|(i, route)| {
                let destinations = route.destinations.iter();
                let destinations = destinations
                    .map(|d| self.weighted(d, service, server, findings))
                    .collect();
                let name = route.name.clone().unwrap_or_default();
                own(Some(i), name, conditions(route), destinations)
            })
            .collect()
    }

    /// A route that asks for an interface that its service does not have gets no request.
    fn check_interfaces(&self, service: &Service, name: &str, findings: &mut Findings) {
        let attributes = self.spec.routes.iter().flat_map(|r| &r.attributes);
        for attribute in attributes.filter(|a| a.name.value == name) {
            let condition = condition(&attribute.matcher);
            let interfaces = service.interfaces.iter().map(String::as_str);
            if condition.holds_for_any(interfaces) {
                continue;
            }
            let message = format!(
                "this route gets no request: the annotation `interface` of {} admits none of \
                 these values of {name}",
                service.host
            );
            let diagnostic = Diagnostic::warning(Code::DeadRoute, message);
            let remedy = format!("the annotation admits {}", one_of(&service.interfaces));
            findings.at(self.object, attribute.name.at, diagnostic.remedy(remedy));
        }
    }

    /// The values of the service attribute to which the service restricts its rules.
    fn interface_condition(&self, service: &Service, server: &Server) -> Option<AttributeMatch> {
        let schema = schema(self.context.settings, &server.protocol.plugin)?;
        let name = schema.service_attribute.clone()?;
        let condition = match service.interfaces.as_slice() {
            [] => return None,
            [only] => Condition::Exact(only.clone()),
            several => Condition::one_of(several.iter().map(String::as_str)),
        };
        Some(AttributeMatch { name, condition })
    }
}

/// Whether a port of the service has the server's protocol.
fn speaks(service: &Service, server: &Server) -> bool {
    service
        .ports
        .iter()
        .any(|p| p.protocol.as_ref() == Some(&server.protocol))
}

fn conditions(route: &Route) -> Vec<AttributeMatch> {
    let conditions = route.attributes.iter().map(|attribute| AttributeMatch {
        name: attribute.name.value.clone(),
        condition: condition(&attribute.matcher),
    });
    conditions.collect()
}

fn condition(matcher: &StringMatch) -> Condition {
    match matcher {
        StringMatch::Present => Condition::Present,
        StringMatch::Exact(exact) => Condition::Exact(exact.clone()),
        StringMatch::Prefix(prefix) => Condition::Prefix(prefix.clone()),
        StringMatch::Regex(regex) => Condition::Regex(regex.value.clone()),
    }
}
