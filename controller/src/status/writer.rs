//! Writes what is due to the API server, while this process leads.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::strtime;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, warn};

use super::events::Announcer;
use super::gateways::News;
use super::ledger::Ledger;
use super::rate::Rate;
use super::replicas::{Leases, Peers};
use super::term::{Outcome, Term, Write};
use crate::ads::Clients;
use crate::aside::aside;
use crate::leader::Leadership;
use crate::source::kubernetes::resource;

/// Between two looks at what is due: what changes meanwhile is written together.
const PAUSE: Duration = Duration::from_millis(250);
/// And so many times as long as the last look took, so that looking takes a twentieth of a core at most, however much there is
/// to look at and however much changes; but not longer than this.
const SPARED: u32 = 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// So many writes, and then a look at what has changed meanwhile.
const BATCH: usize = 32;
/// Of writes a second; and how many may come together.
const RATE: u32 = 50;
const BURST: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(10);

const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;
const GONE: u16 = 410;

pub(crate) struct Writer {
    client: Client,
    /// As whom it writes, among those who manage an object's fields.
    manager: String,
    ledger: Ledger,
    clients: Clients,
    leadership: Leadership,
    leases: Leases,
    events: Announcer,
    rate: Rate,
    gateways: watch::Sender<Option<News>>,
}

impl Writer {
    pub(crate) fn new(
        (client, manager): (Client, String),
        (ledger, clients): (Ledger, Clients),
        leadership: Leadership,
        leases: Leases,
    ) -> Self {
        Self {
            events: Announcer::start(client.clone()),
            rate: Rate::new(RATE, BURST, Instant::now()),
            client,
            manager,
            ledger,
            clients,
            leadership,
            leases,
            gateways: watch::Sender::new(None),
        }
    }

    /// What became of Gateways, while it leads.
    pub(crate) fn gateways(&self) -> watch::Receiver<Option<News>> {
        self.gateways.subscribe()
    }

    /// Writes whenever it leads, as long as that may be.
    pub(crate) async fn run(mut self) {
        while self.leadership.begun().await.is_ok() {
            self.lead().await;
        }
    }

    async fn lead(&mut self) {
        let mut ended = self.leadership.clone();
        tokio::select! {
            () = self.serve() => {}
            // What is under way is given up: whoever leads now finds out what became of it.
            () = ended.ended() => {}
        }
    }

    async fn serve(&mut self) {
        self.gateways.send_replace(None);
        let mut term = Term::new(Instant::now(), Peers::default());
        let mut others = self.leases.listen();
        let (mut heard, mut answered) = (self.ledger.changes(), self.clients.changes());
        loop {
            heard.borrow_and_update();
            answered.borrow_and_update();
            if let Some(live) = others.news() {
                term.heard(live);
            }
            let began = Instant::now();
            let (ledger, clients) = (self.ledger.clone(), self.clients.clone());
            let looked = aside(move || {
                let turn = term.turn(&ledger, &clients, (began, &now()));
                (term, turn)
            });
            let turn;
            (term, turn) = looked.await;
            let pause = (began.elapsed() * SPARED).clamp(PAUSE, LONGEST_PAUSE);
            self.gateways.send_if_modified(|known| {
                let is_new = *known != turn.gateways;
                known.clone_from(&turn.gateways);
                is_new
            });
            let has_more = turn.writes.len() > BATCH;
            for write in turn.writes.iter().take(BATCH) {
                self.wait_for_turn().await;
                let outcome = self.write(write).await;
                term.wrote(write, outcome, Instant::now());
            }
            if has_more {
                continue;
            }
            let wakes = turn.wakes.unwrap_or_else(|| Instant::now() + PATIENCE);
            tokio::select! {
                _ = heard.changed() => {}
                _ = answered.changed() => {}
                () = others.changed() => {}
                () = sleep_until(wakes.into()) => {}
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn wait_for_turn(&mut self) {
        while let Err(there) = self.rate.take(Instant::now()) {
            sleep_until(there.into()).await;
        }
    }

    async fn write(&self, write: &Write) -> Outcome {
        let id = &write.record.id;
        let resource = resource::of(
            id.kind,
            id.kind.versions().first().copied().unwrap_or_default(),
        );
        let api: Api<DynamicObject> = match id.kind.is_namespaced() {
            true => Api::namespaced_with(self.client.clone(), &id.namespace, &resource),
            false => Api::all_with(self.client.clone(), &resource),
        };
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": write.over},
            "status": write.patch,
        }));
        let params = PatchParams {
            field_manager: Some(self.manager.clone()),
            ..PatchParams::default()
        };
        let written = timeout(PATIENCE, api.patch_status(&id.name, &params, &patch)).await;
        match written {
            Ok(Ok(object)) => {
                debug!(%id, "status is written");
                self.events.announce(write, &resource);
                Outcome::Written {
                    version: object.metadata.resource_version.unwrap_or_default(),
                    status: object.data.get("status").cloned().unwrap_or(Value::Null),
                }
            }
            Ok(Err(kube::Error::Api(status))) if is_outdated(status.code) => {
                debug!(%id, reason = status.reason, "status is not written: the object is another by now");
                Outcome::Outdated
            }
            Ok(Err(error)) => {
                warn!(%id, %error, "status cannot be written");
                Outcome::Failed
            }
            Err(_) => {
                warn!(%id, "status cannot be written: no answer in time");
                Outcome::Failed
            }
        }
    }
}

const fn is_outdated(code: u16) -> bool {
    matches!(code, NOT_FOUND | CONFLICT | GONE)
}

/// As conditions have it.
pub(crate) fn now() -> String {
    strtime::format("%Y-%m-%dT%H:%M:%SZ", Timestamp::now()).unwrap_or_default()
}
