//! `POST /explain`: what it takes, and what it says before and after an ejection.

use super::*;
use crate::config::{RetryOn, RetryPolicy, Route};
use serde_json::{Value, json};

fn ask(proxy: &Running, question: &Value) -> Value {
    let (status, body) = proxy.send("POST", "/explain", &question.to_string());
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn bad_questions_are_told_what_is_wrong() {
    let mut two = snapshot("v1", &[(LISTENER, any_port())], &[tcp_echo()]);
    harness::add_fragile(&mut two, "default/edge/fragile");
    let proxy = Running::start(two);
    proxy.ready();
    let long = format!(r#"{{"service": "{}"}}"#, "x".repeat(70_000));
    for (body, status, expected) in [
        ("", 400, "the body is no question"),
        (
            " []",
            400,
            "it is a list; it is like {\"service\": \"HOST\"",
        ),
        ("[1]", 400, "it is a list"),
        (
            "null",
            400,
            "null, expected an object with what is known of the request",
        ),
        (
            "\"greeter.shop\"",
            400,
            "\"greeter.shop\", expected an object",
        ),
        (r#"{"servce": "x"}"#, 400, "unknown field `servce`"),
        (
            r#"{"attributes": {"method": 7}}"#,
            400,
            "attribute `method` is 7, and a value is text",
        ),
        (r#"{"source": "here"}"#, 400, "invalid IP address"),
        (
            r#"{"service": "gone.shop"}"#,
            400,
            "nothing here leads to gone.shop; there is default/echo or default/fragile",
        ),
        (
            r#"{"listener": "a/b/c"}"#,
            400,
            "no listener is named a/b/c; there is default/edge/fragile or default/edge/sample",
        ),
        ("{}", 400, "default/echo or default/fragile can be meant"),
        (&long, 413, "at most 65536 bytes"),
    ] {
        let (answered, said) = proxy.send("POST", "/explain", body);
        assert_eq!(answered, status, "{body:.80}: {said}");
        assert!(said.contains(expected), "{body:.80}: {said}");
    }
    assert_eq!(proxy.get("/explain").0, 405);
}

fn retries() -> RetryPolicy {
    RetryPolicy {
        attempts: 2,
        per_try_timeout: Some(Duration::from_secs(1)),
        on: vec![RetryOn::ConnectFailure],
        backoff: Duration::from_millis(25),
        non_idempotent: false,
    }
}

/// So many of two.
fn healthy(count: u32, capacity: u32) -> Value {
    json!({
        "healthy": count, "total": 2, "overprovisioning": 140, "capacity": capacity,
        "panic_threshold": 0, "panic": false,
    })
}

#[test]
fn the_answer_follows_the_health_of_the_endpoints() {
    let (dead, alive) = (dead(), tcp_echo());
    let mut config = snapshot(
        "v1",
        &[(LISTENER, any_port())],
        &[dead.clone(), alive.clone()],
    );
    let route = Route {
        owner: "MetaRouter/default/echo".into(),
        retry: Some(retries()),
        ..Route::new("all", CLUSTER)
    };
    let routes = Arc::make_mut(config.routes.get_mut("echo-routes").unwrap());
    routes.routes = vec![route.into()];
    let proxy = Running::start(config);
    proxy.ready();
    let question = json!({ "service": "echo.default:20880", "attributes": { "method": "hi" } });
    let before = ask(&proxy, &question);
    assert_eq!(before["server"], "default/echo");
    assert_eq!(
        before["route"],
        json!({ "meta_router": "default/echo", "name": "all" })
    );
    assert_eq!(
        before["retries"],
        json!({
            "attempts": 3, "on": ["connect-failure"], "idempotent_only": true,
            "per_try_timeout": "1s", "backoff": "0.025s",
        })
    );
    assert_eq!(
        before["worst_case"],
        json!({
            "attempts": 3, "longest": "3.075s",
            "because": "3 tries; 3 × 1s + 0.075s of pauses = 3.075s",
        })
    );
    assert_eq!(
        before["destinations"][0]["tiers"][0]["health"],
        healthy(2, 100)
    );
    let mut client = proxy.client(LISTENER);
    for id in 0..10 {
        client.call(id, b"hello");
    }
    wait("the ejection", || {
        let tier = ask(&proxy, &question)["destinations"][0]["tiers"][0].clone();
        tier["health"]["healthy"] == 1
    });
    let tier = &ask(&proxy, &question)["destinations"][0]["tiers"][0];
    assert_eq!(tier["health"], healthy(1, 70));
    let locality = "eu/eu-1/a";
    assert_eq!(
        tier["endpoints"],
        json!([
            { "address": dead.to_string(), "locality": locality, "share": 0.0,
              "failed": true, "ejected": true },
            { "address": alive.to_string(), "locality": locality, "share": 100.0 },
        ])
    );
}
