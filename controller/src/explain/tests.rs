use super::*;
use crate::fixture::{Fixture, settings};

mod bounds;
mod dns;
mod global_limits;
mod limits;
mod locality;
mod redis;
mod tls;

fn query(service: &str, attributes: &[(&str, &str)]) -> Query {
    let attributes = attributes
        .iter()
        .map(|&(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    Query {
        service: service.to_owned(),
        attributes,
        ..Query::default()
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
fn copies_and_changes_are_told() {
    let fixture = Fixture::valid();
    fixture.edit(
        "router.yaml",
        "  - name: hello",
        "  - name: hello\n    mirror: {host: greeter.shop, subset: v1}\n    mirrorPercentage: {value: 2.5}\n    \
         requestMutation: [{key: a, value: 'to ${method}'}, {key: b, remove: true}]\n    \
         responseMutation: [{key: c, value: '${user}'}]",
    );
    let asked = query("greeter.shop", &[("method", "sayHello")]);
    let text = explained(&fixture, &asked, "").to_string();
    let expected = "          copies 2.5% to outbound|20880|v1|greeter.shop\n          \
                    sets `a` of the request to `to sayHello`\n          \
                    removes `b` from the request\n          \
                    leaves `c` of the answer as it is: the value for it is empty\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn fallbacks_are_told_with_their_endpoints() {
    let fixture = Fixture::valid();
    fixture.edit(
        "router.yaml",
        "    - destination: {host: greeter.shop, subset: v2}\n  - name",
        "    - destination: {host: greeter.shop, subset: v2}\n      \
         fallback: [{host: greeter.shop, subset: v1}, {host: gone.shop}]\n  - name",
    );
    let mut asked = query("greeter.shop", &[("method", "sayHello")]);
    asked.failed = vec!["10.0.0.2:20880".to_owned(), "10.0.0.1:20880".to_owned()];
    let explanation = explained(&fixture, &asked, "");
    let next = &explanation.destinations[0].fallbacks;
    let clusters: Vec<_> = next.iter().map(|it| it.cluster.as_str()).collect();
    let expected = [
        "outbound|20880|v1|greeter.shop",
        "outbound|20880||gone.shop",
    ];
    assert_eq!(clusters, expected);
    assert!(next[0].tiers[0].endpoints[0].failed);
    let text = explanation.to_string();
    assert!(
        text.contains("\n\nelse      outbound|20880|v1|greeter.shop\n"),
        "{text}"
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

#[test]
fn a_query_that_means_nothing_is_an_error() {
    let server = "default/edge/tcp-metaprotocol-dubbo";
    let closed = "{name: c, port: {number: 1, name: tcp-closed}}";
    type Row<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], String);
    let rows: [Row<'_>; 6] = [
        (
            Some("foo"),
            &[],
            format!("no server is named foo; there is {server}, default/edge/c"),
        ),
        (
            Some("egde"),
            &[],
            format!(
                "no server is named egde (did you mean `edge`?); there is {server}, default/edge/c"
            ),
        ),
        (
            Some("edge/c"),
            &[],
            format!("no server of edge/c speaks the protocol of greeter.shop; these do: {server}"),
        ),
        (
            None,
            &[("metod", "a")],
            "unknown attribute `metod` of protocol dubbo (did you mean \
            `method`?); its attributes are interface, method, version, group, serialization"
                .into(),
        ),
        (
            None,
            &[("method", "a"), ("method", "b")],
            "the attribute `method` is given twice, and a request has one value of it".into(),
        ),
        (None, &[("tenant", "a")], String::new()),
    ];
    let fixture = Fixture::valid();
    fixture.edit(
        "gateway.yaml",
        "hosts: ['*']}",
        &format!("hosts: ['*']}}\n  - {closed}"),
    );
    for (gateway, attributes, expected) in rows {
        let mut asked = query("greeter.shop", attributes);
        asked.gateway = gateway.map(str::to_owned);
        let said = run(&fixture.paths(), settings(), &asked)
            .map_or_else(|e| e.to_string(), |_| String::new());
        assert_eq!(said, expected);
    }
}

#[test]
fn a_request_for_no_interface_of_the_service_is_told_so() {
    let fixture = Fixture::valid();
    let annotated = "{name: greeter, annotations: {interface: 'org.A,org.B'}}";
    fixture.edit("service.yaml", "{name: greeter}", annotated);
    let note = |attributes: &[(&str, &str)]| {
        let explanation = explained(&fixture, &query("greeter.shop", attributes), "");
        (explanation.note.clone(), explanation.to_string())
    };
    let (none, text) = note(&[]);
    let expected = "the annotation `interface` of greeter.shop admits requests for org.A or org.B, \
                    and this one is for none: say which with --attr interface=org.A";
    assert_eq!(none.as_deref(), Some(expected));
    assert!(
        text.contains(expected) && text.contains("it should be org.A or org.B"),
        "{text}"
    );
    let (other, _) = note(&[("interface", "org.C")]);
    assert!(other.is_some_and(|note| note.ends_with("org.A or org.B only")));
    assert_eq!(note(&[("interface", "org.A")]).0, None);
}

#[test]
fn a_host_of_several_namespaces_has_to_be_chosen() {
    let fixture = Fixture::valid();
    let other = crate::fixture::SERVICE.replace("{name: greeter}", "{name: x, namespace: other}");
    fixture.write("other.yaml", &other);
    let error = run(&fixture.paths(), settings(), &query("greeter.shop", &[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "greeter.shop is defined in several namespaces; choose one with --service: \
         default/greeter.shop, other/greeter.shop"
    );
    let chosen = explained(&fixture, &query("default/greeter.shop:20880", &[]), "");
    assert_eq!(chosen.service, "default/greeter.shop");
}

#[test]
fn how_often_and_how_long_a_request_is_tried_is_told() {
    let fixture = Fixture::valid();
    let retries = "retries: {attempts: 2, perTryTimeout: 200ms, retryOn: 'timeout, system-error', backoff: 50ms}";
    fixture.edit(
        "router.yaml",
        "  - name: rest\n",
        &format!("  - name: rest\n    {retries}\n"),
    );
    let explained = |fixture: &Fixture| {
        let asked = query("greeter.shop", &[("method", "bye")]);
        explained(fixture, &asked, "").to_string()
    };
    let told = explained(&fixture);
    for line in [
        "tries 3 times at most, after timeout, system-error, 0.2s each",
        "repeats a request that may have been executed only where it is idempotent",
        "at worst sent 3 times, answered after 0.75s (3 tries; 3 × 0.2s + 0.15s of pauses = 0.75s)",
        "20% of the requests under way may be repetitions, and 3 always may",
    ] {
        assert!(told.contains(&format!("\n          {line}\n")), "{told}");
    }
    fixture.edit(
        "router.yaml",
        retries,
        "timeout: 500ms\n    idempotent: true\n    hedge: {delay: 40ms}\n    \
         retries: {attempts: 2, perTryTimeout: 200ms}\n    \
         fault: {delay: {percentage: {value: 1}, fixedDelay: 30ms}}",
    );
    let told = explained(&fixture);
    for line in [
        "waits 0.5s for the answer, less where the message says less",
        "tries 3 times at most, after connect-failure, overloaded, 0.2s each",
        "asks another endpoint, too, after 0.04s",
        "at worst sent 4 times, answered after 0.5s (3 tries and 1 hedge; 3 × 0.2s + 0.075s of pauses + \
         0.04s before the hedge + 0.03s before it is sent = 0.745s, and no longer than the timeout of \
         0.5s)",
    ] {
        assert!(told.contains(&format!("\n          {line}\n")), "{told}");
    }
    assert!(!told.contains("only where it is idempotent"), "{told}");
}

#[test]
fn the_alternative_and_why_others_are_none_are_told() {
    let fixture = Fixture::valid();
    fixture.edit(
        "router.yaml",
        "    match:\n      attributes:\n        method: {exact: sayHello}\n",
        "    matches:\n    \
         - attributes: {method: {suffix: HELLO, ignoreCase: true}, user: {exact: root, invert: true}}\n    \
         - source: {principal: cluster.local/ns/a/sa/b}\n    \
         - attributes: {age: {range: {start: 18, end: 100}}}\n      \
           source: {labels: {version: v1}}\n",
    );
    fixture.edit(
        "router.yaml",
        "  - name: rest\n",
        "  - name: other gateway\n    matches: [{source: {namespace: gone}}]\n    \
         route: [{destination: {host: greeter.shop}}]\n  \
         - name: nobody\n    match: {attributes: {user: {present: false}, m: {contains: x, invert: true}}}\n    \
         route: [{destination: {host: greeter.shop}}]\n  - name: rest\n",
    );
    let ask = |attributes: &[(&str, &str)], source: &str| {
        let mut query = query("greeter.shop", attributes);
        query.source = source.parse().ok();
        let explanation = explained(&fixture, &query, "");
        (explanation.alternative, explanation)
    };
    let (none, explanation) = ask(
        &[("method", "sayHello"), ("user", "root"), ("m", "axb")],
        "",
    );
    assert_eq!(none, None);
    insta::assert_snapshot!("alternatives", fixture.anonymous(&explanation.to_string()));
    assert_eq!(ask(&[("method", "sayHello")], "").0, Some(1));
    let (third, explanation) = ask(&[("age", "18"), ("user", "x")], "10.0.0.1");
    assert_eq!(third, Some(3));
    let text = explanation.to_string();
    assert!(text.contains("by its alternative 3"), "{text}");
    assert!(text.contains("source    10.0.0.1"), "{text}");
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(
        (&json["alternative"], &json["source"]),
        (&3.into(), &"10.0.0.1".into())
    );
    let (_, elsewhere) = ask(&[("age", "99"), ("user", "x")], "10.0.0.2");
    let text = elsewhere.to_string();
    assert!(
        text.contains("alternative 3: the client's address is 10.0.0.2, not 10.0.0.1"),
        "{text}"
    );
}

#[test]
fn what_policies_make_of_a_request_is_told() {
    let fixture = Fixture::valid();
    let ask = |method: &str| {
        let query = query("greeter.shop", &[("method", method)]);
        explained(&fixture, &query, "")
    };
    assert_eq!(ask("sayHello").access, None);
    let write = |spec: &str| {
        fixture.write(
            "policy.yaml",
            &format!(
                "apiVersion: dubbo.aeraki.io/v1alpha1\nkind: DubboAuthorizationPolicy\n\
                 metadata: {{name: d, namespace: default}}\nspec: {{{spec}}}\n"
            ),
        );
    };
    let rules = "rules: [{to: [{operation: {methods: [never]}}]}, {to: [{operation: {methods: [sayHello]}}]}]";
    for (action, method, told) in [
        (
            "DENY",
            "sayHello",
            "denied    by DubboAuthorizationPolicy default/d, rule 2",
        ),
        ("DENY", "other", "allowed   no policy denies it"),
        (
            "ALLOW",
            "sayHello",
            "allowed   by DubboAuthorizationPolicy default/d, rule 2",
        ),
        ("ALLOW", "other", "denied    no policy allows it"),
    ] {
        write(&format!("action: {action}, {rules}"));
        let text = ask(method).to_string();
        assert!(text.contains(&format!("\n{told}\n")), "{text}");
    }
}
