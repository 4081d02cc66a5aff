//! Global rate limits that cannot be meant.

use super::super::run;
use crate::fixture::{Fixture, settings};

const SERVICE: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ratelimit}
spec:
  hosts: [ratelimit.infra]
  ports: [PORTS]
  resolution: STATIC
  endpoints: [{address: 10.0.9.1}]
";

const GRPC: &str = "{number: 8081, name: grpc}";

/// What is said of a limit, on the sixth line.
fn of_limit(limit: &str, ports: &str) -> String {
    let fixture = Fixture::valid();
    fixture.write("ratelimit.yaml", &SERVICE.replace("PORTS", ports));
    let text = format!("  globalRateLimit: {limit}\n  gateways:");
    fixture.edit("router.yaml", "  gateways:", &text);
    fixture.anonymous(&run(&fixture.paths(), settings()).to_string())
}

const REST: &str = "descriptors: [{property: method, descriptorKey: method}]";

/// With this place of the service.
fn at(service: &str) -> String {
    format!("{{domain: shop, rateLimitService: {service}, {REST}}}")
}

#[test]
fn limits_that_can_be_meant_have_no_findings() {
    let named = "'outbound|8081||ratelimit.infra'";
    let all = format!(
        "{{domain: shop, match: {{attributes: {{method: {{exact: a}}}}}}, requestTimeout: 1ms, denyOnFail: true, rateLimitService: {named}, {REST}}}"
    );
    let two = "{domain: shop, matches: [{attributes: {lane: {present: true}}}], rateLimitService: 'ratelimit.infra:8081', descriptors: [{property: method, descriptorKey: a}, {property: lane, descriptorKey: a}]}".to_owned();
    for limit in [at(named), at("ratelimit.infra"), all, two] {
        let report = of_limit(&limit, GRPC);
        assert_eq!(report, "5 objects: 0 errors, 0 warnings", "{limit}");
    }
}

/// What is written, where in it the mistake is, and parts of what is said of it.
type Row = (&'static str, &'static str, &'static str, &'static str);

const LIMITS: [Row; 13] = [
    (
        "{rateLimitService: 'ratelimit.infra:8081', REST}",
        "{",
        "`globalRateLimit.domain` is missing",
        "add `domain` to `globalRateLimit`",
    ),
    (
        "{domain: shop, REST}",
        "{",
        "`globalRateLimit.rateLimitService` is missing",
        "add `rateLimitService`",
    ),
    (
        "{domain: '', rateLimitService: 'ratelimit.infra:8081', REST}",
        "''",
        "`globalRateLimit.domain` is empty",
        "give it a value",
    ),
    (
        "{domain: shop, rateLimitService: 'ratelimit.infra:8081'}",
        "{",
        "has no `descriptors`",
        "{property: method, descriptorKey: method}",
    ),
    (
        "{domain: shop, rateLimitService: 'ratelimit.infra:8081', descriptors: []}",
        "descriptors",
        "there is nothing to count by",
        "list what is counted",
    ),
    (
        "{domain: shop, rateLimitService: 'ratelimit.infra:8081', descriptors: [{property: method}]}",
        "{property",
        "`descriptors.descriptorKey` is missing",
        "add `descriptorKey` to `descriptors`",
    ),
    (
        "{domain: shop, rateLimitService: 'ratelimit.infra:8081', descriptors: [{property: metod, descriptorKey: m}]}",
        "metod",
        "unknown attribute `metod` of protocol dubbo; did you mean `method`?",
        "its attributes are",
    ),
    (
        "{domain: shop, requestTimeout: 0s, rateLimitService: 'ratelimit.infra:8081', REST}",
        "0s",
        "not a duration of at least 1ms",
        "as in `10s`",
    ),
    (
        "{domain: shop, rateLimitService: 'outbound|99999||ratelimit.infra', REST}",
        "'outbound",
        "`globalRateLimit.rateLimitService` is no service: `outbound|99999||ratelimit.infra`",
        "write `HOST:PORT`, or `outbound|PORT||HOST`",
    ),
    (
        "{domain: shop, rateLimitService: 'ratelimit.infra:grpc', REST}",
        "'ratelimit",
        "is no service: `ratelimit.infra:grpc`",
        "of a service's port that speaks gRPC",
    ),
    (
        "{domain: shop, rateLimitService: 'ratelimit.infra:8082', REST}",
        "'ratelimit",
        "[UnknownPort]: ratelimit.infra has no port 8082",
        "its ports are 8081 (grpc)",
    ),
    (
        "{domain: shop, rateLimitService: 'ratelimt.infra:8081', REST}",
        "'ratelimt",
        "[UnknownHost]: no service has the host ratelimt.infra; did you mean `ratelimit.infra`?",
        "requests are not limited until a ServiceEntry defines the host",
    ),
    (
        "{domain: shop, denyOnFail: true, rateLimitService: 'nowhere:8081', REST}",
        "'nowhere",
        "[UnknownHost]: no service has the host nowhere",
        "requests are refused until a ServiceEntry defines the host",
    ),
];

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_do() {
    for (limit, place, message, remedy) in LIMITS {
        let limit = limit.replace("REST", REST);
        let report = of_limit(&limit, GRPC);
        let column = "  globalRateLimit: ".len() + limit.find(place).unwrap() + 1;
        for part in [&format!("router.yaml:6:{column}"), message, remedy] {
            assert!(report.contains(part), "{limit}: no {part:?} in {report}");
        }
    }
}

#[test]
fn a_host_of_several_ports_is_no_place() {
    let two = "{number: 8080, name: http}, {number: 8081, name: grpc}";
    let report = of_limit(&at("ratelimit.infra"), two);
    for part in [
        "[UnknownPort]: which port of ratelimit.infra is meant cannot be told",
        "write `ratelimit.infra:PORT`",
    ] {
        assert!(report.contains(part), "{report}");
    }
    let report = of_limit(&at("'ratelimit.infra:8081'"), two);
    assert_eq!(report, "5 objects: 0 errors, 0 warnings");
}

#[test]
fn an_empty_condition_is_told_to_cover_everything() {
    let limit = at("ratelimit.infra").replace("{domain", "{match: {}, domain");
    let report = of_limit(&limit, GRPC);
    assert!(report.contains("[MatchesEverything]"), "{report}");
    assert!(report.contains("0 errors, 1 warning"), "{report}");
}
