//! As whom a Gateway's proxies come to the servers behind it, and what policies at these say of them.
//!
//! A policy that admits them alone is how servers keep everybody else away: of clients it says nothing.

use meltemi_policy::authorization::{Action, Condition, Patterns, Policy, Rule, Subject};

/// A trust domain that stands for the mesh's own, whatever that is called (Istio's `ReplaceTrustDomainAliases`).
pub(super) const LOCAL: &str = "cluster.local";

/// The service accounts of a Gateway's proxies; none: nobody knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hop {
    /// SPIFFE ids without their scheme, in each trust domain that a policy may write; those of the mesh's own come first.
    principals: Vec<String>,
    /// As `NAMESPACE/NAME`.
    accounts: Vec<String>,
    namespaces: Vec<String>,
}

impl Hop {
    /// Of accounts as they stand in a SPIFFE id, like `ns/shop/sa/orders`, and the trust domains of the mesh.
    pub(super) fn of<'a>(
        accounts: impl IntoIterator<Item = &'a str>,
        trust_domains: impl Iterator<Item = &'a str>,
    ) -> Self {
        let mut hop = Self::default();
        let trust_domains: Vec<_> = trust_domains.chain([LOCAL]).collect();
        let (mut own, mut others) = (vec![], vec![]);
        for account in accounts {
            let mut parts = account.split('/').skip(1).step_by(2);
            let (Some(namespace), Some(name)) = (parts.next(), parts.next()) else {
                continue;
            };
            hop.accounts.push(format!("{namespace}/{name}"));
            hop.namespaces.push(namespace.to_owned());
            let mut ids = trust_domains.iter().map(|it| format!("{it}/{account}"));
            own.extend(ids.next());
            others.extend(ids);
        }
        own.append(&mut others);
        hop.principals = own;
        hop
    }

    pub(crate) const fn is_known(&self) -> bool {
        !self.principals.is_empty()
    }

    /// As policies write it; empty where nobody knows it.
    pub(crate) fn identity(&self) -> &str {
        self.principals.first().map_or("", String::as_str)
    }

    /// Whether one of them is like that.
    pub(crate) fn is_like(&self, subject: &Subject) -> bool {
        let is = |patterns: &Patterns, several: &[String]| {
            let mut several = several.iter();
            several.any(|it| patterns.matches(it.as_bytes()))
        };
        match subject {
            Subject::Principal(patterns) => is(patterns, &self.principals),
            Subject::ServiceAccount(patterns) => is(patterns, &self.accounts),
            Subject::Namespace(patterns) => is(patterns, &self.namespaces),
            Subject::Address(_) | Subject::Port(_) | Subject::Attribute(..) => false,
        }
    }

    /// Whether a policy admits nobody else, or denies everybody else: of clients it says nothing then.
    pub(crate) fn is_all_of(&self, policy: &Policy) -> bool {
        let mut rules = policy.rules.iter();
        match policy.action {
            Action::Allow => rules.all(|rule| self.is_admitted_alone(rule)),
            Action::Deny => {
                !policy.rules.is_empty() && rules.all(|rule| self.is_denied_to_others(rule))
            }
            Action::Audit => false,
        }
    }

    /// What a policy at the servers says of clients. None: nothing.
    pub(super) fn rest(&self, policy: &Policy) -> Option<Policy> {
        let is_of_hop = |rule: &&Rule| match policy.action {
            Action::Allow => self.is_admitted_alone(rule),
            Action::Deny => self.is_denied_to_others(rule),
            Action::Audit => false,
        };
        let rules = policy.rules.iter().filter(|rule| !is_of_hop(rule));
        let rules: Vec<_> = rules.cloned().collect();
        // One without rules allows nobody.
        let says_nothing = rules.is_empty() && !policy.rules.is_empty();
        (!says_nothing).then_some(Policy {
            action: policy.action,
            rules,
        })
    }

    fn is_admitted_alone(&self, rule: &Rule) -> bool {
        let mut clauses = rule.clauses.iter();
        let names = |it: &Condition| !it.invert && self.is(&it.subject);
        // A clause without alternatives matches nobody, which is something else.
        clauses.any(|clause| {
            !clause.any.is_empty() && clause.any.iter().all(|all| all.iter().any(names))
        })
    }

    fn is_denied_to_others(&self, rule: &Rule) -> bool {
        let mut clauses = rule.clauses.iter();
        let others = |all: &Vec<Condition>| matches!(all.as_slice(), [it] if it.invert && self.is(&it.subject));
        // One without clauses denies everybody, the Gateway too.
        !rule.clauses.is_empty() && clauses.all(|clause| clause.any.iter().any(others))
    }

    /// Whether it is one of them and nobody else.
    fn is(&self, subject: &Subject) -> bool {
        let (patterns, several) = match subject {
            Subject::Principal(patterns) => (patterns, &self.principals),
            Subject::ServiceAccount(patterns) => (patterns, &self.accounts),
            _ => return false,
        };
        let mut texts = patterns.texts().peekable();
        texts.peek().is_some() && texts.all(|it| several.contains(&it))
    }
}

#[cfg(test)]
mod tests {
    use meltemi_policy::authorization::Clause;

    use super::*;

    fn hop() -> Hop {
        Hop::of(["ns/mesh/sa/edge"], ["td"].into_iter())
    }

    /// A rule for who has one of these ids; with `!`, for who has none of them.
    fn rule(principals: &str) -> Rule {
        let invert = principals.starts_with('!');
        let texts = principals.trim_start_matches('!').split(' ');
        let subject = Subject::Principal(Patterns::new(texts));
        let condition = Condition { subject, invert };
        Rule {
            clauses: vec![Clause {
                any: vec![vec![condition]],
            }],
        }
    }

    #[test]
    fn what_is_said_of_the_gateway_alone_is_not_said_of_clients() {
        const OURS: &str = "td/ns/mesh/sa/edge";
        const ALIAS: &str = "cluster.local/ns/mesh/sa/edge";
        let both = format!("{OURS} td/ns/shop/sa/web");
        let others = format!("!{OURS}");
        let all_others = format!("!{both}");
        let (allow, deny, audit) = (Action::Allow, Action::Deny, Action::Audit);
        // The rules, and how many of them are left; none: the policy says nothing of clients.
        let rows: [(Action, &[&str], Option<usize>); 11] = [
            (allow, &[OURS], None),
            (allow, &[OURS, ALIAS], None),
            (allow, &[OURS, "td/ns/shop/sa/web"], Some(1)),
            (allow, &[&both], Some(1)),
            (allow, &["td/ns/mesh/*"], Some(1)),
            (allow, &[], Some(0)),
            (deny, &[&others], None),
            (deny, &[&all_others], Some(1)),
            (deny, &[OURS], Some(1)),
            (deny, &[], Some(0)),
            (audit, &[OURS], Some(1)),
        ];
        for (action, rules, expected) in rows {
            let policy = Policy {
                action,
                rules: rules.iter().map(|it| rule(it)).collect(),
            };
            let left = hop().rest(&policy).map(|it| it.rules.len());
            assert_eq!(left, expected, "{action:?} {rules:?}");
            // Who is not known is in no rule.
            let unknown = Hop::default().rest(&policy).map(|it| it.rules.len());
            assert_eq!(unknown, Some(rules.len()), "{action:?} {rules:?}");
        }
    }

    #[test]
    fn what_is_for_everybody_or_for_nobody_is_not_said_of_the_gateway() {
        let nobody = Clause { any: vec![] };
        let unnamed = Condition {
            subject: Subject::Principal(Patterns::new([])),
            invert: true,
        };
        let unnamed = Clause {
            any: vec![vec![unnamed]],
        };
        for (action, clauses) in [
            (Action::Deny, vec![]),
            (Action::Deny, vec![unnamed]),
            (Action::Allow, vec![]),
            (Action::Allow, vec![nobody]),
        ] {
            let rules = vec![Rule { clauses }];
            let policy = Policy { action, rules };
            for hop in [hop(), Hop::default()] {
                assert_eq!(hop.rest(&policy).as_ref(), Some(&policy), "{policy:?}");
                assert!(!hop.is_all_of(&policy), "{policy:?}");
            }
        }
    }

    #[test]
    fn a_hop_has_an_id_in_each_trust_domain() {
        let hop = Hop::of(["ns/a/sa/x", "", "ns/b/sa/y"], ["td"].into_iter());
        let principals = [
            "td/ns/a/sa/x",
            "td/ns/b/sa/y",
            "cluster.local/ns/a/sa/x",
            "cluster.local/ns/b/sa/y",
        ];
        assert_eq!(hop.principals, principals);
        assert_eq!(hop.accounts, ["a/x", "b/y"]);
        let of = |text: &str| Patterns::new([text]);
        assert!(hop.is_like(&Subject::Namespace(of("b"))));
        assert!(hop.is_like(&Subject::ServiceAccount(of("a/*"))));
        assert!(!hop.is_like(&Subject::Principal(of("td/ns/b/sa/x"))));
        assert!(!hop.is_like(&Subject::Port(vec![1])));
    }
}
