//! Tables of fields as structural OpenAPI schemas.

use serde_json::{Map, Value, json};

use super::{bounds, rules};
use crate::manifest::shape::{Absent, Described, Literal, Shape, Takes};

/// The schema of a mapping.
pub(super) fn of(shape: &Shape) -> Value {
    let properties: Map<String, Value> = shape
        .fields
        .iter()
        .map(|field| (field.name().to_owned(), property(shape, field)))
        .collect();
    let required = shape.fields.iter();
    let required = required.filter(|field| matches!(field.absent, Absent::Required));
    let required: Vec<_> = required.map(Described::name).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    for part in rules::of_shape(shape.name) {
        add(&mut schema, part);
    }
    let expressions = rules::expressions(shape.name);
    if !expressions.is_empty() {
        schema["x-kubernetes-validations"] = json!(expressions);
    }
    schema
}

/// A second part of one kind is put under `allOf`.
fn add(schema: &mut Value, part: Value) {
    let Value::Object(part) = part else {
        return;
    };
    for (key, value) in part {
        if schema[&key].is_null() {
            schema[&key] = value;
        } else {
            let mut all = schema["allOf"].as_array().cloned().unwrap_or_default();
            all.push(json!({ key: value }));
            schema["allOf"] = json!(all);
        }
    }
}

/// The schema of a field, with its meaning.
fn property(shape: &Shape, field: &Described) -> Value {
    let is_required = matches!(field.absent, Absent::Required);
    let mut schema = value(shape.name, field.name(), &field.takes, is_required);
    schema["description"] = json!(description(field));
    if let Absent::Default(literal) = field.absent
        && rules::is_defaulted(shape.name, field.name())
    {
        schema["default"] = default(literal);
    }
    schema
}

/// The schema of what a field takes, or of its items.
fn value(shape: &str, field: &str, takes: &Takes, is_required: bool) -> Value {
    match takes {
        Takes::Text => {
            let mut schema = rules::of_text(shape, field, is_required);
            schema["type"] = json!("string");
            schema["maxLength"] = json!(bounds::length(shape, field));
            schema
        }
        Takes::Boolean => json!({ "type": "boolean" }),
        Takes::Integer { least, most } => integer(*least, *most),
        Takes::Number { least, most } => number(*least, *most),
        Takes::Duration => json!({
            "type": "string",
            "maxLength": bounds::DURATION,
            "x-kubernetes-validations": rules::of_duration(),
        }),
        Takes::Words(words) => json!({
            "type": "string",
            "maxLength": bounds::length(shape, field),
            "pattern": format!("^ *({0}) *(, *({0}) *)*$", words.join("|")),
        }),
        Takes::OneOf(words) => json!({ "type": "string", "enum": words }),
        Takes::Mapping(shape) => of(shape),
        // There is no structural schema for what has one of two types.
        Takes::Scalar | Takes::TextOr(_) => json!({"x-kubernetes-preserve-unknown-fields": true}),
        Takes::List(of) => list(shape, field, of),
        Takes::Map(of) => {
            let values = value(shape, field, of, false);
            let mut schema = json!({
                "type": "object",
                "additionalProperties": values,
                "maxProperties": bounds::count(shape, field),
            });
            if bounds::is_not_empty(shape, field) {
                schema["minProperties"] = json!(1);
            }
            schema
        }
    }
}

fn list(shape: &str, field: &str, of: &Takes) -> Value {
    let mut schema = json!({
        "type": "array",
        "items": value(shape, field, of, false),
        "maxItems": bounds::count(shape, field),
    });
    if bounds::is_not_empty(shape, field) {
        schema["minItems"] = json!(1);
    }
    if let Some(expressions) = rules::of_list(shape, field) {
        schema["x-kubernetes-validations"] = expressions;
    }
    schema
}

fn integer(least: i64, most: i64) -> Value {
    let is_short = i32::try_from(least).is_ok() && i32::try_from(most).is_ok();
    let mut schema = json!({
        "type": "integer",
        "format": if is_short { "int32" } else { "int64" },
    });
    if least != i64::MIN {
        schema["minimum"] = json!(least);
    }
    if most != i64::MAX {
        schema["maximum"] = json!(most);
    }
    schema
}

fn number(least: f64, most: f64) -> Value {
    let mut schema = json!({ "type": "number", "minimum": least });
    if most != f64::MAX {
        schema["maximum"] = json!(most);
    }
    schema
}

fn default(literal: Literal) -> Value {
    match literal {
        Literal::Boolean(value) => json!(value),
        Literal::Integer(value) => json!(value),
        Literal::Percent(value) => json!({ "value": value }),
        Literal::Text(_) | Literal::Duration(_) => json!(literal.to_string()),
    }
}

/// The meaning, and what holds where the field is absent, without the links of a page.
fn description(field: &Described) -> String {
    let mut text = sentence(field.meaning);
    let absent = match field.absent {
        Absent::Default(literal) => literal.to_string(),
        Absent::Means(means) => means.to_owned(),
        Absent::Required => String::new(),
    };
    if !absent.is_empty() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str("When absent: ");
        text.push_str(&without_links(&absent));
        text.push('.');
    }
    text
}

/// Begins with a capital and ends with a stop.
fn sentence(meaning: &str) -> String {
    let meaning = without_links(meaning);
    let mut characters = meaning.chars();
    let Some(first) = characters.next() else {
        return String::new();
    };
    first
        .to_uppercase()
        .chain(characters)
        .chain(['.'])
        .collect()
}

/// `[text](target)` becomes its text.
fn without_links(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once("](") {
        let Some((start, label)) = before.rsplit_once('[') else {
            break;
        };
        let Some((_, after)) = link.split_once(')') else {
            break;
        };
        text.push_str(start);
        text.push_str(label);
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_a_sentence_without_links() {
        let rows = [
            ("", ""),
            ("of 100", "Of 100."),
            (
                "who gets a [copy](manifests.md#copies) of [all](x)",
                "Who gets a copy of all.",
            ),
            ("`a[0]` (b) is no link", "`a[0]` (b) is no link."),
        ];
        for (meaning, expected) in rows {
            assert_eq!(sentence(meaning), expected);
        }
    }
}
