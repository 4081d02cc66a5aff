//! One client's stream: what it asks, and what it is due.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::clients::Slot;
use super::counts::{Counts, Reason};
use super::identity::{Identity, Mismatch, may_be};
use super::node::{Node, mismatches};
use super::progress::{Ahead, Lags, Progress, Versions};
use super::protocol::Protocol;
use super::published::{Published, View};
use super::rejection::Rejection;

/// One client's stream.
pub(super) struct ClientStream<S: Protocol> {
    pub(super) slot: Slot<S>,
    /// Who it has proven to be, where that is asked.
    pub(super) identity: Option<Identity>,
    /// Who it says it is, by its first request.
    pub(super) node: Option<Node>,
    /// What concerns it.
    pub(super) view: View,
    pub(super) resources: watch::Receiver<Option<Arc<Published>>>,
    pub(super) rejections: mpsc::Sender<Rejection>,
    pub(super) counts: Counts,
    pub(super) progress: Progress,
    /// While it was served more than was read here it is told nothing.
    pub(super) ahead: Option<Ahead>,
    /// What it was served by other replicas, as far as more was not read here since.
    pub(super) before: Versions,
    pub(super) ended: watch::Receiver<()>,
    pub(super) is_private: bool,
    pub(super) responses: mpsc::Sender<Result<Box<S::Response>, Status>>,
}

/// Why a stream ends that its client has not ended.
enum End {
    Left,
    Refused(Mismatch),
}

impl<S: Protocol> ClientStream<S> {
    pub(super) async fn run(mut self, mut requests: Streaming<S::Request>) {
        info!("a client connected");
        loop {
            let mut was_asked = false;
            tokio::select! {
                request = requests.next() => match request {
                    Some(Ok(request)) => {
                        if let Err(mismatch) = self.identify(&request) {
                            return self.refuse(&mismatch);
                        }
                        self.request(request);
                        was_asked = true;
                    }
                    Some(Err(error)) => return debug!(%error, "a client's stream failed"),
                    None => return debug!("a client left"),
                },
                changed = self.resources.changed() => {
                    if changed.is_err() {
                        return debug!("there will be no more resources");
                    }
                }
                met = met(&mut self.ahead) => {
                    if let Err(lags) = met {
                        warn!(reason = %lags, "a client has to find another replica");
                        let lags = Status::unavailable(lags.to_string());
                        let _ = self.responses.try_send(Err(lags));
                        return;
                    }
                    info!("what a client was served before is known here by now");
                    self.ahead = None;
                    was_asked = true;
                }
                _ = self.ended.changed() => return debug!("the server shuts down"),
                () = self.responses.closed() => return debug!("a client left"),
            }
            match self.respond(was_asked).await {
                Ok(()) => {}
                Err(End::Left) => return debug!("a client left"),
                Err(End::Refused(mismatch)) => return self.refuse(&mismatch),
            }
        }
    }

    /// Takes note of who the first request says it is, if that may be.
    fn identify(&mut self, request: &S::Request) -> Result<(), Mismatch> {
        if self.node.is_some() {
            return Ok(());
        }
        let node = <S as Protocol>::node(request).map_or_else(Node::default, Node::of);
        let is_it = match &self.identity {
            Some(identity) => may_be(identity, &node, |_| None),
            None => Ok(()),
        };
        self.before.clone_from(&node.served);
        self.ahead = self.progress.behind(&node.served);
        if self.ahead.is_some() {
            let served = &node.served;
            warn!(node = node.id, %served, "a client was served more than is known here, and is told nothing yet");
        }
        self.node = Some(node);
        is_it
    }

    fn refuse(&self, reason: &Mismatch) {
        self.counts.refuse(Reason::Claim);
        let node = self.node.as_ref().map_or("", |node| &node.id);
        let identity = self.identity.as_ref().map(ToString::to_string);
        warn!(node, identity, %reason, "a client is refused");
        let refused = Status::permission_denied(reason.to_string());
        // Where there is no room it finds the end of the stream without it.
        let _ = self.responses.try_send(Err(refused));
    }

    fn request(&mut self, request: S::Request) {
        if let Some(node) = <S as Protocol>::node(&request) {
            let known = self.node.as_ref();
            let gateways = known.and_then(|known| known.gateways.as_ref());
            self.slot.told(mismatches(node, gateways));
        }
        let rejections = self.slot.state().request(request);
        self.slot.answered(&rejections);
        for rejection in rejections {
            self.counts.rejected();
            warn!(
                node = rejection.node,
                type_url = rejection.type_url,
                name = rejection.name,
                reason = rejection.reason,
                "a client rejected a resource"
            );
            if self.rejections.try_send(rejection).is_err() {
                debug!("nobody takes the rejections");
            }
        }
    }

    /// Sends what is due. That is nothing where the client was not heard and what concerns it is as it was.
    async fn respond(&mut self, was_asked: bool) -> Result<(), End> {
        if self.ahead.is_some() {
            return Ok(());
        }
        let made = {
            let published = self.resources.borrow_and_update();
            let (Some(published), Some(node)) = (&*published, &self.node) else {
                return Ok(());
            };
            let is_new = self.view.update(published, node);
            if !is_new && !was_asked {
                return Ok(());
            }
            // As whom a Gateway's proxies run is known no earlier than what concerns it.
            if let (true, Some(identity)) = (is_new, &self.identity) {
                let is_it = may_be(identity, node, |gateway| published.account(gateway));
                is_it.map_err(End::Refused)?;
            }
            published.made
        };
        let responses = self.slot.state().respond(self.view.resources());
        if responses.is_empty() {
            return Ok(());
        }
        let read = self.progress.told(&mut self.before);
        for mut response in responses {
            S::say_read(&mut response, &read);
            if !self.is_private && S::withhold_secrets(&mut response) {
                warn!("secrets are not sent on a connection that others can read");
            }
            let response = Ok(Box::new(response));
            let sent = self.responses.send(response).await;
            sent.map_err(|_| End::Left)?;
            // What a client asked for it may have asked for long after that was published.
            if !was_asked {
                self.counts.pushed(made.age());
            }
        }
        Ok(())
    }
}

/// Never completes of a client that is not ahead.
async fn met(ahead: &mut Option<Ahead>) -> Result<(), Lags> {
    match ahead {
        Some(ahead) => ahead.is_met().await,
        None => std::future::pending().await,
    }
}
