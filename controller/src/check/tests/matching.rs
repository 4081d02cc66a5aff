//! What `match` and `matches` can be, and cannot.

use super::super::run;
use crate::fixture::{Fixture, settings};

const MATCH: &str = "    match:\n      attributes:\n        method: {exact: sayHello}\n";

/// What is said of a router whose first route has these lines in the place of its `match`.
fn said(lines: &str) -> String {
    let fixture = Fixture::valid();
    fixture.edit("router.yaml", MATCH, lines);
    // What comes behind a route that takes everything is not the subject.
    if lines.contains("null") || lines.contains("{}") || lines.contains("- attributes: ~") {
        fixture.edit(
            "router.yaml",
            "  - name: rest\n",
            "  - name: rest\n    matches: [{attributes: {method: {}}}]\n",
        );
    }
    run(&fixture.paths(), settings()).to_string()
}

fn matcher(matcher: &str) -> String {
    said(&MATCH.replace("{exact: sayHello}", matcher))
}

/// A condition on an attribute, the code, line and column of what is said, and parts of the message
/// and of the remedy.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const ATTRIBUTES: [Row; 17] = [
    (
        "~",
        "InvalidValue",
        "11:9",
        "null",
        "write `{present: true}` for any value",
    ),
    (
        "{exact: ~}",
        "InvalidValue",
        "11:18",
        "null",
        "give it a value",
    ),
    (
        "{exact: x, invert: ~}",
        "InvalidValue",
        "11:28",
        "null",
        "give it a value",
    ),
    (
        "{invert: true}",
        "InvalidValue",
        "11:18",
        "nothing to act on",
        "add one of exact",
    ),
    (
        "{ignoreCase: true}",
        "InvalidValue",
        "11:18",
        "nothing to act on",
        "add one of exact",
    ),
    (
        "{regex: a, ignoreCase: true}",
        "InvalidValue",
        "11:28",
        "no effect on regex",
        "(?i)",
    ),
    (
        "{present: true, ignoreCase: true}",
        "InvalidValue",
        "11:33",
        "no effect",
        "remove it",
    ),
    (
        "{suffix: ''}",
        "InvalidValue",
        "11:26",
        "is empty",
        "{present: true}",
    ),
    (
        "{contains: ''}",
        "InvalidValue",
        "11:28",
        "is empty",
        "{present: true}",
    ),
    (
        "{range: {start: 5, end: 5}}",
        "InvalidValue",
        "11:41",
        "from 5 to 5",
        "above the start",
    ),
    (
        "{range: {start: 5}}",
        "MissingField",
        "11:25",
        "range.end",
        "add `end`",
    ),
    (
        "{range: {start: a, end: 9}}",
        "WrongType",
        "11:33",
        "whole number",
        "without quotes",
    ),
    (
        "{range: {start: 1, end: 9223372036854775808}}",
        "InvalidYaml",
        "11:41",
        "too large",
        "",
    ),
    (
        "{present: 'yes'}",
        "WrongType",
        "11:27",
        "true or false",
        "without quotes",
    ),
    (
        "{exact: a, suffix: b}",
        "InvalidValue",
        "11:9",
        "takes one of",
        "needs a regex",
    ),
    (
        "{sufix: b}",
        "UnknownField",
        "11:18",
        "did you mean `suffix`",
        "the fields here are",
    ),
    (
        "{regex: '[\\p{L}]{200}', invert: true}",
        "InvalidRegex",
        "11:25",
        "too large",
        "",
    ),
];

/// Each is one error at the place given by line and column, with a part of its remedy.
#[test]
fn what_no_attribute_can_be() {
    for (written, code, place, message, remedy) in ATTRIBUTES {
        let text = matcher(written);
        assert!(
            text.contains("3 objects: 1 error, 0 warnings"),
            "{written}: {text}"
        );
        for part in [
            &format!("error[{code}]"),
            &format!("router.yaml:{place}\n"),
            message,
            remedy,
        ] {
            assert!(text.contains(part), "{written}, {part}: {text}");
        }
    }
}

#[test]
fn what_no_alternative_can_be() {
    let rows = [
        ("    matches: []\n", "lists no alternative", "leave it out"),
        (
            "    match: {attributes: {method: {exact: a}}}\n    matches: [{attributes: {method: {exact: b}}}]\n",
            "one of `match` and `matches`",
            "as one of `matches`",
        ),
        (
            "    match: {attributes: {method: {exact: a}}, source: {namespace: a}}\n",
            "unknown field `match.source`",
            "write `matches: ",
        ),
        (
            "    matches: [{source: {}}]\n",
            "names nothing",
            "name a namespace",
        ),
        (
            "    matches: [{source: {labels: {}}}]\n",
            "names no label",
            "name a namespace",
        ),
        (
            "    matches: [{source: {namespace: ~}}]\n",
            "null",
            "give it a value",
        ),
        (
            "    matches: [{source: ~}]\n",
            "names nothing",
            "name a namespace",
        ),
        (
            "    matches: [{source: {locality: a/b/c/d}}]\n",
            "not a locality",
            "region/zone",
        ),
        (
            "    matches: [{source: {gateway: a//b}}]\n",
            "not a gateway's name",
            "namespace/name",
        ),
        (
            "    matches: [{source: {gateway: other}}]\n",
            "to which this MetaRouter is not attached",
            "it is attached to default/edge/",
        ),
    ];
    for (written, message, remedy) in rows {
        let text = said(written);
        assert!(text.contains("3 objects: 1 error,"), "{written}: {text}");
        for part in ["error[", "router.yaml:", message, remedy] {
            assert!(text.contains(part), "{written}, {part}: {text}");
        }
    }
}

#[test]
fn what_matches_everything_is_said() {
    for written in [
        "    match: null\n",
        "    match: {}\n",
        "    match: {attributes: {}}\n",
        "    match: {attributes: null}\n",
        "    matches: null\n",
        "    matches: [{}]\n",
        "    matches: [{attributes: {method: {exact: a}}}, {attributes: {}}]\n",
        "    matches:\n    - attributes: {method: {exact: a}}\n    - attributes: ~\n",
    ] {
        let text = said(written);
        assert!(
            text.contains("warning[MatchesEverything]"),
            "{written}: {text}"
        );
        assert!(text.contains("0 errors"), "{written}: {text}");
    }
    assert!(said("").contains("earlier one takes them all"));
    assert!(!said("").contains("MatchesEverything"));
}

#[test]
fn a_namespace_that_may_be_proven_is_no_mistake() {
    let said = |source: &str| {
        let fixture = Fixture::valid();
        let tls = "tls: {mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /ca}";
        fixture.edit("gateway.yaml", "{port", &format!("{{{tls}, port"));
        let by_source = format!("    matches: [{{source: {source}}}]\n");
        fixture.edit("router.yaml", MATCH, &by_source);
        run(&fixture.paths(), settings()).to_string()
    };
    for (source, is_met) in [
        ("{namespace: other}", true),
        ("{namespace: other, labels: {version: v1}}", true),
        // Labels are those of the address all the same.
        ("{namespace: other, labels: {version: v3}}", false),
    ] {
        let text = said(source);
        assert_eq!(!text.contains("UnknownSource"), is_met, "{source}: {text}");
        assert!(text.contains("0 errors"), "{source}: {text}");
    }
}

/// The fixture's endpoints are 10.0.0.1 (eu/a, v1) and 10.0.0.2 (eu/b, v2), of `default`.
#[test]
fn sources_that_nobody_is() {
    let rows = [
        (
            "{principal: cluster.local/ns/a/sa/b}",
            Some("IdentityUnavailable"),
        ),
        ("{namespace: other}", Some("UnknownSource")),
        ("{labels: {version: v3}}", Some("UnknownSource")),
        (
            "{labels: {version: v1}, locality: eu/b}",
            Some("UnknownSource"),
        ),
        ("{locality: us}", Some("UnknownSource")),
        ("{labels: {version: v1}, locality: eu}", None),
        ("{namespace: default, locality: eu/a}", None),
        ("{gateway: edge}", None),
        ("{gateway: default/edge/tcp-metaprotocol-dubbo}", None),
    ];
    for (source, code) in rows {
        let text = said(&format!("    matches: [{{source: {source}}}]\n"));
        let Some(code) = code else {
            assert!(
                !text.contains("Source") && !text.contains("Matches"),
                "{source}: {text}"
            );
            continue;
        };
        for part in [
            &format!("warning[{code}]"),
            "router.yaml:9:",
            "acts only where",
        ] {
            assert!(text.contains(part), "{source}, {part}: {text}");
        }
    }
}

#[test]
fn of_a_long_expression_the_front_is_shown() {
    let said = matcher(&format!("{{regex: '{}('}}", "a".repeat(5000)));
    assert!(said.contains("aaa…` is no regular expression"), "{said}");
    assert!(!said.contains(&"a".repeat(500)), "{said}");
}
