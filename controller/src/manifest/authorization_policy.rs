//! Istio's `AuthorizationPolicy`, as far as it is for services and Gateways.
//!
//! What cannot be read of it is no reason to do without it: such a policy denies everything. So nothing here refuses
//! the object; what is wrong is told where the policy is applied.

mod rule;

use std::collections::BTreeMap;

use meltemi_policy::authorization::{Action, Policy};

use super::decode::{Decoder, Field, Fields};
use super::{Kind, Located};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::{Node, Value};

use rule::Part;
pub(super) use rule::{patterns, principals, values};

/// Who may use what it is for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AuthorizationPolicy {
    pub(crate) targets: Targets,
    /// One that could not be read, or asks for what cannot be done, denies everything.
    pub(crate) policy: Policy,
    pub(crate) is_closed: bool,
    /// What it asks of messages.
    pub(crate) attributes: Vec<Located<String>>,
    /// What is wrong with it.
    pub(crate) told: Vec<Diagnostic>,
}

/// What a policy is for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Targets {
    Named(Vec<TargetRef>),
    /// What it names cannot be read: it may be anything of its namespace.
    Unreadable,
    /// Workloads with these labels: up to whoever stands before these.
    Workloads(BTreeMap<String, String>),
    /// All services of its namespace that speak Dubbo; of all namespaces, where it is in the root namespace.
    Dubbo,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TargetRef {
    /// None: something of this name.
    pub(crate) kind: Option<Kind>,
    pub(crate) name: Located<String>,
}

const SPEC: &[Field] = &[
    Field::InForce("targetRef"),
    Field::InForce("targetRefs"),
    Field::InForce("selector"),
    Field::InForce("action"),
    Field::InForce("rules"),
    // Of CUSTOM alone.
    Field::NoEffect("provider"),
];

const TARGET: &[Field] = &[
    Field::InForce("group"),
    Field::InForce("kind"),
    Field::InForce("name"),
    Field::InForce("namespace"),
];

/// The kinds that it may be for: Istio's `validatePolicyTargetReference`.
const KINDS: [Kind; 4] = [
    Kind::Service,
    Kind::ServiceEntry,
    Kind::KubernetesGateway,
    Kind::GatewayClass,
];

pub(super) fn decode(d: &Decoder, spec: Option<&Node>) -> AuthorizationPolicy {
    let mut own = Decoder::new(d.file.clone());
    own.object.clone_from(&d.object);
    let Some(spec) = spec else {
        // It is for all workloads of its namespace, unless something else was meant.
        return match d.has_errors() {
            true => AuthorizationPolicy::or_closed(own, Targets::Unreadable, None),
            // Without rules it allows nobody.
            false => AuthorizationPolicy::allowing_nobody(),
        };
    };
    let fields = Fields::of_any(spec);
    // An empty list is none, as in protobuf.
    let is_empty = |node: &Node| matches!(&node.value, Value::List(items) if items.is_empty());
    let named = ["targetRef", "targetRefs"].map(|name| fields.node(name));
    if named.into_iter().flatten().all(is_empty) {
        let targets = Targets::Workloads(selected(&mut own, &fields));
        let policy = decode_rules(own, &fields, targets);
        // Others enforce it, and say what is wrong with it.
        return AuthorizationPolicy {
            told: vec![],
            ..policy
        };
    }
    let fields = own.fields("spec", spec, SPEC);
    let targets = targets(&mut own, &fields);
    decode_rules(own, &fields, targets)
}

fn selected(d: &mut Decoder, fields: &Fields<'_>) -> BTreeMap<String, String> {
    let selector = fields.node("selector").map(Fields::of_any);
    selector.map_or_else(BTreeMap::new, |it| it.string_map(d, "matchLabels"))
}

impl AuthorizationPolicy {
    fn allowing_nobody() -> Self {
        let policy = Policy {
            action: Action::Allow,
            rules: vec![],
        };
        Self {
            targets: Targets::Workloads(BTreeMap::new()),
            policy,
            is_closed: false,
            attributes: vec![],
            told: vec![],
        }
    }

    /// What was read, if nothing was wrong with it.
    pub(super) fn or_closed(d: Decoder, targets: Targets, read: Option<Read>) -> Self {
        let read = read.filter(|_| !d.has_errors());
        let is_closed = read.is_none();
        let (policy, attributes) = match read {
            Some(read) => (read.policy, read.attributes),
            None => (Policy::closed(), vec![]),
        };
        Self {
            targets,
            policy,
            is_closed,
            attributes,
            told: d.diagnostics,
        }
    }
}

/// What a policy says.
pub(super) struct Read {
    pub(super) policy: Policy,
    pub(super) attributes: Vec<Located<String>>,
}

fn decode_rules(mut d: Decoder, fields: &Fields<'_>, targets: Targets) -> AuthorizationPolicy {
    let action = action(&mut d, fields);
    let mut attributes = vec![];
    let mut rules = vec![];
    for node in fields.list(&mut d, "rules") {
        let mut part = Part {
            d: &mut d,
            denies: action == Some(Action::Deny),
            never: false,
            attributes: &mut attributes,
        };
        let clauses = rule::decode(&mut part, node);
        if !part.never {
            rules.push(clauses);
        }
    }
    let read = action.map(|action| Read {
        policy: Policy { action, rules },
        attributes,
    });
    AuthorizationPolicy::or_closed(d, targets, read)
}

/// None where it is none that is done here; that is said.
fn action(d: &mut Decoder, fields: &Fields<'_>) -> Option<Action> {
    let Some(node) = fields.node("action") else {
        return Some(Action::Allow);
    };
    let action = d.string("spec.action", node)?;
    match action.value.as_str() {
        "ALLOW" => Some(Action::Allow),
        "DENY" => Some(Action::Deny),
        "AUDIT" => Some(Action::Audit),
        "CUSTOM" => {
            let message = "`spec.action: CUSTOM` asks a provider, and none is asked here: everything is denied";
            d.invalid(action.at, message, "write ALLOW, DENY or AUDIT");
            None
        }
        _ => {
            d.not_a_choice("spec.action", &action, &["ALLOW", "DENY", "AUDIT"]);
            None
        }
    }
}

fn targets(d: &mut Decoder, fields: &Fields<'_>) -> Targets {
    if let Some(selector) = fields.node("selector") {
        let message = "`spec.selector` beside `spec.targetRefs`: a policy has one of the two";
        d.invalid(selector.at, message, "remove one of the two");
    }
    let mut named = vec![];
    let mut is_whole = true;
    let several = fields.list(d, "targetRefs").iter();
    is_whole &= fields.node("targetRefs").is_none() || several.len() > 0;
    let one = fields.node("targetRef").into_iter();
    for node in several.chain(one) {
        match target(d, node) {
            Some(target) => named.push(target),
            None => is_whole = false,
        }
    }
    match is_whole {
        true => Targets::Named(named),
        false => Targets::Unreadable,
    }
}

fn target(d: &mut Decoder, node: &Node) -> Option<TargetRef> {
    let fields = d.fields("spec.targetRefs", node, TARGET);
    let group = fields.string(d, "group").map(|it| it.value);
    let kind = fields.required(d, "kind");
    let name = fields.required(d, "name")?;
    let own = d.object.as_ref().map(|object| object.namespace.to_string());
    let namespace = fields
        .string(d, "namespace")
        .filter(|it| !it.value.is_empty());
    if let Some(other) = namespace.filter(|it| Some(&it.value) != own.as_ref()) {
        let message = "`spec.targetRefs` name what is in the policy's own namespace";
        d.invalid(
            other.at,
            message,
            "write the policy in the namespace of its target",
        );
    }
    let Some(kind) = kind else {
        return Some(TargetRef { kind: None, name });
    };
    let group = group.unwrap_or_default();
    let is_named = |known: &&Kind| {
        // Istio takes `core` for the group that has no name.
        let is_core = known.group().is_empty() && group == "core";
        known.name() == kind.value && (known.group() == group || is_core)
    };
    let known = KINDS.iter().find(is_named).copied();
    if known.is_none() {
        let message = format!("a policy cannot be for a {} of `{group}`", kind.value);
        let diagnostic = Diagnostic::error(Code::InvalidValue, message);
        let remedy = "it is for a Service of the group \"\", a ServiceEntry of networking.istio.io, or a Gateway or \
                      GatewayClass of gateway.networking.k8s.io";
        d.report(kind.at, diagnostic.remedy(remedy));
    }
    Some(TargetRef { kind: known, name })
}
