//! The debug pages of controllers, asked over HTTP.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
#[cfg(feature = "cluster")]
use meltemi_controller::ClusterRef;
#[cfg(feature = "cluster")]
use meltemi_controller::fleet::Fleet;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::arguments::{Asked, ControllerAddress};

/// A controller that has not answered by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer, at most: a proxy of thousands of services has some megabytes.
const ANSWER: usize = 256 << 20;

/// Answers, or why there are none, by address or pod.
pub(crate) type Answers<T> = Vec<(String, anyhow::Result<T>)>;

/// Of each address that the names stand for, since one name may be that of all replicas; and of each replica in a cluster.
pub(crate) async fn ask<T: DeserializeOwned>(
    asked: &Asked,
    page: &str,
) -> anyhow::Result<Answers<T>> {
    let mut addresses = vec![];
    for controller in &asked.controllers {
        let name = controller.as_str();
        let found = lookup_host(name).await;
        addresses.extend(found.with_context(|| format!("--controller {name}: no such host"))?);
    }
    #[cfg(feature = "cluster")]
    let mut answers = in_cluster(asked, page, &mut addresses).await?;
    #[cfg(not(feature = "cluster"))]
    let mut answers = vec![];
    if addresses.is_empty() && answers.is_empty() {
        addresses.extend(lookup_host(ControllerAddress::default().as_str()).await?);
    }
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    for address in addresses {
        let body = timeout(PATIENCE, get(address, page)).await;
        let body = body.context("it does not answer").flatten();
        answers.push((address.to_string(), read(body)));
    }
    Ok(answers)
}

/// Of the replicas that are pods. Those that are none are added to the addresses.
#[cfg(feature = "cluster")]
async fn in_cluster<T: DeserializeOwned>(
    asked: &Asked,
    page: &str,
    addresses: &mut Vec<SocketAddr>,
) -> anyhow::Result<Answers<T>> {
    let Some(kubeconfig) = &asked.kubeconfig else {
        return Ok(vec![]);
    };
    let cluster = ClusterRef {
        kubeconfig: kubeconfig.clone(),
        context: asked.context.clone(),
    };
    let fleet = Fleet::of(&cluster, &asked.namespace).await?;
    let answers = fleet.ask(page).await?;
    addresses.extend(answers.others);
    let of_pods = answers.of_pods.into_iter();
    Ok(of_pods.map(|(pod, body)| (pod, read(body))).collect())
}

fn read<T: DeserializeOwned>(body: anyhow::Result<impl AsRef<[u8]>>) -> anyhow::Result<T> {
    serde_json::from_slice(body?.as_ref()).context("its answer is none of a controller")
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
