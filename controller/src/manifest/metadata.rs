//! The metadata of an object, as far as it acts here.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_policy::place::topology;

use super::decode::{Decoder, Field, Fields};
use super::{Kind, Located, creation, name};
use crate::diagnostic::{Code, Diagnostic};

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metadata {
    /// Of a Pod that has a node with that node's name, as a label of nodes says it. Shared with whatever is made of it.
    pub(crate) labels: Arc<BTreeMap<String, String>>,
    pub(crate) annotations: BTreeMap<String, Located<String>>,
    /// `creationTimestamp` in seconds since the epoch; exported manifests carry it.
    pub(crate) created: Option<i64>,
}

impl Metadata {
    /// Of a Pod.
    pub(super) fn at_node(mut self, node: &str) -> Self {
        if !node.is_empty() && !self.labels.contains_key(topology::HOSTNAME) {
            let labels = Arc::make_mut(&mut self.labels);
            labels.insert(topology::HOSTNAME.to_owned(), node.to_owned());
        }
        self
    }
}

/// What decides where an object belongs, apart from the rest of its metadata.
pub(super) struct Identity {
    pub(super) namespace: String,
    pub(super) name: Located<String>,
}

const FIELDS: &[Field] = &[
    Field::InForce("name"),
    Field::InForce("namespace"),
    Field::InForce("labels"),
    Field::InForce("annotations"),
    Field::InForce("creationTimestamp"),
    Field::NoEffect("deletionGracePeriodSeconds"),
    Field::NoEffect("deletionTimestamp"),
    Field::NoEffect("finalizers"),
    Field::NoEffect("generateName"),
    Field::NoEffect("generation"),
    Field::NoEffect("managedFields"),
    Field::NoEffect("ownerReferences"),
    Field::NoEffect("resourceVersion"),
    Field::NoEffect("selfLink"),
    Field::NoEffect("uid"),
];

const DEFAULT_NAMESPACE: &str = "default";

/// Decodes `metadata`; without a name there is no object, but more may be wrong with it.
pub(super) fn decode(
    d: &mut Decoder,
    object: &Fields<'_>,
    kind: Kind,
) -> (Option<Identity>, Metadata) {
    let Some(node) = object.node("metadata") else {
        let message = format!("{} without `metadata.name`", article(kind));
        d.report(object.at, Diagnostic::error(Code::NotAnObject, message));
        return (None, Metadata::default());
    };
    let fields = d.fields("metadata", node, FIELDS);
    let name = fields.required(d, "name");
    let name = name.filter(|n| d.check_name("metadata.name", n, &name::OBJECT));
    let namespace = namespace(d, &fields, kind);
    let annotations = fields.map(d, "annotations").iter();
    let annotations = annotations
        .filter_map(|e| {
            let value = d.string(&format!("metadata.annotations.{}", e.key), &e.value)?;
            Some((e.key.clone(), value))
        })
        .collect();
    let metadata = Metadata {
        labels: fields.string_map(d, "labels").into(),
        annotations,
        created: created(d, &fields),
    };
    let identity = name
        .zip(namespace)
        .map(|(name, namespace)| Identity { namespace, name });
    (identity, metadata)
}

/// Empty where the kind has none; none if it cannot be told.
fn namespace(d: &mut Decoder, metadata: &Fields<'_>, kind: Kind) -> Option<String> {
    let is_written = metadata.node("namespace").is_some();
    let namespace = metadata.string(d, "namespace");
    if !kind.is_namespaced() {
        return Some(String::new());
    }
    match namespace {
        Some(namespace) if !namespace.value.is_empty() => d
            .check_name("metadata.namespace", &namespace, &name::NAMESPACE)
            .then_some(namespace.value),
        None if is_written => None,
        _ => Some(DEFAULT_NAMESPACE.to_owned()),
    }
}

fn created(d: &mut Decoder, metadata: &Fields<'_>) -> Option<i64> {
    let text = metadata.string(d, "creationTimestamp")?;
    let seconds = creation::seconds(&text.value);
    if seconds.is_none() {
        let message = format!("`metadata.creationTimestamp` is no time: `{}`", text.value);
        let diagnostic = Diagnostic::error(Code::InvalidValue, message);
        let remedy = "leave it out, or write it as Kubernetes does: 2026-01-31T23:59:59Z";
        d.report(text.at, diagnostic.remedy(remedy));
    }
    seconds
}

fn article(kind: Kind) -> String {
    let article = if kind == Kind::ApplicationProtocol {
        "an"
    } else {
        "a"
    };
    format!("{article} {}", kind.name())
}
