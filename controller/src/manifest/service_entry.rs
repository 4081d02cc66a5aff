//! `ServiceEntry` and `WorkloadEntry`: which hosts there are, their ports and their endpoints.

mod dns;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use meltemi_policy::place::topology;
use meltemi_policy::{Locality, LocalityParseError};
use meltemi_tls::PeerName;

use super::decode::{Decoder, Field, Fields, Known};
use super::metadata::Metadata;
use super::{Located, name};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServiceEntry {
    pub(crate) hosts: Vec<Located<String>>,
    /// Which clients dial: those that are written, else those that Istio has allocated.
    pub(crate) addresses: Vec<VirtualAddress>,
    pub(crate) ports: Vec<ServicePort>,
    pub(crate) resolution: Resolution,
    pub(crate) endpoints: Vec<WorkloadEntry>,
    pub(crate) subject_alt_names: Vec<PeerName>,
    /// Labels of the `WorkloadEntry`s that serve it.
    pub(crate) selector: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VirtualAddress {
    pub(crate) address: IpAddr,
    /// None: it is for all of them.
    pub(crate) host: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServicePort {
    pub(crate) number: u16,
    pub(crate) name: Located<String>,
    pub(crate) target_port: Option<u16>,
    /// What Istio takes it for; its name decides what it is here.
    pub(crate) protocol: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// Endpoints are listed, or selected.
    Static,
    /// The proxy resolves names: each of their addresses is an endpoint.
    Dns,
    /// The same, but all addresses of the only name are one endpoint.
    DnsRoundRobin,
    /// A request would say its name.
    DynamicDns,
    /// The address that the client dialled is the endpoint.
    None,
}

impl Resolution {
    /// Whether endpoints may have names.
    pub(crate) const fn has_names(self) -> bool {
        matches!(self, Self::Dns | Self::DnsRoundRobin)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkloadEntry {
    pub(crate) address: Located<String>,
    /// By the name of the service's port.
    pub(crate) ports: BTreeMap<String, Located<u16>>,
    pub(crate) labels: Arc<BTreeMap<String, String>>,
    pub(crate) locality: Locality,
    pub(crate) weight: Option<u32>,
    /// Of its namespace; empty where none is said.
    pub(crate) service_account: String,
}

const SERVICE_ENTRY: &[Field] = &[
    Field::InForce("hosts"),
    Field::InForce("addresses"),
    Field::InForce("ports"),
    Field::InForce("resolution"),
    Field::InForce("endpoints"),
    Field::InForce("workloadSelector"),
    Field::NoEffect("location"),
    Field::NotYet("exportTo"),
    Field::InForce("subjectAltNames"),
];

const PORT: &[Field] = &[
    Field::InForce("number"),
    Field::InForce("name"),
    Field::InForce("targetPort"),
    Field::NoEffect("protocol"),
];

const SELECTOR: &[Field] = &[Field::InForce("labels")];

const WORKLOAD_ENTRY: &[Field] = &[
    Field::InForce("address"),
    Field::InForce("ports"),
    Field::InForce("labels"),
    Field::InForce("locality"),
    Field::InForce("weight"),
    Field::InForce("network"),
    Field::InForce("serviceAccount"),
];

pub(super) fn decode(d: &mut Decoder, spec: &Node, status: Option<&Node>) -> Option<ServiceEntry> {
    let fields = d.fields("spec", spec, SERVICE_ENTRY);
    let mut hosts = fields.strings(d, "hosts");
    if hosts.is_empty() {
        fields.missing(d, "hosts");
        return None;
    }
    hosts.retain(|host| d.check_name("spec.hosts", host, &name::WILDCARD_HOST));
    for host in hosts.iter().filter(|host| host.value.starts_with('*')) {
        let message = format!(
            "`{}` has no effect: no rule can name a wildcard host",
            host.value
        );
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        d.report(
            host.at,
            diagnostic.remedy("list the hosts that it stands for"),
        );
    }
    let addresses = match addresses(d, &fields) {
        written if written.is_empty() => allocated(d, status),
        written => written,
    };
    location(d, &fields);
    let ports = ports(d, &fields);
    let endpoints: Vec<WorkloadEntry> = fields
        .list(d, "endpoints")
        .iter()
        .filter_map(|n| workload(d, "endpoints", n))
        .collect();
    let selector = fields.node("workloadSelector").map(|node| {
        d.fields("workloadSelector", node, SELECTOR)
            .string_map(d, "labels")
    });
    if let (Some(entry), false) = (fields.entry("workloadSelector"), endpoints.is_empty()) {
        d.invalid(
            entry.at,
            "only one of `endpoints` and `workloadSelector` can be there",
            "list the endpoints, or select WorkloadEntries, and remove the other",
        );
    }
    let resolution = resolution(d, &fields)?;
    let entry = ServiceEntry {
        hosts,
        addresses,
        ports,
        resolution,
        endpoints,
        subject_alt_names: subject_alt_names(d, &fields),
        selector,
    };
    let at = fields.entry("resolution").map_or(spec.at, |entry| entry.at);
    dns::check(d, &entry, at);
    Some(entry)
}

/// What the certificates of its servers are for.
fn subject_alt_names(d: &mut Decoder, spec: &Fields<'_>) -> Vec<PeerName> {
    let names = spec.strings(d, "subjectAltNames").into_iter();
    let names = names.filter_map(|name| {
        let parsed = name.value.parse().ok();
        if parsed.is_none() {
            let message = format!("`{}` is no DNS name, URI or IP address", name.value);
            d.invalid(name.at, message, "write names as certificates have them");
        }
        parsed
    });
    names.collect()
}

fn ports(d: &mut Decoder, spec: &Fields<'_>) -> Vec<ServicePort> {
    let nodes = spec.list(d, "ports");
    if nodes.is_empty() {
        spec.missing(d, "ports");
    }
    let ports: Vec<ServicePort> = nodes.iter().filter_map(|node| port(d, node)).collect();
    for (i, port) in ports.iter().enumerate() {
        let others = &ports[..i];
        if others
            .iter()
            .any(|p| p.number == port.number || p.name.value == port.name.value)
        {
            let message = format!("two ports are `{}` or {}", port.name.value, port.number);
            let remedy = "give each port a name and a number of its own";
            d.invalid(port.name.at, message, remedy);
        }
    }
    ports
}

fn port(d: &mut Decoder, node: &Node) -> Option<ServicePort> {
    let fields = d.fields("ports", node, PORT);
    if fields.node("number").is_none() {
        fields.missing(d, "number");
    }
    let number = fields.port(d, "number");
    let name = fields.required(d, "name");
    let name = name.filter(|n| d.check_name("ports.name", n, &name::WORD));
    let target_port = fields.port(d, "targetPort").map(|p| p.value);
    let protocol = fields.string(d, "protocol");
    Some(ServicePort {
        number: number?.value,
        name: name?,
        target_port,
        protocol: protocol.map_or_else(String::new, |it| it.value),
    })
}

const RESOLUTIONS: &[&str] = &["STATIC", "NONE", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"];

fn resolution(d: &mut Decoder, spec: &Fields<'_>) -> Option<Resolution> {
    let Some(resolution) = spec.string(d, "resolution") else {
        return Some(Resolution::None);
    };
    match resolution.value.as_str() {
        "STATIC" => Some(Resolution::Static),
        "NONE" => Some(Resolution::None),
        "DNS" => Some(Resolution::Dns),
        "DNS_ROUND_ROBIN" => Some(Resolution::DnsRoundRobin),
        "DYNAMIC_DNS" => {
            let message = "`resolution: DYNAMIC_DNS` leaves the service without endpoints: the names \
                           would be those that requests carry, and these protocols' carry none";
            let diagnostic = Diagnostic::warning(Code::DnsUnavailable, message);
            let remedy = "write `resolution: DNS`, and the names as `endpoints` or `hosts`";
            d.report(resolution.at, diagnostic.remedy(remedy));
            Some(Resolution::DynamicDns)
        }
        _ => {
            d.not_a_choice("spec.resolution", &resolution, RESOLUTIONS);
            None
        }
    }
}

/// Labels of a WorkloadEntry are those of its metadata and of its spec, of which the spec's win.
pub(super) fn decode_workload(
    d: &mut Decoder,
    spec: &Node,
    metadata: &Metadata,
) -> Option<WorkloadEntry> {
    let mut workload = workload(d, "spec", spec)?;
    let labels = Arc::make_mut(&mut workload.labels);
    for (key, value) in &*metadata.labels {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Some(workload)
}

fn workload(d: &mut Decoder, path: &str, node: &Node) -> Option<WorkloadEntry> {
    let fields = d.fields(path, node, WORKLOAD_ENTRY);
    let address = fields.required(d, "address");
    let address = address.filter(|a| d.check_name("address", a, &name::PATH));
    let mut ports = BTreeMap::new();
    if let Some(node) = fields.node("ports") {
        let entries = fields.map(d, "ports");
        let named = Fields::free(fields.path_of("ports"), node.at, entries);
        for entry in entries {
            if let Some(port) = named.port(d, &entry.key) {
                let port = Located {
                    value: port.value,
                    at: entry.at,
                };
                ports.insert(entry.key.clone(), port);
            }
        }
    }
    let weight = weight(d, &fields);
    let locality = fields.string(d, "locality").and_then(|text| {
        let parsed = text.value.parse();
        if let Err(LocalityParseError { text: wrong }) = &parsed {
            let message = format!("`{wrong}` is not a locality");
            let diagnostic = Diagnostic::error(Code::InvalidValue, message);
            d.report(text.at, diagnostic.remedy("write region/zone/subzone"));
        }
        parsed.ok()
    });
    let mut labels = fields.string_map(d, "labels");
    // As Istio, which gives the workload this label.
    if let Some(network) = fields.string(d, "network").filter(|n| !n.value.is_empty()) {
        labels.insert(topology::NETWORK.to_owned(), network.value);
    }
    Some(WorkloadEntry {
        address: address?,
        ports,
        labels: labels.into(),
        locality: locality.unwrap_or_default(),
        weight,
        service_account: fields
            .string(d, "serviceAccount")
            .map_or_else(String::new, |account| account.value),
    })
}

/// As in Istio 0 is the default, so that it does not keep requests away.
fn weight(d: &mut Decoder, workload: &Fields<'_>) -> Option<u32> {
    let weight = workload.integer(d, "weight", 0..=i64::from(u32::MAX / 2))?;
    if weight.value == 0 {
        let message = "an endpoint of weight 0 gets requests as one of weight 1 does";
        let diagnostic = Diagnostic::warning(Code::InvalidValue, message);
        d.report(
            weight.at,
            diagnostic.remedy("remove the endpoint to send it nothing, or the weight"),
        );
    }
    u32::try_from(weight.value).ok()
}

/// At a Gateway they have no effect, behind a waypoint the single ones of them have; one that is none is a mistake.
fn addresses(d: &mut Decoder, spec: &Fields<'_>) -> Vec<VirtualAddress> {
    let mut single = vec![];
    for address in spec.strings(d, "addresses") {
        let (ip, prefix) = match address.value.split_once('/') {
            Some((ip, prefix)) => (ip, prefix.parse::<u8>().map(Some)),
            None => (address.value.as_str(), Ok(None)),
        };
        match (ip.parse::<IpAddr>(), prefix) {
            (Ok(address), Ok(prefix)) if prefix.is_none_or(|it| it <= bits(address)) => {
                if prefix.is_none_or(|it| it == bits(address)) {
                    let host = None;
                    single.push(VirtualAddress { address, host });
                }
            }
            _ => {
                let message = format!("`{}` is not an address", address.value);
                let diagnostic = Diagnostic::error(Code::InvalidValue, message);
                let remedy = "give an IP address, or a block of them as 10.0.0.0/8";
                d.report(address.at, diagnostic.remedy(remedy));
            }
        }
    }
    single
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// What istiod writes into the status of one that has no addresses: each is of one of its hosts.
fn allocated(d: &mut Decoder, status: Option<&Node>) -> Vec<VirtualAddress> {
    let Some(status) = status else { return vec![] };
    let status = d.fields("status", status, Known::Any);
    let addresses = status.list(d, "addresses").iter().filter_map(|node| {
        let fields = d.fields("status.addresses", node, Known::Any);
        let address = fields.string(d, "value")?.value.parse().ok()?;
        let host = fields.string(d, "host").map(|host| host.value);
        Some(VirtualAddress { address, host })
    });
    addresses.collect()
}

const LOCATIONS: &[&str] = &["MESH_EXTERNAL", "MESH_INTERNAL"];

fn location(d: &mut Decoder, spec: &Fields<'_>) {
    let location = spec.string(d, "location");
    if let Some(location) = location.filter(|l| !LOCATIONS.contains(&l.value.as_str())) {
        d.not_a_choice("spec.location", &location, LOCATIONS);
    }
}
