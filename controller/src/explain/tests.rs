use super::*;
use crate::fixture::{Fixture, settings};

fn query(service: &str, attributes: &[(&str, &str)]) -> Query {
    let attributes = attributes
        .iter()
        .map(|&(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    Query {
        service: service.to_owned(),
        gateway: None,
        attributes,
    }
}

fn explained(fixture: &Fixture, query: &Query, locality: &str) -> Explanation {
    let mut settings = settings();
    settings.locality = locality.parse().unwrap();
    run(&fixture.paths(), settings, query).unwrap()
}

#[test]
fn the_route_those_before_it_and_the_tiers_are_told() {
    let fixture = Fixture::valid();
    fixture.edit(
        "rule.yaml",
        "version: v1}}",
        "version: v1}}\n  - {name: all}",
    );
    fixture.edit("router.yaml", "subset: v1", "subset: all");
    let explanation = explained(
        &fixture,
        &query("greeter.shop", &[("method", "bye")]),
        "eu/b",
    );
    insta::assert_snapshot!("routed", fixture.anonymous(&explanation.to_string()));
    let json = serde_json::to_string_pretty(&explanation).unwrap();
    insta::assert_snapshot!("routed_json", fixture.anonymous(&json));
}

#[test]
fn no_route_is_told_with_every_reason() {
    let fixture = Fixture::valid();
    fixture.edit(
        "service.yaml",
        "{name: greeter}",
        "{name: greeter, annotations: {interface: org.Greeter}}",
    );
    fixture.edit(
        "router.yaml",
        "  - name: rest\n",
        "  - name: rest\n    match: {attributes: {user: {regex: 'test-.*'}, tenant: {}}}\n",
    );
    let asked = query("greeter.shop:20880", &[("method", "bye"), ("user", "me")]);
    let explanation = explained(&fixture, &asked, "");
    assert_eq!(explanation.route, None);
    insta::assert_snapshot!("no_route", fixture.anonymous(&explanation.to_string()));
}

#[test]
fn a_destination_that_fails_says_so() {
    let fixture = Fixture::valid();
    fixture.edit(
        "router.yaml",
        "{host: greeter.shop, subset: v1}",
        "{host: gone.shop}",
    );
    let explanation = explained(&fixture, &query("greeter.shop", &[]), "");
    insta::assert_snapshot!(
        "failing_destination",
        fixture.anonymous(&explanation.to_string())
    );
}

#[test]
fn a_server_can_be_chosen() {
    let fixture = Fixture::valid();
    fixture.edit(
        "gateway.yaml",
        "  - {port",
        "  - {name: b, port: {number: 0, name: tcp-dubbo}}\n  - {port",
    );
    let mut asked = query("greeter.shop", &[]);
    let error = run(&fixture.paths(), settings(), &asked).unwrap_err();
    assert_eq!(
        error.to_string(),
        "greeter.shop can be reached through several servers; choose one with --gateway: \
         default/edge/b, default/edge/tcp-metaprotocol-dubbo"
    );
    for gateway in ["edge/b", "default/edge/b"] {
        asked.gateway = Some(gateway.to_owned());
        assert_eq!(explained(&fixture, &asked, "").server, "default/edge/b");
    }
}

#[test]
fn what_cannot_be_explained_is_said() {
    let rows = [
        (
            "other.shop",
            "no service has the host other.shop; there is greeter.shop",
        ),
        ("greeter.shop:80", "greeter.shop has no port 80"),
        ("greeter.shop:x", "greeter.shop has no port x"),
    ];
    let fixture = Fixture::valid();
    for (service, expected) in rows {
        let error = run(&fixture.paths(), settings(), &query(service, &[])).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    fixture.edit("gateway.yaml", "tcp-metaprotocol-dubbo", "tcp-closed");
    fixture.edit("router.yaml", "  gateways: [edge]\n", "");
    let error = run(&fixture.paths(), settings(), &query("greeter.shop", &[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no server of a Gateway speaks the protocol of greeter.shop; there is \
         default/edge/tcp-closed"
    );
    fixture.edit("router.yaml", "weight: 90", "weight: 9");
    let error = run(&fixture.paths(), settings(), &query("greeter.shop", &[])).unwrap_err();
    assert!(matches!(error, ExplainError::Manifests(report) if report.errors() == 1));
}
