//! What the source has heard and what the pipeline made of it, for whoever writes status.
//!
//! Only the newest is kept: a writer that is slow, or does not lead, costs no more than that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::record::Record;
use crate::ads::Published;
use crate::diagnostic::Diagnostic;
use crate::index::Objects;
use crate::manifest::{Kind, ObjectRef};
use crate::model::Model;

/// What became of everything that was heard at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) model: Arc<Model>,
    /// What is in force.
    pub(crate) objects: Arc<Objects>,
    pub(crate) resources: Arc<Published>,
    /// Objects whose newest version is not in force.
    pub(crate) refused: Arc<BTreeSet<ObjectRef>>,
    /// By the object that they are about.
    pub(crate) findings: Arc<BTreeMap<ObjectRef, Vec<Diagnostic>>>,
    /// What a waypoint changes for the services that ask for it, by its Gateway.
    pub(crate) plans: Arc<BTreeMap<ObjectRef, String>>,
    /// Another revision's: nothing is said of them.
    pub(crate) foreign: Arc<BTreeSet<ObjectRef>>,
    /// The namespace whose rules count for the mesh.
    pub(crate) root_namespace: Arc<str>,
}

/// A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pages: Arc<Mutex<Pages>>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Pages {
    entries: BTreeMap<ObjectRef, Entry>,
    resolved: Option<Resolved>,
    /// Whatever was put with this turn, or before, is resolved.
    turn: u64,
    /// How often it was marked what is to be resolved.
    marks: u64,
}

/// What has been put until then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

#[derive(Clone, Debug)]
struct Entry {
    record: Arc<Record>,
    /// Resolved with this turn; before, what was resolved is the generation of before.
    turn: u64,
    before: Option<i64>,
}

/// An object with the generation of it that was resolved.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) record: Arc<Record>,
    pub(crate) generation: i64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            pages: Arc::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Ledger {
    /// Told whenever something else stands here.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// An object was heard of. `is_new`: what acts of it is another than before, and will be resolved.
    pub(crate) fn put(&self, record: Record, is_new: bool) {
        let mut pages = self.pages();
        let (turn, resolved) = (pages.marks + 1, pages.turn);
        let known = pages.entries.get(&record.id);
        let before = known.and_then(|known| known.generation(resolved));
        let awaited = known.map(|known| known.turn);
        let entry = Entry {
            record: Arc::new(record),
            turn: match is_new {
                true => turn,
                false => awaited.unwrap_or(resolved),
            },
            before,
        };
        pages.entries.insert(entry.record.id.clone(), entry);
        drop(pages);
        self.changed.send_replace(());
    }

    /// All objects of a kind were heard of.
    pub(crate) fn replace(&self, kind: Kind, records: Vec<Record>, is_new: bool) {
        let names: BTreeSet<_> = records.iter().map(|record| record.id.clone()).collect();
        self.pages()
            .entries
            .retain(|id, _| id.kind != kind || names.contains(id));
        for record in records {
            self.put(record, is_new);
        }
    }

    pub(crate) fn remove(&self, id: &ObjectRef) {
        self.pages().entries.remove(id);
    }

    /// Everything that was put until now is going to be resolved together.
    pub(crate) fn mark(&self) -> Mark {
        let mut pages = self.pages();
        pages.marks += 1;
        Mark(pages.marks)
    }

    /// Everything that was put was resolved to this.
    pub(crate) fn resolve(&self, resolved: Resolved) {
        self.resolve_until(self.mark(), resolved);
    }

    /// The same of what was put until a mark.
    pub(crate) fn resolve_until(&self, mark: Mark, resolved: Resolved) {
        let mut pages = self.pages();
        pages.turn = pages.turn.max(mark.0);
        pages.resolved = Some(resolved);
        drop(pages);
        self.changed.send_replace(());
    }

    /// What stands here now; none before anything was resolved.
    pub(crate) fn read(&self) -> Option<(Resolved, Vec<Judged>)> {
        let pages = self.pages();
        let resolved = pages.resolved.clone()?;
        let entries = pages.entries.iter();
        let own = entries.filter(|(id, _)| !resolved.foreign.contains(id));
        let judged = own.filter_map(|(_, entry)| {
            Some(Judged {
                generation: entry.generation(pages.turn)?,
                record: entry.record.clone(),
            })
        });
        let judged = judged.collect();
        Some((resolved, judged))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The generation that was resolved with a turn.
    fn generation(&self, turn: u64) -> Option<i64> {
        match self.turn <= turn {
            true => Some(self.record.generation),
            false => self.before,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::schema::Settings;

    fn record(generation: i64) -> Record {
        Record {
            id: ObjectRef::new(Kind::MetaRouter, "default", "a"),
            uid: "u".to_owned(),
            generation,
            resource_version: generation.to_string(),
            gateways: vec![],
            host: None,
            status: Value::Null,
        }
    }

    fn resolved() -> Resolved {
        let objects = Objects::new();
        let (model, _) = crate::model::build(&objects, &Settings::new(vec![]), None);
        Resolved {
            model: Arc::new(model),
            objects: Arc::new(objects),
            resources: Arc::default(),
            refused: Arc::default(),
            findings: Arc::default(),
            plans: Arc::default(),
            foreign: Arc::default(),
            root_namespace: "istio-system".into(),
        }
    }

    /// The generation that was judged.
    fn judged(ledger: &Ledger) -> Option<i64> {
        let (_, judged) = ledger.read()?;
        judged.first().map(|judged| judged.generation)
    }

    #[test]
    fn a_generation_counts_once_it_was_resolved() {
        let ledger = Ledger::default();
        ledger.put(record(1), true);
        assert_eq!(judged(&ledger), None);
        ledger.resolve(resolved());
        assert_eq!(judged(&ledger), Some(1));
        ledger.put(record(2), true);
        ledger.put(record(2), false);
        assert_eq!(
            judged(&ledger),
            Some(1),
            "a status that is written resolves nothing"
        );
        ledger.put(record(3), true);
        assert_eq!(judged(&ledger), Some(1));
        ledger.resolve(resolved());
        assert_eq!(judged(&ledger), Some(3));
        ledger.put(record(4), false);
        assert_eq!(judged(&ledger), Some(4), "what acts of it is as it was");
        ledger.remove(&record(4).id);
        assert_eq!(judged(&ledger), None);
    }

    #[test]
    fn what_is_put_behind_a_mark_counts_with_the_next() {
        let ledger = Ledger::default();
        ledger.put(record(1), true);
        let mark = ledger.mark();
        ledger.put(record(2), true);
        assert_eq!(judged(&ledger), None);
        ledger.resolve_until(mark, resolved());
        assert_eq!(
            judged(&ledger),
            None,
            "of its newest version nothing is said"
        );
        let mark = ledger.mark();
        ledger.put(record(2), false);
        ledger.resolve_until(mark, resolved());
        assert_eq!(judged(&ledger), Some(2));
        ledger.put(record(3), true);
        ledger.resolve_until(mark, resolved());
        assert_eq!(judged(&ledger), Some(2));
        ledger.resolve(resolved());
        assert_eq!(judged(&ledger), Some(3));
    }

    #[test]
    fn a_list_takes_away_what_it_leaves_out_of_its_own_kind() {
        let ledger = Ledger::default();
        ledger.resolve(resolved());
        ledger.put(record(1), false);
        ledger.replace(Kind::RedisService, vec![], false);
        assert_eq!(judged(&ledger), Some(1));
        ledger.replace(Kind::MetaRouter, vec![], false);
        assert_eq!(judged(&ledger), None);
    }
}
