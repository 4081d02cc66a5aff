//! The global limits of MetaRouters, as they mean on a server.

use std::time::Duration;

use meltemi_policy::{ClusterName, host};

use super::attachment::Attachment;
use super::{Alternative, Findings, Need, Service};
use crate::diagnostic::{Code, Diagnostic};
use crate::manifest;

/// Requests that a rate limit service is asked about.
#[derive(Clone, Debug)]
pub(crate) struct GlobalRateLimit {
    /// `namespace/name` of the MetaRouter.
    pub(crate) name: String,
    /// One has to hold; at least one.
    pub(crate) alternatives: Vec<Alternative>,
    pub(crate) domain: String,
    /// The attributes of the one descriptor, and their keys; at least one.
    pub(crate) entries: Vec<(String, String)>,
    pub(crate) cluster: ClusterName,
    pub(crate) timeout: Duration,
    pub(crate) deny_on_fail: bool,
}

/// The cluster of the service. Where its port cannot be told there is none of that name.
pub(super) fn cluster(
    attachment: &Attachment<'_>,
    written: &manifest::RateLimitService,
) -> ClusterName {
    let namespace = &attachment.object.id.namespace;
    let service = attachment
        .context
        .services
        .find(&written.host.value, namespace);
    let port = written.port.or_else(|| service.and_then(only_port));
    ClusterName {
        port: port.unwrap_or(1),
        subset: String::new(),
        host: match service {
            Some(service) => service.host.clone(),
            None => host::expand(&written.host.value, namespace),
        },
    }
}

/// Says where there is no such service, or no such port.
pub(super) fn check(
    attachment: &Attachment<'_>,
    limit: &manifest::GlobalRateLimit,
    findings: &mut Findings,
) {
    let manifest::RateLimitService { host, port } = &limit.service;
    let manifest::Located { value: host, at } = host;
    let (object, services) = (attachment.object, &attachment.context.services);
    let namespace = &object.id.namespace;
    let Some(service) = services.find(host, namespace) else {
        let message = format!("no service has the host {host}{}", services.nearest(host));
        let remedy = match limit.deny_on_fail {
            true => "requests are refused until a ServiceEntry defines the host",
            false => "requests are not limited until a ServiceEntry defines the host",
        };
        let diagnostic = Diagnostic::warning(Code::UnknownHost, message);
        findings.at(object, *at, diagnostic.remedy(remedy));
        let names = [host.clone(), host::expand(host, namespace)];
        findings.needing(names.map(Need::Host));
        return;
    };
    let (message, remedy) = match port {
        Some(port) if service.port(*port).is_some() => return,
        Some(port) => (
            format!("{} has no port {port}", service.host),
            format!("its ports are {}", service.port_list()),
        ),
        None if only_port(service).is_some() => return,
        None => (
            format!(
                "which port of {} is meant cannot be told: its ports are {}",
                service.host,
                service.port_list()
            ),
            format!("write `{host}:PORT`"),
        ),
    };
    let diagnostic = Diagnostic::error(Code::UnknownPort, message);
    findings.at(object, *at, diagnostic.remedy(remedy));
    findings.or_blame([service.source.id.clone()]);
}

fn only_port(service: &Service) -> Option<u16> {
    match service.ports.as_slice() {
        [only] => Some(only.number),
        _ => None,
    }
}
