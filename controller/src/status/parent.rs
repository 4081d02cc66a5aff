//! To what an object is attached: each parent has conditions of its own.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ledger::Resolved;
use super::record::Record;
use crate::manifest::{Kind, ObjectRef};

/// As the Gateway API writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ParentRef {
    #[serde(default)]
    pub(crate) group: String,
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl ParentRef {
    pub(super) fn of(id: &ObjectRef) -> Self {
        Self {
            group: id.kind.group().to_owned(),
            kind: id.kind.name().to_owned(),
            namespace: (!id.namespace.is_empty()).then(|| id.namespace.to_string()),
            name: id.name.to_string(),
        }
    }
}

/// The Gateways that it names. Of an object that names none the service of its host; of a policy, which is for a namespace,
/// that; and of what has neither the root namespace: the mesh.
pub(super) fn parents(record: &Record, resolved: &Resolved) -> Vec<ParentRef> {
    let namespace = &record.id.namespace;
    let mut gateways: Vec<_> = record
        .gateways
        .iter()
        .map(|written| gateway(written, namespace, resolved))
        .collect();
    if !gateways.is_empty() {
        // Whoever names one twice is attached once; the order is that of the object.
        let mut seen = BTreeSet::new();
        gateways.retain(|parent| seen.insert(parent.clone()));
        return gateways;
    }
    if record.id.kind == Kind::DubboAuthorizationPolicy {
        let home = ObjectRef::new(Kind::Namespace, "", namespace);
        return vec![ParentRef::of(&home)];
    }
    let Some(host) = &record.host else {
        let mesh = ObjectRef::new(Kind::Namespace, "", &resolved.root_namespace);
        return vec![ParentRef::of(&mesh)];
    };
    let service = resolved.model.services.find(host, namespace);
    vec![match service {
        Some(service) => ParentRef::of(&service.source.id),
        // Nobody defines it yet.
        None => ParentRef::of(&ObjectRef::new(Kind::Service, namespace, host)),
    }]
}

/// The one that is there, of whatever API; Istio's where there is none.
fn gateway(written: &str, own: &str, resolved: &Resolved) -> ParentRef {
    let (namespace, name) = written.split_once('/').unwrap_or((own, written));
    let kinds = Kind::ALL
        .iter()
        .filter(|kind| kind.name() == Kind::Gateway.name());
    let mut known = kinds.map(|&kind| ObjectRef::new(kind, namespace, name));
    let known = known.find(|id| resolved.objects.contains_key(id));
    ParentRef::of(&known.unwrap_or_else(|| ObjectRef::new(Kind::Gateway, namespace, name)))
}
