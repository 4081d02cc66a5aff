//! Events: what became of an object, when its state changes. The state itself is in `status`; an Event that is lost, or
//! left out since there are too many, costs nobody more than a line.

use std::time::Instant;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::core::ApiResource;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::condition::{Condition, Kind, Truth};
use super::desired::Transition;
use super::rate::Rate;
use super::term::Write;
use crate::model::CONTROLLER;

/// Of Events a second; and how many may come together.
const RATE: u32 = 5;
const BURST: u32 = 100;
/// That wait.
const WAITING: usize = 128;
/// By the API server.
const LONGEST_NOTE: usize = 1024;

/// Makes Events of transitions.
pub(super) struct Announcer {
    waiting: mpsc::Sender<(ObjectReference, Event)>,
}

impl Announcer {
    pub(super) fn start(client: Client) -> Self {
        let (waiting, announced) = mpsc::channel(WAITING);
        let reporter = Reporter::from(CONTROLLER);
        tokio::spawn(publish(Recorder::new(client, reporter), announced));
        Self { waiting }
    }

    /// Says what changed with a status that is written.
    pub(super) fn announce(&self, write: &Write, resource: &ApiResource) {
        let mut told: Vec<Event> = vec![];
        for event in write.transitions.iter().filter_map(event) {
            // What holds at several parents alike is said once.
            let is_told = |it: &Event| it.reason == event.reason && it.note == event.note;
            if !told.iter().any(is_told) {
                told.push(event);
            }
        }
        for event in told {
            if self
                .waiting
                .try_send((reference(write, resource), event))
                .is_err()
            {
                debug!(id = %write.record.id, "an Event is left out");
            }
        }
    }
}

async fn publish(recorder: Recorder, mut announced: mpsc::Receiver<(ObjectReference, Event)>) {
    let mut rate = Rate::new(RATE, BURST, Instant::now());
    while let Some((regarding, event)) = announced.recv().await {
        if rate.take(Instant::now()).is_err() {
            debug!(name = regarding.name, "an Event is left out");
            continue;
        }
        if let Err(error) = recorder.publish(&event, &regarding).await {
            warn!(name = regarding.name, %error, "an Event cannot be written");
        }
    }
}

fn reference(write: &Write, resource: &ApiResource) -> ObjectReference {
    let id = &write.record.id;
    ObjectReference {
        api_version: Some(resource.api_version.clone()),
        kind: Some(resource.kind.clone()),
        namespace: (!id.namespace.is_empty()).then(|| id.namespace.to_string()),
        name: Some(id.name.to_string()),
        uid: Some(write.record.uid.clone()),
        // With one, what happens again would be another Event, and not the same once more.
        resource_version: None,
        field_path: None,
    }
}

/// What there is to say of conditions that take the place of those that are written.
pub(crate) fn events(written: &Value, conditions: &Value) -> Vec<Event> {
    let read = |conditions: &Value| {
        let conditions = conditions.as_array().into_iter().flatten();
        let conditions = conditions.filter_map(|it| serde_json::from_value(it.clone()).ok());
        conditions.collect::<Vec<Condition>>()
    };
    let written = read(written);
    let changed = read(conditions).into_iter().filter_map(|to| {
        let before = written.iter().find(|it| it.kind == to.kind);
        let from = before.map(|before| before.status);
        // What is new has to come up first, and what is refused was said to be.
        let is_said =
            to.reason == "Invalid" || (to.reason == "Pending" && from != Some(Truth::True));
        (from != Some(to.status) && !is_said).then_some(Transition { from, to })
    });
    changed.filter_map(|it| event(&it)).collect()
}

/// None where people have no use for it: what is new is expected to work.
fn event(transition: &Transition) -> Option<Event> {
    let condition = &transition.to;
    let of = |kind: Kind| condition.kind == kind.as_str();
    let (status, from) = (condition.status, transition.from);
    let is_good = status == Truth::True;
    let (is_bad, is_better) = if of(Kind::Accepted) || of(Kind::ResolvedRefs) {
        let was_bad = from == Some(Truth::False);
        (status == Truth::False, is_good && was_bad)
    } else if of(Kind::Conflicted) || of(Kind::ProtocolMismatch) {
        (status == Truth::True, from == Some(Truth::True))
    } else {
        // That it is refused is said already.
        let is_bad = status == Truth::False && condition.reason != "NotAccepted";
        (is_bad, is_good && from.is_some())
    };
    let type_ = match (is_bad, is_better) {
        (true, _) => EventType::Warning,
        (false, true) => EventType::Normal,
        (false, false) => return None,
    };
    Some(Event {
        type_,
        reason: condition.reason.clone(),
        note: Some(note(&condition.message)),
        action: condition.kind.clone(),
        secondary: None,
    })
}

fn note(message: &str) -> String {
    let end = message.floor_char_boundary(LONGEST_NOTE);
    message.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
