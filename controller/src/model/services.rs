//! The services, with their ports and endpoints: from Services and EndpointSlices, ServiceEntries and WorkloadEntries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_policy::{Locality, host, subset};
use meltemi_tls::PeerName;

use self::pods::Pods;
use super::protocols::{PortName, Protocols};
use super::traffic_distribution::{self, TrafficDistribution};
use super::{Endpoint, EndpointAddress, Findings, PortProtocol, objects_of};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::index::Objects;
use crate::manifest::{
    Located, Object, Resolution, ServiceEntry, ServicePort, Spec, WorkloadEntry, is_resolvable,
    nearest,
};
use crate::persistent::PersistentMap;
use crate::schema::Settings;

/// All services, by host, and those of one host by namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Services(PersistentMap<String, BTreeMap<Arc<str>, Arc<Service>>>);

#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) host: String,
    pub(crate) namespace: Arc<str>,
    pub(crate) ports: Vec<Port>,
    pub(crate) resolution: Resolution,
    /// Values of the protocol's service attribute to which its rules are restricted.
    pub(crate) interfaces: Vec<String>,
    /// What its servers' certificates are for, unless a DestinationRule says otherwise.
    pub(crate) subject_alt_names: Vec<PeerName>,
    /// What an annotation of it, or of its namespace, asks for.
    pub(crate) distribution: Option<TrafficDistribution>,
    pub(crate) source: Arc<Object>,
    /// Where its host stands.
    pub(crate) at: Position,
}

#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) name: String,
    pub(crate) protocol: Option<PortProtocol>,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
}

mod aliases;
mod checks;
mod kubernetes;
mod pods;
mod selected;

pub(crate) use kubernetes::placed;
#[cfg(feature = "kubernetes")]
pub(super) use kubernetes::{Slices, refresh};
pub(crate) use selected::Reach;

impl Services {
    pub(super) fn new(
        objects: &Objects,
        protocols: &Protocols,
        settings: &Settings,
        findings: &mut Findings,
    ) -> Self {
        let mut services = Self::default();
        for service in kubernetes::services(objects, protocols) {
            traffic_distribution::check(&service.source, findings);
            checks::interfaces(&service, settings, findings);
            services.add(service, findings);
        }
        for (object, entry) in objects_of!(objects, ServiceEntry) {
            checks::ports(object, entry, protocols, findings);
            let workloads = workloads(object, entry, objects);
            let pods = Pods::of(object, entry, objects);
            checks::workloads(object, (entry, &pods), &workloads, findings);
            checks::endpoint_ports(object, entry, findings);
            traffic_distribution::check(object, findings);
            for host in &entry.hosts {
                if let Some(first) = services.of_kubernetes(&host.value) {
                    findings.at(object, host.at, hidden_entry(&host.value, first));
                    continue;
                }
                let endpoints = |port: &ServicePort| match names_itself(entry) {
                    true => vec![Arc::new(itself(port, host))],
                    false => endpoints(port, &workloads, (entry, &pods), objects),
                };
                let service = service((object, entry), host, (objects, protocols), endpoints);
                checks::interfaces(&service, settings, findings);
                services.add(service, findings);
            }
        }
        for object in objects
            .values()
            .filter(|o| matches!(o.spec, Spec::Namespace))
        {
            traffic_distribution::check(object, findings);
        }
        services.follow_aliases();
        checks::workload_ports(objects, findings);
        services.check_hosts(findings);
        services
    }

    /// A Service of Kubernetes stands above a ServiceEntry of its host, wherever that is.
    fn of_kubernetes(&self, host: &str) -> Option<&Service> {
        let mut of_host = self.0.get(host)?.values().map(|service| &**service);
        of_host.find(|service| matches!(service.source.spec, Spec::Service(_)))
    }

    fn add(&mut self, service: Service, findings: &mut Findings) {
        let Some(of_host) = self.0.get_mut(&service.host) else {
            let host = service.host.clone();
            let of_host = BTreeMap::from([(service.namespace.clone(), Arc::new(service))]);
            return self.0.insert(host, of_host);
        };
        let Some(first) = of_host.get(&service.namespace) else {
            of_host.insert(service.namespace.clone(), Arc::new(service));
            return;
        };
        let Service {
            host, namespace, ..
        } = &service;
        let message = format!("{host} is defined twice in namespace {namespace}");
        let place = crate::diagnostic::Place::of(&first.source.file, first.at);
        let diagnostic = Diagnostic::error(Code::DuplicateHost, message)
            .related("the first is here, and is the one that counts", place)
            .remedy("write all its endpoints into one ServiceEntry, or select them by labels");
        findings.at(&service.source, service.at, diagnostic);
        findings.or_blame([first.source.id.clone()]);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Service> {
        let services = self.0.values().flat_map(BTreeMap::values);
        services.map(|service| &**service)
    }

    pub(super) fn has_host(&self, host: &str) -> bool {
        self.0.contains_key(host)
    }

    /// Whether no two namespaces define the host, so that it is the same for all who name it.
    #[cfg(feature = "kubernetes")]
    pub(super) fn is_of_one(&self, host: &str) -> bool {
        self.0.get(host).is_some_and(|of_host| of_host.len() == 1)
    }

    pub(super) fn get_mut(&mut self, host: &str, namespace: &str) -> Option<&mut Service> {
        let service = self.0.get_mut(host)?.get_mut(namespace)?;
        Some(Arc::make_mut(service))
    }

    /// The service that a host means in a rule of this namespace: as it stands, else expanded as a
    /// short name; that of the namespace itself before those of others.
    pub(crate) fn find(&self, host: &str, namespace: &str) -> Option<&Service> {
        let full = host::expand(host, namespace);
        self.of_host(host, namespace)
            .or_else(|| self.of_host(&full, namespace))
    }

    fn of_host(&self, host: &str, namespace: &str) -> Option<&Service> {
        let of_host = self.0.get(host)?;
        let service = of_host.get(namespace);
        let service = service.or_else(|| of_host.values().next())?;
        Some(service)
    }

    /// "did you mean", for a host that is not there.
    pub(super) fn nearest(&self, host: &str) -> String {
        nearest(host, self.0.iter().map(|(known, _)| known.as_str()))
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default()
    }
}

impl Service {
    pub(crate) fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|p| p.number == number)
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
    (object, entry): (&Arc<Object>, &ServiceEntry),
    host: &Located<String>,
    (objects, protocols): (&Objects, &Protocols),
    endpoints: impl Fn(&ServicePort) -> Vec<Arc<Endpoint>>,
) -> Service {
    let port = |port: &ServicePort| Port {
        number: port.number,
        name: port.name.value.clone(),
        protocol: port_protocol(protocols, &port.name.value),
        endpoints: endpoints(port),
    };
    Service {
        host: host.value.clone(),
        namespace: object.id.namespace.clone(),
        ports: entry.ports.iter().map(port).collect(),
        resolution: entry.resolution,
        interfaces: interfaces(object),
        subject_alt_names: entry.subject_alt_names.clone(),
        distribution: TrafficDistribution::of(object, objects),
        source: object.clone(),
        at: host.at,
    }
}

/// What its port's name says, where that is one of ours.
fn port_protocol(protocols: &Protocols, name: &str) -> Option<PortProtocol> {
    match protocols.of_port(name) {
        PortName::Ours(protocol) => Some(protocol),
        PortName::NotOurs | PortName::Unserved { .. } | PortName::Unknown { .. } => None,
    }
}

/// Its annotation `interface`.
fn interfaces(object: &Object) -> Vec<String> {
    let annotation = object.metadata.annotations.get("interface");
    let interfaces = annotation.map_or("", |annotation| annotation.value.as_str());
    let interfaces = interfaces.split(',').map(|it| it.trim().to_owned());
    interfaces.filter(|it| !it.is_empty()).collect()
}

fn hidden_entry(host: &str, service: &Service) -> Diagnostic {
    let message = format!("{host} is the host of {}, which counts", service.source.id);
    let place = crate::diagnostic::Place::of(&service.source.file, service.at);
    Diagnostic::warning(Code::DuplicateHost, message)
        .related("the Service is here", place)
        .remedy("remove the host, or give it another name")
}

/// An endpoint, and the object that it is written in.
pub(super) struct Workload<'a> {
    object: &'a Object,
    entry: &'a WorkloadEntry,
}

impl Workload<'_> {
    pub(super) fn name(&self) -> &str {
        &self.object.id.name
    }

    /// The service account that it runs as, of its own namespace.
    fn account(&self) -> String {
        let name = &self.entry.service_account;
        match name.is_empty() {
            true => String::new(),
            false => account(&self.object.id.namespace, name),
        }
    }

    /// The name that a pod of a StatefulSet keeps when it moves, else the one that is resolved, as in
    /// Envoy, or that of its WorkloadEntry.
    fn hostname(&self, resolution: Resolution) -> String {
        let pod = self.entry.labels.get("statefulset.kubernetes.io/pod-name");
        let object = match &self.object.spec {
            _ if resolution.has_names() => self.entry.address.value.as_str(),
            Spec::WorkloadEntry(_) => &*self.object.id.name,
            _ => "",
        };
        pod.map_or(object, String::as_str).to_owned()
    }
}

/// Those that are listed, or those of the namespace that the selector picks.
fn workloads<'a>(
    object: &'a Arc<Object>,
    entry: &'a ServiceEntry,
    objects: &'a Objects,
) -> Vec<Workload<'a>> {
    if !(entry.resolution == Resolution::Static || entry.resolution.has_names()) {
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

/// Istio's rule: without any endpoint, and nothing that selects some, the host is one.
fn names_itself(entry: &ServiceEntry) -> bool {
    entry.resolution.has_names() && entry.endpoints.is_empty() && entry.selector.is_none()
}

fn itself(port: &ServicePort, host: &Located<String>) -> Endpoint {
    let number = port.target_port.unwrap_or(port.number);
    Endpoint {
        address: EndpointAddress::Name(host.value.clone(), number),
        locality: Locality::default(),
        labels: Arc::default(),
        hostname: host.value.clone(),
        weight: 1,
        is_ready: true,
        account: String::new(),
    }
}

/// As it stands in a SPIFFE id.
fn account(namespace: &str, name: &str) -> String {
    format!("ns/{namespace}/sa/{name}")
}

fn endpoints(
    port: &ServicePort,
    workloads: &[Workload<'_>],
    (entry, pods): (&ServiceEntry, &Pods<'_>),
    objects: &Objects,
) -> Vec<Arc<Endpoint>> {
    let resolution = entry.resolution;
    if resolution == Resolution::None || resolution == Resolution::DynamicDns {
        return vec![];
    }
    let mut seen = BTreeSet::new();
    let endpoints = workloads.iter().filter_map(|workload| {
        let entry = workload.entry;
        let named = entry.ports.get(&port.name.value).map(|p| p.value);
        let number = named.or(port.target_port).unwrap_or(port.number);
        let address = address(&entry.address.value, number, resolution)?;
        Some(Arc::new(Endpoint {
            address,
            locality: entry.locality.clone(),
            labels: entry.labels.clone(),
            hostname: workload.hostname(resolution),
            weight: entry.weight.filter(|&w| w > 0).unwrap_or(1),
            is_ready: true,
            account: workload.account(),
        }))
    });
    let mut endpoints: Vec<_> = endpoints
        .chain(pods.endpoints(port, objects))
        .filter(|e| seen.insert(e.address.clone()))
        .collect();
    if resolution == Resolution::DnsRoundRobin {
        endpoints.truncate(1);
    }
    endpoints
}

fn address(text: &str, port: u16, resolution: Resolution) -> Option<EndpointAddress> {
    match (text.parse(), text.strip_prefix("unix://")) {
        (Ok(ip), _) => Some(EndpointAddress::Tcp(ip, port)),
        (Err(_), _) if resolution.has_names() => {
            is_resolvable(text).then(|| EndpointAddress::Name(text.to_owned(), port))
        }
        (Err(_), None | Some("")) => None,
        (Err(_), Some(path)) => Some(EndpointAddress::Unix(path.to_owned())),
    }
}
