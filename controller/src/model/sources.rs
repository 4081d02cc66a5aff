//! Which clients a condition on the source of requests means, as far as manifests tell.
//!
//! A listener sees the address that a connection comes from. Whose address that is the WorkloadEntries
//! say, and the endpoints of ServiceEntries; so a condition becomes the addresses that meet it. A
//! namespace is proven, where clients prove who they are.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use meltemi_policy::{AttributeMatch, Locality, subset};

use super::attachment::Attachment;
use super::{Findings, Server, ServerName, objects_of};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{Located, MetaRouter, Object, Source, Spec, WorkloadEntry, one_of};

/// Who is known at which address.
pub(super) struct Workloads<'a> {
    objects: &'a Objects,
    /// Where somebody has asked for it.
    known: OnceCell<Known<'a>>,
}

type Known<'a> = BTreeMap<IpAddr, Vec<(&'a str, &'a WorkloadEntry)>>;

impl<'a> Workloads<'a> {
    pub(super) const fn new(objects: &'a Objects) -> Self {
        Self {
            objects,
            known: OnceCell::new(),
        }
    }

    fn known(&self) -> &Known<'a> {
        self.known.get_or_init(|| Self::read(self.objects))
    }

    fn read(objects: &'a Objects) -> Known<'a> {
        let listed = objects_of!(objects, ServiceEntry)
            .flat_map(|(object, entry)| entry.endpoints.iter().map(move |e| (object, e)));
        let own = objects_of!(objects, WorkloadEntry);
        let mut known: BTreeMap<IpAddr, Vec<_>> = BTreeMap::new();
        for (object, workload) in own.chain(listed) {
            if let Ok(address) = workload.address.value.parse::<IpAddr>() {
                let namespace: &str = &object.id.namespace;
                known
                    .entry(address.to_canonical())
                    .or_default()
                    .push((namespace, workload));
            }
        }
        known
    }

    /// The addresses of which everything that is known there meets the conditions: where several
    /// share one, nobody can tell which of them a connection comes from.
    pub(super) fn addresses(&self, source: &Source) -> BTreeSet<String> {
        let meeting = self.known().iter().filter(|(_, known)| {
            let mut known = known.iter();
            known.all(|(namespace, workload)| meets(source, namespace, workload))
        });
        meeting.map(|(address, _)| address.to_string()).collect()
    }

    /// What makes a client of a server a workload that meets the conditions. None: nobody is.
    ///
    /// The namespace is the one that a client has proven, as of Istio's `source.namespaces`. Of who has
    /// proven none its address tells it, and always the labels and the locality.
    pub(super) fn conditions(
        &self,
        source: &Source,
        server: &Server,
    ) -> Option<Vec<AttributeMatch>> {
        let mut conditions = vec![];
        let mut by_address = Cow::Borrowed(source);
        if let Some(namespace) = source.proven_namespace(server) {
            let addresses = self.addresses(source);
            let addresses = addresses.iter().map(String::as_str);
            conditions.push(AttributeMatch::from_namespace(namespace, addresses)?);
            by_address.to_mut().namespace = None;
        }
        if by_address.is_of_workload() {
            let addresses = self.addresses(&by_address);
            if addresses.is_empty() {
                return None;
            }
            let addresses = addresses.iter().map(String::as_str);
            conditions.push(AttributeMatch::from_addresses(addresses));
        }
        Some(conditions)
    }

    /// Whether some workload meets the conditions, though it may share its address.
    fn is_known(&self, source: &Source) -> bool {
        let mut known = self.known().values().flatten();
        known.any(|(namespace, workload)| meets(source, namespace, workload))
    }
}

fn meets(source: &Source, namespace: &str, workload: &WorkloadEntry) -> bool {
    let in_namespace = source.namespace.as_ref();
    in_namespace.is_none_or(|wanted| wanted.value == namespace)
        && subset::selects(&source.labels, &workload.labels)
        && source
            .locality
            .as_ref()
            .is_none_or(|wanted| lies_in(&workload.locality, wanted))
}

/// Whether a place is this one, of which the later parts may be open.
fn lies_in(place: &Locality, wanted: &Locality) -> bool {
    let is = |part: &str, wanted: &str| wanted.is_empty() || part == wanted;
    is(&place.region, &wanted.region)
        && is(&place.zone, &wanted.zone)
        && is(&place.subzone, &wanted.subzone)
}

impl Source {
    /// The namespace that it asks for, where clients of this server may prove theirs.
    fn proven_namespace(&self, server: &Server) -> Option<&str> {
        let namespace = self.namespace.as_ref();
        let namespace = namespace.filter(|_| server.verifies_clients())?;
        Some(&namespace.value)
    }

    /// Why nothing that comes in at this server can be meant, where that is so.
    pub(super) fn excludes(&self, server: &Server, own_namespace: &str) -> Option<String> {
        if let Some(principal) = &self.principal
            && !server.verifies_clients()
        {
            return Some(format!(
                "it is for the principal {}, and {} asks no client for a certificate",
                principal.value, server.name
            ));
        }
        let gateway = self.gateway.as_ref()?;
        (!is_gateway(&gateway.value, &server.name, own_namespace))
            .then(|| format!("it is for requests that come in through {}", gateway.value))
    }

    /// For people.
    fn wanted(&self) -> String {
        let namespace = self.namespace.iter();
        let namespace = namespace.map(|namespace| format!("the namespace {}", namespace.value));
        let locality = self.locality.iter();
        let locality = locality.map(|locality| format!("the locality {locality}"));
        let labels = self
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        let wanted: Vec<_> = namespace.chain(locality).chain(labels).collect();
        wanted.join(", ")
    }
}

/// `name`, `namespace/name` or `namespace/name/server`.
fn is_gateway(text: &str, server: &ServerName, own_namespace: &str) -> bool {
    let (namespace, gateway) = (&*server.namespace, &*server.gateway);
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => own_namespace == namespace && *name == gateway,
        [first, name] => *first == namespace && *name == gateway,
        [first, name, third] => *first == namespace && *name == gateway && *third == server.server,
        _ => false,
    }
}

/// Says which conditions on a source no request can meet.
pub(super) fn check(
    object: &Object,
    (router, attached): (&MetaRouter, &[&Server]),
    workloads: &Workloads<'_>,
    findings: &mut Findings,
) {
    let alternatives = router.alternatives();
    for source in alternatives.filter_map(|alternative| alternative.source.as_ref()) {
        let mut attached = attached.iter();
        let is_met = attached.any(|server| workloads.conditions(source, server).is_some());
        if source.is_of_workload() && !is_met && workloads.addresses(source).is_empty() {
            let why = match workloads.is_known(source) {
                true => "shares its address with one that is not",
                false => "is in no ServiceEntry or WorkloadEntry",
            };
            let message = format!(
                "this alternative gets no request: a client of {} {why}",
                source.wanted()
            );
            let diagnostic = Diagnostic::warning(Code::UnknownSource, message);
            let remedy = "acts only where the client's address is that of a WorkloadEntry, or of an \
                          endpoint: write one for each client";
            findings.at(object, source.at, diagnostic.remedy(remedy));
        }
    }
}

/// Says which principals nobody can prove to be, as the router is attached.
pub(super) fn check_principals(
    object: &Object,
    router: &MetaRouter,
    attached: &[&Server],
    findings: &mut Findings,
) {
    if attached.is_empty() || attached.iter().any(|server| server.verifies_clients()) {
        return;
    }
    let alternatives = router.alternatives();
    let sources = alternatives.filter_map(|alternative| alternative.source.as_ref());
    for principal in sources.filter_map(|source| source.principal.as_ref()) {
        let names: Vec<_> = attached.iter().map(|s| s.name.to_string()).collect();
        let message = format!(
            "this alternative gets no request: `source.principal` acts only where clients prove who \
             they are by a certificate, for which {} asks nobody",
            names.join(", ")
        );
        let diagnostic = Diagnostic::warning(Code::IdentityUnavailable, message);
        let remedy = "set `tls.mode: MUTUAL` or OPTIONAL_MUTUAL at the server of the Gateway, or name \
                      a namespace or labels instead, which go by the client's address";
        findings.at(object, principal.at, diagnostic.remedy(remedy));
    }
}

/// Says which gateways are none that the router is attached to.
pub(super) fn check_gateways(
    attachment: &Attachment<'_>,
    router: &MetaRouter,
    attached: &[&Server],
    findings: &mut Findings,
) {
    let object = attachment.object;
    let namespace = &object.id.namespace;
    let alternatives = router.alternatives();
    let sources = alternatives.filter_map(|alternative| alternative.source.as_ref());
    for Located { value, at } in sources.filter_map(|source| source.gateway.as_ref()) {
        let mut servers = attached.iter();
        if attached.is_empty() || servers.any(|s| is_gateway(value, &s.name, namespace)) {
            continue;
        }
        let message =
            format!("`source.gateway` names {value}, to which this MetaRouter is not attached");
        let names: Vec<_> = attached.iter().map(|s| s.name.to_string()).collect();
        let diagnostic = Diagnostic::error(Code::UnknownGateway, message);
        let remedy = format!("it is attached to {}", one_of(&names));
        findings.at(object, *at, diagnostic.remedy(remedy));
    }
}
