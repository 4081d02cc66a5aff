//! Secrets, one by one: only those that objects name, and only where a Role permits it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ListParams, PostParams};
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{info, warn};

use super::contact::{Contact, Contacts, noted};
use super::object::Watched;
use super::watch::{Failures, WATCHED, is_gone};
use super::{Change, permission, resource};
use crate::diagnostic::{Place, Position, SourceFile};
use crate::manifest::{Decoded, Kind, Metadata, Object, ObjectRef, OutOfReach, Spec};

/// How often it is looked whether one may be read by now.
const PERMITTED_BY_NOW: std::time::Duration = std::time::Duration::from_secs(5);

const FORBIDDEN: u16 = 403;

/// What is heard of a Secret.
#[derive(Debug)]
pub(crate) enum Reading {
    Found(Box<Decoded>),
    Absent,
    /// It may not be read; by whom, where that is known.
    NotPermitted(Option<Arc<str>>),
}

/// Those that are named.
pub(crate) struct Secrets {
    client: Client,
    contacts: Contacts,
    changes: mpsc::Sender<Change>,
    named: BTreeMap<ObjectRef, Named>,
    /// Who reads them, as the API server knows us.
    account: Option<Arc<str>>,
}

struct Named {
    task: JoinHandle<()>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unheard,
    Found,
    Absent,
    NotPermitted,
}

impl Drop for Named {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Secrets {
    pub(crate) fn new(client: Client, contacts: Contacts, changes: mpsc::Sender<Change>) -> Self {
        Self {
            client,
            contacts,
            changes,
            named: BTreeMap::new(),
            account: None,
        }
    }

    /// Reads just these from now on, and says which it no longer reads.
    pub(crate) fn read(&mut self, named: &BTreeSet<ObjectRef>) -> Vec<ObjectRef> {
        let mut left = vec![];
        self.named.retain(|id, _| {
            let stays = named.contains(id);
            if !stays {
                left.push(id.clone());
            }
            stays
        });
        for id in named {
            if self.named.contains_key(id) {
                continue;
            }
            let contact = self.contacts.of(Kind::Secret);
            let reader = Reader {
                id: id.clone(),
                client: noted(self.client.clone(), &contact),
                contact,
                changes: self.changes.clone(),
            };
            let named = Named {
                task: tokio::spawn(reader.run()),
                state: State::Unheard,
            };
            self.named.insert(id.clone(), named);
        }
        left
    }

    /// Whether of each something was heard, if only that it may not be read.
    pub(crate) fn are_heard(&self) -> bool {
        let mut named = self.named.values();
        named.all(|named| named.state != State::Unheard)
    }

    /// What is to be in the place of the object: none where it stays as it is, or goes.
    pub(crate) fn take(&mut self, id: &ObjectRef, reading: Reading) -> Taken {
        let Some(named) = self.named.get_mut(id) else {
            return Taken::Stays;
        };
        match reading {
            Reading::Found(decoded) => {
                named.state = State::Found;
                Taken::Is(decoded)
            }
            Reading::Absent => {
                named.state = State::Absent;
                Taken::Goes
            }
            Reading::NotPermitted(account) => {
                self.account = account.or(self.account.take());
                if named.state == State::Found {
                    warn!(secret = %id, "it may not be read any more, and stays as it was");
                    return Taken::Stays;
                }
                if named.state != State::NotPermitted {
                    info!(secret = %id, "it may not be read");
                }
                named.state = State::NotPermitted;
                Taken::Stays
            }
        }
    }

    /// What stands in the place of those that could not be read.
    pub(crate) fn out_of_reach(&self) -> impl Iterator<Item = Decoded> {
        self.named.iter().filter_map(|(id, named)| {
            let why = match named.state {
                State::Unheard => OutOfReach::Unread,
                State::NotPermitted => OutOfReach::NotPermitted(self.permission(&id.namespace)),
                State::Found | State::Absent => return None,
            };
            Some(stand_in(id, why))
        })
    }

    fn permission(&self, namespace: &str) -> String {
        let named = self.named.keys().filter(|id| &*id.namespace == namespace);
        let names: Vec<_> = named.map(|id| &*id.name).collect();
        permission::manifests(namespace, &names, self.account.as_deref())
    }
}

/// What becomes of an object.
pub(crate) enum Taken {
    Is(Box<Decoded>),
    Goes,
    Stays,
}

pub(super) fn stand_in(id: &ObjectRef, why: OutOfReach) -> Decoded {
    let file = Arc::new(SourceFile {
        name: id.to_string(),
        text: String::new(),
    });
    let at = Position::default();
    Decoded {
        id: Some(id.clone()),
        place: Place::of(&file, at),
        revision: None,
        object: Some(Object {
            id: id.clone(),
            metadata: Metadata::default(),
            spec: Spec::OutOfReach(why),
            file,
            at,
        }),
        findings: vec![],
    }
}

/// The watch of one.
struct Reader {
    id: ObjectRef,
    client: Client,
    contact: Arc<Contact>,
    changes: mpsc::Sender<Change>,
}

/// Nobody hears it any more.
struct Unheard;

impl Reader {
    async fn run(self) {
        let versions = Kind::Secret.versions();
        let resource = resource::of(Kind::Secret, versions.first().unwrap_or(&"v1"));
        let namespace = &self.id.namespace;
        let api = Api::<Watched>::namespaced_with(self.client.clone(), namespace, &resource);
        while let Ok(()) = self.permitted(&api).await {
            if self.follow(&api, &resource).await.is_err() {
                return;
            }
        }
    }

    fn only(&self) -> String {
        format!("metadata.name={}", self.id.name)
    }

    /// Waits until it may be read: to ask is cheaper than a watch that is refused each time.
    async fn permitted(&self, api: &Api<Watched>) -> Result<(), Unheard> {
        let only = ListParams::default().fields(&self.only());
        let mut account = None;
        while let Err(kube::Error::Api(status)) = api.list_metadata(&only).await {
            if status.code != FORBIDDEN {
                break;
            }
            if account.is_none() {
                account = self.account().await;
            }
            self.tell(Reading::NotPermitted(account.clone())).await?;
            sleep(PERMITTED_BY_NOW).await;
        }
        Ok(())
    }

    async fn account(&self) -> Option<Arc<str>> {
        let reviews = Api::<SelfSubjectReview>::all(self.client.clone());
        let (how, asked) = (PostParams::default(), SelfSubjectReview::default());
        let status = reviews.create(&how, &asked).await.ok()?.status?;
        status.user_info?.username.map(Arc::from)
    }

    /// Tells of it until it may not be read any more.
    async fn follow(&self, api: &Api<Watched>, resource: &ApiResource) -> Result<(), Unheard> {
        let config = watcher::Config::default().timeout(WATCHED);
        let config = config.fields(&self.only());
        let begin = || watcher::watcher(api.clone(), config.clone()).boxed();
        let mut events = begin();
        let mut failures = Failures::default();
        let mut found = None;
        while let Some(event) = events.next().await {
            let reading = match event {
                Ok(Event::Init) => {
                    found = None;
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    found = Some(object);
                    continue;
                }
                Ok(Event::InitDone) => found.take(),
                Ok(Event::Apply(object)) => Some(object),
                Ok(Event::Delete(_)) => None,
                Err(error) if is_forbidden(&error) => return Ok(()),
                Err(error) => {
                    let pause = failures.pause(&self.contact);
                    if is_gone(&error) {
                        events = begin();
                    } else {
                        self.contact.lose();
                        warn!(secret = %self.id, %error, ?pause, "the API server cannot be heard");
                    }
                    sleep(pause).await;
                    continue;
                }
            };
            let reading = reading.map_or(Reading::Absent, |object| {
                Reading::Found(Box::new(object.decode(Kind::Secret, resource)))
            });
            self.tell(reading).await?;
        }
        Err(Unheard)
    }

    async fn tell(&self, reading: Reading) -> Result<(), Unheard> {
        let change = Change::Secret(self.id.clone(), reading);
        self.changes.send(change).await.map_err(|_| Unheard)
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == FORBIDDEN,
        _ => false,
    }
}
