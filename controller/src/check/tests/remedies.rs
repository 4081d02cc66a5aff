//! Every error says what to do, and where something is listed, what there is.

use super::super::run;
use crate::fixture::{Fixture, ROUTER, settings};

/// A file, what is replaced in it and by what, and a part of the remedy.
type Row = (&'static str, &'static str, &'static str, &'static str);

const ROWS: [Row; 49] = [
    (
        "router.yaml",
        ROUTER,
        "hello\n",
        "give it `apiVersion`, `kind` and `metadata.name`",
    ),
    (
        "router.yaml",
        "{name: greeter}",
        "{}",
        "add `name` to `metadata`",
    ),
    (
        "router.yaml",
        "kind: MetaRouter\n",
        "",
        "add `kind` to the manifest",
    ),
    (
        "router.yaml",
        "host: greeter.shop, subset: v1",
        "subset: v1",
        "add `host` to `destination`",
    ),
    (
        "router.yaml",
        "hosts: [greeter.shop]",
        "hosts: greeter.shop",
        "write it as a list",
    ),
    (
        "router.yaml",
        "{exact: sayHello}",
        "[a]",
        "write it as a mapping",
    ),
    (
        "router.yaml",
        "{exact: sayHello}",
        "{exact: [a]}",
        "write a single text",
    ),
    (
        "router.yaml",
        "{exact: sayHello}",
        "{regex: ''}",
        "`{present: true}` for any value",
    ),
    (
        "router.yaml",
        "weight: 90",
        "weight: '90'",
        "write a number, without quotes",
    ),
    (
        "router.yaml",
        "weight: 90",
        "weight: 90.5",
        "write a number without a fraction",
    ),
    (
        "router.yaml",
        "weight: 90",
        "weight: 101",
        "within these bounds",
    ),
    (
        "router.yaml",
        "[edge]",
        "[egde]",
        "the Gateways are default/edge",
    ),
    (
        "router.yaml",
        "subset: v1",
        "subset: v9",
        "its subsets are v1, v2",
    ),
    (
        "router.yaml",
        "MetaRouter",
        "MetaRoute",
        "its kinds are ApplicationProtocol, MetaRouter",
    ),
    ("router.yaml", "[edge]", "&a [*a]", "write the value out"),
    ("router.yaml", "[edge]", "'edge", "close the quote"),
    ("router.yaml", "  gateways", "   gateways", "indentation"),
    (
        "rule.yaml",
        "    outlier",
        "    loadBalancer: {simple: RONUD_ROBIN}\n    outlier",
        "it takes LEAST",
    ),
    (
        "rule.yaml",
        "    outlier",
        "    tls: {mode: ISTIO_MUTAUL}\n    outlier",
        "it takes DISABLE, SIMPLE",
    ),
    ("rule.yaml", "name: v2", "name: v1", "a name of its own"),
    (
        "rule.yaml",
        "consecutive5xxErrors: 3",
        "interval: ''",
        "as in `10s`",
    ),
    ("service.yaml", "STATIC", "STATICC", "it takes STATIC, NONE"),
    (
        "service.yaml",
        "  resolution",
        "  - {number: 20880, name: x}\n  resolution",
        "a number of its own",
    ),
    (
        "service.yaml",
        "  resolution",
        "  workloadSelector: {labels: {a: b}}\n  resolution",
        "remove the other",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - retries: {attempts: 2, retryOn: 'timeout,resets'}\n    name: hello",
        "connect-failure",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - retries: {retryOn: timeout}\n    name: hello",
        "add `attempts` to `retries`",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - {timeout: 1s, retries: {attempts: 1, perTryTimeout: 2s}, name: hello}\n  - name: hello",
        "make it shorter than `timeout`",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - {hedge: {}, name: hello}\n  - name: hello",
        "add `delay` to `hedge`",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - {timeout: 1s, hedge: {delay: 1s}, name: hello}\n  - name: hello",
        "make it shorter than `timeout`, such as",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - timeout: 0s\n    name: hello",
        "write a number with h, m, s or ms",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - timeout: 5\n    name: hello",
        "write a number with h, m, s or ms",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - mirror: {host: greeter.shop}\n    mirrorPercentage: {value: .nan}\n    name: hello",
        "write a number",
    ),
    (
        "router.yaml",
        "    match:\n      attributes:\n        method: {exact: sayHello}\n",
        "    matches: [{source: {locality: 'eu/*'}}]\n",
        "what is left out is any",
    ),
    (
        "rule.yaml",
        "    outlierDetection: {consecutive5xxErrors: 3}",
        "    retryBudget: {percent: 120}",
        "write a number within these bounds",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - mirror: {host: greeter.shop}\n    mirrorPercentage: {value: 101}\n    name: hello",
        "write a number within these bounds",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - mirrorPercentage: {value: 10}\n    name: hello",
        "name who gets the copies in `mirror`",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - mirrors: []\n    mirrorPercentage: {value: 10}\n    name: hello",
        "write `percentage` beside each `destination`",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - mirror: {host: greeter.shop}\n    mirrors: [{destination: {host: greeter.shop}}]\n    name: hello",
        "write the one of `mirror` into `mirrors`",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - mirror: {host: greeter.shop, subset: v3}\n    name: hello",
        "its subsets are v1, v2",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - mirrors: [{percentage: {value: 1}}]\n    name: hello",
        "add `destination` to `mirrors`",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - requestMutation: [{key: lane}]\n    name: hello",
        "add `value` to `requestMutation`",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - responseMutation: [{key: '', value: a}]\n    name: hello",
        "give it a value",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - requestMutation: [{key: lane, value: a, remove: true}]\n    name: hello",
        "leave out one of `value` and `remove`",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - requestMutation: [{key: lane, value: '${method'}]\n    name: hello",
        "or `$${` for `${` itself",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - requestMutation: [{key: lane, value: 'a${}'}]\n    name: hello",
        "as in `${method}`",
    ),
    (
        "router.yaml",
        "  - name: hello",
        "  - responseMutation: [{key: lane, value: '${metod}'}]\n    name: hello",
        "its attributes are interface, method",
    ),
    (
        "router.yaml",
        "    - destination: {host: greeter.shop, subset: v2}\n  - name",
        "    - destination: {host: greeter.shop, subset: v2}\n      fallback: [{host: greeter, subset: v1}, {host: greeter.shop, subset: v2}]\n  - name",
        "name another host, subset or port",
    ),
    (
        "router.yaml",
        "    - destination: {host: greeter.shop, subset: v2}\n  - name",
        "    - destination: {host: greeter.shop, subset: v2}\n      fallback: [{host: greeter.shop, subset: v3}]\n  - name",
        "its subsets are v1, v2",
    ),
    (
        "router.yaml",
        "    - destination: {host: greeter.shop, subset: v2}\n  - name",
        "    - destination: {host: greeter.shop, subset: v2}\n      fallback: [{subset: v1}]\n  - name",
        "add `host` to `fallback`",
    ),
];

#[test]
fn every_error_says_what_to_do() {
    for (file, from, to, expected) in ROWS {
        let fixture = Fixture::valid();
        fixture.edit(file, from, to);
        let report = run(&fixture.paths(), settings());
        let errors = report.diagnostics.iter().filter(|d| d.is_error());
        let remedies: Option<Vec<_>> = errors.map(|d| d.remedy.as_deref()).collect();
        let remedies = remedies.expect(to);
        assert!(
            remedies.iter().any(|r| r.contains(expected)),
            "{to}: {report}"
        );
    }
}

#[test]
fn what_is_no_mapping_is_said_once() {
    let fixture = Fixture::valid();
    let to = "host: greeter.shop, port: 20880, subset: v1";
    fixture.edit("router.yaml", "host: greeter.shop, subset: v1", to);
    let said = run(&fixture.paths(), settings()).to_string();
    assert!(said.contains("must be a mapping, not a number"), "{said}");
    assert!(!said.contains("is missing"), "{said}");
}

#[test]
fn fallbacks_that_are_asked_already_are_said() {
    let said = |route: &str| {
        let fixture = Fixture::valid();
        let from = "    - destination: {host: greeter.shop, subset: v2}\n  - name";
        fixture.edit("router.yaml", from, &format!("{route}\n  - name"));
        run(&fixture.paths(), settings()).to_string()
    };
    let to = "    - destination: {host: greeter.shop, subset: v2}";
    let (v1, v2) = (
        "{host: greeter.shop, subset: v1}",
        "{host: greeter.shop, subset: v2}",
    );
    let half = |fallback: &str| format!("{to}\n      weight: 50\n      fallback: [{fallback}]");
    for (route, expected) in [
        (
            format!("{to}\n      fallback: [{v1}, {v2}]"),
            &[
                "the fallback outbound|20880|v2|greeter.shop is the destination that it stands in for",
                "name another host, subset or port",
            ][..],
        ),
        (
            format!(
                "{to}\n      fallback: [{v1}, {{host: greeter.shop, subset: v1, port: {{number: 20880}}}}]"
            ),
            &[
                "the fallback outbound|20880|v1|greeter.shop is listed twice",
                "it is the fallback number 1 of the list already",
            ],
        ),
        (
            format!("{}\n{}", half(v1), half("{host: greeter.shop}")),
            &[
                "no effect: the route lists outbound|20880|v2|greeter.shop before, with another",
                "list the destination once, with the sum of its weights",
            ],
        ),
        (
            format!("{}\n{}", half(v1), half(v1)),
            &["0 errors, 0 warnings"],
        ),
    ] {
        let said = said(&route);
        for expected in expected {
            assert!(said.contains(expected), "{route}: {said}");
        }
    }
}

#[test]
fn what_has_no_effect_under_a_mode_is_said() {
    const RULE: &str = "    outlierDetection: {consecutive5xxErrors: 3}";
    let said = |policy: &str| {
        let fixture = Fixture::valid();
        fixture.edit("rule.yaml", RULE, policy);
        run(&fixture.paths(), settings()).to_string()
    };
    for (policy, expected) in [
        (
            "    outlierDetection: {}\n    tls: {mode: DISABLE, sni: a.b}",
            &[
                "`tls.sni` has no effect: the mode is DISABLE",
                ":8:26",
                "remove it, or set `mode: SIMPLE`",
            ][..],
        ),
        (
            "    outlierDetection: {}\n    tls: {mode: DISABLE, caCertificates: /ca, subjectAltNames: [a.b]}",
            &[
                "`tls.caCertificates` has",
                "`tls.subjectAltNames` has",
                "2 warnings",
            ],
        ),
        (
            "    outlierDetection: {}\n    tls: {mode: DISABLE, sni: '', subjectAltNames: [], insecureSkipVerify: false}",
            &["0 errors, 0 warnings"],
        ),
        (
            "    outlierDetection: {consecutiveErrors: 7}",
            &[
                "`outlierDetection.consecutiveErrors` has no effect, as in Istio",
                ":7:24",
                "write `consecutive5xxErrors: 7` in its place",
            ],
        ),
        (
            "    outlierDetection: {consecutive5xxErrors: 3, consecutiveErrors: 7}",
            &["remove it: `consecutive5xxErrors` counts", "1 warning"],
        ),
        (
            "    outlierDetection: {consecutiveGatewayErrors: 5}",
            &[
                "`outlierDetection.consecutiveGatewayErrors` has no effect: 5 errors of any kind",
                "make it less than `consecutive5xxErrors`",
            ],
        ),
        (
            "    outlierDetection: {consecutiveGatewayErrors: 5, consecutive5xxErrors: 0}",
            &["0 errors, 0 warnings"],
        ),
        (
            "    loadBalancer: {localityLbSetting: {enabled: false, failover: [{from: a, to: b}]}}",
            &["`localityLbSetting.failover` has no effect: `enabled` is false"],
        ),
    ] {
        let said = said(policy);
        for expected in expected {
            assert!(said.contains(expected), "{policy}: {said}");
        }
    }
}

#[test]
fn what_has_no_effect_beside_something_else_is_said() {
    let said = |file, from, to: &str| {
        let fixture = Fixture::valid();
        fixture.edit(file, from, to);
        run(&fixture.paths(), settings()).to_string()
    };
    let balancer = |text: &str| {
        let rule = "    outlierDetection: {consecutive5xxErrors: 3}";
        said(
            "rule.yaml",
            rule,
            &format!("{rule}\n    loadBalancer: {{{text}}}"),
        )
    };
    let retries = |text: &str| {
        let route =
            format!("  - {{retries: {{attempts: 1, {text}}}, name: hello}}\n  - name: hello");
        said("router.yaml", "  - name: hello", &route.replace(", name", ", route: [{destination: {host: greeter.shop, subset: v1}}], match: {attributes: {method: {exact: a}}}, name"))
    };
    for (said, expected) in [
        (
            balancer("simple: RANDOM, warmup: {duration: 1s}"),
            "`loadBalancer.warmup` does not act beside RANDOM",
        ),
        (
            balancer("consistentHash: {maglev: {}}, warmupDurationSecs: 1s"),
            "`loadBalancer.warmupDurationSecs` does not act beside consistentHash",
        ),
        (
            balancer("simple: ROUND_ROBIN, warmup: {duration: 1s}"),
            "0 errors, 0 warnings",
        ),
        (balancer("warmup: {duration: 1s}"), "0 errors, 0 warnings"),
        (
            retries("retryOn: 'overloaded, timeout'"),
            "`timeout` in `retries.retryOn` has no effect",
        ),
        (
            retries("retryOn: timeout, perTryTimeout: 1s"),
            "0 errors, 0 warnings",
        ),
        (
            retries("retryOn: 'refused, reset-before-bytes'"),
            "0 errors, 0 warnings",
        ),
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}
