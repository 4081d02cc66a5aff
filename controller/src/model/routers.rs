//! Which MetaRouters act on which servers, and what their routes mean there.

use std::sync::Arc;

use meltemi_policy::{AttributeMatch, Condition, Precedence};

use super::attachment::Attachment;
use super::protocols::schema;
use super::services::Service;
use super::{Context, Findings, Rule, Server, WeightedCluster, attributes, objects_of, redis};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{Destination, MetaRouter, Object, Route, Spec, StringMatch, one_of};

/// Attaches each MetaRouter to the servers that it names, in the order of precedence.
pub(super) fn attach(
    objects: &Objects,
    context: &Context<'_>,
    servers: &mut [Server],
    findings: &mut Findings,
) {
    let mut routers: Vec<_> = objects_of!(objects, MetaRouter).collect();
    routers.sort_by_cached_key(|(object, router)| precedence(object, router));
    for (object, spec) in routers {
        let router = Router {
            object,
            spec,
            attachment: Attachment {
                object,
                host: &spec.host,
                gateways: &spec.gateways,
                plugin: None,
                context,
            },
        };
        let service = router.attachment.service(findings);
        router.check_routes(service, findings);
        let Some(service) = service else { continue };
        router.check_attributes(service, findings);
        let destinations = spec.routes.iter().flat_map(|r| &r.destinations);
        router.attachment.check_destinations(destinations, findings);
        let attached = router
            .attachment
            .servers(service, objects, servers, findings);
        for i in attached {
            if let Some(server) = servers.get_mut(i) {
                let rules = router.rules(service, server, findings);
                server.rules.extend(rules);
            }
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
    attachment: Attachment<'a>,
}

impl Router<'_> {
    fn context(&self) -> &Context<'_> {
        self.attachment.context
    }

    /// A route names destinations, unless a RedisService is what says where its requests go.
    fn check_routes(&self, service: Option<&Service>, findings: &mut Findings) {
        let mut spoken = service.into_iter().flat_map(|s| self.attachment.spoken(s));
        if spoken.any(|protocol| protocol.plugin == redis::PLUGIN) {
            return;
        }
        for route in self
            .spec
            .routes
            .iter()
            .filter(|r| r.destinations.is_empty())
        {
            let diagnostic = Diagnostic::error(Code::MissingField, "`routes.route` is missing");
            let remedy = "add `route` to `routes`";
            findings.at(self.object, route.mark.at, diagnostic.remedy(remedy));
        }
    }

    fn check_attributes(&self, service: &Service, findings: &mut Findings) {
        let mut protocols: Vec<_> = self.attachment.spoken(service).collect();
        protocols.sort_unstable_by_key(|p| &p.plugin);
        protocols.dedup_by_key(|p| &p.plugin);
        let schemas = protocols
            .iter()
            .filter_map(|p| schema(self.context().settings, &p.plugin));
        schemas.for_each(|schema| attributes::check(self.object, self.spec, schema, findings));
    }

    /// Its rules on one server, in their order.
    fn rules(&self, service: &Service, server: &Server, findings: &mut Findings) -> Vec<Rule> {
        let interface = self.interface_condition(service, server);
        if let Some(AttributeMatch { name, .. }) = &interface {
            self.check_interfaces(service, name, findings);
        }
        let own = |route, name, conditions: Vec<AttributeMatch>, destinations| Rule {
            route,
            name,
            conditions: interface.iter().cloned().chain(conditions).collect(),
            destinations,
            ..Rule::of(self.object)
        };
        let is_redis = server.protocol.plugin == redis::PLUGIN;
        if is_redis {
            redis::refuse_destinations(self.object, self.spec, server, findings);
            if server.policy.source.is_some() {
                return vec![];
            }
        }
        if self.spec.routes.is_empty() || is_redis {
            let host = Destination {
                host: self.spec.host.clone(),
                subset: None,
                port: None,
                weight: 100,
            };
            let cluster = self.attachment.cluster(&host, service, server, findings);
            let destinations = vec![WeightedCluster::only(cluster)];
            // Several that add policy for one host do not hide each other.
            let is_there = |rule: &Rule| rule.destinations == destinations;
            if is_redis && server.rules.iter().any(is_there) {
                return vec![];
            }
            return vec![own(None, String::new(), vec![], destinations)];
        }
        let routes = self.spec.routes.iter().enumerate();
        // One without destinations is an error, and said.
        let routes = routes.filter(|(_, route)| !route.destinations.is_empty());
        routes
            .map(|(i, route)| {
                let destinations = route.destinations.iter();
                let destinations = destinations
                    .map(|d| WeightedCluster {
                        cluster: self.attachment.cluster(d, service, server, findings),
                        weight: d.weight,
                    })
                    .collect();
                let name = route.name.clone().unwrap_or_default();
                Rule {
                    timeout: route.timeout,
                    retries: route.retries.clone(),
                    idempotent: route.idempotent,
                    ..own(Some(i), name, conditions(route), destinations)
                }
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
        let schema = schema(self.context().settings, &server.protocol.plugin)?;
        let name = schema.service_attribute.clone()?;
        let condition = match service.interfaces.as_slice() {
            [] => return None,
            [only] => Condition::Exact(only.clone()),
            several => Condition::one_of(several.iter().map(String::as_str)),
        };
        Some(AttributeMatch { name, condition })
    }
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
