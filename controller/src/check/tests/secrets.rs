//! No finding shows a secret, whatever is wrong with what stands beside it.

use super::redis::checked;
use crate::fixture::{Fixture, SECRETS};

pub(super) fn hides_secrets(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is shown: {text}");
    }
}

/// Manifests on as few lines as they go, so that everything stands beside a secret.
const FLOW: &str = "{apiVersion: v1, kind: Secret, metadata: {name: clients}, stringData: {username: app, password: hunter2}, X}\n---\n{apiVersion: redis.aeraki.io/v1alpha1, kind: RedisService, metadata: {name: plain}, spec: {host: [cache.shop], gateways: [edge], settings: {auth: {plain: {password: Tr0ub4dor}}, Y}, Z}}\n";

#[test]
fn no_finding_shows_a_secret_that_stands_beside_it() {
    let rows = [
        ("X", "spec: {}"),
        ("X", "data: {a: '?'}"),
        ("X", "data: {a: 5}"),
        ("kind: Secret", "kind: Secrt"),
        ("kind: Secret", "kind: Sealed"),
        ("apiVersion: v1", "apiVersion: v2"),
        ("stringData", "strngData"),
        ("name: clients", "name: Clients"),
        ("password: hunter2", "password: [hunter2]"),
        ("password: hunter2", "password: {a: hunter2}"),
        ("password: hunter2", "password: \"hunter2"),
        ("password: hunter2", "password: &p hunter2, more: *q"),
        ("password: hunter2", "password: hunter2, password: hunter2"),
        ("Y", "opTimeout: 5"),
        ("password: Tr0ub4dor", "pasword: Tr0ub4dor"),
        (
            "plain: {password: Tr0ub4dor}",
            "plane: {password: Tr0ub4dor}",
        ),
        ("plain: {password: Tr0ub4dor}", "plain: Tr0ub4dor"),
        (
            "plain: {password: Tr0ub4dor}",
            "plain: {password: Tr0ub4dor",
        ),
        ("Z", "faults: [{type: x}], redis: 5"),
        ("gateways: [edge]", "gateways: [nowhere]"),
        ("kind: RedisService", "kind: RedisServce"),
    ];
    for (from, to) in rows {
        let fixture = Fixture::redis();
        fixture.remove("secret.yaml");
        fixture.remove("destination.yaml");
        let text = FLOW.replacen(from, to, 1);
        let unused = [", X", "X, ", ", Y", ", Z"];
        let text = unused
            .iter()
            .fold(text, |text, unused| text.replace(unused, ""));
        fixture.write("flow.yaml", &text);
        let report = checked(&fixture);
        assert!(!report.diagnostics.is_empty(), "{to}");
        hides_secrets(&report.to_string());
        hides_secrets(&serde_json::to_string(&report).unwrap());
        hides_secrets(&format!("{report:?}"));
    }
}
