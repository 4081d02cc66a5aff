//! Pages about the controller itself: whether it is ready, what it counts, who is connected and what they are served.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::ads::{Clients, Progress, Published};
use crate::authority::Expiry;
use crate::controller::{Definitions, Queue};
use crate::debug::{Proxy, Replica};
use crate::leader::Leadership;
use crate::source::kubernetes::Contacts;

mod config;
mod metrics;
mod pushes;
mod shown;

pub use metrics::Metrics;

/// What the pages are made of.
#[derive(Clone)]
pub struct Sources {
    /// What the pod, or the machine, is called.
    pub name: String,
    pub clients: Clients,
    pub resources: watch::Receiver<Option<Arc<Published>>>,
    pub metrics: Metrics,
    /// None where there is no election.
    pub leadership: Option<Leadership>,
    /// None where there is no API server.
    pub watched: Option<Watched>,
    /// Of what proxies are shown.
    pub expiry: Expiry,
}

/// What is known of an API server, and how well it is heard.
#[derive(Clone)]
pub struct Watched {
    pub contacts: Contacts,
    pub queue: Queue,
    pub definitions: Definitions,
    pub progress: Progress,
}

const PAGES: &str = "\
/ready          200 once everything was read that is served, else 503
/metrics        metrics in the Prometheus text format
/debug/proxies  who is connected, and how much of what each was told it has
/debug/config   ?proxy=NAME: each resource that the proxy was told of, with what it made of it
";

/// Answers until there is nobody to answer any more.
///
/// # Errors
/// Those of the socket as a whole.
pub async fn serve(listener: TcpListener, sources: Sources) -> std::io::Result<()> {
    let pages = Router::new()
        .route("/", get(async || PAGES))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics_page))
        .route("/debug/proxies", get(proxies))
        .route("/debug/config", get(config_page))
        .with_state(Arc::new(sources));
    axum::serve(listener, pages).await
}

type Pages = State<Arc<Sources>>;

async fn ready(State(sources): Pages) -> (StatusCode, &'static str) {
    match sources.resources.borrow().is_some() {
        true => (StatusCode::OK, "ready\n"),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not everything was read yet: nothing is served before\n",
        ),
    }
}

async fn metrics_page(State(sources): Pages) -> Response {
    match sources.metrics.page(&sources) {
        Ok(page) => ([(CONTENT_TYPE, metrics::FORMAT)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn proxies(State(sources): Pages) -> Json<Replica> {
    let now = SystemTime::now();
    let clients = sources.clients.snapshot();
    Json(Replica {
        name: sources.name.clone(),
        leads: sources.leadership.as_ref().map(Leadership::leads),
        proxies: clients.iter().map(|it| Proxy::of(it, now)).collect(),
    })
}

/// Which proxy.
#[derive(Deserialize)]
struct Asked {
    proxy: String,
}

async fn config_page(State(sources): Pages, Query(asked): Query<Asked>) -> Response {
    let clients = sources.clients.snapshot();
    // It may have come again before its last connection was missed: the newest counts.
    let mut asked_for = clients.iter().filter(|it| it.node == asked.proxy);
    let Some(client) = asked_for.next_back() else {
        let message = format!("no proxy {} is connected here\n", asked.proxy);
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    let published = sources.resources.borrow().clone();
    Json(config::of(client, published.as_deref())).into_response()
}
