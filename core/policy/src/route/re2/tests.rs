use crate::route::{Condition, matcher::Matcher, validate};

fn matches(pattern: &str, value: &[u8]) -> bool {
    let condition = Condition::Regex(pattern.to_owned());
    Matcher::new(&condition)
        .expect("an expression of RE2's")
        .holds(value)
        .expect("few steps")
}

#[test]
fn expressions_mean_what_they_mean_in_re2() {
    let rows: [(&str, &[&str], &[&str]); 30] = [
        (r"\d+", &["12"], &["٣", "x"]),
        (r"\D", &["٣", "x"], &["3"]),
        (r"\w+", &["aZ_9"], &["é", "-"]),
        (r"\s", &[" ", "\t"], &["\u{b}", "\u{a0}"]),
        (r"\S", &["\u{b}", "\u{a0}"], &[" "]),
        (r"é\b.", &["éa"], &["é "]),
        (r"a\b.", &["aé", "a "], &["ab"]),
        (r"[\d.]+", &["1.2"], &["٣"]),
        (r"[^\W]", &["a"], &["é", "-"]),
        (r"[\W]", &["é", "-"], &["a"]),
        (r"[\p{^Greek}]", &["a"], &["α"]),
        (r"\p{^Greek}|\pN", &["a", "٣"], &["α"]),
        (r"\p{Greek}\PN", &["αa"], &["α1"]),
        // Characters of a class, and no class within a class.
        ("[[a]+", &["[a[", "a"], &["b"]),
        ("[a-c&&[^b]]", &["a]", "&]", "^]", "[]"], &["a", "d]"]),
        ("[a~~b]", &["a", "b", "~"], &["c"]),
        ("[--/]+", &["-./"], &["0"]),
        ("[+--]+", &["+,-"], &["."]),
        ("[]a]+", &["]a"], &["["]),
        ("[^]a]", &["["], &["]", "a"]),
        ("[a-c-e]+", &["abc-e"], &["d"]),
        (r"[\d-z]+", &["1-z"], &["y"]),
        ("[[:alpha:][:^ascii:]_]+", &["a_é"], &["1"]),
        // Texts, numbers and braces.
        (r"\Qa.b(\E+", &["a.b((", "a.b("], &["axb("]),
        (r"\Qa|b", &["a|b"], &["a"]),
        (r"\101\x42\x{43}\0", &["ABC\0"], &["ABC"]),
        ("a{,2}{b}|{|a{2,3}", &["a{,2}{b}", "{", "aa"], &["", "a"]),
        // One repetition behind another is none of its kind where something is between them.
        ("a*?b??c+?d{2}?", &["aabcdd", "cdd"], &["cd"]),
        (
            r"(a*)*(?:b?)+c*{x[*+]*\*+?",
            &["aabbcc{x*+*", "{x*"],
            &["{x"],
        ),
        (r"\_\<\-(?P<n>a)(?i)B", &["_<-ab", "_<-aB"], &["_<-Ab"]),
    ];
    for (pattern, these, not_those) in rows {
        for value in these {
            assert!(matches(pattern, value.as_bytes()), "{pattern} {value:?}");
        }
        for value in not_those {
            assert!(!matches(pattern, value.as_bytes()), "{pattern} {value:?}");
        }
    }
    assert!(matches(r"a\C", b"a\xff") && !matches("a.", b"a\xff"));
}

#[test]
fn what_re2_does_not_have_is_refused() {
    for (pattern, expected) in [
        ("(?x) a b # c", "there is no flag `x`"),
        ("(?u:a)", "there is no flag `u`"),
        (r"(a)\1", "backreferences are not supported"),
        (r"\u0041", r"`\u` means nothing"),
        (r"[\q]", r"`\q` means nothing"),
        (
            r"\x4",
            r"`\x` takes two hexadecimal digits, or some in braces",
        ),
        (r"\x{110000}", "there is no character 0x110000"),
        ("[[:foo:]]", "there is no class `[:foo:]`"),
        ("a**", "bad repetition operator: **"),
        ("a*+", "bad repetition operator: *+"),
        ("(ab)++", "bad repetition operator: ++"),
        ("[a]?+", "bad repetition operator: ?+"),
        ("a??*", "bad repetition operator: ??*"),
        ("a*??", "bad repetition operator: *??"),
        (r"\d{2}*?b", "bad repetition operator: {2}*?"),
        ("a+{2,3}", "bad repetition operator: +{2,3}"),
        ("a{2,}?{3}?", "bad repetition operator: {2,}?{3}?"),
        ("a{1001}", "nothing is repeated more than 1000 times"),
        ("[a", "unclosed character class"),
        ("[", "unclosed character class"),
        (
            r"a\",
            "incomplete escape sequence, reached end of pattern prematurely",
        ),
        ("a)|(b", "unopened group"),
        (r"\pX", "Unicode property not found"),
    ] {
        let refusal = validate(&Condition::Regex(pattern.to_owned())).expect_err(pattern);
        let expected = format!("invalid regular expression `{pattern}`: {expected}");
        assert_eq!(refusal.to_string(), expected);
    }
}

#[test]
fn classes_of_ascii_stay_small() {
    let condition = Condition::Regex(r"\w{1,200}(\.\w{1,200}){0,3}:\d{1,5}".to_owned());
    assert_eq!(validate(&condition), Ok(()));
}
