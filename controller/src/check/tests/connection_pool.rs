//! What `connectionPool` and `circuitBreaker` do not take.

use super::super::run;
use crate::fixture::{Fixture, RULE, settings};

/// A `connectionPool`, what is said of it, and what stands there.
const ERRORS: &[(&str, &str, &str)] = &[
    (
        "{tcp: {maxConnections: -1}}",
        "must be from 1 to 2147483647, not -1",
        "-1",
    ),
    (
        "{http: {http2MaxRequests: 2147483648}}",
        "must be from 1 to 2147483647, not 2147483648",
        "2147",
    ),
    (
        "{http: {http1MaxPendingRequests: -1}}",
        "`connectionPool.http.http1MaxPendingRequests` must be from 1",
        "-1",
    ),
    (
        "{http: {maxRetries: -1}}",
        "`connectionPool.http.maxRetries` must be from 1",
        "-1",
    ),
    (
        "{http: {maxRequestsPerConnection: -1}}",
        "must be from 0 to 536870912, not -1",
        "-1",
    ),
    (
        "{http: {maxRequestsPerConnection: 536870913}}",
        "must be from 0 to 536870912, not 536870913",
        "536",
    ),
    (
        "{http: {idleTimeout: 0s}}",
        "`connectionPool.http.idleTimeout` is not a duration of at least 1ms",
        "0s",
    ),
    (
        "{tcp: {maxConnectionDuration: -1s}}",
        "`connectionPool.tcp.maxConnectionDuration` is not a duration",
        "-1s",
    ),
    (
        "{tcp: {tcpKeepalive: {probes: 128}}}",
        "`tcpKeepalive.probes` must be from 0 to 127, not 128",
        "128",
    ),
    (
        "{tcp: {tcpKeepalive: {interval: 32768s}}}",
        "`tcpKeepalive.interval` must be at most 32767s",
        "32768s",
    ),
    (
        "{tcp: {maxConnections: many}}",
        "must be a whole number",
        "many",
    ),
    (
        "{tcp: {maxConnection: 1}}",
        "did you mean `maxConnections`?",
        "maxC",
    ),
    (
        "{http: {maxRequests: 1}}",
        "unknown field `connectionPool.http.maxRequests`",
        "maxR",
    ),
];

fn with(pool: &str) -> Fixture {
    let fixture = Fixture::valid();
    let text = RULE.replace(
        "    outlierDetection",
        &format!("    connectionPool: {pool}\n    outlierDetection"),
    );
    fixture.write("rule.yaml", &text);
    fixture
}

#[test]
fn what_is_no_bound_is_an_error_with_its_place_and_a_remedy() {
    for (pool, expected, spot) in ERRORS {
        let fixture = with(pool);
        let report = run(&fixture.paths(), settings());
        let text = fixture.anonymous(&report.to_string());
        assert_eq!(
            (report.errors(), report.warnings()),
            (1, 0),
            "{pool}: {text}"
        );
        assert!(text.contains(expected), "{pool}: {text}");
        let column = "    connectionPool: ".len() + 1 + pool.find(spot).unwrap();
        let place = format!("--> rule.yaml:7:{column}\n");
        assert!(text.contains(&place), "{pool}: {place}: {text}");
        assert!(text.contains("help"), "{pool}: {text}");
    }
}

#[test]
fn what_is_in_force_is_not_mentioned() {
    let all = "{tcp: {maxConnections: 1, connectTimeout: 1s, tcpKeepalive: {probes: 1, time: 1s, interval: 1s}, \
               idleTimeout: 1m, maxConnectionDuration: 1h}, http: {http1MaxPendingRequests: 1, \
               http2MaxRequests: 1, maxRequestsPerConnection: 0, maxRetries: 1, idleTimeout: 1s}}";
    let report = run(&with(all).paths(), settings());
    assert_eq!(report.to_string(), "4 objects: 0 errors, 0 warnings");
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let of_http = [
        "h2UpgradePolicy: UPGRADE",
        "useClientProtocol: true",
        "maxConcurrentStreams: 1",
    ];
    for field in of_http {
        let report = run(&with(&format!("{{http: {{{field}}}}}")).paths(), settings());
        assert_eq!((report.errors(), report.warnings()), (0, 1), "{report}");
    }
    let none = "{tcp: {maxConnections: 0}, http: {http2MaxRequests: 0}}";
    let report = run(&with(none).paths(), settings());
    assert_eq!((report.errors(), report.warnings()), (0, 2), "{report}");
    let budget = "{http: {maxRetries: 3}}\n    retryBudget: {percent: 10}";
    let report = run(&with(budget).paths(), settings());
    assert_eq!((report.errors(), report.warnings()), (0, 1), "{report}");
    assert!(
        report.to_string().contains("`retryBudget` counts"),
        "{report}"
    );
}

#[test]
fn a_routes_breaker_has_a_bound() {
    for (breaker, expected) in [
        (
            "{maxRequests: 0}",
            "`circuitBreaker.maxRequests` must be from 1",
        ),
        ("{}", "`circuitBreaker.maxRequests` is missing"),
        (
            "{maxConnections: 1}",
            "unknown field `circuitBreaker.maxConnections`",
        ),
    ] {
        let fixture = Fixture::valid();
        let to = format!("  - name: hello\n    circuitBreaker: {breaker}");
        fixture.edit("router.yaml", "  - name: hello", &to);
        let report = run(&fixture.paths(), settings());
        assert!(report.errors() > 0, "{breaker}");
        assert!(report.to_string().contains(expected), "{breaker}: {report}");
    }
}
