//! The status that an object should have, and what of it is not written yet.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::condition::{Condition, Kind, State, Truth, Wanted};
use super::ledger::{Judged, Resolved};
use super::parent::{ParentRef, parents};
use super::verdict::Verdict;
use crate::manifest::{ObjectRef, Spec};
use crate::model::CONTROLLER;

/// What an object should say.
#[derive(Debug, PartialEq)]
pub(crate) struct Desired {
    /// Of the requests that it is about; none where it cannot be told.
    pub(crate) protocol: Option<String>,
    pub(crate) parents: Vec<DesiredParent>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct DesiredParent {
    pub(crate) parent: ParentRef,
    pub(crate) accepted: Wanted,
    pub(crate) resolved_refs: Wanted,
    /// None: what is written stays, until there is more to say.
    pub(crate) programmed: Option<Wanted>,
    pub(crate) conflicted: Wanted,
}

/// A condition that is another than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) from: Option<Truth>,
    pub(crate) to: Condition,
}

/// What has to be written.
#[derive(Debug, PartialEq)]
pub(crate) struct Change {
    /// Of `status`, as a merge patch has it.
    pub(crate) patch: Value,
    pub(crate) transitions: Vec<Transition>,
}

/// The protocol of the first server that each object acts on.
#[derive(Debug)]
pub(crate) struct Spoken<'a>(HashMap<&'a ObjectRef, &'a str>);

impl<'a> Spoken<'a> {
    pub(crate) fn of(resolved: &'a Resolved) -> Self {
        let mut spoken = HashMap::new();
        for server in resolved.model.servers.iter() {
            for id in &server.attached {
                spoken
                    .entry(id)
                    .or_insert(server.protocol.application.as_str());
            }
        }
        Self(spoken)
    }
}

/// What an object should say; `programmed` is what its proxies have made of it at a parent.
pub(crate) fn desired(
    judged: &Judged,
    (resolved, spoken): (&Resolved, &Spoken<'_>),
    mut programmed: impl FnMut(&ParentRef) -> Option<State>,
) -> Desired {
    let record = &judged.record;
    let verdict = Verdict::of(&record.id, resolved);
    let wanted = |kind, state: &State| Wanted {
        kind,
        state: state.clone(),
        generation: judged.generation,
    };
    let parents = parents(record, resolved).into_iter().map(|parent| {
        let programmed = match verdict.accepted.status {
            Truth::False => Some(not_accepted()),
            _ => programmed(&parent),
        };
        DesiredParent {
            accepted: wanted(Kind::Accepted, &verdict.accepted),
            resolved_refs: wanted(Kind::ResolvedRefs, &verdict.resolved_refs),
            programmed: programmed.map(|state| wanted(Kind::Programmed, &state)),
            conflicted: wanted(Kind::Conflicted, &verdict.conflicted),
            parent,
        }
    });
    Desired {
        protocol: protocol(judged, resolved, spoken),
        parents: parents.collect(),
    }
}

fn not_accepted() -> State {
    let message = "no proxy is sent its newest version, which is refused";
    State::new(Truth::False, "NotAccepted", message)
}

/// As the ports are named.
fn protocol(judged: &Judged, resolved: &Resolved, spoken: &Spoken<'_>) -> Option<String> {
    let id = &judged.record.id;
    if let Some(Spec::ApplicationProtocol(protocol)) = resolved.objects.get(id).map(|o| &o.spec) {
        return Some(protocol.protocol.value.to_lowercase());
    }
    if let Some(spoken) = spoken.0.get(id) {
        return Some((*spoken).to_owned());
    }
    let host = judged.record.host.as_deref()?;
    let service = resolved.model.services.find(host, &id.namespace)?;
    let mut protocols = service
        .ports
        .iter()
        .filter_map(|port| port.protocol.as_ref());
    Some(protocols.next()?.application.clone())
}

impl Desired {
    /// What of it differs from what is written; none where nothing does.
    ///
    /// Entries of other controllers stay as they are and where they are: whoever would move them could be moved back
    /// for ever.
    pub(crate) fn change(&self, written: &Value, now: &str) -> Option<Change> {
        let entries = written["parents"].as_array().map_or(&[][..], Vec::as_slice);
        let mut transitions = vec![];
        let mut missing: Vec<_> = self.parents.iter().collect();
        let mut parents = vec![];
        for entry in entries {
            if entry["controllerName"] != CONTROLLER {
                parents.push(entry.clone());
                continue;
            }
            let known = parent_of(entry);
            let place = known.and_then(|known| missing.iter().position(|it| it.parent == known));
            if let Some(place) = place {
                let parent = missing.remove(place);
                parents.push(parent.entry(entry, now, &mut transitions));
            }
        }
        let added = missing.into_iter();
        parents.extend(added.map(|parent| parent.entry(&Value::Null, now, &mut transitions)));
        let protocol = json!(self.protocol);
        let is_same = entries == parents && written["protocol"] == protocol;
        (!is_same).then(|| Change {
            patch: json!({"protocol": protocol, "parents": parents}),
            transitions,
        })
    }
}

impl DesiredParent {
    /// The entry that should be there in the place of one that is.
    fn entry(&self, written: &Value, now: &str, transitions: &mut Vec<Transition>) -> Value {
        let known = conditions(written);
        let of_kind = |kind: Kind| known.iter().find(|it| it.kind == kind.as_str());
        let mut write = |kind: Kind, wanted: Option<&Wanted>| {
            let before = of_kind(kind);
            let Some(wanted) = wanted else {
                return before
                    .cloned()
                    .unwrap_or_else(|| self.pending().timed(None, now));
            };
            let condition = wanted.timed(before, now);
            if before.is_none_or(|before| before.status != condition.status) {
                transitions.push(Transition {
                    from: before.map(|before| before.status),
                    to: condition.clone(),
                });
            }
            condition
        };
        let conditions = [
            write(Kind::Accepted, Some(&self.accepted)),
            write(Kind::ResolvedRefs, Some(&self.resolved_refs)),
            write(Kind::Programmed, self.programmed.as_ref()),
            write(Kind::Conflicted, Some(&self.conflicted)),
        ];
        json!({
            "parentRef": self.parent,
            "controllerName": CONTROLLER,
            "conditions": conditions,
        })
    }

    fn pending(&self) -> Wanted {
        Wanted {
            kind: Kind::Programmed,
            state: State::new(Truth::Unknown, "Pending", "the proxies are being asked"),
            generation: self.accepted.generation,
        }
    }
}

/// The `Programmed` of one parent, as it is written.
pub(crate) fn written_programmed(written: &Value, parent: &ParentRef) -> Option<Condition> {
    let mut entries = written["parents"].as_array()?.iter();
    let entry = entries.find(|entry| {
        entry["controllerName"] == CONTROLLER && parent_of(entry).as_ref() == Some(parent)
    })?;
    let mut conditions = conditions(entry).into_iter();
    conditions.find(|condition| condition.kind == Kind::Programmed.as_str())
}

/// None where it is none that we write.
fn parent_of(entry: &Value) -> Option<ParentRef> {
    serde_json::from_value(entry["parentRef"].clone()).ok()
}

/// Those that can be read.
fn conditions(entry: &Value) -> Vec<Condition> {
    let conditions = entry["conditions"].as_array().into_iter().flatten();
    let conditions = conditions.filter_map(|it| serde_json::from_value(it.clone()).ok());
    conditions.collect()
}

#[cfg(test)]
mod tests;
