//! What the API server itself says of them is tested on one: `tests/tests/kubernetes_crds.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::kinds::KINDS;
use super::*;
use crate::manifest::shape::Shape;
use crate::manifest::{Kind, ObjectRef};

fn shapes(shape: &'static Shape, found: &mut Vec<&'static Shape>) {
    if found.iter().any(|known| std::ptr::eq(*known, shape)) {
        return;
    }
    found.push(shape);
    let inner = shape.fields.iter().filter_map(|field| field.takes.shape());
    inner.for_each(|inner| shapes(inner, found));
}

fn all_shapes() -> Vec<&'static Shape> {
    let mut found = vec![];
    KINDS.iter().for_each(|kind| shapes(kind.shape, &mut found));
    found
}

#[test]
fn the_files_are_current() {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/meltemi-crds/templates");
    for manifest in all().expect("they can be written") {
        let written = std::fs::read_to_string(chart.join(&manifest.file)).unwrap_or_default();
        assert!(
            written == manifest.text,
            "{} is out of date: `just gen` writes it",
            manifest.file
        );
    }
}

#[test]
fn shapes_have_names_of_their_own() {
    let shapes = all_shapes();
    let names: BTreeSet<_> = shapes.iter().map(|shape| shape.name).collect();
    assert_eq!(names.len(), shapes.len());
}

/// A field that is renamed takes its rules along.
#[test]
fn rules_and_bounds_are_about_fields_that_there_are() {
    let shapes = all_shapes();
    for (shape, field) in rules::named().chain(bounds::named()) {
        let found = shapes.iter().find(|known| known.name == shape);
        let found = found.and_then(|known| known.field(field));
        assert!(found.is_some(), "{shape}.{field}");
    }
}

#[test]
fn the_kinds_that_are_decoded_are_called_so() {
    for kind in KINDS {
        let decoded = Kind::ALL.iter().find(|it| it.name() == kind.name);
        let decoded = decoded.expect("it is decoded");
        assert_eq!(decoded.group(), kind.group);
        assert_eq!(decoded.versions(), ["v1alpha1"]);
        let object = ObjectRef::new(*decoded, "", "");
        assert_eq!(object.kind.is_namespaced(), kind.is_namespaced);
    }
}

/// Without a bound the API server counts the most that a request can hold. What has one of two types has no schema, and so none,
/// and keys of maps cannot have one.
#[test]
fn everything_has_a_bound_and_a_meaning() {
    fn walk(path: &str, schema: &Value, described: bool) {
        let has = |key: &str| !schema[key].is_null();
        match schema["type"].as_str() {
            Some("array") => assert!(has("maxItems"), "{path}"),
            Some("string") => {
                let is_bound = ["maxLength", "enum", "format"].into_iter().any(has);
                assert!(is_bound, "{path}");
            }
            _ if has("additionalProperties") => assert!(has("maxProperties"), "{path}"),
            _ => {}
        }
        // `Port` has one field, whose name says it.
        let is_said =
            has("description") && schema["description"] != "" || path.ends_with(".number");
        assert!(!described || is_said || path.contains(".plain."), "{path}");
        walk_inner(path, schema);
    }
    fn walk_inner(path: &str, schema: &Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), property, true);
        }
        for key in ["items", "additionalProperties"] {
            if schema[key].is_object() {
                walk(&format!("{path}[]"), &schema[key], false);
            }
        }
    }
    for kind in KINDS {
        walk(kind.name, &schema::of(kind.shape), false);
    }
}
