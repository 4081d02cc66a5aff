//! Who may do what: policies as Istio's `AuthorizationPolicy` means them.
//!
//! A rule asks of a client (its proven identity, its address), of the port that it came to, and of its
//! message. What a message says may be unknown: before there is one, where only its head is there, or where
//! bytes are passed on as they come. Then it counts against the request: a rule that denies may match, one
//! that allows does not. So an answer that was found without the message is never too mild.

mod pattern;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;

use crate::route::proven_namespace;
pub use pattern::{Block, BlockError, Patterns};

/// What becomes of the requests that a policy matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// They may pass; where a service has such policies, nothing else may.
    Allow,
    /// They may not, whatever else allows them.
    Deny,
    /// They are counted.
    Audit,
}

/// Some rules, and what becomes of requests that one of them matches. Without rules it matches none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy<A = String> {
    pub action: Action,
    pub rules: Vec<Rule<A>>,
}

/// All clauses have to hold; without one it matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule<A = String> {
    pub clauses: Vec<Clause<A>>,
}

/// Of one of these all conditions have to hold; without one it matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause<A = String> {
    pub any: Vec<Vec<Condition<A>>>,
}

/// That something is like one of its patterns, or, inverted, like none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition<A = String> {
    pub subject: Subject<A>,
    pub invert: bool,
}

/// What a condition looks at, and what that has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject<A = String> {
    /// The SPIFFE id that the client has proven, without its scheme.
    Principal(Patterns),
    /// The namespace in it.
    Namespace(Patterns),
    /// The service account in it, as `NAMESPACE/NAME`.
    ServiceAccount(Patterns),
    /// The address that the client comes from.
    Address(Vec<Block>),
    /// The port that it has dialled.
    Port(Vec<u16>),
    /// An attribute of its message.
    Attribute(A, Patterns),
}

/// A client's connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection<'a> {
    /// The identity that it has proven, with its scheme; an id that is no SPIFFE id matches nothing.
    pub principal: Option<&'a str>,
    pub address: Option<IpAddr>,
    /// The port that it has dialled.
    pub port: u16,
}

/// An attribute of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'m> {
    Known(Cow<'m, [u8]>),
    Absent,
    /// The part of the message is not there that would say it.
    Unknown,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// A policy denies it.
    Denied,
    /// There are policies that allow, and none of them allows it.
    NotAllowed,
}

/// What is known of all requests of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All of them have this verdict, and none is counted.
    Settled(Verdict),
    /// It depends on what they say, or they are to be counted.
    EachIsJudged,
}

/// What a service's requests are judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies<A = String>(Vec<Policy<A>>);

/// How an unknown attribute counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Whatever is asked of it, it is so.
    Holds,
    /// It is not.
    Fails,
}

impl<A> Policies<A> {
    #[must_use]
    pub fn new(policies: Vec<Policy<A>>) -> Self {
        Self(policies)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Policy<A>> {
        self.0.iter()
    }

    /// The same with other names of attributes.
    pub fn map<B>(&self, mut name: impl FnMut(&A) -> B) -> Policies<B> {
        Policies(self.iter().map(|policy| policy.map(&mut name)).collect())
    }

    /// What becomes of a request, as in Istio: what denies goes first; then, where something allows,
    /// something has to.
    pub fn judge<'m>(
        &self,
        from: Connection<'_>,
        attribute: impl FnMut(&A) -> Value<'m>,
    ) -> Verdict {
        let mut asked = Asked { from, attribute };
        self.verdict(&mut asked, (Doubt::Holds, Doubt::Fails))
    }

    /// Whether a policy is there to count the request.
    pub fn audits<'m>(&self, from: Connection<'_>, attribute: impl FnMut(&A) -> Value<'m>) -> bool {
        let mut asked = Asked { from, attribute };
        self.some(Action::Audit, &mut asked, Doubt::Holds)
    }

    /// What becomes of a connection whose bytes are passed on as they come.
    pub fn judge_connection(&self, from: Connection<'_>) -> Verdict {
        self.judge(from, |_| Value::Unknown)
    }

    /// What is known of a connection before it has sent anything.
    pub fn standing(&self, from: Connection<'_>) -> Standing {
        let mut asked = Asked {
            from,
            attribute: |_: &A| Value::Unknown,
        };
        if self.some(Action::Audit, &mut asked, Doubt::Holds) {
            return Standing::EachIsJudged;
        }
        let worst = self.verdict(&mut asked, (Doubt::Holds, Doubt::Fails));
        let best = self.verdict(&mut asked, (Doubt::Fails, Doubt::Holds));
        match worst == best {
            true => Standing::Settled(worst),
            false => Standing::EachIsJudged,
        }
    }

    fn verdict<'m, F>(
        &self,
        asked: &mut Asked<'_, F>,
        (denying, allowing): (Doubt, Doubt),
    ) -> Verdict
    where
        F: FnMut(&A) -> Value<'m>,
    {
        if self.some(Action::Deny, asked, denying) {
            return Verdict::Denied;
        }
        let allows = |policy: &Policy<A>| policy.action == Action::Allow;
        if !self.iter().any(allows) || self.some(Action::Allow, asked, allowing) {
            return Verdict::Allowed;
        }
        Verdict::NotAllowed
    }

    /// Whether a policy with this action matches.
    fn some<'m, F>(&self, action: Action, asked: &mut Asked<'_, F>, doubt: Doubt) -> bool
    where
        F: FnMut(&A) -> Value<'m>,
    {
        let mut with_action = self.iter().filter(|policy| policy.action == action);
        with_action.any(|policy| {
            let mut rules = policy.rules.iter();
            rules.any(|rule| rule.matches(asked, doubt))
        })
    }
}

impl<A> Default for Policies<A> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<A> Policy<A> {
    /// What nobody may use.
    #[must_use]
    pub fn closed() -> Self {
        let everything = Rule { clauses: vec![] };
        Self {
            action: Action::Deny,
            rules: vec![everything],
        }
    }

    /// Its conditions, in the order in which they were written.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition<A>> {
        let clauses = self.rules.iter().flat_map(|rule| &rule.clauses);
        clauses.flat_map(|clause| clause.any.iter().flatten())
    }

    /// Whether it asks who a client is.
    pub fn asks_for_identity(&self) -> bool {
        self.conditions().any(|condition| {
            matches!(
                condition.subject,
                Subject::Principal(_) | Subject::Namespace(_) | Subject::ServiceAccount(_)
            )
        })
    }

    fn map<B>(&self, name: &mut impl FnMut(&A) -> B) -> Policy<B> {
        let rules = self.rules.iter();
        Policy {
            action: self.action,
            rules: rules
                .map(|rule| Rule {
                    clauses: rule.clauses.iter().map(|clause| clause.map(name)).collect(),
                })
                .collect(),
        }
    }
}

impl<A> Rule<A> {
    fn matches<'m, F>(&self, asked: &mut Asked<'_, F>, doubt: Doubt) -> bool
    where
        F: FnMut(&A) -> Value<'m>,
    {
        self.clauses.iter().all(|clause| {
            let mut any = clause.any.iter();
            any.any(|all| all.iter().all(|condition| asked.is(condition, doubt)))
        })
    }
}

impl<A> Clause<A> {
    fn map<B>(&self, name: &mut impl FnMut(&A) -> B) -> Clause<B> {
        let mut one = |condition: &Condition<A>| Condition {
            subject: match &condition.subject {
                Subject::Principal(patterns) => Subject::Principal(patterns.clone()),
                Subject::Namespace(patterns) => Subject::Namespace(patterns.clone()),
                Subject::ServiceAccount(patterns) => Subject::ServiceAccount(patterns.clone()),
                Subject::Address(blocks) => Subject::Address(blocks.clone()),
                Subject::Port(ports) => Subject::Port(ports.clone()),
                Subject::Attribute(own, patterns) => {
                    Subject::Attribute(name(own), patterns.clone())
                }
            },
            invert: condition.invert,
        };
        let any = self.any.iter();
        Clause {
            any: any.map(|all| all.iter().map(&mut one).collect()).collect(),
        }
    }
}

/// What is judged.
struct Asked<'a, F> {
    from: Connection<'a>,
    attribute: F,
}

impl<'a, F> Asked<'a, F> {
    fn is<'m, A>(&mut self, condition: &Condition<A>, doubt: Doubt) -> bool
    where
        F: FnMut(&A) -> Value<'m>,
    {
        let text = |patterns: &Patterns, text: Option<&str>| {
            text.is_some_and(|text| patterns.matches(text.as_bytes()))
        };
        let holds = match &condition.subject {
            Subject::Principal(patterns) => text(patterns, self.id()),
            Subject::Namespace(patterns) => {
                text(patterns, self.from.principal.and_then(proven_namespace))
            }
            Subject::ServiceAccount(patterns) => {
                let account = self.id().and_then(service_account);
                text(patterns, account.as_deref())
            }
            Subject::Address(blocks) => {
                let address = self.from.address.map(|address| address.to_canonical());
                address.is_some_and(|address| blocks.iter().any(|it| it.contains(address)))
            }
            Subject::Port(ports) => ports.contains(&self.from.port),
            Subject::Attribute(name, patterns) => match (self.attribute)(name) {
                Value::Known(value) => patterns.matches(&value),
                Value::Absent => false,
                Value::Unknown => return doubt == Doubt::Holds,
            },
        };
        holds != condition.invert
    }

    /// As policies write it.
    fn id(&self) -> Option<&'a str> {
        self.from.principal?.strip_prefix("spiffe://")
    }
}

/// `TRUST-DOMAIN/ns/NAMESPACE/sa/NAME` names one.
fn service_account(id: &str) -> Option<String> {
    let (_, path) = id.split_once('/')?;
    let (namespace, account) = path.strip_prefix("ns/")?.split_once("/sa/")?;
    let is_whole = !namespace.contains('/') && !account.contains('/');
    is_whole.then(|| format!("{namespace}/{account}"))
}
