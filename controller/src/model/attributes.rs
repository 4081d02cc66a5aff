//! Whether the attributes that a rule names are ones that its protocol has.

use super::Findings;
use crate::diagnostic::{Code, Position};
use crate::manifest::{Attribute, MetaRouter, Object, nearest};
use crate::schema::{ProtocolSchema, Settings};

/// A protocol with open attributes takes any name, but one that is a slip away from an attribute
/// is a slip: a route that waits for an attachment `metod` would silently never match.
pub(super) fn check(
    object: &Object,
    router: &MetaRouter,
    (schema, settings): (&ProtocolSchema, &Settings),
    findings: &mut Findings,
) {
    let matched = router.alternatives();
    let matched: Vec<_> = matched.flat_map(|it| &it.attributes).collect();
    for attribute in &matched {
        check_case(object, attribute, (schema, settings), findings);
    }
    let matched = matched.into_iter();
    let matched = matched.map(|attribute| (attribute.name.value.as_str(), attribute.name.at));
    let mutations = router.routes.iter().flat_map(|route| route.mutations());
    let values = mutations.filter_map(|mutation| mutation.value.as_ref());
    let variables = values.flat_map(|value| {
        let names = value.template.attributes();
        names.map(|name| (name.as_str(), value.text.at))
    });
    let hashed = router.routes.iter().flat_map(|route| &route.hash_policy);
    let hashed = hashed.filter_map(|policy| Some((policy.value.attribute()?.as_str(), policy.at)));
    let told = router
        .properties()
        .map(|name| (name.value.as_str(), name.at));
    for (name, at) in matched.chain(variables).chain(hashed).chain(told) {
        check_name(object, (name, at), (schema, settings), findings);
    }
}

/// `{exact: GET}` would never hold where every `GET` is `get`.
fn check_case(
    object: &Object,
    attribute: &Attribute,
    (schema, settings): (&ProtocolSchema, &Settings),
    findings: &mut Findings,
) {
    let name = &attribute.name.value;
    let text = attribute.matching.condition.text();
    let Some(text) = text.filter(|text| !text.ignore_case && schema.lower_case.contains(name))
    else {
        return;
    };
    let lower = text.value.to_ascii_lowercase();
    if lower != text.value {
        let message = format!(
            "the attribute `{name}` is always in lower case, and never has `{}`",
            text.value
        );
        let diagnostic = settings.of_protocols(Code::InvalidValue, message);
        let remedy = format!("write `{lower}`");
        findings.at(object, attribute.name.at, diagnostic.remedy(remedy));
    }
}

/// Says of one name whether the protocol has it.
pub(super) fn check_name(
    object: &Object,
    (name, at): (&str, Position),
    (schema, settings): (&ProtocolSchema, &Settings),
    findings: &mut Findings,
) {
    let known = || schema.attributes.iter().map(|a| a.name.as_str());
    if known().any(|k| k == name) {
        return;
    }
    let near = nearest(name, known());
    if near.is_none() && schema.open {
        return;
    }
    let hint = near
        .map(|n| format!("; did you mean `{n}`?"))
        .unwrap_or_default();
    let message = format!("unknown attribute `{name}` of protocol {}{hint}", schema.id);
    let names = known().collect::<Vec<_>>().join(", ");
    let diagnostic = settings.of_protocols(Code::UnknownAttribute, message);
    findings.at(
        object,
        at,
        diagnostic.remedy(format!("its attributes are {names}")),
    );
}
