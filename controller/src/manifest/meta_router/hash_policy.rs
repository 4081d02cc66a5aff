//! `hashPolicy`: what of a route's requests is hashed, for destinations whose balancer hashes.

use meltemi_policy::{HashPolicy, Hashed};

use super::super::Located;
use super::super::decode::{Decoder, Fields};
use super::super::shape::{Described, Literal, Shape, Takes};
use crate::yaml::{Node, Value};

pub(super) static POLICY: Shape = Shape {
    name: "HashPolicy",
    meaning: "Our addition. One of `attribute`, `useSourceIp` and `connection`; a text is an \
        `attribute`. Several hashes combine: see [keys](manifests.md#keys).",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "attribute",
            Takes::Text,
            "the value of this attribute is hashed",
        )
        .example("attribute: method"),
        Described::new(
            "useSourceIp",
            Takes::Boolean,
            "`true`: the address of the client is, without its port",
        )
        .example("useSourceIp: true"),
        Described::new(
            "connection",
            Takes::Boolean,
            "`true`: the client's connection is, so that all of its requests go to one endpoint",
        )
        .example("connection: true"),
        Described::new(
            "terminal",
            Takes::Boolean,
            "`true`: those behind it count only where nothing up to it could be hashed",
        )
        .default(Literal::Boolean(false))
        .example("terminal: true, attribute: method"),
    ],
};

pub(super) fn decode(d: &mut Decoder, route: &Fields<'_>) -> Vec<Located<HashPolicy>> {
    let nodes = route.list(d, "hashPolicy").iter();
    nodes.filter_map(|node| policy(d, node)).collect()
}

/// The name of an attribute, or a mapping that says what is hashed.
fn policy(d: &mut Decoder, node: &Node) -> Option<Located<HashPolicy>> {
    let at = node.at;
    if let Value::String(name) = &node.value {
        if name.is_empty() {
            d.invalid(
                at,
                "`hashPolicy` names an attribute without a name",
                "give it a name",
            );
            return None;
        }
        let value = HashPolicy {
            of: Hashed::Attribute(name.clone()),
            terminal: false,
        };
        return Some(Located { value, at });
    }
    let fields = d.fields("hashPolicy", node, &POLICY);
    let attribute = fields
        .node("attribute")
        .and_then(|_| fields.required(d, "attribute"));
    let mut given: Vec<Hashed> = attribute
        .map(|name| Hashed::Attribute(name.value))
        .into_iter()
        .collect();
    for (name, of) in [
        ("useSourceIp", Hashed::SourceAddress),
        ("connection", Hashed::Connection),
    ] {
        given.extend(fields.boolean(d, name).unwrap_or(false).then_some(of));
    }
    let terminal = fields.boolean(d, "terminal").unwrap_or(false);
    match <[Hashed; 1]>::try_from(given) {
        Ok([of]) => Some(Located {
            value: HashPolicy { of, terminal },
            at,
        }),
        Err(_) => {
            let message = "an entry of `hashPolicy` says one thing that is hashed";
            let remedy = "write one of `attribute: NAME`, `useSourceIp: true`, `connection: true`";
            d.invalid(at, message, remedy);
            None
        }
    }
}
