//! What there is of waypoints, as the API server tells of it while this process leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::reflector::{Store, reflector, store::Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::objects::MANAGED_BY;
use super::part::Part;
use super::term::Lead;
use crate::manifest::Kind;
use crate::source::kubernetes::resource;

/// How often it is looked whether a kind is defined by now, and how long nothing is asked after a failure.
const PAUSE: Duration = Duration::from_secs(5);
const NOT_FOUND: u16 = 404;

/// Watches, which end with it.
pub(super) struct World {
    classes: Shelf,
    gateways: Shelf,
    parts: BTreeMap<Part, Shelf>,
    leads: BTreeMap<Lead, Shelf>,
    changed: watch::Receiver<()>,
    _watches: JoinSet<()>,
}

/// What there is at one moment. None: it is not known yet, or the kind is not defined.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) classes: Option<Vec<Arc<DynamicObject>>>,
    pub(super) gateways: Option<Vec<Arc<DynamicObject>>>,
    /// Those that controllers of ours have made.
    pub(super) parts: Option<Parts>,
    /// The same of what sidecars are told.
    pub(super) leads: Option<Leads>,
}

/// By what they are, their namespace and their name.
pub(super) type Parts = BTreeMap<(Part, String, String), Arc<DynamicObject>>;

pub(super) type Leads = BTreeMap<(Lead, String, String), Arc<DynamicObject>>;

/// The objects of one kind.
struct Shelf {
    objects: Store<DynamicObject>,
    is_listed: Arc<AtomicBool>,
}

impl World {
    /// `has_waypoints`: what they are made of is watched, too; `has_leads`: and what sidecars are told.
    pub(super) fn watch(client: &Client, has_waypoints: bool, has_leads: bool) -> Self {
        let (change, changed) = watch::channel(());
        let mut watches = JoinSet::new();
        let mut shelf = |resource: ApiResource, selector: Option<String>| {
            let api = Api::all_with(client.clone(), &resource);
            let writer = Writer::new(resource);
            let shelf = Shelf {
                objects: writer.as_reader(),
                is_listed: Arc::default(),
            };
            let config = watcher::Config {
                label_selector: selector,
                ..watcher::Config::default()
            };
            let told = (change.clone(), shelf.is_listed.clone());
            watches.spawn(follow(writer, (api, config), told));
            shelf
        };
        let of = |kind| resource::of(kind, "v1");
        let classes = shelf(of(Kind::GatewayClass), None);
        let gateways = shelf(of(Kind::KubernetesGateway), None);
        let (label, ours) = MANAGED_BY;
        let parts = Part::ALL.into_iter().filter(|_| has_waypoints);
        let parts = parts.map(|part| {
            let selector = format!("{label}={ours}");
            (part, shelf(part.resource(), Some(selector)))
        });
        let parts = parts.collect();
        let leads = Lead::ALL.into_iter().filter(|_| has_leads);
        let leads = leads.map(|lead| {
            let selector = format!("{label}={ours}");
            (lead, shelf(of(lead.kind()), Some(selector)))
        });
        Self {
            classes,
            gateways,
            parts,
            leads: leads.collect(),
            changed,
            _watches: watches,
        }
    }

    /// Waits until something is another than when it was seen last.
    pub(super) async fn changed(&mut self) {
        if self.changed.changed().await.is_err() {
            std::future::pending().await
        }
    }

    pub(super) fn see(&mut self) -> Seen {
        self.changed.borrow_and_update();
        Seen {
            classes: self.classes.objects(),
            gateways: self.gateways.objects(),
            parts: named(&self.parts),
            leads: named(&self.leads),
        }
    }
}

/// None: not all of it is known yet.
fn named<K: Copy + Ord>(
    shelves: &BTreeMap<K, Shelf>,
) -> Option<BTreeMap<(K, String, String), Arc<DynamicObject>>> {
    let mut named = BTreeMap::new();
    for (&what, shelf) in shelves {
        named.extend(shelf.objects()?.into_iter().filter_map(|object| {
            let metadata = &object.metadata;
            let (namespace, name) = (metadata.namespace.clone()?, metadata.name.clone()?);
            Some(((what, namespace, name), object))
        }));
    }
    Some(named)
}

impl Shelf {
    fn objects(&self) -> Option<Vec<Arc<DynamicObject>>> {
        let is_listed = self.is_listed.load(Ordering::Acquire);
        is_listed.then(|| self.objects.state())
    }
}

/// Keeps a shelf as the API server tells of it.
async fn follow(
    writer: Writer<DynamicObject>,
    (api, config): (Api<DynamicObject>, watcher::Config),
    (change, is_listed): (watch::Sender<()>, Arc<AtomicBool>),
) {
    let events = watcher(api, config).map(|event| Ok(unburdened(event?)));
    let mut events = reflector(writer, events).boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init | Event::InitApply(_)) => continue,
            Ok(Event::InitDone) => is_listed.store(true, Ordering::Release),
            Ok(Event::Apply(_) | Event::Delete(_)) => {}
            Err(error) => {
                if is_undefined(&error) {
                    debug!(%error, "a kind is not defined");
                    is_listed.store(false, Ordering::Release);
                } else {
                    warn!(%error, "what waypoints are made of cannot be watched");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        change.send_replace(());
    }
}

/// Without what nobody reads here.
fn unburdened(event: Event<DynamicObject>) -> Event<DynamicObject> {
    event.modify(|object| object.metadata.managed_fields = None)
}

fn is_undefined(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == NOT_FOUND,
        _ => false,
    }
}
