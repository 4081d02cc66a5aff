//! Which page is asked for, and what is answered.

use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;

use super::{Sources, clusters, dump, explain, hot_keys, metrics, ready};

/// Pages and what they are for.
const PAGES: [(&str, &str); 8] = [
    (
        "/ready",
        "200 when every listener is open, else 503 and the reasons",
    ),
    ("/metrics", "metrics in the Prometheus text format"),
    (
        "/config_dump",
        "the configuration in force, with its defaults, and what was refused",
    ),
    (
        "/clusters",
        "endpoints: locality, tier, health, ejection, requests, connections",
    ),
    ("/hot_keys", "the keys that are asked for most, by service"),
    ("/listeners", "listeners and where they are open"),
    (
        "/explain",
        "POST a request's attributes: its route, destinations and endpoints, and why",
    ),
    (
        "/drain",
        "POST: finish what is in flight, take nothing new, then exit",
    ),
];

/// Bytes of a question, at most.
const QUESTION: usize = 64 * 1024;
/// A question that is not there by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// What others than the proxy's own machine may ask: whether it is ready, and what it counts.
const OF_STATUS: [&str; 2] = ["/ready", "/metrics"];

/// Answers a request for a page of those.
pub(super) async fn status(request: Request<Incoming>, sources: &Sources) -> Answer {
    match OF_STATUS.contains(&request.uri().path()) {
        true => answer(request, sources).await,
        false => {
            let message = format!("there are {} here\n", OF_STATUS.join(" and "));
            text(StatusCode::NOT_FOUND, message)
        }
    }
}

/// Answers a request for a page.
pub(super) async fn answer(request: Request<Incoming>, sources: &Sources) -> Answer {
    if (request.uri().path(), request.method()) == ("/explain", &Method::POST) {
        return explained(request.into_body(), sources).await;
    }
    let path = request.uri().path();
    match (path, request.method()) {
        ("/drain", &Method::POST) => {
            sources.drain.notify_one();
            text(StatusCode::OK, "draining\n".into())
        }
        ("/drain" | "/explain", _) => not_allowed("POST"),
        (_, method) if ![Method::GET, Method::HEAD].contains(method) && is_page(path) => {
            not_allowed("GET")
        }
        ("/", _) => index(),
        ("/ready", _) => match ready::reasons(sources) {
            reasons if reasons.is_empty() => text(StatusCode::OK, "ready\n".into()),
            reasons => text(StatusCode::SERVICE_UNAVAILABLE, lines(&reasons)),
        },
        ("/metrics", _) => with_type(
            text(StatusCode::OK, metrics::render(sources)),
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        ("/config_dump", _) => json(&dump::configuration(sources)),
        ("/clusters", _) => json(&clusters::clusters(sources).await),
        ("/hot_keys", _) => json(&hot_keys::hot_keys(sources).await),
        ("/listeners", _) => json(&dump::listeners(sources)),
        _ => text(
            StatusCode::NOT_FOUND,
            format!("no page {path}; there are:\n{}", list()),
        ),
    }
}

async fn explained(body: Incoming, sources: &Sources) -> Answer {
    let body = Limited::new(body, QUESTION).collect();
    let body = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("a question has at most {QUESTION} bytes\n");
            return text(StatusCode::PAYLOAD_TOO_LARGE, message);
        }
        Ok(Err(error)) => {
            let message = format!("the question did not arrive: {error}\n");
            return text(StatusCode::BAD_REQUEST, message);
        }
        Err(_) => {
            let message = "the question did not arrive in time\n".to_owned();
            return text(StatusCode::REQUEST_TIMEOUT, message);
        }
    };
    match explain::explain(sources, &body).await {
        Ok(answer) => json(&answer),
        Err(refused) => text(StatusCode::BAD_REQUEST, format!("{refused}\n")),
    }
}

fn is_page(path: &str) -> bool {
    path == "/" || PAGES.iter().any(|(page, _)| *page == path)
}

fn list() -> String {
    PAGES
        .iter()
        .map(|(page, purpose)| format!("{page}: {purpose}\n"))
        .collect()
}

fn index() -> Answer {
    let items = PAGES
        .iter()
        .map(|(page, purpose)| format!("<li><a href=\"{page}\">{page}</a>: {purpose}</li>\n"));
    let body = format!(
        "<!doctype html>\n<title>meltemi</title>\n<ul>\n{}</ul>\n",
        items.collect::<String>()
    );
    with_type(text(StatusCode::OK, body), "text/html; charset=utf-8")
}

fn not_allowed(method: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("use {method}\n"));
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(method));
    answer
}

fn json(value: &Value) -> Answer {
    with_type(
        text(StatusCode::OK, format!("{value:#}\n")),
        "application/json",
    )
}

fn text(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    with_type(answer, "text/plain; charset=utf-8")
}

fn with_type(mut answer: Answer, content_type: &'static str) -> Answer {
    let content_type = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
