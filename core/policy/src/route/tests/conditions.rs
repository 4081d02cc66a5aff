//! Single conditions: what holds, what is absent, what is inverted.

use super::*;

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
    let table = table(&[&[prefix("a", "x")], &[regex("a", r"\C\C")]]);
    let of = |value: &'static [u8]| find(&table, |_| Some(Cow::Borrowed(value))).map(|(r, _)| r);
    assert_eq!(of(b"x\xff"), Some(0));
    assert_eq!(of(b"\xff\xff"), Some(1));
    assert_eq!(of(b"\xfe"), None);
}
