//! Whether a request may pass, and what decides that.

use std::fmt;

use meltemi_policy::authorization::{Action, Connection, Policies, Policy, Value, Verdict};
use meltemi_policy::explain::Asked;
use serde::Serialize;

use super::Attribute;
use crate::model::{AppliedPolicy, Server};

/// What policies make of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    pub allowed: bool,
    /// None: no policy matches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Which of its rules, counted from one among those that can hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
}

/// None where anybody may use the server.
pub(super) fn of(server: &Server, attributes: &[Attribute], asked: &Asked<'_>) -> Option<Access> {
    let applied = &server.authorization;
    if applied.is_empty() {
        return None;
    }
    let from = Connection {
        principal: asked.principal,
        address: asked.source,
        port: server.bind.port().unwrap_or_default(),
    };
    let judge = |policies: Vec<Policy>| {
        let policies = Policies::new(policies);
        policies.judge(from, |name| {
            let found = attributes.iter().find(|it| it.name == *name);
            found.map_or(Value::Absent, |it| Value::Known(it.value.as_bytes().into()))
        })
    };
    let all = applied.iter().map(|it| it.policy.clone()).collect();
    let verdict = judge(all);
    let (action, found) = match verdict {
        Verdict::Denied => (Action::Deny, Verdict::Denied),
        Verdict::Allowed => (Action::Allow, Verdict::Allowed),
        Verdict::NotAllowed => return Some(Access::default()),
    };
    let decides = applied.iter().filter(|it| it.policy.action == action);
    let decides = decides.flat_map(|it| (0..it.policy.rules.len()).map(move |n| (it, n)));
    let decides = decides
        .filter(|(it, n)| judge(vec![alone(&it.policy, *n)]) == found)
        .map(|(AppliedPolicy { source, .. }, n)| (source.to_string(), n + 1))
        .next();
    let (policy, rule) = decides.unzip();
    Some(Access {
        allowed: verdict == Verdict::Allowed,
        policy,
        rule,
    })
}

/// One of its rules.
fn alone(policy: &Policy, n: usize) -> Policy {
    Policy {
        action: policy.action,
        rules: policy.rules.get(n).cloned().into_iter().collect(),
    }
}

impl Default for Access {
    /// Nothing allows it.
    fn default() -> Self {
        Self {
            allowed: false,
            policy: None,
            rule: None,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.policy.iter().zip(self.rule);
        let by: Vec<_> = by
            .map(|(policy, rule)| format!("{policy}, rule {rule}"))
            .collect();
        match (self.allowed, by.first()) {
            (true, Some(by)) => write!(f, "allowed   by {by}"),
            (true, None) => write!(f, "allowed   no policy denies it"),
            (false, Some(by)) => write!(f, "denied    by {by}"),
            (false, None) => write!(f, "denied    no policy allows it"),
        }
    }
}
