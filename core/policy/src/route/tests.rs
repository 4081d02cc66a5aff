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
    AttributeMatch::new(name, condition)
}

fn range(name: &str, range: std::ops::Range<i64>) -> AttributeMatch {
    matching(name, Condition::Range(range))
}

fn not(matching: AttributeMatch) -> AttributeMatch {
    AttributeMatch {
        invert: !matching.invert,
        ..matching
    }
}

fn absent_is_empty(matching: AttributeMatch) -> AttributeMatch {
    AttributeMatch {
        absent_is_empty: true,
        ..matching
    }
}

fn any_case(text: &str) -> Text {
    Text::ignoring_case(text)
}

fn table(rules: &[&[AttributeMatch]]) -> RouteTable<usize> {
    of_alternatives(rules.iter().map(|matches| vec![matches.to_vec()]))
}

fn of_alternatives(rules: impl IntoIterator<Item = Vec<Alternative>>) -> RouteTable<usize> {
    let rules = rules.into_iter().enumerate();
    RouteTable::new(rules.map(|(i, rule)| (rule, i))).unwrap()
}

fn name_of(table: &RouteTable<usize>, attribute: usize) -> &str {
    match &table.attributes()[attribute] {
        Attribute::Message(name) => name,
        Attribute::SourceAddress => "source",
    }
}

fn select(table: &RouteTable<usize>, message: &[(&str, &str)]) -> Option<usize> {
    let selected = table.select(|attribute| {
        let name = name_of(table, attribute);
        let (_, value) = message.iter().find(|(known, _)| *known == name)?;
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

fn suffix(text: impl Into<Text>) -> AttributeMatch {
    matching("a", Condition::Suffix(text.into()))
}

fn contains(text: impl Into<Text>) -> AttributeMatch {
    matching("a", Condition::Contains(text.into()))
}

#[test]
fn parts_of_values_and_cases() {
    let exact_any_case = |text| matching("a", Condition::Exact(any_case(text)));
    for (condition, value, expected) in [
        (suffix("bc"), "abc", true),
        (suffix("bc"), "bc", true),
        (suffix("bc"), "c", false),
        (suffix("bc"), "abC", false),
        (suffix(any_case("bC")), "aBc", true),
        (contains("b"), "abc", true),
        (contains("abc"), "abc", true),
        (contains("abcd"), "abc", false),
        (contains("B"), "abc", false),
        (contains(any_case("B.c")), "ab.C", true),
        (contains(any_case("B.c")), "ab-C", false),
        (contains(any_case("\u{e9}X")), "a\u{e9}x", true),
        // Only ASCII letters have a case, as in Envoy.
        (contains(any_case("\u{e9}")), "\u{c9}", false),
        (exact_any_case("aBc"), "AbC", true),
        (exact_any_case("aBc"), "AbCd", false),
        (exact_any_case("k"), "\u{212a}", false),
    ] {
        let expected = expected.then_some(0);
        let table = table(&[std::slice::from_ref(&condition)]);
        assert_eq!(select(&table, &[("a", value)]), expected, "{condition:?}");
        assert_eq!(select(&table, &[("b", value)]), None, "{condition:?}");
    }
}

/// What a real Envoy 1.40 answers to the same `range_match`.
#[test]
fn ranges_are_of_whole_numbers() {
    let of = |numbers: std::ops::Range<i64>, value| {
        select(&table(&[&[range("a", numbers)]]), &[("a", value)]).is_some()
    };
    for value in ["-1", "9", "+5", "5 ", " 5", "\t5\x0b", "007"] {
        assert!(of(-1..10, value), "{value:?}");
    }
    let none = [
        "10",
        "-2",
        "5.0",
        "0x5",
        "x",
        "",
        " ",
        "-",
        "+-5",
        "1 2",
        "9223372036854775808",
    ];
    for value in none {
        assert!(!of(-1..10, value), "{value:?}");
    }
    assert!(of(i64::MIN..i64::MAX, "-9223372036854775808"));
    assert!(!of(i64::MIN..i64::MAX, "9223372036854775807"));
    assert!(!of(5..5, "5"));
}

/// As a real Envoy 1.40: what is absent satisfies neither a condition nor its inverse, but for
/// presence, and counts as empty where that is asked for.
#[test]
fn inverses_and_absence() {
    let x = || exact("a", "x");
    for (condition, [absent, empty, x, y]) in [
        (not(x()), [false, true, false, true]),
        (absent_is_empty(not(x())), [true, true, false, true]),
        (absent_is_empty(x()), [false, false, true, false]),
        (absent_is_empty(exact("a", "")), [true, true, false, false]),
        (
            absent_is_empty(not(exact("a", ""))),
            [false, false, true, true],
        ),
        (not(present("a")), [true, false, false, false]),
        (absent_is_empty(present("a")), [true; 4]),
        (absent_is_empty(not(present("a"))), [false; 4]),
        (not(range("a", 0..5)), [false, true, true, true]),
        (absent_is_empty(not(range("a", 0..5))), [true; 4]),
        (not(regex("a", "x|y")), [false, true, false, false]),
        (not(regex("a", "[xy]")), [false, true, false, false]),
        (
            absent_is_empty(not(regex("a", "[xy]"))),
            [true, true, false, false],
        ),
        (not(contains("")), [false; 4]),
    ] {
        let table = table(&[std::slice::from_ref(&condition)]);
        let holds = |message: &[(&str, &str)]| select(&table, message).is_some();
        assert_eq!(
            [
                holds(&[]),
                holds(&[("a", "")]),
                holds(&[("a", "x")]),
                holds(&[("a", "y")])
            ],
            [absent, empty, x, y],
            "{condition:?}"
        );
    }
}

#[test]
fn one_alternative_is_enough() {
    let table = of_alternatives([
        vec![],
        vec![
            vec![exact("a", "x"), exact("b", "x")],
            vec![prefix("a", "y")],
        ],
        vec![vec![exact("a", "x")], vec![], vec![exact("a", "z")]],
    ]);
    assert_eq!(select(&table, &[("a", "x"), ("b", "x")]), Some(1));
    assert_eq!(select(&table, &[("a", "yy")]), Some(1));
    assert_eq!(select(&table, &[("a", "x")]), Some(2));
    assert_eq!(select(&table, &[]), Some(2));
    let explained = table.explain(|_| Some(Cow::Borrowed(b"x".as_slice())));
    assert_eq!(
        explained.matched,
        Some(Taken {
            rule: 1,
            alternative: 0
        })
    );
    assert_eq!(explained.verdicts[0].failed, Vec::<Vec<Failure>>::new());
    assert_eq!(table.shadowed(), []);

    let never = of_alternatives([vec![]]);
    assert_eq!(select(&never, &[("a", "x")]), None);
    let hidden = of_alternatives([
        vec![vec![exact("a", "x")], vec![prefix("a", "y")]],
        vec![vec![exact("a", "yz")], vec![exact("a", "x"), present("b")]],
        vec![vec![exact("a", "yz")], vec![exact("a", "z")]],
    ]);
    assert_eq!(hidden.shadowed(), [Shadowed { rule: 1, by: 0 }]);
}

#[test]
fn a_source_is_an_attribute_of_its_own() {
    let from = |addresses: &[&str]| AttributeMatch::from_addresses(addresses.iter().copied());
    let table = table(&[
        &[from(&["10.0.0.1", "fd00::1"]), exact("source", "a")],
        &[from(&["10.0.0.2"])],
    ]);
    let of = |address: Option<&'static str>, value: &'static str| {
        let found = table.select(|attribute| match &table.attributes()[attribute] {
            Attribute::SourceAddress => Some(Cow::Borrowed(address?.as_bytes())),
            Attribute::Message(_) => Some(Cow::Borrowed(value.as_bytes())),
        });
        found.map(|(rule, _)| rule)
    };
    assert_eq!(of(Some("10.0.0.1"), "a"), Some(0));
    assert_eq!(of(Some("fd00::1"), "a"), Some(0));
    assert_eq!(of(Some("fd00::1"), "b"), None);
    assert_eq!(of(Some("10.0.0.2"), "b"), Some(1));
    assert_eq!(of(None, "a"), None);
}

/// Several sets, since one would be too large, and rules beyond what a set is asked for.
#[test]
fn regular_expressions_that_are_tried_together() {
    let rules: Vec<Vec<Alternative>> = (0..600)
        .map(|i| {
            vec![vec![regex(
                "method",
                &format!(r"m{i}[a-z]{{1,80}}\w{{{}}}", i % 3),
            )]]
        })
        .collect();
    let count = rules.len();
    let many = of_alternatives(rules);
    for i in (0..count).step_by(37) {
        let method = format!("m{i}abcd");
        assert_eq!(select(&many, &[("method", &method)]), Some(i));
    }
    assert_eq!(select(&many, &[("method", "m1")]), None);
    assert_eq!(select(&many, &[]), None);
    // The first in order, though a later one matches as well, and another attribute decides.
    let mixed = table(&[
        &[regex("a", "x.*"), regex("b", "y.*")],
        &[regex("a", "x+"), not(regex("b", "y?"))],
        &[regex("a", "x.*")],
    ]);
    assert_eq!(select(&mixed, &[("a", "xx"), ("b", "yes")]), Some(0));
    assert_eq!(select(&mixed, &[("a", "xx"), ("b", "no")]), Some(1));
    assert_eq!(select(&mixed, &[("a", "xx"), ("b", "y")]), Some(0));
    assert_eq!(select(&mixed, &[("a", "xx"), ("b", "")]), Some(2));
    assert_eq!(select(&mixed, &[("a", "xz")]), Some(2));
}

#[test]
fn a_condition_speaks_for_itself() {
    let one_of = Condition::one_of(["b.C", "a"]);
    assert_eq!(
        one_of.values(),
        Some(vec!["a".to_owned(), "b.C".to_owned()])
    );
    assert_eq!(Condition::Regex("a.*".into()).values(), None);
    assert_eq!(Condition::one_of(["b.C"]), Condition::Exact("b.C".into()));
    assert!(not(exact("a", "x")).holds_for_any(["x", "y"]));
    assert!(!not(exact("a", "x")).holds_for_any(["x"]));
    for (condition, expected) in [
        (one_of, true),
        (Condition::Regex("b.*".into()), true),
        (Condition::Regex("(".into()), false),
        (Condition::Prefix("c".into()), false),
        (Condition::Prefix(any_case("B.c")), true),
        (Condition::Prefix(any_case("b.C.")), false),
        (Condition::Present, true),
    ] {
        assert_eq!(
            matching("a", condition.clone()).holds_for_any(["x", "b.C"]),
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
    let names: Vec<_> = table.attributes().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["interface", "group", "method", "zone"]);
    let fetched = |message: &[(&str, &str)]| {
        let counts: [Cell<u32>; 4] = Default::default();
        table.select(|attribute| {
            counts[attribute].set(counts[attribute].get() + 1);
            let name = &table.attributes()[attribute];
            let name = name.to_string();
            let (_, value) = message.iter().find(|(known, _)| *known == name)?;
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
            (vec![vec![]], ()),
            (vec![vec![exact("a", "x"), regex("method", pattern)]], ()),
        ])
        .unwrap_err()
    };
    let star = refusal("*");
    assert_eq!(
        (star.rule, star.attribute.to_string().as_str()),
        (1, "method")
    );
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
    let explanation = table.explain(|attribute| match name_of(&table, attribute) {
        "interface" => Some(Cow::Borrowed(b"b".as_slice())),
        "method" => Some(Cow::Borrowed(b"put".as_slice())),
        _ => None,
    });
    let failure = |matching: AttributeMatch, actual: Option<&str>| Failure {
        matching,
        actual: actual.map(|value| value.as_bytes().to_vec()),
    };
    assert_eq!(
        explanation,
        Explanation {
            verdicts: vec![
                Verdict {
                    rule: 0,
                    failed: vec![vec![
                        failure(exact("interface", "a"), Some("b")),
                        failure(exact("method", "get"), Some("put")),
                    ]],
                },
                Verdict {
                    rule: 1,
                    failed: vec![vec![failure(regex("group", "g."), None)]],
                },
                Verdict {
                    rule: 2,
                    failed: vec![],
                },
            ],
            matched: Some(Taken {
                rule: 2,
                alternative: 0,
            }),
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
        (suffix("b"), suffix("ab"), true),
        (suffix("ab"), suffix("b"), false),
        (suffix("b"), contains("b"), false),
        (contains("b"), prefix("a", "abc"), true),
        (contains("b"), suffix("abc"), true),
        (contains("b"), exact("a", "abc"), true),
        (contains(any_case("B")), prefix("a", "abc"), true),
        (
            contains("b"),
            matching("a", Condition::Prefix(any_case("abc"))),
            false,
        ),
        (suffix(""), present("a"), true),
        (contains(""), not(present("a")), false),
        (range("a", 0..9), range("a", 1..9), true),
        (range("a", 0..9), range("a", 1..10), false),
        (range("a", 0..9), exact("a", " 8 "), true),
        (not(exact("a", "x")), exact("a", "y"), true),
        (not(exact("a", "x")), exact("a", "x"), false),
        (not(exact("a", "x")), regex("a", "y|z"), true),
        (not(exact("a", "x")), not(exact("a", "x")), true),
        (not(exact("a", "x")), prefix("a", "y"), false),
        (exact("a", ""), absent_is_empty(exact("a", "")), false),
        (absent_is_empty(exact("a", "")), exact("a", ""), true),
        (present("a"), absent_is_empty(prefix("a", "")), false),
    ] {
        let expected: &[(usize, usize)] = if shadows { &[(1, 0)] } else { &[] };
        let rules = [std::slice::from_ref(&wide), std::slice::from_ref(&narrow)];
        assert_eq!(found(&rules), expected, "{wide:?} {narrow:?}");
    }
}

/// The obvious matcher that the compiled one has to agree with.
fn naive(rules: &[Vec<Alternative>], message: &BTreeMap<String, String>) -> Option<usize> {
    rules.iter().position(|alternatives| {
        alternatives.iter().any(|matches| {
            matches.iter().all(|matching| {
                let value = message.get(&matching.attribute.to_string());
                naive_holds(matching, value.map(String::as_str))
            })
        })
    })
}

fn naive_holds(matching: &AttributeMatch, value: Option<&str>) -> bool {
    let value = match value {
        None if matching.absent_is_empty => "",
        None => return matching.invert && matching.condition == Condition::Present,
        Some(value) => value,
    };
    let text = |text: &Text, holds: fn(&str, &str) -> bool| match text.ignore_case {
        true => holds(
            &value.to_ascii_lowercase(),
            &text.value.to_ascii_lowercase(),
        ),
        false => holds(value, &text.value),
    };
    let holds = match &matching.condition {
        Condition::Exact(it) => text(it, |value, it| value == it),
        Condition::Prefix(it) => text(it, |value, it| value.starts_with(it)),
        Condition::Suffix(it) => text(it, |value, it| value.ends_with(it)),
        Condition::Contains(it) => text(it, |value, it| value.contains(it)),
        // The generated patterns are alternations, or a literal and any number of `z`.
        Condition::Regex(pattern) => match pattern.strip_suffix("z*") {
            None => pattern.split('|').any(|text| value == text),
            Some(literal) => {
                value.trim_end_matches('z') == literal.trim_end_matches('z')
                    && value.len() >= literal.len()
            }
        },
        Condition::Range(range) => value.parse().is_ok_and(|number| range.contains(&number)),
        Condition::Present => true,
    };
    holds != matching.invert
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[xyz]{0,2}", 1 => "[xXyY]{1,2}", 1 => "-?[0-3]"]
}

fn any_text() -> impl Strategy<Value = Text> {
    (any_value(), any::<bool>()).prop_map(|(value, ignore_case)| Text { value, ignore_case })
}

fn any_match() -> impl Strategy<Value = AttributeMatch> {
    let condition = prop_oneof![
        4 => any_value().prop_map(|value| Condition::Exact(value.into())),
        1 => any_text().prop_map(Condition::Exact),
        1 => any_text().prop_map(Condition::Prefix),
        1 => any_text().prop_map(Condition::Suffix),
        1 => any_text().prop_map(Condition::Contains),
        2 => "[xyz]{0,2}".prop_map(|literal| Condition::Regex(format!("{literal}z*"))),
        1 => "[xyz]{0,2}(\\|[xyz]{0,2}){1,2}".prop_map(Condition::Regex),
        1 => (-3i64..4, -3i64..4).prop_map(|(start, end)| Condition::Range(start..end)),
        1 => Just(Condition::Present),
    ];
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    ("[a-d]", condition, flags).prop_map(|(name, condition, (invert, absent_is_empty))| {
        AttributeMatch {
            invert,
            absent_is_empty,
            ..AttributeMatch::new(name, condition)
        }
    })
}

fn any_rule() -> impl Strategy<Value = Vec<Alternative>> {
    let alternative = || prop::collection::vec(any_match(), 0..4);
    prop_oneof![
        3 => alternative().prop_map(|only| vec![only]),
        1 => prop::collection::vec(alternative(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_compiled_table_agrees_with_a_naive_one(
        rules in prop::collection::vec(any_rule(), 0..12),
        messages in prop::collection::vec(
            prop::collection::btree_map("[a-d]", any_value(), 0..4), 1..8),
    ) {
        let table = of_alternatives(rules.iter().cloned());
        let shadowed: Vec<usize> = table.shadowed().iter().map(|s| s.rule).collect();
        for message in &messages {
            let expected = naive(&rules, message);
            let mut fetched = vec![0; table.attributes().len()];
            let lookup = |attribute: usize| {
                fetched[attribute] += 1;
                let value = message.get(name_of(&table, attribute))?;
                Some(Cow::Borrowed(value.as_bytes()))
            };
            prop_assert_eq!(table.select(lookup).map(|(rule, _)| rule), expected);
            prop_assert!(fetched.iter().all(|&count| count <= 1));
            let explained = table.explain(|attribute| {
                let value = message.get(name_of(&table, attribute))?;
                Some(Cow::Borrowed(value.as_bytes()))
            });
            prop_assert_eq!(explained.matched.map(|taken| taken.rule), expected);
            if let Some(rule) = expected {
                prop_assert!(!shadowed.contains(&rule));
            }
        }
    }
}
