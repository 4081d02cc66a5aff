//! Services of Kubernetes: their ports from the Service, their endpoints from its EndpointSlices, and what an endpoint is
//! like from its Pod and Node.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_policy::place::topology;
use meltemi_policy::{Locality, host};

use super::{Port, Service, account, interfaces, port_protocol};
use crate::index::Objects;
use crate::manifest::{
    EndpointSlice, Kind, KubernetesService, Object, ObjectRef, Resolution, SliceEndpoint, Spec,
    is_resolvable,
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
pub(in crate::model) struct Slices<'a>(BTreeMap<(&'a str, &'a str), Vec<&'a EndpointSlice>>);

impl<'a> Slices<'a> {
    pub(in crate::model) fn new(slices: impl Iterator<Item = &'a Arc<Object>>) -> Self {
        let mut by_service = BTreeMap::<_, Vec<_>>::new();
        for object in slices {
            if let Spec::EndpointSlice(slice) = &object.spec {
                let key = (&*object.id.namespace, slice.service.as_str());
                by_service.entry(key).or_default().push(slice);
            }
        }
        Self(by_service)
    }

    fn of(&self, service: &ObjectRef) -> Vec<&'a EndpointSlice> {
        let key = (&*service.namespace, &*service.name);
        self.0.get(&key).cloned().unwrap_or_default()
    }
}

pub(super) fn services(objects: &Objects, protocols: &Protocols) -> Vec<Service> {
    let slices = Slices::new(objects.of_kind(Kind::EndpointSlice));
    let services = objects_of!(objects, Service).map(|(object, service)| {
        let slices = slices.of(&object.id);
        of(object, service, &slices, (objects, protocols))
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
    let distribution = TrafficDistribution::of(object, objects);
    let wanted = Wanted::of(service, distribution);
    let ports = service.ports.iter().map(|port| Port {
        number: port.number,
        name: port.name.clone(),
        protocol: port_protocol(protocols, &port.name),
        endpoints: match &service.external_name {
            Some(name) => external(name, port.number).into_iter().collect(),
            None => endpoints(slices, &port.name, wanted, (namespace, objects)),
        },
    });
    Service {
        host: host::expand(&object.id.name, namespace),
        namespace: object.id.namespace.clone(),
        ports: ports.collect(),
        resolution: match &service.external_name {
            Some(_) => Resolution::Dns,
            None => Resolution::Static,
        },
        interfaces: interfaces(object),
        subject_alt_names: vec![],
        distribution,
        source: object.clone(),
        at: object.at,
    }
}

/// Gives the ports of a Service the endpoints that it has now. Says whether any has others than before.
#[cfg(feature = "kubernetes")]
pub(in crate::model) fn refresh(
    service: &mut Service,
    slices: &Slices<'_>,
    objects: &Objects,
) -> bool {
    let source = service.source.clone();
    let spec = match &source.spec {
        // One that is another name has no slices that count.
        Spec::Service(spec) if spec.external_name.is_none() => spec,
        _ => return false,
    };
    let (slices, namespace) = (slices.of(&source.id), &*source.id.namespace);
    let wanted = Wanted::of(spec, service.distribution);
    let mut has_changed = false;
    for port in &mut service.ports {
        let endpoints = endpoints(&slices, &port.name, wanted, (namespace, objects));
        has_changed |= port.endpoints != endpoints;
        port.endpoints = endpoints;
    }
    has_changed
}

/// What `ExternalName` leads to: the port is the Service's, whatever its `targetPort` (Istio's `ExternalNameEndpoints`).
fn external(name: &str, number: u16) -> Option<Arc<Endpoint>> {
    let endpoint = || Endpoint {
        address: EndpointAddress::Name(name.to_owned(), number),
        locality: Locality::default(),
        labels: Arc::default(),
        hostname: name.to_owned(),
        weight: 1,
        is_ready: true,
        account: String::new(),
    };
    is_resolvable(name).then(|| Arc::new(endpoint()))
}

/// Which endpoints of a Service count.
#[derive(Clone, Copy)]
struct Wanted {
    prefers_ipv6: bool,
    /// Those that are not ready are counted, so that what is near gives up its share as they become more: Istio's
    /// `SupportsUnhealthyEndpoints`.
    unready_too: bool,
}

impl Wanted {
    const fn of(service: &KubernetesService, distribution: Option<TrafficDistribution>) -> Self {
        Self {
            prefers_ipv6: service.prefers_ipv6,
            unready_too: distribution.is_some(),
        }
    }
}

/// An endpoint of a port.
pub(super) struct Found<'a> {
    pub(super) endpoint: &'a SliceEndpoint,
    /// Where it listens.
    pub(super) number: u16,
    pub(super) is_ready: bool,
}

fn endpoints(
    slices: &[&EndpointSlice],
    port: &str,
    wanted: Wanted,
    (namespace, objects): (&str, &Objects),
) -> Vec<Arc<Endpoint>> {
    let found = found(slices, port, wanted);
    let endpoints = found.map(|found| Arc::new(described(found, namespace, objects)));
    endpoints.collect()
}

/// Those of a port. A pod that has an address of each family is one endpoint. Where none is ready, those are asked that are
/// on their way out and still answer, as in kube-proxy.
fn found<'a>(
    slices: &[&'a EndpointSlice],
    port: &str,
    wanted: Wanted,
) -> impl Iterator<Item = Found<'a>> + use<'a> {
    let all = slices.iter().flat_map(|slice| {
        let port = slice.ports.iter().find(|it| it.name == port);
        let endpoints = slice.endpoints.iter();
        endpoints.filter_map(move |endpoint| Some((endpoint, port?.number)))
    });
    let mut all: Vec<_> = all.collect();
    // The preferred family first, each in its order.
    all.sort_by_key(|(endpoint, _)| endpoint.address.is_ipv6() != wanted.prefers_ipv6);
    let any_ready = all.iter().any(|(endpoint, _)| endpoint.ready);
    let counted = all.into_iter().filter_map(move |(endpoint, number)| {
        let is_ready = match any_ready {
            true => endpoint.ready,
            false => endpoint.serving && endpoint.terminating,
        };
        let counts = is_ready || (wanted.unready_too && !endpoint.terminating);
        counts.then_some(Found {
            endpoint,
            number,
            is_ready,
        })
    });
    // Of a pod the address that is ready, should its families differ.
    let mut counted: Vec<_> = counted.collect();
    counted.sort_by_key(|found| !found.is_ready);
    let mut seen = std::collections::BTreeSet::new();
    counted.retain(
        |Found {
             endpoint, number, ..
         }| {
            let name = match endpoint.pod.as_str() {
                "" => endpoint.address.to_string(),
                pod => pod.to_owned(),
            };
            seen.insert((name, *number))
        },
    );
    counted.into_iter()
}

pub(super) fn described(found: Found<'_>, namespace: &str, objects: &Objects) -> Endpoint {
    let Found {
        endpoint,
        number,
        is_ready,
    } = found;
    let find = |kind: Kind, namespace: &str, name: &str| {
        let id = (!name.is_empty()).then(|| ObjectRef::new(kind, namespace, name))?;
        objects.get(&id)
    };
    let pod = find(Kind::Pod, namespace, &endpoint.pod);
    let spec = pod.and_then(|pod| match &pod.spec {
        Spec::Pod(pod) => Some(pod),
        _ => None,
    });
    let node_name = match spec {
        Some(pod) if endpoint.node.is_empty() => &pod.node,
        _ => &endpoint.node,
    };
    let account = spec.map(|pod| account(namespace, &pod.service_account));
    let node = find(Kind::Node, "", node_name);
    let labels = pod.map_or_else(Arc::default, |pod| pod.metadata.labels.clone());
    let hostname = labels.get(POD_NAME).unwrap_or(&endpoint.hostname).clone();
    let (locality, labels) = placed(labels, node_name, node, &endpoint.zone);
    Endpoint {
        address: EndpointAddress::Tcp(endpoint.address, number),
        locality,
        labels,
        hostname,
        weight: 1,
        is_ready,
        account: account.unwrap_or_default(),
    }
}

type Labels = BTreeMap<String, String>;

/// Where a pod with these labels is, and what it is called there.
pub(crate) fn placed(
    mut labels: Arc<Labels>,
    node_name: &str,
    node: Option<&Arc<Object>>,
    zone: &str,
) -> (Locality, Arc<Labels>) {
    let mut said = POD_LOCALITY.iter().filter_map(|name| labels.get(*name));
    let locality = locality(said.find(|said| !said.is_empty()), node, zone);
    if !node_name.is_empty() && !labels.contains_key(topology::HOSTNAME) {
        let labels = Arc::make_mut(&mut labels);
        labels.insert(topology::HOSTNAME.to_owned(), node_name.to_owned());
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
