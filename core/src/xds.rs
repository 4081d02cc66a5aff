//! The configuration stream: one delta-xDS stream to the control plane, kept up for ever, and the
//! snapshots that come of it.
//!
//! [`Subscriptions`] decides; what is here connects it to the network and the clock.

mod channel;
mod identity;
mod stats;
mod subscriptions;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use meltemi_credentials::Backoff;
use meltemi_policy::Mismatches;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::config::core::v3::node::UserAgentVersionType;
use meltemi_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::node_metadata::LABELS;
use meltemi_proto::value::Kind;
use meltemi_proto::{Struct, Value};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};
use tracing::{debug, info, warn};

use crate::config::{Proxy, Snapshot};
pub use channel::{ControlPlane, Credentials, Dialled};
pub use identity::{Identity, Pod};
use stats::Told;
pub use stats::{Refused, Stats};
pub use subscriptions::{Outcome, PATIENCE, Subscriptions};
pub use table::Rejection;

/// Larger than any configuration; what a response costs is the control plane's decision.
const MAX_RESPONSE: usize = 256 << 20;
/// Enough for all that one response leads to.
const REQUESTS: usize = 16;

/// Who asks. What is known of it here wins over what the control plane says of this proxy: the
/// locality, unless it is empty, and each label.
pub fn node(id: impl Into<String>, own: &Proxy) -> Node {
    let locality = &own.locality;
    Node {
        id: id.into(),
        user_agent_name: "meltemi".to_owned(),
        user_agent_version_type: Some(UserAgentVersionType::UserAgentVersion(
            env!("CARGO_PKG_VERSION").to_owned(),
        )),
        locality: (!locality.is_empty()).then(|| {
            meltemi_proto::envoy::config::core::v3::Locality {
                region: locality.region.clone(),
                zone: locality.zone.clone(),
                sub_zone: locality.subzone.clone(),
            }
        }),
        metadata: (!own.labels.is_empty()).then(|| metadata(&own.labels)),
        ..Node::default()
    }
}

fn metadata(labels: &BTreeMap<String, String>) -> Struct {
    let string = |text: &String| Value {
        kind: Some(Kind::StringValue(text.clone())),
    };
    let labels = labels
        .iter()
        .map(|(name, value)| (name.clone(), string(value)));
    let labels = Value {
        kind: Some(Kind::StructValue(Struct {
            fields: labels.collect(),
        })),
    };
    Struct {
        fields: [(LABELS.to_owned(), labels)].into(),
    }
}

/// The labels that a node says it has.
fn labels(node: &Node) -> BTreeMap<String, String> {
    let metadata = node.metadata.as_ref();
    let labels = metadata.and_then(|metadata| metadata.fields.get(LABELS));
    let Some(Kind::StructValue(labels)) = labels.and_then(|labels| labels.kind.as_ref()) else {
        return BTreeMap::new();
    };
    let text = |value: &Value| match &value.kind {
        Some(Kind::StringValue(text)) => Some(text.clone()),
        _ => None,
    };
    let labels = labels.fields.iter();
    labels
        .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
        .collect()
}

/// Publishes each consistent state of the control plane, until nobody listens any more, and tells it of mismatches.
///
/// A stream that ends is opened again, with backoff; what was published stays meanwhile.
pub async fn run(
    control_plane: ControlPlane,
    node: Node,
    (publish, mut mismatches): (watch::Sender<Arc<Snapshot>>, watch::Receiver<Mismatches>),
    stats: Arc<Stats>,
) {
    let id = node.id.clone();
    let mut subscriptions = Subscriptions::new(node, Instant::now());
    let mut backoff = Backoff::default();
    loop {
        let mut stream = Stream {
            subscriptions: &mut subscriptions,
            publish: &publish,
            mismatches: &mut mismatches,
            stats: &stats,
            backoff: &mut backoff,
        };
        let ended = tokio::select! {
            ended = stream.run(&control_plane, &id) => ended,
            () = publish.closed() => return,
        };
        subscriptions.disconnected();
        stats.disconnected();
        let delay = backoff.failed(rand::random());
        match ended {
            Ok(()) => info!(?delay, "the control plane closed the stream"),
            Err(error) => warn!(%error, ?delay, "the stream to the control plane failed"),
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = publish.closed() => return,
        }
    }
}

/// One stream, from its first request to its end.
struct Stream<'a> {
    subscriptions: &'a mut Subscriptions,
    publish: &'a watch::Sender<Arc<Snapshot>>,
    /// What the control plane is told.
    mismatches: &'a mut watch::Receiver<Mismatches>,
    stats: &'a Stats,
    backoff: &'a mut Backoff,
}

impl Stream<'_> {
    async fn run(&mut self, control_plane: &ControlPlane, node: &str) -> Result<(), Status> {
        let (requests, outgoing) = mpsc::channel(REQUESTS);
        let told = self.mismatches.borrow_and_update().clone();
        self.subscriptions.tell(&told);
        for request in self.subscriptions.connected(Instant::now()) {
            send(&requests, request).await?;
        }
        let mut opened = Request::new(ReceiverStream::new(outgoing));
        control_plane.introduce(&mut opened, node)?;
        let mut client = AggregatedDiscoveryServiceClient::new(control_plane.channel.clone())
            .max_decoding_message_size(MAX_RESPONSE);
        let responses = client.delta_aggregated_resources(opened).await?;
        let mut responses = responses.into_inner();
        self.stats.connected();
        loop {
            tokio::select! {
                response = responses.message() => {
                    let Some(response) = response? else { return Ok(()) };
                    self.backoff.succeeded();
                    debug!(
                        type_url = response.type_url,
                        resources = response.resources.len(),
                        removed = response.removed_resources.len(),
                        "configuration received"
                    );
                    let told = Told::by(&response);
                    let outcome = self.subscriptions.receive(response, Instant::now());
                    self.stats.received(&told, &outcome.rejected);
                    for request in outcome.requests {
                        if let Some(error) = &request.error_detail {
                            warn!(error = error.message, "configuration rejected");
                        }
                        send(&requests, request).await?;
                    }
                }
                told = changed(self.mismatches) => {
                    if let Some(request) = self.subscriptions.tell(&told) {
                        send(&requests, request).await?;
                    }
                }
                () = patience(self.subscriptions.deadline()) => {}
            }
            if let Some(snapshot) = self.subscriptions.snapshot(Instant::now()) {
                info!(version = snapshot.version, "configuration applied");
                self.stats.published();
                self.publish.send_replace(Arc::new(snapshot));
            }
        }
    }
}

async fn send(
    requests: &mpsc::Sender<DeltaDiscoveryRequest>,
    request: DeltaDiscoveryRequest,
) -> Result<(), Status> {
    let sent = requests.send(request).await;
    sent.map_err(|_| Status::unavailable("the request stream is closed"))
}

async fn changed(told: &mut watch::Receiver<Mismatches>) -> Mismatches {
    match told.changed().await {
        Ok(()) => told.borrow_and_update().clone(),
        Err(_) => std::future::pending().await,
    }
}

async fn patience(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
