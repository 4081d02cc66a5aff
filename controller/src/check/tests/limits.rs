//! Rate limits and faults that cannot be meant.

use super::super::run;
use crate::fixture::{Fixture, settings};

fn said(fixture: &Fixture) -> String {
    fixture.anonymous(&run(&fixture.paths(), settings()).to_string())
}

/// What is said of a limit, on the sixth line.
fn of_limit(limit: &str) -> String {
    let fixture = Fixture::valid();
    let text = format!("  localRateLimit: {limit}\n  gateways:");
    fixture.edit("router.yaml", "  gateways:", &text);
    said(&fixture)
}

/// What is said of a fault, on the ninth line.
fn of_fault(fault: &str) -> String {
    let fixture = Fixture::valid();
    let text = format!("  - name: hello\n    fault: {fault}");
    fixture.edit("router.yaml", "  - name: hello", &text);
    said(&fixture)
}

const GOOD: &str = "{maxTokens: 5, tokensPerFill: 5, fillInterval: 10ms}";

#[test]
fn limits_that_can_be_meant_have_no_findings() {
    for limit in [
        format!("{{tokenBucket: {GOOD}}}"),
        "{tokenBucket: {maxTokens: 4294967295, tokensPerFill: 1, fillInterval: 876000h}}".into(),
        format!(
            "{{conditions: [{{match: {{attributes: {{method: {{exact: a}}}}}}, tokenBucket: {GOOD}}}]}}"
        ),
        format!(
            "{{tokenBucket: {GOOD}, conditions: [{{matches: [{{attributes: {{lane: {{present: true}}}}}}], tokenBucket: {GOOD}}}]}}"
        ),
    ] {
        assert_eq!(
            of_limit(&limit),
            "4 objects: 0 errors, 0 warnings",
            "{limit}"
        );
    }
}

/// What is written, where in it the mistake is, and parts of what is said of it.
type Row = (&'static str, &'static str, &'static str, &'static str);

const LIMITS: [Row; 13] = [
    (
        "{}",
        "{",
        "it has no bucket",
        "add `tokenBucket`, or `conditions`",
    ),
    (
        "{conditions: []}",
        "{",
        "it has no bucket",
        "add `tokenBucket`",
    ),
    (
        "{tokenBucket: {maxTokens: 0, tokensPerFill: 1, fillInterval: 1s}}",
        "0,",
        "`tokenBucket.maxTokens` must be from 1 to 4294967295, not 0",
        "within these bounds",
    ),
    (
        "{tokenBucket: {maxTokens: 1, tokensPerFill: -1, fillInterval: 1s}}",
        "-1",
        "`tokenBucket.tokensPerFill` must be from 1",
        "within these bounds",
    ),
    (
        "{tokenBucket: {maxTokens: 1, tokensPerFill: 1, fillInterval: 0s}}",
        "0s",
        "not a duration of at least 1ms",
        "as in `10s`",
    ),
    (
        "{tokenBucket: {maxTokens: 1, tokensPerFill: 2000000, fillInterval: 1ms}}",
        "fillInterval",
        "more than one token a nanosecond is no limit",
        "leave the limit out",
    ),
    (
        "{tokenBucket: {maxTokens: 1, tokensPerFill: 1, fillInterval: 900000h}}",
        "fillInterval",
        "must not be above 100 years",
        "give a shorter `fillInterval`",
    ),
    (
        "{tokenBucket: {maxTokens: 1, fillInterval: 1s}}",
        "{maxTokens",
        "`tokenBucket.tokensPerFill` is missing",
        "add `tokensPerFill` to `tokenBucket`",
    ),
    (
        "{conditions: [{tokenBucket: GOOD}]}",
        "{tokenBucket",
        "`conditions.match` is missing",
        "add `match` to `conditions`",
    ),
    (
        "{conditions: [{match: {attributes: {method: {exact: a}}}}]}",
        "{match",
        "`conditions.tokenBucket` is missing",
        "add `tokenBucket` to `conditions`",
    ),
    (
        "{conditions: [{match: {attributes: {metod: {exact: a}}}, tokenBucket: GOOD}]}",
        "metod",
        "unknown attribute `metod` of protocol dubbo; did you mean `method`?",
        "its attributes are",
    ),
    (
        "{conditions: [{match: {attributes: {method: {regex: '('}}}, tokenBucket: GOOD}]}",
        "'('",
        "is no regular expression",
        "RE2's syntax",
    ),
    (
        "{tokenBuckets: {}}",
        "tokenBuckets",
        "unknown field `localRateLimit.tokenBuckets`; did you mean `tokenBucket`?",
        "the fields here are",
    ),
];

#[test]
fn every_mistake_in_a_limit_is_told_with_its_place_and_what_to_do() {
    for (limit, place, message, remedy) in LIMITS {
        let report = of_limit(&limit.replace("GOOD", GOOD));
        let column = "  localRateLimit: ".len() + limit.find(place).unwrap() + 1;
        for part in [&format!("router.yaml:6:{column}"), message, remedy] {
            assert!(report.contains(part), "{limit}: no {part:?} in {report}");
        }
    }
}

#[test]
fn a_bucket_that_no_request_gets_to_is_told() {
    let all = format!("{{match: {{}}, tokenBucket: {GOOD}}}");
    let report = of_limit(&format!("{{conditions: [{all}], tokenBucket: {GOOD}}}"));
    assert!(report.contains("[MatchesEverything]"), "{report}");
    assert!(
        report.contains("[DeadRoute]: no request gets to this bucket"),
        "{report}"
    );
    let one = "attributes: {method: {prefix: a}}";
    let other = "attributes: {method: {exact: ab}}";
    let report = of_limit(&format!(
        "{{conditions: [{{match: {{{one}}}, tokenBucket: {GOOD}}}, {{match: {{{other}}}, tokenBucket: {GOOD}}}]}}"
    ));
    assert!(report.contains("0 errors, 1 warning"), "{report}");
    assert!(
        report.contains("no request gets to this bucket"),
        "{report}"
    );
}

const FAULTS: [Row; 9] = [
    ("{}", "{}", "neither `delay` nor `abort`", "add one of them"),
    (
        "{abort: {percentage: {value: 1}, httpStatus: 503}}",
        "httpStatus",
        "unknown field `fault.abort.httpStatus`",
        "name what the client is told in `status`",
    ),
    (
        "{abort: {percentage: {value: 1}, grpcStatus: UNAVAILABLE}}",
        "grpcStatus",
        "unknown field `fault.abort.grpcStatus`",
        "such as `overloaded`",
    ),
    (
        "{abort: {percentage: {value: 101}}}",
        "101",
        "must be from 0 to 100, not 101",
        "within these bounds",
    ),
    (
        "{abort: {percentage: {value: 1}, status: overload}}",
        "overload}",
        "does not take `overload`; did you mean `overloaded`?",
        "it takes fault-injected",
    ),
    (
        "{delay: {percentage: {value: 1}}}",
        "{percentage",
        "`fault.delay.fixedDelay` is missing",
        "add `fixedDelay`",
    ),
    (
        "{delay: {fixedDelay: 1s}}",
        "{fixedDelay",
        "`fault.delay.percentage` is missing",
        "add `percentage`",
    ),
    (
        "{delay: {percent: 5, fixedDelay: 1s}}",
        "percent:",
        "unknown field `fault.delay.percent`",
        "write `percentage: {value: …}`",
    ),
    (
        "{delay: {percentage: {value: 1}, fixedDelay: -1s}}",
        "-1s",
        "is not a duration",
        "as in `10s`",
    ),
];

#[test]
fn every_mistake_in_a_fault_is_told_with_its_place_and_what_to_do() {
    let delay = "delay: {percentage: {value: 5}, fixedDelay: 5s}";
    let both = format!("{{{delay}, abort: {{percentage: {{value: 0.1}}, status: denied}}}}");
    for good in [
        both,
        format!("{{{delay}}}"),
        "{abort: {percentage: {value: 100}}}".into(),
    ] {
        assert_eq!(of_fault(&good), "4 objects: 0 errors, 0 warnings", "{good}");
    }
    for (fault, place, message, remedy) in FAULTS {
        let report = of_fault(fault);
        let column = "    fault: ".len() + fault.find(place).unwrap() + 1;
        for part in [&format!("router.yaml:9:{column}"), message, remedy] {
            assert!(report.contains(part), "{fault}: no {part:?} in {report}");
        }
    }
}
