//! Who may use a service: it travels with the service.

use meltemi_policy::authorization::{Action, Clause, Condition, Patterns, Subject};
use meltemi_proto::meltemi::config::v1 as own;
use meltemi_proto::meltemi::config::v1::authorization_policy::Action as WireAction;
use meltemi_proto::meltemi::config::v1::authorization_rule as wire;
use meltemi_proto::meltemi::config::v1::authorization_rule::condition::{
    Property, Subject as WireSubject,
};

use super::source;
use crate::model::AppliedPolicy;

/// None: anybody may.
pub(super) fn authorization(policies: &[AppliedPolicy]) -> Option<own::Authorization> {
    if policies.is_empty() {
        return None;
    }
    Some(own::Authorization {
        policies: policies.iter().map(policy).collect(),
    })
}

fn policy(applied: &AppliedPolicy) -> own::AuthorizationPolicy {
    let action = match applied.policy.action {
        Action::Allow => WireAction::Allow,
        Action::Deny => WireAction::Deny,
        Action::Audit => WireAction::Audit,
    };
    let rules = applied.policy.rules.iter();
    own::AuthorizationPolicy {
        action: action.into(),
        rules: rules
            .map(|rule| own::AuthorizationRule {
                clauses: rule.clauses.iter().map(clause).collect(),
            })
            .collect(),
        source: Some(source(&applied.source)),
    }
}

fn clause(clause: &Clause) -> wire::Clause {
    let any = clause.any.iter();
    wire::Clause {
        any: any
            .map(|all| wire::Alternative {
                all: all.iter().map(condition).collect(),
            })
            .collect(),
    }
}

fn condition(condition: &Condition) -> wire::Condition {
    let property = |property: Property| WireSubject::Property(property.into());
    let texts = |patterns: &Patterns| patterns.texts().collect();
    let (subject, values) = match &condition.subject {
        Subject::Principal(patterns) => (property(Property::Principal), texts(patterns)),
        Subject::Namespace(patterns) => (property(Property::Namespace), texts(patterns)),
        Subject::ServiceAccount(patterns) => (property(Property::ServiceAccount), texts(patterns)),
        Subject::Address(blocks) => (
            property(Property::Address),
            blocks.iter().map(ToString::to_string).collect(),
        ),
        Subject::Port(ports) => (
            property(Property::Port),
            ports.iter().map(ToString::to_string).collect(),
        ),
        Subject::Attribute(name, patterns) => {
            (WireSubject::Attribute(name.clone()), texts(patterns))
        }
    };
    wire::Condition {
        subject: Some(subject),
        values,
        invert: condition.invert,
    }
}
