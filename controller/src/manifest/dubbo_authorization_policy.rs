//! Aeraki's `DubboAuthorizationPolicy`: who may call which methods. As with Istio's, what cannot be read denies
//! everything.

use meltemi_policy::authorization::{Action, Clause, Condition, Policy, Rule, Subject};

use super::Located;
use super::authorization_policy::{
    AuthorizationPolicy, Read, Targets, patterns, principals, values,
};
use super::decode::{Decoder, Fields};
use super::shape::{Described, Shape, Takes};
use crate::yaml::Node;

pub(super) fn decode(d: &Decoder, spec: Option<&Node>) -> AuthorizationPolicy {
    let mut own = Decoder::new(d.file.clone());
    own.object.clone_from(&d.object);
    // Without one it lets nobody in.
    let read = match spec {
        Some(spec) => rules(&mut own, spec),
        None => Some((Action::Allow, vec![])),
    };
    let read = read.map(|(action, rules)| Read {
        policy: Policy { action, rules },
        attributes: vec![],
    });
    AuthorizationPolicy::or_closed(own, Targets::Dubbo, read)
}

fn rules(d: &mut Decoder, spec: &Node) -> Option<(Action, Vec<Rule>)> {
    let fields = d.fields("spec", spec, &DUBBO_AUTHORIZATION_POLICY);
    let action = match fields.string(d, "action") {
        None => Some(Action::Allow),
        Some(action) => match action.value.as_str() {
            "ALLOW" => Some(Action::Allow),
            "DENY" => Some(Action::Deny),
            _ => {
                d.not_a_choice("spec.action", &action, &["ALLOW", "DENY"]);
                None
            }
        },
    };
    let rules = fields.list(d, "rules").iter();
    let rules = rules.map(|node| rule(d, node)).collect();
    Some((action?, rules))
}

fn rule(d: &mut Decoder, node: &Node) -> Rule {
    let fields = d.fields("spec.rules", node, &RULE);
    let mut clauses = vec![];
    for (list, inner) in [("from", "source"), ("to", "operation")] {
        if fields.node(list).is_none() {
            continue;
        }
        let any = fields.list(d, list).iter();
        let any = any
            .map(|node| alternative(d, node, (list, inner)))
            .collect();
        clauses.push(Clause { any });
    }
    Rule { clauses }
}

/// All that one source, or one operation, asks for.
fn alternative(d: &mut Decoder, node: &Node, (list, inner): (&str, &str)) -> Vec<Condition> {
    let (outer, shape) = match list {
        "from" => (&FROM, &SOURCE),
        _ => (&TO, &OPERATION),
    };
    let fields = d.fields(&format!("spec.rules.{list}"), node, outer);
    let Some(node) = fields.node(inner) else {
        fields.missing(d, inner);
        return vec![];
    };
    let fields = d.fields(&format!("spec.rules.{list}.{inner}"), node, shape);
    let given = shape.fields.iter().map(Described::name);
    let given = given.filter(|name| fields.node(name).is_some());
    given.map(|name| condition(d, &fields, name)).collect()
}

fn condition(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Condition {
    let values: Vec<Located<String>> = values(d, fields, name);
    let attribute = |name: &str| Subject::Attribute(name.to_owned(), patterns(&values));
    let subject = match name {
        "principals" | "notPrincipals" => Subject::Principal(principals(&values)),
        "namespaces" | "notNamespaces" => Subject::Namespace(patterns(&values)),
        "interfaces" | "notInterfaces" => attribute("interface"),
        _ => attribute("method"),
    };
    let invert = name.starts_with("not");
    Condition { subject, invert }
}

pub(crate) static DUBBO_AUTHORIZATION_POLICY: Shape = Shape {
    name: "DubboAuthorizationPolicy",
    meaning: "For the services of its namespace that speak Dubbo; in the root namespace, for all that do. One that cannot be read denies everything.",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "rules",
            Takes::List(&Takes::Mapping(&RULE)),
            "which requests it is about: those of any of these",
        ),
        Described::new(
            "action",
            Takes::OneOf(&["ALLOW", "DENY"]),
            "what becomes of them",
        )
        .absent("`ALLOW`"),
    ],
};

static RULE: Shape = Shape {
    name: "DubboRule",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "from",
            Takes::List(&Takes::Mapping(&FROM)),
            "who sends them: any of these",
        ),
        Described::new(
            "to",
            Takes::List(&Takes::Mapping(&TO)),
            "what they ask for: any of these",
        ),
    ],
};

static FROM: Shape = Shape {
    name: "DubboFrom",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[Described::new(
        "source",
        Takes::Mapping(&SOURCE),
        "all that is given has to hold",
    )],
};

static TO: Shape = Shape {
    name: "DubboTo",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[Described::new(
        "operation",
        Takes::Mapping(&OPERATION),
        "all that is given has to hold",
    )],
};

static SOURCE: Shape = Shape {
    name: "DubboSource",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new("principals", TEXTS, "identities, of which it has one"),
        Described::new("notPrincipals", TEXTS, "of which it has none"),
        Described::new("namespaces", TEXTS, "namespaces, of which it is in one"),
        Described::new("notNamespaces", TEXTS, "of which it is in none"),
    ],
};

static OPERATION: Shape = Shape {
    name: "DubboOperation",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new("interfaces", TEXTS, "interfaces, of which it asks for one"),
        Described::new("notInterfaces", TEXTS, "of which it asks for none"),
        Described::new("methods", TEXTS, "methods, of which it asks for one"),
        Described::new("notMethods", TEXTS, "of which it asks for none"),
    ],
};

const TEXTS: Takes = Takes::List(&Takes::Text);
