//! The services, with their ports and endpoints: from ServiceEntries and WorkloadEntries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_policy::{host, subset};

use super::protocols::{self, PortName, Protocols, schema};
use super::{Endpoint, EndpointAddress, Findings, PortProtocol, objects_of};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::index::Objects;
use crate::manifest::{
    Located, Object, Resolution, ServiceEntry, ServicePort, Spec, WorkloadEntry, nearest,
};
use crate::schema::Settings;

/// All services, by host and namespace.
#[derive(Debug, Default)]
pub(crate) struct Services(BTreeMap<(String, Arc<str>), Service>);

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) host: String,
    pub(crate) namespace: Arc<str>,
    pub(crate) ports: Vec<Port>,
    /// Values of the protocol's service attribute to which its rules are restricted.
    pub(crate) interfaces: Vec<String>,
    /// Whether an annotation asks for the nearest endpoints.
    pub(crate) has_traffic_distribution: bool,
    pub(crate) source: Arc<Object>,
    /// Where its host stands.
    pub(crate) at: Position,
}

#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) name: String,
    pub(crate) protocol: Option<PortProtocol>,
    pub(crate) endpoints: Vec<Endpoint>,
}

const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

impl Services {
    pub(super) fn new(
        objects: &Objects,
        protocols: &Protocols,
        settings: &Settings,
        findings: &mut Findings,
    ) -> Self {
        let mut services = Self::default();
        for (object, entry) in objects_of!(objects, ServiceEntry) {
            check_ports(object, entry, protocols, findings);
            let workloads = workloads(object, entry, objects);
            check_workloads(object, entry, &workloads, findings);
            for host in &entry.hosts {
                let service = service(object, entry, host, protocols, &workloads);
                check_interfaces(&service, settings, findings);
                services.add(service, findings);
            }
        }
        services
    }

    fn add(&mut self, service: Service, findings: &mut Findings) {
        let key = (service.host.clone(), service.namespace.clone());
        let Some(first) = self.0.get(&key) else {
            self.0.insert(key, service);
            return;
        };
        let message = format!("{} is defined twice in namespace {}", service.host, key.1);
        let place = crate::diagnostic::Place::of(&first.source.file, first.at);
        let diagnostic = Diagnostic::error(Code::DuplicateHost, message)
            .related("the first is here, and is the one that counts", place)
            .remedy("write all its endpoints into one ServiceEntry, or select them by labels");
        findings.at(&service.source, service.at, diagnostic);
        findings.or_blame([first.source.id.clone()]);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Service> {
        self.0.values()
    }

    /// The service that a host means in a rule of this namespace: as it stands, else expanded as a
    /// short name; that of the namespace itself before those of others.
    pub(crate) fn find(&self, host: &str, namespace: &str) -> Option<&Service> {
        let full = host::expand(host, namespace);
        self.of_host(host, namespace)
            .or_else(|| self.of_host(&full, namespace))
    }

    fn of_host(&self, host: &str, namespace: &str) -> Option<&Service> {
        let mut with_host = self.0.values().filter(|s| s.host == host).peekable();
        let first = with_host.peek().copied();
        with_host.find(|s| *s.namespace == *namespace).or(first)
    }

    /// "did you mean", for a host that is not there.
    pub(super) fn nearest(&self, host: &str) -> String {
        nearest(host, self.0.keys().map(|(host, _)| host.as_str()))
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default()
    }
}

impl Service {
    pub(crate) fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|p| p.number == number)
    }

    /// The localities of its endpoints.
    pub(super) fn localities(&self) -> BTreeSet<&meltemi_policy::Locality> {
        self.ports
            .iter()
            .flat_map(|p| &p.endpoints)
            .map(|e| &e.locality)
            .collect()
    }

    /// Its ports, for people.
    pub(super) fn port_list(&self) -> String {
        let ports: Vec<_> = self
            .ports
            .iter()
            .map(|p| format!("{} ({})", p.number, p.name))
            .collect();
        ports.join(", ")
    }
}

fn service(
    object: &Arc<Object>,
    entry: &ServiceEntry,
    host: &Located<String>,
    protocols: &Protocols,
    workloads: &[Workload<'_>],
) -> Service {
    let port = |port: &ServicePort| Port {
        number: port.number,
        name: port.name.value.clone(),
        protocol: match protocols.of_port(&port.name.value) {
            PortName::Ours(protocol) => Some(protocol),
            PortName::NotOurs | PortName::Unknown { .. } => None,
        },
        endpoints: endpoints(port, workloads),
    };
    let annotation = |name: &str| object.metadata.annotations.get(name);
    let interfaces = annotation("interface")
        .map(|a| a.value.as_str())
        .unwrap_or_default();
    Service {
        host: host.value.clone(),
        namespace: object.id.namespace.clone(),
        ports: entry.ports.iter().map(port).collect(),
        interfaces: interfaces
            .split(',')
            .map(|i| i.trim().to_owned())
            .filter(|i| !i.is_empty())
            .collect(),
        has_traffic_distribution: annotation(TRAFFIC_DISTRIBUTION)
            .is_some_and(|a| a.value.starts_with("Prefer")),
        source: object.clone(),
        at: host.at,
    }
}

/// An endpoint, and the object that it is written in.
struct Workload<'a> {
    object: &'a Object,
    entry: &'a WorkloadEntry,
}

/// Those that are listed, or those of the namespace that the selector picks.
fn workloads<'a>(
    object: &'a Arc<Object>,
    entry: &'a ServiceEntry,
    objects: &'a Objects,
) -> Vec<Workload<'a>> {
    if entry.resolution != Resolution::Static {
        return vec![];
    }
    let Some(selector) = &entry.selector else {
        return entry
            .endpoints
            .iter()
            .map(|entry| Workload { object, entry })
            .collect();
    };
    objects_of!(objects, WorkloadEntry)
        .filter(|(o, w)| {
            o.id.namespace == object.id.namespace && subset::selects(selector, &w.labels)
        })
        .map(|(object, entry)| Workload { object, entry })
        .collect()
}

fn endpoints(port: &ServicePort, workloads: &[Workload<'_>]) -> Vec<Endpoint> {
    let mut seen = BTreeSet::new();
    let endpoints = workloads.iter().filter_map(|Workload { entry, .. }| {
        let named = entry.ports.get(&port.name.value).copied();
        let number = named.or(port.target_port).unwrap_or(port.number);
        let address = address(&entry.address.value, number)?;
        Some(Endpoint {
            address,
            locality: entry.locality.clone(),
            labels: entry.labels.clone(),
            weight: entry.weight.filter(|&w| w > 0).unwrap_or(1),
        })
    });
    endpoints
        .filter(|e| seen.insert(e.address.clone()))
        .collect()
}

fn address(text: &str, port: u16) -> Option<EndpointAddress> {
    match text.strip_prefix("unix://") {
        Some("") => None,
        Some(path) => Some(EndpointAddress::Unix(path.to_owned())),
        None => text.parse().ok().map(|ip| EndpointAddress::Tcp(ip, port)),
    }
}

fn check_ports(
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

fn check_workloads(
    object: &Object,
    entry: &ServiceEntry,
    workloads: &[Workload<'_>],
    findings: &mut Findings,
) {
    let mut seen = BTreeMap::new();
    for workload in workloads {
        let at = workload.entry.address.at;
        let text = &workload.entry.address.value;
        if address(text, 1).is_none() {
            let message = format!("`{text}` is not an address");
            let diagnostic = Diagnostic::error(Code::InvalidValue, message);
            let remedy = "with `resolution: STATIC`, give an IP address, or unix:// and a path";
            findings.at(workload.object, at, diagnostic.remedy(remedy));
        } else if let Some(first) = seen.insert((text, &workload.entry.ports), workload) {
            let place = crate::diagnostic::Place::of(&first.object.file, first.entry.address.at);
            let message = format!("{text} is an endpoint already, with the same ports");
            let diagnostic = Diagnostic::warning(Code::DuplicateEndpoint, message);
            findings.at(
                workload.object,
                at,
                diagnostic.related("the first is here", place),
            );
        }
    }
    if !workloads.is_empty() {
        return;
    }
    let reason = match (&entry.resolution, &entry.selector) {
        // Said already, where the resolution stands.
        (Resolution::Dns, _) => return,
        (Resolution::None, _) => {
            "with `resolution: NONE` a request goes where its client dialled, and at a Gateway \
             that is no endpoint"
        }
        (Resolution::Static, Some(_)) => {
            "no WorkloadEntry of its namespace has the labels of \
                                          `workloadSelector`"
        }
        (Resolution::Static, None) => "`endpoints` is empty",
    };
    let host = entry.hosts.first().map_or("", |h| h.value.as_str());
    let message = format!("{host} has no endpoint: {reason}");
    let at = entry.hosts.first().map_or(object.at, |h| h.at);
    findings.at(object, at, Diagnostic::warning(Code::NoEndpoints, message));
}

/// An `interface` annotation restricts nothing where the protocol has no such attribute.
fn check_interfaces(service: &Service, settings: &Settings, findings: &mut Findings) {
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
        Diagnostic::warning(Code::NotInForce, message),
    );
}
