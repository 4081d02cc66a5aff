//! Rules and conditions that hide others.

use super::*;

#[test]
fn shadowed_rules_are_found() {
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
}

#[test]
fn of_very_many_rules_not_all_are_compared_with_all() {
    let exacts: Vec<_> = (0..20_000).map(|n| [exact("a", &n.to_string())]).collect();
    let mut rules: Vec<&[AttributeMatch]> = exacts.iter().map(|rule| &rule[..]).collect();
    let (wide, narrow) = ([prefix("a", "x")], [exact("a", "xy")]);
    let (several, twice) = ([regex("a", "7|8")], [exact("b", "y"), exact("a", "19999")]);
    rules.extend([&wide[..], &narrow, &several, &twice]);
    assert_eq!(found(&rules), [(20_001, 20_000), (20_003, 19_999)]);
}

#[test]
fn nor_are_those_that_ask_for_how_values_begin_or_match() {
    let many = 10_000;
    let prefixes = (0..many).map(|n| [prefix("a", &format!("{n}/"))]);
    let suffixes = (0..many).map(|n| [matching("b", Condition::Suffix(format!("/{n}").into()))]);
    // Each is a set of texts, or may be anything.
    let sets = (0..many).map(|n| [regex("c", &format!("{n}|x{n}"))]);
    let patterns = (0..many / 10).map(|n| [regex("d", &format!("{n}/.+"))]);
    let of_many = prefixes.chain(suffixes).chain(sets).chain(patterns);
    let rules: Vec<[AttributeMatch; 1]> = of_many.collect();
    let hidden = [
        [prefix("a", "7/8/")],
        [exact("b", "1/2/9999")],
        [exact("c", "x42")],
        [regex("d", "999/.+")],
        [exact("d", "3/4")],
    ];
    let rules: Vec<&[AttributeMatch]> = rules.iter().chain(&hidden).map(|it| &it[..]).collect();
    let last = rules.len() - hidden.len();
    let by = [7, many + 9_999, 2 * many + 42, 3 * many + 3];
    let [begins, ends, listed, pattern] = by;
    // The same expression far behind is looked for by itself.
    let expected = [
        (last, begins),
        (last + 1, ends),
        (last + 2, listed),
        (last + 3, 3 * many + 999),
        (last + 4, pattern),
    ];
    assert_eq!(found(&rules), expected);
}

#[test]
fn behind_the_first_hundreds_that_may_hide_a_rule_it_is_not_told() {
    // Which of these takes a value nothing tells but to try.
    let patterns: Vec<_> = (0..400).map(|n| [regex("a", &format!("{n}/.+"))]).collect();
    let (near, far) = ([exact("a", "7/x")], [exact("a", "399/x")]);
    let mut rules: Vec<&[AttributeMatch]> = patterns.iter().map(|it| &it[..]).collect();
    rules.extend([&near[..], &far]);
    assert_eq!(found(&rules), [(400, 7)]);
}

fn found(rules: &[&[AttributeMatch]]) -> Vec<(usize, usize)> {
    table(rules)
        .shadowed()
        .iter()
        .map(|s| (s.rule, s.by))
        .collect()
}

#[test]
fn a_condition_hides_another() {
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
