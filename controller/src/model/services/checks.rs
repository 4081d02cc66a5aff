//! What in ServiceEntries and WorkloadEntries has no effect, or not the one that was meant.

use std::collections::BTreeMap;

use meltemi_policy::subset;

use super::super::dns;
use super::super::protocols::{self, PortName, Protocols, schema};
use super::super::{Findings, objects_of};
use super::pods::Pods;
use super::{Service, Services, Workload, address};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::index::Objects;
use crate::manifest::{Object, Resolution, ServiceEntry, Spec, WorkloadEntry, nearest};
use crate::schema::Settings;

pub(super) fn ports(
    object: &Object,
    entry: &ServiceEntry,
    protocols: &Protocols,
    findings: &mut Findings,
) {
    for port in &entry.ports {
        if let PortName::Unknown {
            named,
            did_you_mean,
        } = protocols.of_port(&port.name.value)
        {
            let complaint = Protocols::complaint(named.as_deref(), did_you_mean.as_deref());
            findings.at(object, port.name.at, complaint);
            findings.needing(protocols::need(&port.name.value));
        }
    }
}

pub(super) fn workloads(
    object: &Object,
    (entry, pods): (&ServiceEntry, &Pods<'_>),
    workloads: &[Workload<'_>],
    findings: &mut Findings,
) {
    let mut seen = BTreeMap::new();
    for workload in workloads {
        let at = workload.entry.address.at;
        let text = &workload.entry.address.value;
        if address(text, 1, entry.resolution).is_none() {
            let (what, remedy) = match entry.resolution.has_names() {
                true => (
                    "neither an IP address nor a name of DNS",
                    "give a name such as orders.example.com, or an IP address; a port stands in \
                     `ports`",
                ),
                false => (
                    "not an address",
                    "with `resolution: STATIC`, give an IP address, or unix:// and a path; with \
                     `resolution: DNS`, a host name",
                ),
            };
            let message = format!("`{text}` is {what}");
            let diagnostic = Diagnostic::error(Code::InvalidValue, message);
            findings.at(workload.object, at, diagnostic.remedy(remedy));
        } else if let Some(first) = seen.insert((text, numbers(workload.entry)), workload) {
            let place = Place::of(&first.object.file, first.entry.address.at);
            let message = format!("{text} is an endpoint already, with the same ports");
            let diagnostic = Diagnostic::warning(Code::DuplicateEndpoint, message);
            findings.at(
                workload.object,
                at,
                diagnostic.related("the first is here", place),
            );
        }
    }
    dns::only_one(object, entry, workloads, findings);
    if !(workloads.is_empty() && pods.is_empty()) {
        return;
    }
    let (reason, remedy) = match (&entry.resolution, &entry.selector) {
        // Said already, where the resolution stands.
        (Resolution::DynamicDns, _) => return,
        // The host is one.
        (Resolution::Dns | Resolution::DnsRoundRobin, None) => return,
        (Resolution::None, _) => (
            "with `resolution: NONE` a request goes where its client dialled, and at a Gateway \
             that is no endpoint",
            "write `resolution: STATIC`, and list the endpoints",
        ),
        (Resolution::Static | Resolution::Dns | Resolution::DnsRoundRobin, Some(_)) => (
            "no WorkloadEntry of its namespace has the labels of `workloadSelector`, and no Pod that is ready",
            "give the WorkloadEntries or Pods of its namespace these labels",
        ),
        (Resolution::Static, None) => (
            "`endpoints` is empty",
            "list them there, or select WorkloadEntries by `workloadSelector.labels`",
        ),
    };
    let host = entry.hosts.first().map_or("", |h| h.value.as_str());
    let message = format!("{host} has no endpoint: {reason}");
    let at = entry.hosts.first().map_or(object.at, |h| h.at);
    let diagnostic = Diagnostic::warning(Code::NoEndpoints, message).remedy(remedy);
    findings.at(object, at, diagnostic);
}

/// An `interface` annotation restricts nothing where the protocol has no such attribute.
pub(super) fn interfaces(service: &Service, settings: &Settings, findings: &mut Findings) {
    let protocols = service.ports.iter().filter_map(|p| p.protocol.as_ref());
    let without = protocols
        .filter(|p| schema(settings, &p.plugin).is_some_and(|s| s.service_attribute.is_none()))
        .map(|p| &p.application)
        .next();
    let (Some(application), false) = (without, service.interfaces.is_empty()) else {
        return;
    };
    let at = service
        .source
        .metadata
        .annotations
        .get("interface")
        .map_or(service.at, |a| a.at);
    let message = format!(
        "the annotation `interface` restricts nothing: {application} has no such attribute"
    );
    findings.at(
        &service.source,
        at,
        Diagnostic::warning(Code::NotInForce, message).remedy("remove the annotation"),
    );
}

fn numbers(workload: &WorkloadEntry) -> Vec<(&str, u16)> {
    let ports = workload.ports.iter();
    ports
        .map(|(name, port)| (name.as_str(), port.value))
        .collect()
}

/// The ports of the listed endpoints are those of the service, by name.
pub(super) fn endpoint_ports(object: &Object, entry: &ServiceEntry, findings: &mut Findings) {
    for workload in &entry.endpoints {
        named_ports(object, workload, &[entry], findings);
    }
}

/// Those of a WorkloadEntry are those of the services that select it.
pub(super) fn workload_ports(objects: &Objects, findings: &mut Findings) {
    for (object, workload) in objects_of!(objects, WorkloadEntry) {
        let entries = objects_of!(objects, ServiceEntry).filter(|(o, entry)| {
            let selector = entry.selector.as_ref();
            o.id.namespace == object.id.namespace
                && selector.is_some_and(|s| subset::selects(s, &workload.labels))
        });
        let entries: Vec<_> = entries.map(|(_, entry)| entry).collect();
        if !entries.is_empty() {
            named_ports(object, workload, &entries, findings);
        }
    }
}

/// A name that no port has would be passed over, and the endpoint dialled at another port.
fn named_ports(
    object: &Object,
    workload: &WorkloadEntry,
    entries: &[&ServiceEntry],
    findings: &mut Findings,
) {
    let ports = || entries.iter().flat_map(|e| &e.ports);
    let names = || ports().map(|p| p.name.value.as_str());
    for (name, port) in &workload.ports {
        if names().any(|known| known == name) {
            continue;
        }
        let near = nearest(name, names()).map(|near| format!("; did you mean `{near}`?"));
        let near = near.unwrap_or_default();
        let message = format!("the service has no port named `{name}`{near}");
        let diagnostic = Diagnostic::error(Code::UnknownPort, message);
        let names: Vec<_> = names().collect();
        let remedy = format!("its ports are named {}", names.join(", "));
        findings.at(object, port.at, diagnostic.remedy(remedy));
    }
}

impl Services {
    /// A host of two namespaces is legal: which of the services is meant depends on who asks.
    pub(super) fn check_hosts(&self, findings: &mut Findings) {
        for (first, second) in self.iter().zip(self.iter().skip(1)) {
            if first.host != second.host {
                continue;
            }
            let message = format!(
                "{} is defined in namespace {} too: rules of other namespaces than {} mean that one",
                second.host, first.namespace, second.namespace
            );
            let place = Place::of(&first.source.file, first.at);
            let diagnostic = Diagnostic::warning(Code::DuplicateHost, message)
                .related("the other is here", place)
                .remedy("give each service a host of its own, or define it in one namespace");
            findings.at(&second.source, second.at, diagnostic);
        }
    }
}
