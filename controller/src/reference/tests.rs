//! What the tables say is what the decoder does.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::examples::{FieldPlace, places};
use super::*;
use crate::diagnostic::{Diagnostic, SourceFile};
use crate::manifest::shape::Literal;
use crate::manifest::{Spec, decode_file};

fn decode(manifest: &Value) -> (Option<Spec>, Vec<Diagnostic>) {
    let file = SourceFile {
        name: "example.yaml".to_owned(),
        text: manifest.to_string(),
    };
    let mut decoded = decode_file(&Arc::new(file));
    let only = decoded.pop().expect("one document");
    (only.object.map(|object| object.spec), only.findings)
}

/// The errors of a MetaRouter whose field has another value.
fn errors_with(place: &FieldPlace, value: Value) -> Vec<String> {
    let mut mapping = place.example();
    mapping[place.field.name()] = value;
    let (_, findings) = decode(&place.manifest(mapping));
    let errors = findings.into_iter().filter(Diagnostic::is_error);
    errors.map(|error| error.message).collect()
}

fn value(literal: Literal) -> Value {
    match literal {
        Literal::Boolean(value) => json!(value),
        Literal::Integer(value) => json!(value),
        Literal::Percent(value) => json!({ "value": value }),
        Literal::Text(_) | Literal::Duration(_) => json!(literal.to_string()),
    }
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/metarouter.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    assert!(
        page == meta_router(),
        "docs/reference/metarouter.md is out of date: `just gen` writes it"
    );
}

#[test]
fn shapes_of_one_name_are_one() {
    for place in places(&META_ROUTER) {
        if let Some(shape) = place.field.takes.shape() {
            let first = shapes(&META_ROUTER)
                .into_iter()
                .find(|it| it.name == shape.name);
            assert!(
                std::ptr::eq(shape, first.expect("it is found")),
                "{}",
                shape.name
            );
        }
    }
}

#[test]
fn each_field_has_an_example_that_is_accepted() {
    for place in places(&META_ROUTER) {
        let path = place.path();
        let shown = place.example();
        assert!(!shown[place.field.name()].is_null(), "{path}: {shown}");
        let (spec, findings) = decode(&place.manifest(shown));
        assert!(spec.is_some(), "{path}: {findings:?}");
        assert!(findings.is_empty(), "{path}: {findings:?}");
    }
}

/// So that none is described and not read.
#[test]
fn each_field_in_force_refuses_what_it_does_not_take() {
    for place in places(&META_ROUTER) {
        if !place.field.is_in_force() {
            continue;
        }
        let wrong = match place.field.takes {
            Takes::List(_) | Takes::Map(_) | Takes::Mapping(_) => json!(7),
            _ => json!([["wrong"]]),
        };
        let errors = errors_with(&place, wrong);
        let name = place.field.name();
        let is_named = errors
            .iter()
            .any(|error| error.contains(name) && error.contains("must be"));
        assert!(is_named, "{}: {errors:?}", place.path());
    }
}

#[test]
fn bounds_are_those_that_are_stated() {
    let mut bounded = 0;
    for place in places(&META_ROUTER) {
        let (least, most, below, above) = match place.field.takes {
            Takes::Integer { least, most } => (
                json!(least),
                json!(most),
                least.checked_sub(1).map(Value::from),
                most.checked_add(1).map(Value::from),
            ),
            Takes::Number { least, most } => (
                json!(least),
                json!(most),
                Some(json!(least - 0.5)),
                Some(json!(most + 0.5)),
            ),
            Takes::Duration => (json!("1ms"), json!("1h"), Some(json!("0.9ms")), None),
            _ => continue,
        };
        bounded += 1;
        let path = place.path();
        let is_refused = |value| {
            let errors = errors_with(&place, value);
            let bound = |it: &String| it.contains("must be from") || it.contains("at least 1ms");
            errors.iter().any(bound)
        };
        assert!(!is_refused(least) && !is_refused(most), "{path}");
        for outside in [below, above].into_iter().flatten() {
            assert!(is_refused(outside.clone()), "{path} takes {outside}");
        }
    }
    assert!(bounded > 5);
}

#[test]
fn words_are_those_that_are_stated() {
    for place in places(&META_ROUTER) {
        let (words, together) = match place.field.takes {
            Takes::Words(words) => (words, words.join(",")),
            Takes::OneOf(words) => (words, String::new()),
            _ => continue,
        };
        let texts = words.iter().copied().chain([together.as_str()]);
        for text in texts.filter(|text| !text.is_empty()) {
            assert_eq!(errors_with(&place, json!(text)), [""; 0], "{text}");
        }
        assert_ne!(errors_with(&place, json!("something")), [""; 0]);
    }
}

#[test]
fn what_is_to_be_written_instead_is_not_said_to_be_missing() {
    let mut told = 0;
    for place in places(&META_ROUTER) {
        for (other, _) in place.shape.instead {
            let mut mapping = place.example();
            let fields = mapping.as_object_mut().expect("a mapping");
            fields.remove(place.field.name());
            fields.insert((*other).to_owned(), json!(50));
            let (_, findings) = decode(&place.manifest(mapping));
            let said = |what: &str| {
                let errors = findings.iter().filter(|it| it.is_error());
                errors.filter(|it| it.message.contains(what)).count()
            };
            let counts = (
                said(&format!(".{other}`")),
                said("unknown"),
                said("missing"),
            );
            let path = place.path();
            assert!(counts.0 > 0, "{path} {other}: {findings:?}");
            assert_eq!((counts.1, counts.2), (1, 0), "{path} {other}: {findings:?}");
            told += 1;
        }
    }
    assert!(told > 5);
}

#[test]
fn a_default_is_what_absence_means() {
    let mut defaults = 0;
    for place in places(&META_ROUTER) {
        let Absent::Default(literal) = place.field.absent else {
            continue;
        };
        defaults += 1;
        let with = |value: Option<Value>| {
            let mut mapping = place.example();
            let fields = mapping.as_object_mut().expect("a mapping");
            fields.remove(place.field.name());
            fields.extend(value.map(|value| (place.field.name().to_owned(), value)));
            decode(&place.manifest(mapping)).0
        };
        let path = place.path();
        assert_eq!(with(None), with(Some(value(literal))), "{path}");
        assert_ne!(
            with(None),
            Some(decode(&place.manifest(place.example())).0).flatten(),
            "{path}"
        );
    }
    assert!(defaults > 5);
}

#[test]
fn what_is_required_is() {
    for place in places(&META_ROUTER) {
        if !matches!(place.field.absent, Absent::Required) {
            continue;
        }
        let mut mapping = place.example();
        mapping
            .as_object_mut()
            .expect("a mapping")
            .remove(place.field.name());
        let (spec, _) = decode(&place.manifest(mapping));
        assert_eq!(spec, None, "{}", place.path());
    }
}
