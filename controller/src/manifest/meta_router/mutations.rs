//! `requestMutation` and `responseMutation`: what a route changes in messages.

use meltemi_policy::{Template, TemplateError};

use super::super::Located;
use super::super::decode::{Decoder, Fields};
use super::super::shape::{Described, Literal, Shape, Takes};
use crate::yaml::Node;

/// A change of one key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mutation {
    pub(crate) key: Located<String>,
    /// Its value from now on; none: it is removed.
    pub(crate) value: Option<Value>,
}

/// A value as it was written, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) text: Located<String>,
    pub(crate) template: Template,
}

pub(super) static MUTATION: Shape = Shape {
    name: "Mutation",
    meaning: "A change of one key: it is set, whether it was there or not, or removed.",
    given: "key: team",
    instead: &[],
    fields: &[
        Described::new(
            "key",
            Takes::Text,
            "the name of an attachment, or of what the protocol has in its place; not empty",
        )
        .required()
        .example("key: team, value: blue"),
        Described::new(
            "value",
            Takes::Text,
            "what it is set to; not empty. `${name}` stands for the value of the request's attribute, \
             `$${` for `${`",
        )
        .absent("an error, unless `remove` is true")
        .example("value: 'called ${method}'"),
        Described::new(
            "remove",
            Takes::Boolean,
            "`true`: it is removed. Not beside `value`",
        )
        .default(Literal::Boolean(false))
        .example("remove: true"),
    ],
};

/// The changes of a field of a route.
pub(super) fn decode(d: &mut Decoder, route: &Fields<'_>, name: &str) -> Vec<Mutation> {
    let nodes = route.list(d, name).iter();
    nodes.filter_map(|node| mutation(d, name, node)).collect()
}

fn mutation(d: &mut Decoder, name: &str, node: &Node) -> Option<Mutation> {
    let fields = d.fields(name, node, &MUTATION);
    let key = fields.required(d, "key");
    let removes = fields.boolean(d, "remove").unwrap_or(false);
    let value = match (fields.entry("value"), removes) {
        (Some(entry), true) => {
            let message = format!("`{name}` both removes a key and gives it a value");
            d.invalid(entry.at, message, "leave out one of `value` and `remove`");
            return None;
        }
        (None, true) => None,
        (_, false) => Some(value(d, &fields)?),
    };
    Some(Mutation { key: key?, value })
}

fn value(d: &mut Decoder, fields: &Fields<'_>) -> Option<Value> {
    let text = fields.required(d, "value")?;
    match Template::parse(&text.value) {
        Ok(template) => Some(Value { text, template }),
        Err(error) => {
            let remedy = match error {
                TemplateError::Unclosed(_) => "write `${attribute}`, or `$${` for `${` itself",
                TemplateError::Nameless => "name an attribute, as in `${method}`",
            };
            d.invalid(text.at, error.to_string(), remedy);
            None
        }
    }
}
