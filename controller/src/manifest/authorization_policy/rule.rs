//! A rule: what it asks of clients, of the port and of messages.
//!
//! What is about HTTP follows Istio on TCP (`pilot/pkg/security/authz/model`): a rule that allows never holds with it,
//! one that denies is as if it were not there.

use meltemi_policy::authorization::{Block, Clause, Condition, Patterns, Rule, Subject};

use super::super::Located;
use super::super::decode::{Decoder, Field, Fields};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::yaml::Node;

/// What is read of a rule besides.
pub(super) struct Part<'a> {
    pub(super) d: &'a mut Decoder,
    /// Of a policy that denies.
    pub(super) denies: bool,
    /// It asks for what no request here has.
    pub(super) never: bool,
    pub(super) attributes: &'a mut Vec<Located<String>>,
}

const RULE: &[Field] = &[
    Field::InForce("from"),
    Field::InForce("to"),
    Field::InForce("when"),
];

const FROM: &[Field] = &[Field::InForce("source")];
const TO: &[Field] = &[Field::InForce("operation")];

const SOURCE: &[Field] = &[
    Field::InForce("principals"),
    Field::InForce("notPrincipals"),
    Field::InForce("namespaces"),
    Field::InForce("notNamespaces"),
    Field::InForce("serviceAccounts"),
    Field::InForce("notServiceAccounts"),
    Field::InForce("ipBlocks"),
    Field::InForce("notIpBlocks"),
    Field::InForce("remoteIpBlocks"),
    Field::InForce("notRemoteIpBlocks"),
    Field::InForce("requestPrincipals"),
    Field::InForce("notRequestPrincipals"),
];

const OPERATION: &[Field] = &[
    Field::InForce("ports"),
    Field::InForce("notPorts"),
    Field::InForce("hosts"),
    Field::InForce("notHosts"),
    Field::InForce("methods"),
    Field::InForce("notMethods"),
    Field::InForce("paths"),
    Field::InForce("notPaths"),
];

const WHEN: &[Field] = &[
    Field::InForce("key"),
    Field::InForce("values"),
    Field::InForce("notValues"),
];

/// Those that are about HTTP.
const OF_HTTP: &[&str] = &[
    "requestPrincipals",
    "notRequestPrincipals",
    "hosts",
    "notHosts",
    "methods",
    "notMethods",
    "paths",
    "notPaths",
];

/// Before the name of an attribute: istiod lets keys pass that begin with `experimental.envoy.filters.`.
const ATTRIBUTE: &str = "experimental.envoy.filters.meltemi[";

pub(super) fn decode(part: &mut Part<'_>, node: &Node) -> Rule {
    let fields = part.d.fields("spec.rules", node, RULE);
    let mut clauses = vec![];
    if fields.node("from").is_some() {
        let from = fields.list(part.d, "from").iter();
        let any = from.map(|node| inner(part, node, ("source", FROM, SOURCE)));
        clauses.push(Clause { any: any.collect() });
    }
    if fields.node("to").is_some() {
        let to = fields.list(part.d, "to").iter();
        let any = to.map(|node| inner(part, node, ("operation", TO, OPERATION)));
        clauses.push(Clause { any: any.collect() });
    }
    for node in fields.list(part.d, "when") {
        let all = when(part, node);
        clauses.push(Clause { any: vec![all] });
    }
    Rule { clauses }
}

/// `source` or `operation`.
fn inner(
    part: &mut Part<'_>,
    node: &Node,
    (name, outer, known): (&'static str, &'static [Field], &'static [Field]),
) -> Vec<Condition> {
    let outer = part.d.fields("spec.rules", node, outer);
    let Some(node) = outer.node(name) else {
        outer.missing(part.d, name);
        return vec![];
    };
    let fields = part.d.fields(&format!("spec.rules.{name}"), node, known);
    let mut all = vec![];
    for field in known {
        let Some(entry) = fields.entry(field.name()) else {
            continue;
        };
        let values = values(part.d, &fields, field.name());
        if OF_HTTP.contains(&field.name()) {
            part.of_http(entry.at, field.name());
            continue;
        }
        let (name, invert) = match field.name().strip_prefix("not") {
            Some(name) => (name.to_lowercase(), true),
            None => (field.name().to_lowercase(), false),
        };
        let subject = match name.as_str() {
            "principals" => Some(Subject::Principal(principals(&values))),
            "namespaces" => Some(Subject::Namespace(patterns(&values))),
            "serviceaccounts" => Some(Subject::ServiceAccount(accounts(part.d, &values))),
            "ports" => ports(part.d, &values).map(Subject::Port),
            _ => blocks(part.d, &values).map(Subject::Address),
        };
        all.extend(subject.map(|subject| Condition { subject, invert }));
    }
    all
}

fn when(part: &mut Part<'_>, node: &Node) -> Vec<Condition> {
    let fields = part.d.fields("spec.rules.when", node, WHEN);
    let Some(key) = fields.required(part.d, "key") else {
        return vec![];
    };
    let mut all = vec![];
    let mut is_given = false;
    for (name, invert) in [("values", false), ("notValues", true)] {
        if fields.node(name).is_none() {
            continue;
        }
        is_given = true;
        let values = values(part.d, &fields, name);
        let subject = keyed(part, &key, &values);
        all.extend(subject.map(|subject| Condition { subject, invert }));
    }
    if !is_given {
        fields.missing(part.d, "values");
    }
    all
}

/// What a key is about. None where it is about HTTP, or nothing; that is said.
fn keyed(
    part: &mut Part<'_>,
    key: &Located<String>,
    values: &[Located<String>],
) -> Option<Subject> {
    match key.value.as_str() {
        "source.ip" | "remote.ip" => blocks(part.d, values).map(Subject::Address),
        "source.principal" => Some(Subject::Principal(principals(values))),
        "source.namespace" => Some(Subject::Namespace(patterns(values))),
        "source.serviceAccount" => Some(Subject::ServiceAccount(accounts(part.d, values))),
        "destination.port" => ports(part.d, values).map(Subject::Port),
        name => {
            let attribute = name.strip_prefix(ATTRIBUTE);
            if let Some(attribute) = attribute.and_then(|it| it.strip_suffix(']')) {
                let value = attribute.to_owned();
                part.attributes.push(Located { value, at: key.at });
                return Some(Subject::Attribute(attribute.to_owned(), patterns(values)));
            }
            let is_known = ["request.", "experimental.envoy.filters."];
            if is_known.iter().any(|it| name.starts_with(it))
                || ["destination.ip", "connection.sni"].contains(&name)
            {
                part.of_http(key.at, name);
                return None;
            }
            let message = format!("`spec.rules.when.key` does not take `{name}`");
            let remedy = "it takes source.ip, remote.ip, source.namespace, source.principal, destination.port, and \
                          experimental.envoy.filters.meltemi[ATTRIBUTE] for an attribute of messages";
            part.d.invalid(key.at, message, remedy);
            None
        }
    }
}

impl Part<'_> {
    /// Says that it asks for something that no request here has.
    fn of_http(&mut self, at: Position, name: &str) {
        let then = match self.denies {
            true => "this rule denies as if it were not there",
            false => {
                self.never = true;
                "this rule never holds"
            }
        };
        let message = format!("`{name}` is about HTTP, or about what is not known here: {then}");
        let diagnostic = Diagnostic::warning(Code::HttpOnly, message);
        let remedy = "ask for an attribute of the protocol in `when`, with the key \
                      experimental.envoy.filters.meltemi[ATTRIBUTE]";
        self.d.report(at, diagnostic.remedy(remedy));
    }
}

/// Those of a list, which has to have one; none is empty.
pub(in crate::manifest) fn values(
    d: &mut Decoder,
    fields: &Fields<'_>,
    name: &str,
) -> Vec<Located<String>> {
    let values = fields.strings(d, name);
    if let Some(node) = fields.node(name).filter(|_| values.is_empty()) {
        let message = format!("`{}` is empty", fields.path_of(name));
        d.invalid(node.at, message, "name a value, or remove it");
    }
    if let Some(empty) = values.iter().find(|it| it.value.is_empty()) {
        let message = format!("a value of `{}` is empty", fields.path_of(name));
        d.invalid(empty.at, message, "name a value, or remove it");
    }
    values
}

pub(in crate::manifest) fn patterns(values: &[Located<String>]) -> Patterns {
    Patterns::new(values.iter().map(|it| it.value.as_str()))
}

/// Written without `spiffe://`; with it they would match nobody, and so deny nobody.
pub(in crate::manifest) fn principals(values: &[Located<String>]) -> Patterns {
    let texts = values.iter().map(|it| it.value.as_str());
    Patterns::new(texts.map(|text| text.strip_prefix("spiffe://").unwrap_or(text)))
}

/// One without a namespace is of the policy's.
fn accounts(d: &Decoder, values: &[Located<String>]) -> Patterns {
    let own = d.object.as_ref().map(|object| object.namespace.clone());
    let own = own.unwrap_or_default();
    let whole = values.iter().map(|it| match it.value.contains('/') {
        true => it.value.clone(),
        false => format!("{own}/{}", it.value),
    });
    let whole: Vec<_> = whole.collect();
    Patterns::new(whole.iter().map(String::as_str))
}

fn ports(d: &mut Decoder, values: &[Located<String>]) -> Option<Vec<u16>> {
    let ports = values.iter().map(|text| match text.value.parse::<u16>() {
        Ok(port) if port > 0 => Some(port),
        _ => {
            let message = format!("`{}` is no port", text.value);
            d.invalid(
                text.at,
                message,
                "write a number from 1 to 65535, in quotes",
            );
            None
        }
    });
    ports.collect()
}

fn blocks(d: &mut Decoder, values: &[Located<String>]) -> Option<Vec<Block>> {
    let blocks = values.iter().map(|text| {
        let block = text.value.parse::<Block>();
        let block = block.map_err(|error| {
            d.invalid(text.at, error.to_string(), "write 10.1.2.3, or 10.0.0.0/8");
        });
        block.ok()
    });
    blocks.collect()
}
