//! Kubernetes' own kinds, as far as they tell who is where. The API server has checked them: what nobody reads of them is
//! passed over.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::decode::{Decoder, Fields, Known};
use super::{Located, Metadata};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KubernetesService {
    /// Which clients dial; none where they dial its endpoints.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ports: Vec<KubernetesPort>,
    /// Whether IPv6 is its first family.
    pub(crate) prefers_ipv6: bool,
    /// Of one that is only another name: whose.
    pub(crate) external_name: Option<String>,
    pub(crate) traffic_distribution: Option<Located<String>>,
    /// Labels of the Pods that serve it; none where its endpoints are somebody else's affair.
    pub(crate) selector: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KubernetesPort {
    pub(crate) number: u16,
    /// Empty where it is the only one.
    pub(crate) name: String,
    /// What others say that it speaks, before its name; empty where nobody says.
    pub(crate) app_protocol: String,
}

/// Some of the endpoints of a Service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EndpointSlice {
    /// The Service, of the same namespace.
    pub(crate) service: String,
    /// By the name of the Service's port the one that the endpoints listen on.
    pub(crate) ports: Vec<KubernetesPort>,
    pub(crate) endpoints: Vec<SliceEndpoint>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SliceEndpoint {
    pub(crate) address: IpAddr,
    pub(crate) ready: bool,
    /// It answers, though it may be on its way out.
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
    pub(crate) hostname: String,
    pub(crate) node: String,
    pub(crate) zone: String,
    /// The name of its Pod, of the same namespace; empty where it is none.
    pub(crate) pod: String,
}

/// Beside its labels, which are in its metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pod {
    pub(crate) node: String,
    /// That it runs as, of its namespace.
    pub(crate) service_account: String,
    /// The address of one that is ready, and not on its way out.
    pub(crate) address: Option<IpAddr>,
}

const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(super) fn service(d: &mut Decoder, spec: &Node) -> Option<KubernetesService> {
    let fields = d.fields("spec", spec, Known::Any);
    let external_name = match text(d, &fields, "type").as_str() {
        "ExternalName" => Some(text(d, &fields, "externalName")),
        _ => None,
    };
    let families = fields.strings(d, "ipFamilies");
    let first = families.first();
    let addresses = fields.strings(d, "clusterIPs").into_iter();
    let addresses = addresses.chain(fields.string(d, "clusterIP"));
    let addresses = addresses.filter_map(|address| address.value.parse().ok());
    let mut addresses: Vec<IpAddr> = addresses.collect();
    // Older clients write the first of them alone.
    addresses.sort_unstable();
    addresses.dedup();
    Some(KubernetesService {
        addresses,
        ports: ports(d, &fields, "spec.ports"),
        prefers_ipv6: first.is_some_and(|family| family.value == "IPv6"),
        external_name,
        traffic_distribution: fields.string(d, "trafficDistribution"),
        selector: fields.string_map(d, "selector"),
    })
}

/// Those of UDP and SCTP are left out.
fn ports(d: &mut Decoder, of: &Fields<'_>, path: &str) -> Vec<KubernetesPort> {
    let nodes = of.list(d, "ports").iter();
    let ports = nodes.filter_map(|node| {
        let fields = d.fields(path, node, Known::Any);
        let protocol = text(d, &fields, "protocol");
        let name = text(d, &fields, "name");
        let number = fields.port(d, "port")?.value;
        let is_tcp = protocol.is_empty() || protocol == "TCP";
        is_tcp.then(|| KubernetesPort {
            number,
            name,
            app_protocol: text(d, &fields, "appProtocol"),
        })
    });
    ports.collect()
}

/// None where it is of no Service.
pub(super) fn endpoint_slice(
    d: &mut Decoder,
    object: &Fields<'_>,
    metadata: &Metadata,
) -> Option<EndpointSlice> {
    let service = metadata.labels.get(SERVICE_NAME)?.clone();
    let ports = ports(d, object, "ports");
    let endpoints = object.list(d, "endpoints").iter();
    let endpoints = endpoints.filter_map(|node| endpoint(d, node)).collect();
    Some(EndpointSlice {
        service,
        ports,
        endpoints,
    })
}

/// None where its address is a name.
fn endpoint(d: &mut Decoder, node: &Node) -> Option<SliceEndpoint> {
    let fields = d.fields("endpoints", node, Known::Any);
    // By the API's rule the first one counts.
    let addresses = fields.strings(d, "addresses");
    let address = addresses.first()?.value.parse().ok()?;
    let conditions = fields.node("conditions");
    let conditions = conditions.map(|node| d.fields("conditions", node, Known::Any));
    let mut condition = |name: &str| conditions.as_ref().and_then(|it| it.boolean(d, name));
    // What is not known is so where it is good.
    let ready = condition("ready").unwrap_or(true);
    let serving = condition("serving").unwrap_or(ready);
    let terminating = condition("terminating").unwrap_or(false);
    let target = fields.node("targetRef");
    let target = target.map(|node| d.fields("targetRef", node, Known::Any));
    let pod = target.filter(|target| text(d, target, "kind") == "Pod");
    let pod = pod.map(|target| text(d, &target, "name"));
    Some(SliceEndpoint {
        address,
        ready,
        serving,
        terminating,
        hostname: text(d, &fields, "hostname"),
        node: text(d, &fields, "nodeName"),
        zone: text(d, &fields, "zone"),
        pod: pod.unwrap_or_default(),
    })
}

pub(super) fn pod(d: &mut Decoder, object: &Fields<'_>) -> Pod {
    let spec = object.node("spec");
    let spec = spec.map(|node| d.fields("spec", node, Known::Any));
    let mut of_spec = |name| {
        let spec = spec.as_ref();
        spec.map_or_else(String::new, |spec| text(d, spec, name))
    };
    let (node, account) = (of_spec("nodeName"), of_spec("serviceAccountName"));
    Pod {
        node,
        service_account: match account.is_empty() {
            true => "default".to_owned(),
            false => account,
        },
        address: pod_address(d, object),
    }
}

/// Istio's rule for pods that a ServiceEntry selects (`IsPodReady`, and not `deletionTimestamp`).
fn pod_address(d: &mut Decoder, object: &Fields<'_>) -> Option<IpAddr> {
    let metadata = object.node("metadata")?;
    let metadata = d.fields("metadata", metadata, Known::Any);
    let status = object.node("status")?;
    let status = d.fields("status", status, Known::Any);
    let mut conditions = status.list(d, "conditions").iter().map(|node| {
        let condition = d.fields("conditions", node, Known::Any);
        (text(d, &condition, "type"), text(d, &condition, "status"))
    });
    let is_ready = conditions.any(|(kind, status)| kind == "Ready" && status == "True");
    let is_leaving = metadata.node("deletionTimestamp").is_some();
    let address = text(d, &status, "podIP").parse().ok();
    address.filter(|_| is_ready && !is_leaving)
}

/// Empty where it is absent.
fn text(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> String {
    fields
        .string(d, name)
        .map_or_else(String::new, |text| text.value)
}
