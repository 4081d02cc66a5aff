//! Which MetaRouters act on which servers, and what their routes mean there.

use std::borrow::Borrow;
use std::sync::Arc;

use meltemi_policy::{Attribute, AttributeMatch, Condition, Precedence};

use super::attachment::Attachment;
use super::global_limits::{self, GlobalRateLimit};
use super::limits::{LimitCondition, RateLimit};
use super::overlay::{Overlay, Treatment};
use super::protocols::schema;
use super::services::Service;
use super::sources::{self, Workloads};
use super::{
    Alternative, CircuitBreaker, Context, Findings, Mirror, Rule, Server, WeightedCluster,
    attributes, mutations, objects_of, redis,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{self, Destination, MetaRouter, Object, Route, Spec, one_of};

/// Attaches each MetaRouter to the servers that it names, in the order of precedence.
pub(super) fn attach(
    objects: &Objects,
    context: &Context<'_>,
    servers: &mut [Server],
    findings: &mut Findings,
) {
    let mut routers: Vec<_> = objects_of!(objects, MetaRouter).collect();
    routers.sort_by_cached_key(|(object, router)| precedence(object, router));
    let workloads = Workloads::new(objects);
    for (object, spec) in routers {
        let router = Router::new((object, spec), &workloads, context);
        let Some((service, attached)) = router.acts(servers, findings) else {
            continue;
        };
        for i in attached {
            if let Some(server) = servers.get_mut(i) {
                server.attached.insert(object.id.clone());
                let rules = router.rules(service, server, findings);
                server.rules.extend(rules.into_iter().map(Arc::new));
                router.treat(service, server, findings);
            }
        }
    }
}

pub(super) fn precedence(object: &Object, router: &MetaRouter) -> Precedence {
    Precedence::new(
        router.priority,
        object.metadata.created,
        &object.id.namespace,
        &object.id.name,
    )
}

pub(super) struct Router<'a> {
    object: &'a Arc<Object>,
    spec: &'a MetaRouter,
    workloads: &'a Workloads<'a>,
    attachment: Attachment<'a>,
}

impl<'a> Router<'a> {
    pub(super) fn new(
        (object, spec): (&'a Arc<Object>, &'a MetaRouter),
        workloads: &'a Workloads<'a>,
        context: &'a Context<'a>,
    ) -> Self {
        Self {
            object,
            spec,
            workloads,
            attachment: Attachment {
                object,
                host: &spec.host,
                gateways: &spec.gateways,
                plugin: None,
                context,
            },
        }
    }

    /// The servers that it acts on, by their place in the list, and the service that it is about; none where there is no
    /// such service.
    pub(super) fn acts(
        &self,
        servers: &[impl Borrow<Server>],
        findings: &mut Findings,
    ) -> Option<(&'a Service, Vec<usize>)> {
        let Self {
            object,
            spec,
            attachment,
            ..
        } = self;
        let service = attachment.service(findings);
        self.check_routes(service, findings);
        let service = service?;
        self.check_attributes(service, findings);
        let named = spec.routes.iter().flat_map(Route::named);
        attachment.check_destinations(named, findings);
        if let Some(limit) = &spec.global_limit {
            global_limits::check(attachment, limit, findings);
        }
        let attached = attachment.servers(service, self.context().objects, servers, findings);
        let named = attached.iter().filter_map(|&i| servers.get(i));
        let named: Vec<&Server> = named.map(Borrow::borrow).collect();
        sources::check_gateways(attachment, spec, &named, findings);
        sources::check(object, (spec, &named), self.workloads, findings);
        sources::check_principals(object, spec, &named, findings);
        Some((service, attached))
    }

    const fn context(&self) -> &'a Context<'a> {
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
        let settings = self.context().settings;
        schemas.for_each(|schema| {
            attributes::check(self.object, self.spec, (schema, settings), findings);
        });
        let mut spoken: Vec<_> = self.attachment.spoken(service).collect();
        spoken.dedup();
        for protocol in spoken {
            mutations::check(self.object, self.spec, protocol, self.context(), findings);
        }
    }

    /// Its rules on one server, in their order.
    pub(super) fn rules(
        &self,
        service: &Service,
        server: &Server,
        findings: &mut Findings,
    ) -> Vec<Rule> {
        let interface = self.interface_condition(service, server);
        if let Some(interface) = &interface {
            self.check_interfaces(service, &interface.attribute, findings);
        }
        let all = || Alternative::Of(interface.iter().cloned().collect());
        let limit = self.limit(server);
        let global_limit = self.global_limit(server);
        let own = |route, name, alternatives, destinations| Rule {
            route,
            name,
            alternatives,
            destinations,
            limit: limit.clone(),
            global_limit: global_limit.clone(),
            ..Rule::of(self.object)
        };
        let host = self.spec.whole_host();
        let is_redis = server.protocol.plugin == redis::PLUGIN;
        if is_redis && server.policy.source.is_some() {
            redis::refuse_destinations(self.object, self.spec, server, findings);
            return vec![];
        }
        let routes = &self.spec.routes;
        if routes.iter().all(|route| route.destinations.is_empty())
            && (is_redis || routes.is_empty())
        {
            let destinations = self.host(service, server, findings);
            // Several that add policy for one host do not hide each other.
            let is_there = |rule: &Arc<Rule>| rule.destinations == destinations;
            if is_redis && server.rules.iter().any(is_there) {
                return vec![];
            }
            let rule = own(None, String::new(), vec![all()], destinations);
            // What it says of requests is laid over that rule, whoever's it is.
            return vec![if is_redis { rule.unlimited() } else { rule }];
        }
        let routes = routes.iter().enumerate();
        // One without destinations is an error, and said, but where its host is what is meant.
        let routes = routes.filter(|(_, route)| is_redis || !route.destinations.is_empty());
        routes
            .map(|(i, route)| {
                let destinations = match route.destinations.as_slice() {
                    [] => std::slice::from_ref(&host),
                    several => several,
                };
                let destinations = self.destinations(destinations, service, server, findings);
                let name = route.name.clone().unwrap_or_default();
                let alternatives = route.alternatives.iter();
                let alternatives = alternatives
                    .map(|alternative| self.alternative(alternative, interface.as_ref(), server));
                let mirrors = self.mirrors(route, service, server, findings);
                let rule = own(Some(i), name, alternatives.collect(), destinations);
                let circuit_breaker = CircuitBreaker::of(self.object, route, i + 1);
                Rule {
                    circuit_breaker,
                    ..treated(rule, route, mirrors)
                }
            })
            .collect()
    }

    fn destinations(
        &self,
        written: &[Destination],
        service: &Service,
        server: &Server,
        findings: &mut Findings,
    ) -> Vec<WeightedCluster> {
        let attachment = &self.attachment;
        let named = written.iter();
        let mut named: Vec<_> = named
            .map(|to| attachment.weighted(to, service, server, findings))
            .collect();
        attachment.settle_fallbacks(written, &mut named, findings);
        named
    }

    /// Gives a server its policy, if something else says where requests go there: a RedisService, or
    /// the rule that leads to its host.
    fn treat(&self, service: &Service, server: &mut Server, findings: &mut Findings) {
        let routes = &self.spec.routes;
        let has_destinations = routes.iter().any(|route| !route.destinations.is_empty());
        let is_decided = server.policy.source.is_some();
        let has_limit = self.spec.limit.is_some() || self.spec.global_limit.is_some();
        if !routes.iter().any(Route::treats) && !has_limit {
            return;
        }
        if server.protocol.plugin != redis::PLUGIN || (has_destinations && !is_decided) {
            return;
        }
        let interface = self.interface_condition(service, server);
        let alternatives = |route: &Route| {
            let alternatives = route.alternatives.iter();
            alternatives
                .map(|written| self.alternative(written, interface.as_ref(), server))
                .collect()
        };
        let all = Treatment {
            route: None,
            alternatives: vec![Alternative::Of(interface.iter().cloned().collect())],
            mirrors: vec![],
        };
        let routes = routes.iter().map(|route| Treatment {
            route: Some(route),
            alternatives: alternatives(route),
            mirrors: self.mirrors(route, service, server, findings),
        });
        let mut routes: Vec<_> = routes.collect();
        if routes.is_empty() {
            routes.push(all);
        }
        let overlay = Overlay {
            object: self.object,
            routes,
            limit: self.limit(server),
            global_limit: self.global_limit(server),
        };
        let host = (!is_decided).then(|| self.host(service, server, findings));
        let leads_to_host =
            |rule: &Rule| rule.route.is_none() && host.as_ref() == Some(&rule.destinations);
        let rules = std::mem::take(&mut server.rules).into_iter();
        server.rules = rules
            .flat_map(|rule| match is_decided || leads_to_host(&rule) {
                true => overlay.over(rule),
                false => vec![rule],
            })
            .collect();
    }

    /// Its host, as the one destination of requests on a server.
    fn host(
        &self,
        service: &Service,
        server: &Server,
        findings: &mut Findings,
    ) -> Vec<WeightedCluster> {
        let cluster = self
            .attachment
            .cluster(&self.spec.whole_host(), service, server, findings);
        vec![WeightedCluster::only(cluster)]
    }

    /// Its limit, as it means on a server.
    fn limit(&self, server: &Server) -> Option<Arc<RateLimit>> {
        let written = self.spec.limit.as_ref()?;
        let conditions = written.conditions.iter().map(|condition| {
            let alternatives = condition.alternatives.iter();
            let alternatives = alternatives.map(|it| self.alternative(it, None, server));
            LimitCondition {
                alternatives: alternatives.collect(),
                bucket: condition.bucket,
            }
        });
        let id = &self.object.id;
        Some(Arc::new(RateLimit {
            name: format!("{}/{}", id.namespace, id.name),
            conditions: conditions.collect(),
            default: written.default,
        }))
    }

    /// Its global limit, as it means on a server.
    fn global_limit(&self, server: &Server) -> Option<Arc<GlobalRateLimit>> {
        let written = self.spec.global_limit.as_ref()?;
        let alternatives = written.alternatives.iter();
        let alternatives = alternatives.map(|it| self.alternative(it, None, server));
        let entries = written.descriptors.iter();
        let id = &self.object.id;
        Some(Arc::new(GlobalRateLimit {
            name: format!("{}/{}", id.namespace, id.name),
            alternatives: alternatives.collect(),
            domain: written.domain.clone(),
            entries: entries
                .map(|entry| (entry.property.value.clone(), entry.key.clone()))
                .collect(),
            cluster: global_limits::cluster(&self.attachment, &written.service),
            timeout: written.request_timeout,
            deny_on_fail: written.deny_on_fail,
        }))
    }

    fn mirrors(
        &self,
        route: &Route,
        service: &Service,
        server: &Server,
        findings: &mut Findings,
    ) -> Vec<Mirror> {
        let mirrors = route.mirrors.iter().map(|mirror| {
            let to = &mirror.destination;
            Mirror {
                cluster: self.attachment.cluster(to, service, server, findings),
                percentage: mirror.percentage,
                exclude_idempotent: false,
            }
        });
        mirrors.collect()
    }

    /// What an alternative of a route means on a server.
    fn alternative(
        &self,
        written: &manifest::Alternative,
        interface: Option<&AttributeMatch>,
        server: &Server,
    ) -> Alternative {
        let attributes = written.attributes.iter().map(|a| a.matching.clone());
        let mut conditions: Vec<_> = interface.cloned().into_iter().chain(attributes).collect();
        let Some(source) = &written.source else {
            return Alternative::Of(conditions);
        };
        if let Some(reason) = source.excludes(server, &self.object.id.namespace) {
            return Alternative::Never(reason);
        }
        if let Some(principal) = &source.principal {
            let principal = meltemi_tls::identity(&principal.value);
            conditions.push(AttributeMatch::from_principals([principal.as_str()]));
        }
        match self.workloads.conditions(source, server) {
            Some(of_workload) => conditions.extend(of_workload),
            None => {
                let reason = "no client that is known is what its source asks for";
                return Alternative::Never(reason.to_owned());
            }
        }
        Alternative::Of(conditions)
    }

    /// A route that asks for an interface that its service does not have gets no request.
    fn check_interfaces(&self, service: &Service, name: &Attribute, findings: &mut Findings) {
        let alternatives = self.spec.routes.iter().flat_map(|route| {
            let several = route.alternatives.len() > 1;
            let attributes = route.alternatives.iter().flat_map(|a| &a.attributes);
            attributes.map(move |attribute| (attribute, several))
        });
        let of_interface = alternatives.filter(|(a, _)| a.matching.attribute == *name);
        for (attribute, several) in of_interface {
            let interfaces = service.interfaces.iter().map(String::as_str);
            if attribute.matching.holds_for_any(interfaces) {
                continue;
            }
            let what = if several { "alternative" } else { "route" };
            let message = format!(
                "this {what} gets no request: the annotation `interface` of {} admits none of \
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
        let mut interfaces = service.interfaces.iter().map(String::as_str).peekable();
        interfaces.peek()?;
        Some(AttributeMatch::new(name, Condition::one_of(interfaces)))
    }
}

/// The rule with what its route says besides where requests go.
fn treated(rule: Rule, route: &Route, mirrors: Vec<Mirror>) -> Rule {
    Rule {
        timeout: route.timeout,
        mirrors,
        request_mutation: route.request_mutation.clone(),
        response_mutation: route.response_mutation.clone(),
        retries: route.retries.clone(),
        hedge: route.hedge,
        idempotent: route.idempotent,
        fault: route.fault.clone(),
        hash_policy: route.hashed().collect(),
        adaptive_concurrency: route.adaptive_concurrency.clone(),
        ..rule
    }
}
