//! The debug pages of controllers, asked over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::arguments::ControllerAddress;

/// A controller that has not answered by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer, at most: a proxy of thousands of services has some megabytes.
const ANSWER: usize = 256 << 20;

/// An answer, or why there is none, of each address that the names stand for: one name may be that of all replicas.
pub(crate) async fn ask<T: DeserializeOwned>(
    controllers: &[ControllerAddress],
    page: &str,
) -> anyhow::Result<Vec<(SocketAddr, anyhow::Result<T>)>> {
    let mut answers: Vec<(SocketAddr, anyhow::Result<T>)> = vec![];
    for controller in controllers {
        let name = controller.as_str();
        let addresses = lookup_host(name).await;
        let addresses = addresses.with_context(|| format!("--controller {name}: no such host"))?;
        for address in addresses {
            if answers.iter().all(|(asked, _)| *asked != address) {
                answers.push((address, of(address, page).await));
            }
        }
    }
    Ok(answers)
}

async fn of<T: DeserializeOwned>(address: SocketAddr, page: &str) -> anyhow::Result<T> {
    let body = timeout(PATIENCE, get(address, page)).await;
    let body = body.context("it does not answer")??;
    serde_json::from_slice(&body).context("its answer is none of a controller")
}

async fn get(address: SocketAddr, page: &str) -> anyhow::Result<Bytes> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let serving = tokio::spawn(connection);
    let request = Request::get(page).header(HOST, address.to_string());
    let answer = sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER).collect().await;
    serving.abort();
    let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
    if status != StatusCode::OK {
        bail!("{status}: {}", String::from_utf8_lossy(&body).trim());
    }
    Ok(body)
}
