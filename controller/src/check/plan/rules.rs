//! Which objects say how HTTP is routed that is for a service.

use std::collections::{BTreeSet, HashMap};

use meltemi_policy::host::{covers, expand};

use crate::index::Objects;
use crate::manifest::{Kind, ObjectRef, Spec, Subject};
use crate::model::Service;

/// Kinds that do, in the order in which they are listed.
const KINDS: [Kind; 3] = [Kind::VirtualService, Kind::HttpRoute, Kind::GrpcRoute];

/// All of them, by what they are for.
#[derive(Debug, Default)]
pub(super) struct Rules<'a> {
    by_host: HashMap<String, Vec<Of<'a>>>,
    by_wildcard: Vec<(String, Of<'a>)>,
    by_object: HashMap<ObjectRef, Vec<Of<'a>>>,
}

#[derive(Clone, Debug)]
struct Of<'a> {
    rules: &'a ObjectRef,
    /// Empty: all of them.
    ports: BTreeSet<u16>,
}

impl<'a> Rules<'a> {
    pub(super) fn of(objects: &'a Objects) -> Self {
        let mut all = Self::default();
        for object in KINDS.into_iter().flat_map(|kind| objects.of_kind(kind)) {
            let rules = match &object.spec {
                Spec::HttpRules(rules) => rules,
                Spec::VirtualService(it) => &it.http,
                _ => continue,
            };
            rules.0.iter().for_each(|it| all.add(&object.id, it));
        }
        all
    }

    fn add(&mut self, rules: &'a ObjectRef, subject: &Subject) {
        match subject {
            Subject::Host { host, ports } => {
                let host = expand(host, &rules.namespace);
                let ports = ports.clone();
                let of = Of { rules, ports };
                match host.starts_with('*') {
                    true => self.by_wildcard.push((host, of)),
                    false => self.by_host.entry(host).or_default().push(of),
                }
            }
            Subject::Object {
                kind,
                namespace,
                name,
                port,
            } => {
                let namespace = namespace.as_deref().unwrap_or(&rules.namespace);
                let id = ObjectRef::new(*kind, namespace, name);
                let ports = port.iter().copied().collect();
                let of = Of { rules, ports };
                self.by_object.entry(id).or_default().push(of);
            }
        }
    }

    /// Those for a port of a service.
    pub(super) fn at(&self, service: &Service, port: u16) -> Vec<String> {
        let of_host = self.by_host.get(&service.host).into_iter().flatten();
        let of_object = self.by_object.get(&service.source.id);
        let wildcards = self.by_wildcard.iter();
        let wildcards = wildcards.filter(|(pattern, _)| covers(pattern, &service.host));
        let all = of_host
            .chain(of_object.into_iter().flatten())
            .chain(wildcards.map(|(_, of)| of));
        let at_port = all.filter(|it| it.ports.is_empty() || it.ports.contains(&port));
        let rules: BTreeSet<_> = at_port.map(|it| it.rules).collect();
        rules.into_iter().map(ToString::to_string).collect()
    }
}
