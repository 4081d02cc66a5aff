//! The metadata of an object, as far as it acts here.

use std::collections::BTreeMap;

use super::decode::{Decoder, Field, Fields};
use super::{Kind, Located, creation};
use crate::diagnostic::{Code, Diagnostic};

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, Located<String>>,
    /// `creationTimestamp` in seconds since the epoch; exported manifests carry it.
    pub(crate) created: Option<i64>,
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

/// Decodes `metadata`; without a name there is no object.
pub(super) fn decode(
    d: &mut Decoder,
    object: &Fields<'_>,
    kind: Kind,
) -> Option<(Identity, Metadata)> {
    let Some(node) = object.node("metadata") else {
        let message = format!("{} without `metadata.name`", article(kind));
        d.report(object.at, Diagnostic::error(Code::NotAnObject, message));
        return None;
    };
    let fields = d.fields("metadata", node, FIELDS);
    let name = fields.required(d, "name")?;
    let namespace = fields.string(d, "namespace").map(|n| n.value);
    let annotations = fields.map(d, "annotations").iter();
    let annotations = annotations
        .filter_map(|e| {
            let value = d.string(&format!("metadata.annotations.{}", e.key), &e.value)?;
            Some((e.key.clone(), value))
        })
        .collect();
    let metadata = Metadata {
        labels: fields.string_map(d, "labels"),
        annotations,
        created: created(d, &fields),
    };
    let namespace = match (kind.is_namespaced(), namespace) {
        (false, _) => String::new(),
        (true, namespace) => namespace
            .filter(|n| !n.is_empty())
            .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
    };
    Some((Identity { namespace, name }, metadata))
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
