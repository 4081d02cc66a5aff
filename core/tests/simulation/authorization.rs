//! Who may do what in a schedule, which each configuration draws anew; and that nobody does anything else.

use meltemi_policy::authorization::{
    Action, Clause, Condition, Patterns, Policies, Policy, Rule, Subject,
};
use rand::{Rng, rngs::SmallRng};

/// Clients are of so many identities.
const IDENTITIES: u64 = 4;

/// The rules of one configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// Identities that may do nothing.
    denied: Vec<u64>,
    /// The only ones that may do anything, where there are any.
    allowed: Vec<u64>,
    /// Requests whose nonce ends so may not pass.
    ending: Option<u64>,
    /// Those of this identity alone.
    ending_of: Option<u64>,
}

/// Who a client is.
pub(crate) fn principal(client: u64) -> String {
    format!("spiffe://td/ns/a/sa/{}", client % IDENTITIES)
}

impl Access {
    pub(crate) fn drawn(random: &mut SmallRng) -> Self {
        let mut some = |n: u32| -> Vec<u64> {
            let identities = 0..IDENTITIES;
            identities.filter(|_| random.random_ratio(1, n)).collect()
        };
        let (denied, allowed) = (some(6), some(2));
        Self {
            denied,
            allowed: match random.random_ratio(1, 3) {
                true => allowed,
                false => vec![],
            },
            ending: random
                .random_ratio(1, 2)
                .then(|| random.random_range(0..10)),
            ending_of: random
                .random_ratio(1, 2)
                .then(|| random.random_range(0..IDENTITIES)),
        }
    }

    pub(crate) fn permits(&self, client: u64, nonce: u64) -> bool {
        let identity = client % IDENTITIES;
        let ends = self.ending.is_some_and(|ending| nonce % 10 == ending);
        let is_ending = ends && self.ending_of.is_none_or(|of| of == identity);
        let is_allowed = self.allowed.is_empty() || self.allowed.contains(&identity);
        !self.denied.contains(&identity) && is_allowed && !is_ending
    }

    pub(crate) fn policies(&self) -> Policies {
        let mut policies = vec![];
        if !self.denied.is_empty() {
            policies.push(policy(Action::Deny, vec![of(&self.denied)]));
        }
        if !self.allowed.is_empty() {
            policies.push(policy(Action::Allow, vec![of(&self.allowed)]));
        }
        if let Some(ending) = self.ending {
            let nonce = Patterns::new([format!("*{ending}").as_str()]);
            let ends = condition(Subject::Attribute("nonce".into(), nonce));
            let of = self.ending_of.map(|identity| of(&[identity]));
            let conditions = std::iter::once(ends).chain(of).collect();
            policies.push(policy(Action::Deny, conditions));
        }
        Policies::new(policies)
    }
}

fn of(identities: &[u64]) -> Condition {
    let ids: Vec<_> = identities
        .iter()
        .map(|it| format!("td/ns/a/sa/{it}"))
        .collect();
    let ids = Patterns::new(ids.iter().map(String::as_str));
    condition(Subject::Principal(ids))
}

fn condition(subject: Subject) -> Condition {
    let invert = false;
    Condition { subject, invert }
}

fn policy(action: Action, conditions: Vec<Condition>) -> Policy {
    let clauses = vec![Clause {
        any: vec![conditions],
    }];
    Policy {
        action,
        rules: vec![Rule { clauses }],
    }
}
