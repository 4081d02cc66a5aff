use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const FRONT: &str = "spiffe://cluster.local/ns/shop/sa/front";

fn patterns(texts: &[&str]) -> Patterns {
    Patterns::new(texts.iter().copied())
}

fn condition(subject: Subject) -> Condition {
    let invert = false;
    Condition { subject, invert }
}

fn not(subject: Subject) -> Condition {
    let invert = true;
    Condition { subject, invert }
}

fn principal(text: &str) -> Subject {
    Subject::Principal(patterns(&[text]))
}

fn method(text: &str) -> Subject {
    Subject::Attribute("method".into(), patterns(&[text]))
}

fn rule(clauses: Vec<Vec<Vec<Condition>>>) -> Rule {
    let clauses = clauses.into_iter().map(|any| Clause { any });
    Rule {
        clauses: clauses.collect(),
    }
}

fn all(conditions: Vec<Condition>) -> Rule {
    rule(vec![vec![conditions]])
}

fn policy(action: Action, rules: Vec<Rule>) -> Policy {
    Policy { action, rules }
}

fn from(principal: Option<&str>) -> Connection<'_> {
    Connection {
        principal,
        address: Some([10, 1, 2, 3].into()),
        port: 20880,
    }
}

fn calls(method: &str) -> impl Fn(&String) -> Value<'static> {
    let method = method.to_owned();
    move |name| match name.as_str() {
        "method" => Value::Known(method.clone().into_bytes().into()),
        _ => Value::Absent,
    }
}

fn judged(policies: Vec<Policy>, principal: Option<&str>, method: &str) -> Verdict {
    Policies::new(policies).judge(from(principal), calls(method))
}

#[test]
fn what_denies_goes_first_and_what_allows_excludes_the_rest() {
    use Action::{Allow, Audit, Deny};
    use Verdict::{Allowed, Denied, NotAllowed};
    let everything = || vec![rule(vec![])];
    let front = || {
        vec![all(vec![condition(principal(
            "cluster.local/ns/shop/sa/front",
        ))])]
    };
    let back = || {
        vec![all(vec![condition(principal(
            "cluster.local/ns/shop/sa/back",
        ))])]
    };
    let rows = [
        (vec![], Allowed),
        (vec![policy(Allow, vec![])], NotAllowed),
        (vec![policy(Deny, vec![])], Allowed),
        (vec![policy(Audit, everything())], Allowed),
        (vec![policy(Allow, everything())], Allowed),
        (vec![policy(Deny, everything())], Denied),
        (vec![policy(Allow, front())], Allowed),
        (vec![policy(Allow, back())], NotAllowed),
        (vec![policy(Allow, back()), policy(Allow, front())], Allowed),
        (vec![policy(Allow, front()), policy(Deny, front())], Denied),
        (vec![policy(Allow, front()), policy(Deny, back())], Allowed),
        (vec![policy(Deny, back())], Allowed),
        (vec![Policy::closed(), policy(Allow, everything())], Denied),
    ];
    for (policies, expected) in rows {
        let shown = format!("{policies:?}");
        assert_eq!(judged(policies, Some(FRONT), "get"), expected, "{shown}");
    }
}

#[test]
fn each_subject_is_compared_as_in_istio() {
    let blocks = |texts: &[&str]| {
        let blocks = texts.iter().map(|text| text.parse().unwrap());
        Subject::Address(blocks.collect())
    };
    let account = |text| Subject::ServiceAccount(patterns(&[text]));
    let namespace = |text| Subject::Namespace(patterns(&[text]));
    let rows = [
        (principal("cluster.local/ns/shop/sa/front"), true),
        (principal("cluster.local/ns/shop/sa/fron"), false),
        (principal("cluster.local/ns/shop/*"), true),
        (principal("*/sa/front"), true),
        (principal("*"), true),
        (principal("*front*"), false),
        (principal(""), false),
        (namespace("shop"), true),
        (namespace("sho*"), true),
        (namespace("*op"), true),
        (namespace("hop"), false),
        (account("shop/front"), true),
        (account("other/front"), false),
        (blocks(&["10.0.0.0/8"]), true),
        (blocks(&["10.1.2.3"]), true),
        (blocks(&["::ffff:10.1.0.0/112"]), true),
        (blocks(&["192.168.0.0/16", "10.1.2.4"]), false),
        (blocks(&["fd00::/8"]), false),
        (Subject::Port(vec![20880]), true),
        (Subject::Port(vec![6379]), false),
        (method("get"), true),
        (method("g*"), true),
        (method("set"), false),
        (Subject::Attribute("other".into(), patterns(&["*"])), false),
    ];
    for (subject, expected) in rows {
        for (invert, expected) in [(false, expected), (true, !expected)] {
            let subject = subject.clone();
            let rules = vec![all(vec![Condition { subject, invert }])];
            let shown = format!("{rules:?}");
            let denied = judged(vec![policy(Action::Deny, rules)], Some(FRONT), "get");
            assert_eq!(denied == Verdict::Denied, expected, "{shown}");
        }
    }
}

#[test]
fn who_has_proven_nothing_is_nobody() {
    let subjects = [
        principal("*"),
        Subject::Namespace(patterns(&["*"])),
        Subject::ServiceAccount(patterns(&["*"])),
    ];
    for subject in subjects {
        for proven in [
            None,
            Some("front.shop"),
            Some("cluster.local/ns/shop/sa/front"),
        ] {
            let allow = |condition| vec![policy(Action::Allow, vec![all(vec![condition])])];
            let verdict = judged(allow(condition(subject.clone())), proven, "get");
            assert_eq!(verdict, Verdict::NotAllowed, "{subject:?} {proven:?}");
            let verdict = judged(allow(not(subject.clone())), proven, "get");
            assert_eq!(verdict, Verdict::Allowed, "{subject:?} {proven:?}");
        }
    }
}

#[test]
fn a_mapped_address_is_the_one_that_it_maps() {
    let block = "10.0.0.0/8".parse().unwrap();
    let deny = all(vec![condition(Subject::Address(vec![block]))]);
    let policies: Policies = Policies::new(vec![policy(Action::Deny, vec![deny])]);
    let from = Connection {
        address: Some("::ffff:10.1.2.3".parse().unwrap()),
        ..Connection::default()
    };
    assert_eq!(policies.judge_connection(from), Verdict::Denied);
}

#[test]
fn what_is_unknown_counts_against_the_request() {
    use Action::{Allow, Deny};
    let rows = [
        (Allow, condition(method("get")), Verdict::NotAllowed),
        (Allow, not(method("get")), Verdict::NotAllowed),
        (Deny, condition(method("get")), Verdict::Denied),
        (Deny, not(method("get")), Verdict::Denied),
    ];
    for (action, condition, expected) in rows {
        let here = |client: &str| {
            let conditions = vec![condition.clone(), self::condition(principal(client))];
            Policies::new(vec![policy(action, vec![all(conditions)])])
        };
        let verdict = here("*").judge_connection(from(Some(FRONT)));
        assert_eq!(verdict, expected, "{action:?} {condition:?}");
        assert_eq!(
            here("*").standing(from(Some(FRONT))),
            Standing::EachIsJudged
        );
        // The rest of the rule decides without the message.
        let settled = match action {
            Deny => Verdict::Allowed,
            _ => Verdict::NotAllowed,
        };
        let standing = here("other/*").standing(from(Some(FRONT)));
        assert_eq!(standing, Standing::Settled(settled), "{action:?}");
    }
}

#[test]
fn what_is_audited_is_looked_at_one_by_one() {
    let audit = policy(Action::Audit, vec![all(vec![condition(method("get"))])]);
    let policies = Policies::new(vec![audit]);
    assert_eq!(policies.standing(from(None)), Standing::EachIsJudged);
    assert!(policies.audits(from(None), calls("get")));
    assert!(!policies.audits(from(None), calls("set")));
}

#[test]
fn texts_are_given_back_as_they_were_read() {
    let texts = ["a", "b", "c*", "*d", "*"];
    let read: Vec<_> = patterns(&texts).texts().collect();
    assert_eq!(read, texts);
}

#[test]
fn what_is_no_block_is_told() {
    for text in ["", "10.0.0.0/33", "10.0.0", "x", "10.0.0.0/8/8"] {
        let error = text.parse::<Block>().unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
    }
}

/// As Istio's documentation says it, without thought of what is unknown.
mod naive {
    use super::*;

    type Message = BTreeMap<String, String>;

    fn like(pattern: &str, value: &str) -> bool {
        if pattern == "*" {
            return !value.is_empty();
        }
        match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(suffix), _) => value.ends_with(suffix),
            (_, Some(prefix)) => value.starts_with(prefix),
            _ => value == pattern,
        }
    }

    fn holds(condition: &Condition, from: Connection<'_>, message: &Message) -> bool {
        let id = from.principal.and_then(|it| it.strip_prefix("spiffe://"));
        let parts: Option<Vec<&str>> = id.map(|id| id.split('/').collect());
        let part = |n: usize| parts.as_ref().and_then(|parts| parts.get(n).copied());
        let any = |patterns: &Patterns, value: Option<String>| {
            value.is_some_and(|value| patterns.texts().any(|pattern| like(&pattern, &value)))
        };
        let found = match &condition.subject {
            Subject::Principal(patterns) => any(patterns, id.map(str::to_owned)),
            Subject::Namespace(patterns) => any(patterns, part(2).map(str::to_owned)),
            Subject::ServiceAccount(patterns) => any(
                patterns,
                part(2).zip(part(4)).map(|(n, a)| format!("{n}/{a}")),
            ),
            Subject::Address(blocks) => blocks
                .iter()
                .any(|it| from.address.is_some_and(|address| it.contains(address))),
            Subject::Port(ports) => ports.contains(&from.port),
            Subject::Attribute(name, patterns) => any(patterns, message.get(name).cloned()),
        };
        found != condition.invert
    }

    fn matches(policy: &Policy, from: Connection<'_>, message: &Message) -> bool {
        policy.rules.iter().any(|rule| {
            rule.clauses.iter().all(|clause| {
                let mut any = clause.any.iter();
                any.any(|all| all.iter().all(|it| holds(it, from, message)))
            })
        })
    }

    pub(super) fn judge(policies: &[Policy], from: Connection<'_>, message: &Message) -> Verdict {
        let of = |action| policies.iter().filter(move |it| it.action == action);
        if of(Action::Deny).any(|it| matches(it, from, message)) {
            return Verdict::Denied;
        }
        let mut allowing = of(Action::Allow).peekable();
        if allowing.peek().is_none() || allowing.any(|it| matches(it, from, message)) {
            return Verdict::Allowed;
        }
        Verdict::NotAllowed
    }
}

fn a_text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "ab", "a*", "*b", "*", ""]).prop_map(str::to_owned)
}

fn some_patterns() -> impl Strategy<Value = Patterns> {
    prop::collection::vec(a_text(), 1..3)
        .prop_map(|texts| Patterns::new(texts.iter().map(String::as_str)))
}

fn a_condition() -> impl Strategy<Value = Condition> {
    let block = prop::sample::select(vec!["10.0.0.0/8", "10.0.0.1", "fd00::/8"]);
    let subject = prop_oneof![
        prop::sample::select(vec!["*", "td/ns/a/sa/a", "td/ns/a/*", "*/sa/b"])
            .prop_map(|text| Subject::Principal(patterns(&[text]))),
        some_patterns().prop_map(Subject::Namespace),
        prop::sample::select(vec!["a/a", "a/b", "b/a"])
            .prop_map(|text| Subject::ServiceAccount(patterns(&[text]))),
        block.prop_map(|text| Subject::Address(vec![text.parse().unwrap()])),
        prop::sample::select(vec![1u16, 2]).prop_map(|port| Subject::Port(vec![port])),
        ("[xy]", some_patterns()).prop_map(|(name, texts)| Subject::Attribute(name, texts)),
    ];
    (subject, any::<bool>()).prop_map(|(subject, invert)| Condition { subject, invert })
}

fn some_policies() -> impl Strategy<Value = Vec<Policy>> {
    let all = prop::collection::vec(a_condition(), 1..3);
    let any = prop::collection::vec(all, 0..3).prop_map(|any| Clause { any });
    let rule = prop::collection::vec(any, 0..3).prop_map(|clauses| Rule { clauses });
    let action = prop::sample::select(vec![Action::Allow, Action::Deny, Action::Audit]);
    let policy = (action, prop::collection::vec(rule, 0..3))
        .prop_map(|(action, rules)| Policy { action, rules });
    prop::collection::vec(policy, 0..4)
}

proptest! {
    #[test]
    fn verdicts_are_those_of_a_naive_reading(
        given in some_policies(),
        client in prop::option::of(("[ab]", "[ab]")),
        address in prop::sample::select(vec!["10.0.0.1", "10.9.9.9", "fd00::1", "1.1.1.1"]),
        port in 1u16..4,
        message in prop::collection::btree_map("[xy]", "[ab]{0,2}", 0..3),
    ) {
        let principal = client.map(|(ns, sa)| format!("spiffe://td/ns/{ns}/sa/{sa}"));
        let from = Connection {
            principal: principal.as_deref(),
            address: Some(address.parse().unwrap()),
            port,
        };
        let policies = Policies::new(given.clone());
        let verdict = policies.judge(from, |name| match message.get(name) {
            Some(value) => Value::Known(value.as_bytes().to_vec().into()),
            None => Value::Absent,
        });
        prop_assert_eq!(verdict, naive::judge(&given, from, &message));
        // What is said of a connection holds for each of its requests, and what is said without a
        // message is never milder than what is said with it.
        match policies.standing(from) {
            Standing::Settled(settled) => prop_assert_eq!(settled, verdict),
            Standing::EachIsJudged => {}
        }
        if policies.judge_connection(from) == Verdict::Allowed {
            prop_assert_eq!(verdict, Verdict::Allowed);
        }
    }
}
