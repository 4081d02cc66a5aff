//! Where a request would go, and why: the route, those before it, and the endpoints by tier.

use std::net::IpAddr;
use std::path::PathBuf;

use meltemi_policy::RouteTable;
use meltemi_policy::explain::{Asked, DestinationShare, Treatment};
use meltemi_policy::hashing::Keyed;
use meltemi_policy::route::Verdict;
use serde::Serialize;
use thiserror::Error;

use crate::check::Report;
#[cfg(feature = "kubernetes")]
use crate::controller::Cluster;
use crate::controller::Controller;
use crate::manifest::{Spec, one_of};
use crate::model::{Model, Rule, Server};
use crate::schema::Settings;

mod access;
mod destination;
mod keyed;
mod matching;
mod render;
mod request;
mod tiers;
mod treatment;

pub use access::Access;
use destination::Situation;

/// Which request.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// `[NAMESPACE/]HOST[:PORT]`.
    pub service: String,
    /// `[NAMESPACE/]GATEWAY[/SERVER]`; may be left out where only one server routes the service.
    pub gateway: Option<String>,
    pub attributes: Vec<(String, String)>,
    /// The address that the client's connection comes from.
    pub source: Option<IpAddr>,
    /// The identity that the client has proven by its certificate.
    pub principal: Option<String>,
    /// Addresses of endpoints that are to count as failed.
    pub failed: Vec<String>,
}

impl Query {
    /// As somebody means it who stands in the namespace: a host without one is of it.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        if !self.service.contains('/') {
            self.service = format!("{namespace}/{}", self.service);
        }
        self
    }
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
    /// The client's address, where it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// The identity that the client has proven, where it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Where the proxy is.
    pub locality: String,
    /// Whether policies let it pass; none: there are no policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The routes that came first and did not match, in their order.
    pub passed_over: Vec<PassedOver>,
    /// None: the client is told that there is no route.
    pub route: Option<RouteRef>,
    /// Which of the route's alternatives the request is, where it has several; counted from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternative: Option<usize>,
    pub destinations: Vec<DestinationShare>,
    /// What the route does besides.
    #[serde(flatten)]
    pub treatment: Treatment,
    /// Why there is no route, where the conditions alone do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
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
    #[serde(flatten)]
    pub object: RouteObject,
    /// Counted from one; none for an object without routes.
    pub number: Option<usize>,
    pub name: String,
    pub file: String,
    pub line: u32,
}

/// What a route is written in, as `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteObject {
    MetaRouter(String),
    RedisService(String),
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
    #[error("{host} is defined in several namespaces; choose one with --service: {known}")]
    SeveralServices { host: String, known: String },
    #[error("{service} has no port {port}")]
    UnknownPort { service: String, port: String },
    #[error("no server is named {gateway}{hint}; there is {known}")]
    UnknownGateway {
        gateway: String,
        hint: String,
        known: String,
    },
    #[error("no server of {gateway} speaks the protocol of {service}; {known}")]
    NoServer {
        gateway: String,
        service: String,
        known: String,
    },
    #[error("unknown attribute `{name}` of protocol {protocol}{hint}; its attributes are {known}")]
    UnknownAttribute {
        name: String,
        protocol: String,
        hint: String,
        known: String,
    },
    #[error("the attribute `{0}` is given twice, and a request has one value of it")]
    RepeatedAttribute(String),
    #[error("{service} can be reached through several servers; choose one with --gateway: {known}")]
    SeveralServers { service: String, known: String },
    #[error("no endpoint of the route has the address {address}; its endpoints are {known}")]
    UnknownEndpoint { address: String, known: String },
    #[error("a proxy refuses the routes of {server}: {reason}")]
    Routes { server: String, reason: String },
}

impl ExplainError {
    fn routes(server: &Server, reason: impl ToString) -> Self {
        Self::Routes {
            server: server.name.to_string(),
            reason: reason.to_string(),
        }
    }
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

/// Explains a request by what is valid of the objects of a cluster.
///
/// # Errors
///
/// If the service, its port or a server for it cannot be told.
#[cfg(feature = "kubernetes")]
pub fn in_cluster(cluster: &Cluster, query: &Query) -> Result<Explanation, ExplainError> {
    explain(cluster.model(), cluster.settings(), query)
}

fn explain(model: &Model, settings: &Settings, query: &Query) -> Result<Explanation, ExplainError> {
    let (service, port) = request::service(model, &query.service)?;
    let server = request::server(model, service, port, query.gateway.as_deref())?;
    let mut protocols = settings.protocols.iter();
    let schema = protocols.find(|p| p.id == server.protocol.plugin);
    let attributes = request::attributes(service, schema, query)?;
    let rules = server.rules.iter().map(|rule| (rule.matches(), rule));
    let table = RouteTable::new(rules).map_err(|reason| ExplainError::routes(server, reason))?;
    let source = query.source.map(|address| address.to_canonical());
    let value = |name: &str| {
        let found = attributes.iter().find(|a| a.name == name)?;
        Some(found.value.as_bytes())
    };
    let principal = query.principal.as_deref().map(meltemi_tls::identity);
    let asked = Asked {
        attribute: &value,
        source,
        principal: principal.as_deref(),
    };
    let explained = table.explain(|index| asked.value(table.attributes().get(index)?));
    let matched = explained.matched;
    let taken = matched.and_then(|taken| server.rules.get(taken.rule));
    let passed = explained.verdicts.iter();
    let passed = passed.filter(|verdict| matched.is_none_or(|taken| taken.rule != verdict.rule));
    let treatment = taken
        .map(|rule| treatment::of(rule, server, model, (&attributes, &asked)))
        .unwrap_or_default();
    let keyed = Keyed {
        own: request::key_hash(server, settings, &attributes, &treatment),
        route: taken.map_or(&[], |rule| rule.hash_policy.as_slice()),
        attribute: &value,
        source,
    };
    let situation = Situation {
        model,
        place: settings.place(),
        failed: &query.failed,
        keyed: &keyed,
    };
    let destinations = taken.map(|rule| destination::all(rule, situation));
    let destinations = destinations.unwrap_or_default();
    are_known(&query.failed, &destinations)?;
    Ok(Explanation {
        service: format!("{}/{}", service.namespace, service.host),
        server: server.name.to_string(),
        protocol: server.protocol.application.clone(),
        locality: settings.locality.to_string(),
        access: access::of(server, &attributes, &asked),
        passed_over: passed
            .filter_map(|verdict| passed_over(server, verdict))
            .collect(),
        route: taken.map(|rule| route_ref(rule)),
        alternative: taken.and_then(|rule| matching::alternative(rule, matched?.alternative)),
        source,
        principal: query.principal.clone(),
        destinations,
        treatment,
        note: request::note(service, schema, &attributes).filter(|_| taken.is_none()),
        attributes,
    })
}

/// What is to count as failed has to be there.
fn are_known(failed: &[String], destinations: &[DestinationShare]) -> Result<(), ExplainError> {
    let known: Vec<_> = destinations.iter().flat_map(|d| d.addresses()).collect();
    match failed
        .iter()
        .find(|address| !known.contains(&address.as_str()))
    {
        None => Ok(()),
        Some(address) => Err(ExplainError::UnknownEndpoint {
            address: address.clone(),
            known: one_of(&known),
        }),
    }
}

fn passed_over(server: &Server, verdict: &Verdict) -> Option<PassedOver> {
    let rule = server.rules.get(verdict.rule)?;
    Some(PassedOver {
        route: route_ref(rule),
        because: matching::because(rule, &verdict.failed),
    })
}

fn route_ref(rule: &Rule) -> RouteRef {
    let object = &rule.source;
    let name = format!("{}/{}", object.id.namespace, object.id.name);
    RouteRef {
        object: match &object.spec {
            Spec::RedisService(_) => RouteObject::RedisService(name),
            _ => RouteObject::MetaRouter(name),
        },
        number: rule.route.map(|i| i + 1),
        name: rule.name.clone(),
        file: object.file.name.clone(),
        line: rule.at().line,
    }
}

#[cfg(test)]
mod tests;
