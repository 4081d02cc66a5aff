//! Route selection: tables of its rules, and the compiled table against a naive one.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn exact(name: &str, value: &str) -> AttributeMatch {
    matching(name, Condition::Exact(value.into()))
}

fn prefix(name: &str, value: &str) -> AttributeMatch {
    matching(name, Condition::Prefix(value.into()))
}

fn regex(name: &str, value: &str) -> AttributeMatch {
    matching(name, Condition::Regex(value.into()))
}

fn present(name: &str) -> AttributeMatch {
    matching(name, Condition::Present)
}

fn matching(name: &str, condition: Condition) -> AttributeMatch {
    AttributeMatch {
        name: name.into(),
        condition,
    }
}

fn table(rules: &[&[AttributeMatch]]) -> RouteTable<usize> {
    RouteTable::new(
        rules
            .iter()
            .enumerate()
            .map(|(rule, matches)| (matches.to_vec(), rule)),
    )
    .unwrap()
}

fn select(table: &RouteTable<usize>, message: &[(&str, &str)]) -> Option<usize> {
    let selected = table.select(|attribute| {
        let name = &table.attributes()[attribute];
        let (_, value) = message.iter().find(|(known, _)| known == name)?;
        Some(Cow::Borrowed(value.as_bytes()))
    });
    selected.map(|(rule, target)| {
        assert_eq!(rule, *target);
        rule
    })
}

#[test]
fn the_first_match_decides_whatever_its_kind() {
    let table = table(&[
        &[exact("interface", "a.B"), exact("method", "get")],
        &[regex("method", "get|set"), exact("interface", "a.B")],
        &[prefix("interface", "a.")],
        &[exact("interface", "a.B"), exact("method", "put")],
        &[exact("method", "put"), exact("interface", "b.C")],
        &[present("token")],
        &[],
        &[exact("interface", "never")],
    ]);
    for (message, expected) in [
        (&[("interface", "a.B"), ("method", "get")][..], 0),
        (&[("interface", "a.B"), ("method", "set")], 1),
        (&[("interface", "a.B"), ("method", "getter")], 2),
        (&[("interface", "a.B"), ("method", "put")], 2),
        (&[("interface", "b.C"), ("method", "put")], 4),
        (&[("interface", "b.C"), ("token", "")], 5),
        (&[("interface", "b.C")], 6),
        (&[("interface", "never")], 6),
        (&[], 6),
    ] {
        assert_eq!(select(&table, message), Some(expected), "{message:?}");
    }
}

#[test]
fn conditions_hold_on_the_whole_value() {
    let table_of = |condition: AttributeMatch| table(&[&[condition]]);
    for (condition, value, expected) in [
        (exact("a", ""), "", true),
        (exact("a", ""), "x", false),
        (exact("a", "x"), "X", false),
        (prefix("a", ""), "", true),
        (prefix("a", "ab"), "abc", true),
        (prefix("a", "ab"), "a", false),
        (present("a"), "", true),
        (regex("a", "b"), "abc", false),
        (regex("a", "b|abc"), "abc", true),
        (regex("a", "ab|c"), "abc", false),
        (regex("a", ".*"), "", true),
        (regex("a", "^a.c$"), "abc", true),
        (regex("a", "a$"), "a\n", false),
        (regex("a", r"v\d+"), "v12", true),
        (regex("a", "(?i)ABC"), "abc", true),
        (regex("a", "a.c"), "aéc", true),
        // A comment at the end does not take the anchor with it.
        (regex("a", "(?x) a b # c"), "ab", true),
        (regex("a", "(?x) a b # c"), "abc", false),
        (regex("a", "(?x) a # )("), "a", true),
        (regex("a", "a # c"), "a # c", true),
        // A set is looked up, and means what the expression says.
        (regex("a", r"a\.b|c d|"), "a.b", true),
        (regex("a", r"a\.b|c d|"), "axb", false),
        (regex("a", r"a\.b|c d|"), "c d", true),
        (regex("a", r"a\.b|c d|"), "", true),
    ] {
        let expected = expected.then_some(0);
        let table = table_of(condition.clone());
        assert_eq!(
            select(&table, &[("a", value)]),
            expected,
            "{condition:?} {value:?}"
        );
        assert_eq!(
            select(&table, &[("b", value)]),
            None,
            "{condition:?} without it"
        );
    }
}

#[test]
fn a_condition_speaks_for_itself() {
    let one_of = Condition::one_of(["b.C", "a"]);
    assert_eq!(
        one_of.values(),
        Some(vec!["a".to_owned(), "b.C".to_owned()])
    );
    assert_eq!(Condition::Regex("a.*".into()).values(), None);
    for (condition, expected) in [
        (one_of, true),
        (Condition::Regex("b.*".into()), true),
        (Condition::Regex("(".into()), false),
        (Condition::Prefix("c".into()), false),
        (Condition::PrefixIgnoreCase("B.c".into()), true),
        (Condition::PrefixIgnoreCase("b.C.".into()), false),
        (Condition::Present, true),
    ] {
        assert_eq!(
            condition.holds_for_any(["x", "b.C"]),
            expected,
            "{condition:?}"
        );
    }
}

#[test]
fn values_need_not_be_text() {
    let table = table(&[&[prefix("a", "x")], &[regex("a", r"(?-u:\xff)+")]]);
    let of = |value: &'static [u8]| table.select(|_| Some(Cow::Borrowed(value))).map(|(r, _)| r);
    assert_eq!(of(b"x\xff"), Some(0));
    assert_eq!(of(b"\xff\xff"), Some(1));
    assert_eq!(of(b"\xfe"), None);
}

#[test]
fn several_conditions_on_one_attribute_all_hold() {
    let table = table(&[
        &[exact("a", "x"), exact("a", "y")],
        &[exact("a", "xyz"), regex("a", "x.z"), prefix("a", "xy")],
        &[prefix("a", "x"), regex("a", ".*z")],
    ]);
    assert_eq!(select(&table, &[("a", "x")]), None);
    assert_eq!(select(&table, &[("a", "xyz")]), Some(1));
    assert_eq!(select(&table, &[("a", "xz")]), Some(2));
}

#[test]
fn sets_of_values_are_in_order_and_have_no_limit() {
    let names: Vec<String> = (0..5000)
        .map(|i| format!("org.example.module{i}.InterfaceName{i}"))
        .collect();
    let all = Condition::one_of(names.iter().map(String::as_str));
    let some = Condition::one_of(names[..9].iter().map(String::as_str));
    let table = table(&[
        &[matching("interface", some.clone()), exact("method", "a")],
        &[matching("interface", some.clone()), prefix("method", "b")],
        // The second condition on one attribute, and more places than a rule may take.
        &[matching("interface", some), exact("interface", &names[3])],
        &[matching("interface", all)],
    ]);
    let of = |i: usize, method| select(&table, &[("interface", &names[i]), ("method", method)]);
    assert_eq!(
        [of(1, "a"), of(1, "b"), of(1, "c")],
        [Some(0), Some(1), Some(3)]
    );
    assert_eq!(
        [of(3, "c"), of(9, "a"), of(4999, "")],
        [Some(2), Some(3), Some(3)]
    );
    assert_eq!(select(&table, &[("interface", "org.example")]), None);
}

#[test]
fn each_attribute_is_fetched_once_and_only_if_it_matters() {
    let table = table(&[
        &[exact("group", "g"), exact("interface", "a")],
        &[exact("interface", "b"), exact("method", "m")],
        &[exact("interface", "b"), prefix("method", "n")],
        &[
            exact("interface", "b"),
            regex("method", "o.*"),
            present("zone"),
        ],
    ]);
    assert_eq!(table.attributes(), ["interface", "group", "method", "zone"]);
    let fetched = |message: &[(&str, &str)]| {
        let counts: [Cell<u32>; 4] = Default::default();
        table.select(|attribute| {
            counts[attribute].set(counts[attribute].get() + 1);
            let name = &table.attributes()[attribute];
            let (_, value) = message.iter().find(|(known, _)| known == name)?;
            Some(Cow::Borrowed(value.as_bytes()))
        });
        counts.map(Cell::into_inner)
    };
    assert_eq!(fetched(&[]), [1, 0, 0, 0]);
    assert_eq!(fetched(&[("interface", "c")]), [1, 0, 0, 0]);
    assert_eq!(fetched(&[("interface", "a")]), [1, 1, 0, 0]);
    assert_eq!(
        fetched(&[("interface", "b"), ("method", "m")]),
        [1, 0, 1, 0]
    );
    assert_eq!(
        fetched(&[("interface", "b"), ("method", "x")]),
        [1, 0, 1, 1]
    );
    assert_eq!(
        fetched(&[("interface", "b"), ("method", "ox"), ("zone", "z")]),
        [1, 0, 1, 1]
    );
}

#[test]
fn refusals_name_rule_attribute_and_remedy() {
    let refusal = |pattern: &str| {
        RouteTable::new([
            (vec![], ()),
            (vec![exact("a", "x"), regex("method", pattern)], ()),
        ])
        .unwrap_err()
    };
    let star = refusal("*");
    assert_eq!((star.rule, star.attribute.as_str()), (1, "method"));
    assert_eq!(
        star.to_string(),
        "attribute `method`: `*` is not a regular expression; to match any value, match on presence"
    );
    assert_eq!(
        refusal("a(b").to_string(),
        "attribute `method`: invalid regular expression `a(b`: unclosed group"
    );
    for pattern in ["**", "a)|(b", "(?=a)", r"(a)\1", "[", "(?P<n"] {
        assert!(
            matches!(refusal(pattern).reason, RegexRefusal::Invalid { .. }),
            "{pattern}"
        );
    }
    assert!(matches!(
        refusal(r"(\w{1000}){1000}").reason,
        RegexRefusal::TooLarge { .. }
    ));
    assert_eq!(
        validate(&Condition::Regex("*".into())),
        Err(RegexRefusal::Star)
    );
    assert_eq!(validate(&Condition::Regex(".*".into())), Ok(()));
}

#[test]
fn an_empty_table_matches_nothing() {
    assert_eq!(select(&table(&[]), &[("a", "b")]), None);
}

#[test]
fn explain_names_what_failed_and_what_was_there() {
    let table = table(&[
        &[exact("interface", "a"), exact("method", "get")],
        &[exact("interface", "b"), regex("group", "g.")],
        &[exact("interface", "b")],
        &[],
    ]);
    let explanation = table.explain(|attribute| match table.attributes()[attribute].as_str() {
        "interface" => Some(Cow::Borrowed(b"b".as_slice())),
        "method" => Some(Cow::Borrowed(b"put".as_slice())),
        _ => None,
    });
    let failure = |condition: AttributeMatch, actual: Option<&str>| Failure {
        attribute: condition.name,
        condition: condition.condition,
        actual: actual.map(|value| value.as_bytes().to_vec()),
    };
    assert_eq!(
        explanation,
        Explanation {
            verdicts: vec![
                Verdict {
                    rule: 0,
                    failures: vec![
                        failure(exact("interface", "a"), Some("b")),
                        failure(exact("method", "get"), Some("put")),
                    ],
                },
                Verdict {
                    rule: 1,
                    failures: vec![failure(regex("group", "g."), None)],
                },
                Verdict {
                    rule: 2,
                    failures: vec![],
                },
            ],
            matched: Some(2),
        }
    );
}

#[test]
fn shadowed_rules_are_found() {
    let found = |rules: &[&[AttributeMatch]]| -> Vec<(usize, usize)> {
        table(rules)
            .shadowed()
            .iter()
            .map(|s| (s.rule, s.by))
            .collect()
    };
    // Behind a catch-all.
    assert_eq!(
        found(&[&[exact("a", "x")], &[], &[exact("a", "y")], &[]]),
        [(2, 1), (3, 1)]
    );
    // Identical, in any order of conditions; a subset of them.
    let both: &[_] = &[exact("a", "x"), prefix("b", "y")];
    let swapped: &[_] = &[prefix("b", "y"), exact("a", "x")];
    assert_eq!(found(&[both, swapped]), [(1, 0)]);
    assert_eq!(found(&[&[exact("a", "x")], both]), [(1, 0)]);
    assert_eq!(found(&[both, &[exact("a", "x")]]), []);
    for (wide, narrow, shadows) in [
        (present("a"), exact("a", ""), true),
        (present("a"), regex("a", "x"), true),
        (prefix("a", ""), present("a"), true),
        (prefix("a", "x"), prefix("a", "xy"), true),
        (prefix("a", "xy"), prefix("a", "x"), false),
        (prefix("a", "x"), exact("a", "xy"), true),
        (prefix("a", "x"), regex("a", "xy"), false),
        (regex("a", "x.*"), exact("a", "xy"), true),
        (regex("a", "x"), exact("a", "xy"), false),
        (regex("a", "x.*"), regex("a", "x.*"), true),
        (regex("a", "x|y"), regex("a", "y|x"), true),
        (regex("a", "x|y|z"), regex("a", "x|y"), true),
        (regex("a", "x|y"), regex("a", "x|y|z"), false),
        (regex("a", "x|y"), exact("a", "y"), true),
        (prefix("a", "x"), regex("a", "xy|xz"), true),
        (exact("a", "x"), exact("a", "y"), false),
        (exact("a", "x"), present("a"), false),
        (exact("a", "x"), exact("b", "x"), false),
    ] {
        let expected: &[(usize, usize)] = if shadows { &[(1, 0)] } else { &[] };
        let rules = [std::slice::from_ref(&wide), std::slice::from_ref(&narrow)];
        assert_eq!(found(&rules), expected, "{wide:?} {narrow:?}");
    }
}

/// The obvious matcher that the compiled one has to agree with.
fn naive(rules: &[Vec<AttributeMatch>], message: &BTreeMap<String, String>) -> Option<usize> {
    rules.iter().position(|matches| {
        matches.iter().all(|matching| {
            let Some(value) = message.get(&matching.name) else {
                return false;
            };
            match &matching.condition {
                Condition::Exact(expected) => value == expected,
                Condition::Prefix(expected) => value.starts_with(expected.as_str()),
                Condition::PrefixIgnoreCase(expected) => value
                    .to_ascii_lowercase()
                    .starts_with(&expected.to_ascii_lowercase()),
                // The generated patterns are a literal and any number of `z`.
                Condition::Regex(pattern) => {
                    let literal = pattern.strip_suffix("z*").unwrap();
                    value.trim_end_matches('z') == literal.trim_end_matches('z')
                        && value.len() >= literal.len()
                }
                Condition::Present => true,
            }
        })
    })
}

fn any_value() -> impl Strategy<Value = String> {
    "[xyz]{0,2}"
}

fn any_match() -> impl Strategy<Value = AttributeMatch> {
    let condition = prop_oneof![
        4 => any_value().prop_map(Condition::Exact),
        1 => any_value().prop_map(Condition::Prefix),
        1 => "[xyzXY]{0,2}".prop_map(Condition::PrefixIgnoreCase),
        1 => any_value().prop_map(|literal| Condition::Regex(format!("{literal}z*"))),
        1 => Just(Condition::Present),
    ];
    ("[a-d]", condition).prop_map(|(name, condition)| AttributeMatch { name, condition })
}

proptest! {
    #[test]
    fn the_compiled_table_agrees_with_a_naive_one(
        rules in prop::collection::vec(prop::collection::vec(any_match(), 0..4), 0..12),
        messages in prop::collection::vec(
            prop::collection::btree_map("[a-d]", any_value(), 0..4), 1..8),
    ) {
        let table = RouteTable::new(rules.iter().cloned().enumerate().map(|(i, r)| (r, i))).unwrap();
        let shadowed: Vec<usize> = table.shadowed().iter().map(|s| s.rule).collect();
        for message in &messages {
            let expected = naive(&rules, message);
            let mut fetched = vec![0; table.attributes().len()];
            let lookup = |attribute: usize| {
                fetched[attribute] += 1;
                let value = message.get(&table.attributes()[attribute])?;
                Some(Cow::Borrowed(value.as_bytes()))
            };
            prop_assert_eq!(table.select(lookup).map(|(rule, _)| rule), expected);
            prop_assert!(fetched.iter().all(|&count| count <= 1));
            let explained = table.explain(|attribute| {
                let value = message.get(&table.attributes()[attribute])?;
                Some(Cow::Borrowed(value.as_bytes()))
            });
            prop_assert_eq!(explained.matched, expected);
            if let Some(rule) = expected {
                prop_assert!(!shadowed.contains(&rule));
            }
        }
    }
}
