//! How long ago the API server was last heard, watch by watch: noted on the way of its answers, since a watch says nothing
//! of the bookmarks that it lives by when nothing changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use kube::Client;
use tracing::info;

use crate::manifest::Kind;

/// The watches that there are, each with the time of its last contact.
#[derive(Clone, Debug, Default)]
pub struct Contacts(Arc<Mutex<Vec<Weak<Contact>>>>);

/// When one watch was last answered.
#[derive(Debug)]
pub(super) struct Contact {
    kind: Kind,
    /// It began to ask.
    since: Instant,
    last: Mutex<Option<Instant>>,
    is_lost: AtomicBool,
}

impl Contacts {
    /// How long ago each watch of a kind was last answered, with a change, a list or a bookmark; where it never was, since
    /// it began to ask. The API server sends a bookmark about once a minute: what is much older is not heard any more.
    #[must_use]
    pub fn ages(&self) -> Vec<(Kind, Duration)> {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let watches = watches.iter().filter_map(Weak::upgrade);
        watches
            .map(|watch| (watch.kind, watch.last().unwrap_or(watch.since).elapsed()))
            .collect()
    }

    pub(super) fn of(&self, kind: Kind) -> Arc<Contact> {
        let contact = Arc::new(Contact {
            kind,
            since: Instant::now(),
            last: Mutex::new(None),
            is_lost: AtomicBool::new(false),
        });
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(&contact));
        contact
    }
}

impl Contact {
    fn last(&self) -> Option<Instant> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was answered after this.
    pub(super) fn is_after(&self, then: Instant) -> bool {
        self.last().is_some_and(|last| last > then)
    }

    /// Nothing is heard until the next answer.
    pub(super) fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    fn note(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(Instant::now());
        if self.is_lost.swap(false, Ordering::Relaxed) {
            let silent = before.unwrap_or(self.since).elapsed();
            info!(
                kind = self.kind.name(),
                ?silent,
                "the API server is heard again"
            );
        }
    }
}

/// The client, of which each piece of an answer is noted that is no refusal.
pub(super) fn noted(client: Client, contact: &Arc<Contact>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let contact = contact.clone();
    let service = tower::service_fn(move |request| {
        let (client, contact) = (client.clone(), contact.clone());
        async move {
            let response = client.send(request).await?;
            let is_heard = response.status().is_success();
            if is_heard {
                contact.note();
            }
            let noted = response.map(|body| {
                body.map_frame(move |frame| {
                    if is_heard {
                        contact.note();
                    }
                    frame
                })
            });
            Ok::<_, kube::Error>(noted)
        }
    });
    Client::new(service, namespace)
}
