//! Where a request would go, and why: the route, those before it, and the endpoints by tier.

use std::borrow::Cow;
use std::path::PathBuf;

use meltemi_policy::route::{Failure, Verdict};
use meltemi_policy::{Condition, RouteTable};
use serde::Serialize;
use thiserror::Error;

use crate::check::Report;
use crate::controller::Controller;
use crate::manifest::Spec;
use crate::model::{Model, Rule, Server, Service};
use crate::schema::Settings;

mod destination;
mod render;

pub use destination::{DestinationShare, EndpointShare, Tier};

/// Which request.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// `HOST` or `HOST:PORT`.
    pub service: String,
    /// `[NAMESPACE/]GATEWAY[/SERVER]`; may be left out where only one server routes the service.
    pub gateway: Option<String>,
    pub attributes: Vec<(String, String)>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    pub service: String,
    /// `namespace/gateway/server`.
    pub server: String,
    pub protocol: String,
    /// As asked, with what the service's annotation adds.
    pub attributes: Vec<Attribute>,
    /// Where the proxy is.
    pub locality: String,
    /// The routes that came first and did not match, in their order.
    pub passed_over: Vec<PassedOver>,
    /// None: the client is told that there is no route.
    pub route: Option<RouteRef>,
    pub destinations: Vec<DestinationShare>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attribute {
    pub name: String,
    pub value: String,
    /// Whether it comes from the `interface` annotation of the service.
    pub from_annotation: bool,
}

/// A route and where it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteRef {
    /// `namespace/name`.
    pub meta_router: String,
    /// Counted from one; none for a MetaRouter without routes.
    pub number: Option<usize>,
    pub name: String,
    pub file: String,
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    #[serde(flatten)]
    pub route: RouteRef,
    /// One sentence for each condition that does not hold.
    pub because: Vec<String>,
}

/// Why there is nothing to explain.
#[derive(Debug, Error)]
pub enum ExplainError {
    #[error("{0}")]
    Manifests(Report),
    #[error("no service has the host {host}; there is {known}")]
    UnknownService { host: String, known: String },
    #[error("{service} has no port {port}")]
    UnknownPort { service: String, port: String },
    #[error("no server of a Gateway speaks the protocol of {service}; there is {known}")]
    NoServer { service: String, known: String },
    #[error("{service} can be reached through several servers; choose one with --gateway: {known}")]
    SeveralServers { service: String, known: String },
    #[error("a proxy refuses the routes of {server}: {reason}")]
    Routes { server: String, reason: String },
}

/// Explains a request by the manifests under these paths.
///
/// # Errors
///
/// If the manifests have errors, or the service, its port or a server for it cannot be told.
pub fn run(
    paths: &[PathBuf],
    settings: Settings,
    query: &Query,
) -> Result<Explanation, ExplainError> {
    let mut controller = Controller::open(paths, settings);
    let update = controller.load();
    if !update.report.is_valid() {
        return Err(ExplainError::Manifests(update.report));
    }
    explain(controller.model(), controller.settings(), query)
}

fn explain(model: &Model, settings: &Settings, query: &Query) -> Result<Explanation, ExplainError> {
    let (service, port) = service(model, &query.service)?;
    let server = server(model, service, port, query.gateway.as_deref())?;
    let attributes = attributes(service, server, settings, query);
    let rules = server
        .rules
        .iter()
        .map(|rule| (rule.conditions.clone(), rule));
    let table = RouteTable::new(rules).map_err(|refused| ExplainError::Routes {
        server: server.name.to_string(),
        reason: refused.to_string(),
    })?;
    let values = |index: usize| {
        let name = table.attributes().get(index)?;
        let found = attributes.iter().find(|a| a.name == *name)?;
        Some(Cow::Owned(found.value.clone().into_bytes()))
    };
    let explained = table.explain(values);
    let taken = explained.matched.and_then(|i| server.rules.get(i));
    let passed = explained.verdicts.iter().filter(|v| !v.failures.is_empty());
    let destinations = taken
        .map(|rule| rule.destinations.as_slice())
        .unwrap_or_default();
    Ok(Explanation {
        service: format!("{}/{}", service.namespace, service.host),
        server: server.name.to_string(),
        protocol: server.protocol.application.clone(),
        locality: settings.locality.to_string(),
        passed_over: passed
            .filter_map(|verdict| passed_over(server, verdict))
            .collect(),
        route: taken.map(route_ref),
        destinations: destinations
            .iter()
            .map(|d| destination::share(model, d, &settings.locality))
            .collect(),
        attributes,
    })
}

/// The service and, if one is given, its port.
fn service<'a>(model: &'a Model, text: &str) -> Result<(&'a Service, Option<u16>), ExplainError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let Some(service) = model.services.find(host, "default") else {
        let hosts: Vec<_> = model.services.iter().map(|s| s.host.as_str()).collect();
        let known = if hosts.is_empty() {
            "none".to_owned()
        } else {
            hosts.join(", ")
        };
        return Err(ExplainError::UnknownService {
            host: host.to_owned(),
            known,
        });
    };
    let Some(port) = port else {
        return Ok((service, None));
    };
    match port
        .parse()
        .ok()
        .filter(|&number| service.port(number).is_some())
    {
        Some(number) => Ok((service, Some(number))),
        None => Err(ExplainError::UnknownPort {
            service: service.host.clone(),
            port: port.to_owned(),
        }),
    }
}

/// The server through which the request comes: of those that speak the protocol the one that is
/// named, else the only one, else the only one with a rule for the service.
fn server<'a>(
    model: &'a Model,
    service: &Service,
    port: Option<u16>,
    gateway: Option<&str>,
) -> Result<&'a Server, ExplainError> {
    let spoken: Vec<_> = service
        .ports
        .iter()
        .filter(|p| port.is_none_or(|number| p.number == number))
        .filter_map(|p| p.protocol.as_ref())
        .collect();
    let speaking = model
        .servers
        .iter()
        .filter(|s| spoken.contains(&&s.protocol));
    let named: Vec<&Server> = speaking
        .filter(|s| gateway.is_none_or(|gateway| is_named(s, gateway)))
        .collect();
    let routed: Vec<&Server> = named
        .iter()
        .copied()
        .filter(|s| s.rules.iter().any(|r| is_for(r, service)))
        .collect();
    let names = |servers: &[&Server]| {
        let names: Vec<_> = servers.iter().map(|s| s.name.to_string()).collect();
        names.join(", ")
    };
    match (named.as_slice(), routed.as_slice()) {
        ([only], _) | (_, [only]) => Ok(only),
        ([], _) => {
            let all: Vec<_> = model.servers.iter().collect();
            let known = if all.is_empty() {
                "none".to_owned()
            } else {
                names(&all)
            };
            Err(ExplainError::NoServer {
                service: service.host.clone(),
                known,
            })
        }
        (named, _) => Err(ExplainError::SeveralServers {
            service: service.host.clone(),
            known: names(named),
        }),
    }
}

/// `[NAMESPACE/]GATEWAY[/SERVER]`.
fn is_named(server: &Server, text: &str) -> bool {
    let name = &server.name;
    let (namespace, gateway) = (&*name.namespace, &*name.gateway);
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [one] => *one == gateway,
        [first, second] => {
            (*first == namespace && *second == gateway)
                || (*first == gateway && *second == name.server)
        }
        [first, second, third] => {
            *first == namespace && *second == gateway && *third == name.server
        }
        _ => false,
    }
}

/// Whether the rule is of a MetaRouter for this service.
fn is_for(rule: &Rule, service: &Service) -> bool {
    let Spec::MetaRouter(router) = &rule.source.spec else {
        return false;
    };
    let host = &router.host.value;
    let full = meltemi_policy::host::expand(host, &rule.source.id.namespace);
    service.host == *host || service.host == full
}

/// What was asked; where the service stands for one value of the protocol's service attribute and
/// nothing else was asked, that value too.
fn attributes(
    service: &Service,
    server: &Server,
    settings: &Settings,
    query: &Query,
) -> Vec<Attribute> {
    let mut attributes: Vec<Attribute> = vec![];
    let schema = settings
        .protocols
        .iter()
        .find(|p| p.id == server.protocol.plugin);
    let name = schema.and_then(|s| s.service_attribute.as_ref());
    if let (Some(name), [only]) = (name, service.interfaces.as_slice())
        && query.attributes.iter().all(|(asked, _)| asked != name)
    {
        let (name, value) = (name.clone(), only.clone());
        attributes.push(Attribute {
            name,
            value,
            from_annotation: true,
        });
    }
    let asked = query.attributes.iter().cloned();
    attributes.extend(asked.map(|(name, value)| Attribute {
        name,
        value,
        from_annotation: false,
    }));
    attributes
}

fn passed_over(server: &Server, verdict: &Verdict) -> Option<PassedOver> {
    let route = route_ref(server.rules.get(verdict.rule)?);
    Some(PassedOver {
        route,
        because: verdict.failures.iter().map(because).collect(),
    })
}

fn because(failure: &Failure) -> String {
    let name = &failure.attribute;
    let wanted = match &failure.condition {
        Condition::Present => return format!("the request has no {name}"),
        Condition::Exact(exact) => format!("`{exact}`"),
        Condition::Prefix(prefix) => format!("a value that begins with `{prefix}`"),
        Condition::Regex(regex) => format!("a value that matches `{regex}`"),
    };
    match &failure.actual {
        Some(actual) => format!(
            "{name} is `{}`, not {wanted}",
            String::from_utf8_lossy(actual)
        ),
        None => format!("the request has no {name}, and it should be {wanted}"),
    }
}

fn route_ref(rule: &Rule) -> RouteRef {
    let object = &rule.source;
    let at = match (&object.spec, rule.route) {
        (Spec::MetaRouter(router), Some(i)) => router.routes.get(i).map_or(object.at, |r| r.at),
        _ => object.at,
    };
    RouteRef {
        meta_router: format!("{}/{}", object.id.namespace, object.id.name),
        number: rule.route.map(|i| i + 1),
        name: rule.name.clone(),
        file: object.file.name.clone(),
        line: at.line,
    }
}

#[cfg(test)]
mod tests;
