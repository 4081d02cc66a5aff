//! Services of Kubernetes: their ports from the Service, their endpoints from its EndpointSlices, and what an endpoint is
//! like from its Pod and Node.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_policy::place::topology;
use meltemi_policy::{Locality, host};

use super::{Port, Service, interfaces, port_protocol};
use crate::index::Objects;
use crate::manifest::{
    EndpointSlice, Kind, KubernetesService, Object, ObjectRef, Resolution, SliceEndpoint, Spec,
};
use crate::model::protocols::Protocols;
use crate::model::traffic_distribution::TrafficDistribution;
use crate::model::{Endpoint, EndpointAddress, objects_of};

/// Kubernetes' older names of the labels, which Istio reads too.
const OLD_REGION: &str = "failure-domain.beta.kubernetes.io/region";
const OLD_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
/// Istio's labels of a pod that say where it is, with dots or slashes; they stand above its node's, the first above the second.
const POD_LOCALITY: &[&str] = &["topology.istio.io/locality", "istio-locality"];
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

/// The slices of each Service, by namespace and name.
type Slices<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a EndpointSlice>>;

pub(super) fn services(objects: &Objects, protocols: &Protocols) -> Vec<Service> {
    let mut slices = Slices::new();
    for (object, slice) in objects_of!(objects, EndpointSlice) {
        let key = (&*object.id.namespace, slice.service.as_str());
        slices.entry(key).or_default().push(slice);
    }
    let services = objects_of!(objects, Service).map(|(object, service)| {
        let key = (&*object.id.namespace, &*object.id.name);
        let slices = slices.get(&key).map_or(&[][..], Vec::as_slice);
        of(object, service, slices, (objects, protocols))
    });
    services.collect()
}

fn of(
    object: &Arc<Object>,
    service: &KubernetesService,
    slices: &[&EndpointSlice],
    (objects, protocols): (&Objects, &Protocols),
) -> Service {
    let namespace = &*object.id.namespace;
    let ports = service.ports.iter().map(|port| Port {
        number: port.number,
        name: port.name.clone(),
        protocol: port_protocol(protocols, &port.name),
        endpoints: of_port(&port.name, (object, service), slices, objects),
    });
    Service {
        host: host::expand(&object.id.name, namespace),
        namespace: object.id.namespace.clone(),
        ports: ports.collect(),
        resolution: Resolution::Static,
        interfaces: interfaces(object),
        subject_alt_names: vec![],
        distribution: TrafficDistribution::of(object, objects),
        source: object.clone(),
        at: object.at,
    }
}

fn of_port(
    port: &str,
    (object, service): (&Object, &KubernetesService),
    slices: &[&EndpointSlice],
    objects: &Objects,
) -> Vec<Arc<Endpoint>> {
    let namespace = &object.id.namespace;
    let endpoints = endpoints(slices, port, service.prefers_ipv6);
    let described = endpoints
        .map(|(endpoint, number)| Arc::new(described(endpoint, number, namespace, objects)));
    described.collect()
}

/// The slices of a namespace.
#[cfg(feature = "kubernetes")]
pub(in crate::model) fn slices<'a>(
    namespace: &str,
    objects: &'a Objects,
) -> impl Iterator<Item = &'a EndpointSlice> {
    let first = ObjectRef::new(Kind::EndpointSlice, namespace, "");
    let all = objects.kind(Kind::EndpointSlice).into_iter();
    let from_there = all.flat_map(move |all| {
        let namespace = first.namespace.clone();
        all.range(first.clone()..)
            .take_while(move |(id, _)| id.namespace == namespace)
    });
    from_there.filter_map(|(_, object)| match &object.spec {
        Spec::EndpointSlice(slice) => Some(slice),
        _ => None,
    })
}

/// Gives the ports of a Service the endpoints that it has now. Says whether any has others than before.
#[cfg(feature = "kubernetes")]
pub(in crate::model) fn refresh(service: &mut Service, objects: &Objects) -> bool {
    let source = service.source.clone();
    let Spec::Service(spec) = &source.spec else {
        return false;
    };
    let own = slices(&source.id.namespace, objects);
    let own: Vec<_> = own
        .filter(|slice| slice.service == *source.id.name)
        .collect();
    let mut has_changed = false;
    for port in &mut service.ports {
        let endpoints = of_port(&port.name, (&source, spec), &own, objects);
        has_changed |= port.endpoints != endpoints;
        port.endpoints = endpoints;
    }
    has_changed
}

/// Those of a port that may be asked, each with the number that it listens on. A pod that has an address of each family is
/// one endpoint. Where none is ready, those count that are on their way out and still answer, as in kube-proxy.
fn endpoints<'a>(
    slices: &[&'a EndpointSlice],
    port: &str,
    prefers_ipv6: bool,
) -> impl Iterator<Item = (&'a SliceEndpoint, u16)> + use<'a> {
    let all = slices.iter().flat_map(|slice| {
        let port = slice.ports.iter().find(|it| it.name == port);
        let endpoints = slice.endpoints.iter();
        endpoints.filter_map(move |endpoint| Some((endpoint, port?.number)))
    });
    let mut all: Vec<_> = all.collect();
    // The preferred family first, each in its order.
    all.sort_by_key(|(endpoint, _)| endpoint.address.is_ipv6() != prefers_ipv6);
    let any_ready = all.iter().any(|(endpoint, _)| endpoint.ready);
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|(endpoint, number)| {
        let counts = match any_ready {
            true => endpoint.ready,
            false => endpoint.serving && endpoint.terminating,
        };
        let name = match endpoint.pod.as_str() {
            "" => endpoint.address.to_string(),
            pod => pod.to_owned(),
        };
        counts && seen.insert((name, *number))
    });
    all.into_iter()
}

fn described(
    endpoint: &SliceEndpoint,
    number: u16,
    namespace: &str,
    objects: &Objects,
) -> Endpoint {
    let find = |kind: Kind, namespace: &str, name: &str| {
        let id = (!name.is_empty()).then(|| ObjectRef::new(kind, namespace, name))?;
        objects.get(&id)
    };
    let pod = find(Kind::Pod, namespace, &endpoint.pod);
    let node_name = match pod.map(|pod| &pod.spec) {
        Some(Spec::Pod(pod)) if endpoint.node.is_empty() => &pod.node,
        _ => &endpoint.node,
    };
    let node = find(Kind::Node, "", node_name);
    let labels = pod.map_or_else(BTreeMap::new, |pod| pod.metadata.labels.clone());
    let hostname = labels.get(POD_NAME).unwrap_or(&endpoint.hostname).clone();
    let (locality, labels) = placed(labels, node_name, node, &endpoint.zone);
    Endpoint {
        address: EndpointAddress::Tcp(endpoint.address, number),
        locality,
        labels,
        hostname,
        weight: 1,
    }
}

/// Where a pod with these labels is, and what it is called there.
pub(crate) fn placed(
    mut labels: BTreeMap<String, String>,
    node_name: &str,
    node: Option<&Arc<Object>>,
    zone: &str,
) -> (Locality, BTreeMap<String, String>) {
    let mut said = POD_LOCALITY.iter().filter_map(|name| labels.get(*name));
    let locality = locality(said.find(|said| !said.is_empty()), node, zone);
    if !node_name.is_empty() {
        let known = labels.entry(topology::HOSTNAME.to_owned());
        known.or_insert_with(|| node_name.to_owned());
    }
    (locality, labels)
}

/// What the pod says, else its node, else the zone that its slice knows.
fn locality(of_pod: Option<&String>, node: Option<&Arc<Object>>, zone: &str) -> Locality {
    if let Some(said) = of_pod {
        // A label cannot have slashes; dots stand for them where there are none.
        let parts = match said.contains('/') {
            true => said.clone(),
            false => said.replace('.', "/"),
        };
        if let Ok(locality) = parts.parse() {
            return locality;
        }
    }
    let Some(node) = node else {
        return match zone {
            "" => Locality::default(),
            zone => Locality::new("", zone, ""),
        };
    };
    let label = |names: &[&str]| {
        let mut found = names
            .iter()
            .filter_map(|name| node.metadata.labels.get(*name));
        found.next().map_or("", String::as_str)
    };
    Locality::new(
        label(&[topology::REGION, OLD_REGION]),
        label(&[topology::ZONE, OLD_ZONE]),
        label(&[topology::SUBZONE]),
    )
}
