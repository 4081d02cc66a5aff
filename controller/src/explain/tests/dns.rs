//! Endpoints with names: what manifests cannot know is said.

use super::super::*;
use super::{explained, query};
use crate::fixture::Fixture;

fn told(resolution: &str, endpoints: &str, balancer: &str) -> String {
    let fixture = Fixture::valid();
    let two = "  - {address: 10.0.0.1, locality: eu/a, labels: {version: v1}}\n  - {address: 10.0.0.2, locality: eu/b, labels: {version: v2}}\n";
    fixture.edit("service.yaml", two, endpoints);
    fixture.edit("service.yaml", "STATIC", resolution);
    fixture.edit(
        "rule.yaml",
        "    outlierDetection",
        &format!("{balancer}    outlierDetection"),
    );
    let explanation: Explanation = explained(
        &fixture,
        &query("greeter.shop", &[("method", "sayHello")]),
        "eu/a",
    );
    explanation.destinations[0].to_string()
}

#[test]
fn names_stand_for_endpoints() {
    let endpoints = "  - {address: a.example, locality: eu/a, labels: {version: v2}}\n  \
                     - {address: b.example, locality: eu/b, labels: {version: v2}}\n  \
                     - {address: c.example, labels: {version: v1}}\n";
    let hashed = "    loadBalancer: {consistentHash: {attribute: method}}\n";
    let one = "  - {address: a.example, labels: {version: v2}}\n";
    let all = [
        told("DNS", endpoints, ""),
        told("DNS", endpoints, hashed),
        told("DNS_ROUND_ROBIN", one, ""),
    ];
    insta::assert_snapshot!("names", all.join("\n\n"));
}
