//! Where the sidecars of a mesh are to be led, so that they come to the Gateway that services ask for: which ports of ours, to
//! which Service, and what of other people's stands against it.

use std::collections::BTreeSet;
use std::sync::Arc;

use meltemi_policy::host;

use super::super::destination_rules::exports;
use super::super::{Context, Findings, Hop, Service, objects_of};
use super::{Waypoint, captured};
use crate::diagnostic::{Code, Diagnostic, Place, Position};
use crate::manifest::{DestinationRule, Object, ObjectRef, Spec, VirtualService};

/// On a Service of the Gateway's namespace: the Gateway whose pods it selects.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// Of what a controller of ours keeps, whatever its revision.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "meltemi-controller");

/// What sidecars are to be told of one Gateway.
#[derive(Clone, Debug, Default)]
pub(crate) struct Led {
    /// None: nobody could dial it.
    pub(crate) via: Option<Via>,
    pub(crate) services: Vec<LedService>,
}

/// The Service of a Gateway's proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Via {
    pub(crate) service: ObjectRef,
    pub(crate) host: String,
    /// That of the listener.
    pub(crate) port: u16,
}

/// A host of a Service or ServiceEntry that asks for the Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedService {
    pub(crate) service: ObjectRef,
    pub(crate) host: String,
    /// Those of our protocols that nobody else leads.
    pub(crate) ports: BTreeSet<u16>,
    /// Those that a VirtualService of somebody else leads elsewhere.
    pub(crate) taken: Vec<(u16, ObjectRef)>,
}

/// What sidecars are led to a Gateway for, with what is in the way of it.
pub(super) fn of(waypoint: &Waypoint, context: &Context<'_>, findings: &mut Findings) -> Led {
    let via = via(waypoint, context);
    let services = context.services.iter();
    let asking = services.filter(|it| waypoint.asking.contains(&it.source.id));
    let reached = asking.filter(|it| captured::of_sidecars(it).is_none());
    let services: Vec<_> = reached
        .map(|it| of_service(it, via.as_ref(), context))
        .collect();
    let gateway = &waypoint.gateway;
    for (service, (port, other)) in services
        .iter()
        .flat_map(|it| it.taken.iter().map(move |taken| (it, taken)))
    {
        let message = format!(
            "sidecars are not led here for port {port} of {}: {other} has a route for it, and both are left alone",
            service.service
        );
        let diagnostic = Diagnostic::warning(Code::NotCaptured, message);
        let diagnostic = match context.objects.get(other) {
            Some(other) => diagnostic.related("it is here", Place::of(&other.file, other.at)),
            None => diagnostic,
        };
        let remedy = "take its route for the port away, or the label meltemi.io/use-gateway";
        findings.blameless(gateway, gateway.at, diagnostic.remedy(remedy));
    }
    if let Some(via) = via.as_ref().filter(|_| !services.is_empty()) {
        overriding(via, context, findings);
    }
    Led { via, services }
}

/// The Service that says that it is the Gateway's, else the one of its name; with a port of the listener's number.
fn via(waypoint: &Waypoint, context: &Context<'_>) -> Option<Via> {
    let gateway = &waypoint.gateway.id;
    let services = context.services.iter();
    let of_namespace = services.filter(|it| it.namespace == gateway.namespace);
    let reached = of_namespace.filter(|it| {
        matches!(it.source.spec, Spec::Service(_)) && it.port(waypoint.port).is_some()
    });
    let says = |service: &&Service| {
        let labels = &service.source.metadata.labels;
        labels
            .get(GATEWAY_NAME)
            .is_some_and(|it| **it == *gateway.name)
    };
    let named = |service: &&Service| service.source.id.name == gateway.name;
    let reached: Vec<_> = reached.collect();
    let of_gateway = reached.iter().copied().find(says);
    let service = of_gateway.or_else(|| reached.iter().copied().find(named))?;
    Some(Via {
        service: service.source.id.clone(),
        host: service.host.clone(),
        port: waypoint.port,
    })
}

/// As whom the Gateway's proxies come to servers: as the accounts of the pods that its Service has.
pub(super) fn hop(via: Option<&Via>, context: &Context<'_>) -> Hop {
    let mut services = context.services.iter();
    let service = via.and_then(|via| services.find(|it| it.source.id == via.service));
    let accounts: BTreeSet<_> = service
        .into_iter()
        .flat_map(Service::workloads)
        .map(|it| it.account.as_str())
        .collect();
    Hop::of(accounts, context.mesh.trust_domains())
}

fn of_service(service: &Service, via: Option<&Via>, context: &Context<'_>) -> LedService {
    let mut led = LedService {
        service: service.source.id.clone(),
        host: service.host.clone(),
        ports: BTreeSet::new(),
        taken: vec![],
    };
    let ports = service.ports.iter().filter(|it| it.protocol.is_some());
    let led_by = ports.filter(|port| captured::is_led(service, port));
    for number in led_by.map(|port| port.number) {
        match taken(service, number, via, context) {
            None => drop(led.ports.insert(number)),
            Some((other, false)) => led.taken.push((number, other.id.clone())),
            // By whoever wrote it by hand.
            Some((_, true)) => {}
        }
    }
    led
}

/// The VirtualService of somebody else that leads a port, and whether it leads it to the Gateway.
fn taken<'a>(
    service: &Service,
    port: u16,
    via: Option<&Via>,
    context: &Context<'a>,
) -> Option<(&'a Arc<Object>, bool)> {
    let rules = objects_of!(context.objects, VirtualService);
    let mut others =
        rules.filter(|(object, rule)| !is_ours(object) && is_about(object, rule, service));
    others.find_map(|(object, rule)| {
        let mut passing = rule.passing.iter();
        let route = passing.find(|route| route.is_for(port))?;
        let leads_here =
            |to: &String| via.is_some_and(|via| host::expand(to, &object.id.namespace) == via.host);
        Some((
            object,
            !route.to.is_empty() && route.to.iter().all(leads_here),
        ))
    })
}

fn is_about(object: &Object, rule: &VirtualService, service: &Service) -> bool {
    let mut hosts = rule.hosts.iter();
    hosts.any(|it| {
        let host = host::expand(&it.value, &object.id.namespace);
        it.value == service.host || host::covers(&host, &service.host)
    })
}

/// Whether it was written by a controller of ours.
pub(super) fn is_ours(object: &Object) -> bool {
    let (label, value) = MANAGED_BY;
    let by = object.metadata.labels.get(label);
    by.is_some_and(|by| by == value)
}

/// Names the DestinationRules by which sidecars of a namespace do not see ours: those of their own namespace come first,
/// whatever they say.
fn overriding(via: &Via, context: &Context<'_>, findings: &mut Findings) {
    let own = &via.service.namespace;
    for (object, rule) in objects_of!(context.objects, DestinationRule) {
        let namespace = &object.id.namespace;
        let expanded = host::expand(&rule.host.value, namespace);
        let is_in_the_way = namespace != own
            && **namespace != *context.settings.root_namespace
            && host::covers(&expanded, &via.host)
            && exports(&rule.export_to, namespace, namespace)
            && !is_ours(object);
        if is_in_the_way {
            let message = format!(
                "sidecars of {namespace} come to {} by this DestinationRule, and not by ours, which is in {own}: what they \
                 are led there for fails",
                via.host
            );
            let remedy = format!("name hosts that are not {}, or move it to {own}", via.host);
            let diagnostic = Diagnostic::warning(Code::NotCaptured, message).remedy(remedy);
            findings.at(object, rule.host.at, diagnostic);
        }
    }
}

/// Headers are written by sidecars: what our proxies dial gets none.
pub(super) fn check_headers(
    waypoints: &[Waypoint],
    context: &Context<'_>,
    findings: &mut Findings,
) {
    let is_led_to = |host: &str| {
        let mut vias = waypoints.iter().filter_map(|it| it.led.via.as_ref());
        vias.any(|via| via.host == host)
    };
    for (object, rule) in objects_of!(context.objects, DestinationRule) {
        let Some(at) = asks_for_header(rule) else {
            continue;
        };
        if !is_led_to(&host::expand(&rule.host.value, &object.id.namespace)) {
            let message =
                "`trafficPolicy.proxyProtocol` is not in force yet: it is read and has no effect";
            findings.at(object, at, Diagnostic::warning(Code::NotInForce, message));
        }
    }
}

fn asks_for_header(rule: &DestinationRule) -> Option<Position> {
    rule.proxy_protocol().map(|mark| mark.at)
}
