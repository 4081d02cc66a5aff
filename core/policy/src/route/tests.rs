//! Route selection: tables of rules.

use std::cell::Cell;

use super::*;

mod agreement;
mod conditions;
mod dear;
mod shadow;

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
        Attribute::SourcePrincipal => "principal",
        Attribute::SourceNamespace => "namespace",
    }
}

/// What few steps find.
fn find<'t, 'm>(
    table: &'t RouteTable<usize>,
    lookup: impl FnMut(usize) -> Option<Cow<'m, [u8]>>,
) -> Option<(usize, &'t usize)> {
    table
        .select(&mut Steps::default(), lookup)
        .expect("few steps")
}

fn select(table: &RouteTable<usize>, message: &[(&str, &str)]) -> Option<usize> {
    let selected = find(table, |attribute| {
        let name = name_of(table, attribute);
        let (_, value) = message.iter().find(|(known, _)| *known == name)?;
        Some(Cow::Borrowed(value.as_bytes()))
    });
    selected.map(|(rule, target)| {
        assert_eq!(rule, *target);
        rule
    })
}

fn suffix(text: impl Into<Text>) -> AttributeMatch {
    matching("a", Condition::Suffix(text.into()))
}

fn contains(text: impl Into<Text>) -> AttributeMatch {
    matching("a", Condition::Contains(text.into()))
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
        let found = find(&table, |attribute| match &table.attributes()[attribute] {
            Attribute::SourceAddress => Some(Cow::Borrowed(address?.as_bytes())),
            Attribute::SourcePrincipal | Attribute::SourceNamespace => None,
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

#[test]
fn a_principal_is_known_of_a_client_or_satisfies_nothing() {
    let by = |principals: &[&str]| AttributeMatch::from_principals(principals.iter().copied());
    let table = table(&[&[by(&["spiffe://a/b", "CN=x"])], &[by(&["spiffe://a"])]]);
    let of = |principal: Option<&'static str>| {
        let found = find(&table, |_| Some(Cow::Borrowed(principal?.as_bytes())));
        found.map(|(rule, _)| rule)
    };
    assert_eq!(table.attributes(), [Attribute::SourcePrincipal]);
    assert_eq!(of(Some("spiffe://a/b")), Some(0));
    assert_eq!(of(Some("CN=x")), Some(0));
    assert_eq!(of(Some("spiffe://a")), Some(1));
    assert_eq!(of(Some("spiffe://a/b/c")), None);
    assert_eq!(of(None), None);
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
        find(&table, |attribute| {
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
fn rules_that_stay_are_not_compiled_again() {
    let rules = |pattern: &str| vec![vec![vec![regex("a", pattern)]], vec![vec![]]];
    let before = of_alternatives(rules("x+"));
    let after = |pattern: &str| {
        let rules = rules(pattern).into_iter().zip(10..);
        RouteTable::renewed(rules, None, Some(&before)).expect("valid")
    };
    let target = |table: &RouteTable<usize>| {
        let value = |_| Some(Cow::Borrowed(b"xx".as_slice()));
        find(table, value).map(|(_, target)| *target)
    };

    let same = after("x+");
    assert!(Arc::ptr_eq(&same.rules, &before.rules));
    assert_eq!((target(&before), target(&same)), (Some(0), Some(10)));
    assert_eq!(target(&after("y+")), Some(11));
    let fewer = RouteTable::renewed([(vec![vec![]], 20)], None, Some(&before));
    assert_eq!(target(&fewer.expect("valid")), Some(20));
}

#[test]
fn what_was_compiled_for_all_threads_is_not_compiled_again() {
    let rules = |pattern: &str| vec![vec![vec![regex("a", pattern)]], vec![vec![]]];
    let compiled = std::thread::spawn(move || Conditions::new(rules("x+")).expect("valid"));
    let compiled = compiled.join().expect("no panic");
    let table = |pattern: &str| {
        let rules = rules(pattern).into_iter().zip(0..);
        RouteTable::renewed(rules, Some(&compiled), None).expect("valid")
    };
    assert!(Arc::ptr_eq(&table("x+").rules, &compiled.0));
    assert_eq!(select(&table("x+"), &[("a", "xx")]), Some(0));
    assert_eq!(select(&table("y+"), &[("a", "xx")]), Some(1));
    assert_eq!(select(&table("y+"), &[("a", "yy")]), Some(0));
}

#[test]
fn what_is_tried_alone_is_compiled_with_its_table() {
    let large = vec![vec![exact("b", "c"), regex("a", r"(\w{1000}){1000}")]];
    let rules = [vec![vec![regex("a", "x+")]], large];
    let refused = RouteTable::new(rules.into_iter().zip(0..)).expect_err("too large");
    assert_eq!(
        (refused.rule, refused.attribute.to_string()),
        (1, "a".into())
    );
    assert!(matches!(refused.reason, RegexRefusal::TooLarge { .. }));
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
        undecided: false,
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
