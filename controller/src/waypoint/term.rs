//! One term of a leader: which wishes are to be carried out next, and what became of them. Without I/O and clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kube::core::DynamicObject;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::gateway::Waypoint;
use super::part::Part;
use super::plan::{Action, Wish};
use crate::manifest::Kind;

/// After a failure; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long what was written may take to be heard of. What is heard of until then as it was before is not looked at.
const LAG: Duration = Duration::from_secs(5);

/// What is written to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) what: What,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) is_status: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Class,
    Gateway,
    Part(Part),
    /// One that sidecars are led to.
    LedTo,
    /// What these are told.
    Lead(Lead),
}

/// In the order in which sidecars may hear of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lead {
    DestinationRule,
    VirtualService,
}

impl Lead {
    pub(super) const ALL: [Self; 2] = [Self::DestinationRule, Self::VirtualService];

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::DestinationRule => Kind::DestinationRule,
            Self::VirtualService => Kind::VirtualService,
        }
    }
}

impl Target {
    pub(super) fn class(name: &str) -> Self {
        Self {
            what: What::Class,
            namespace: String::new(),
            name: name.to_owned(),
            is_status: false,
        }
    }

    pub(super) fn gateway(waypoint: &Waypoint) -> Self {
        Self {
            what: What::Gateway,
            namespace: waypoint.namespace.clone(),
            name: waypoint.name.clone(),
            is_status: false,
        }
    }

    pub(super) fn part(part: Part, waypoint: &Waypoint) -> Self {
        Self {
            what: What::Part(part),
            ..Self::gateway(waypoint)
        }
    }

    pub(super) fn of(what: What, (namespace, name): (&str, &str)) -> Self {
        Self {
            what,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            is_status: false,
        }
    }

    pub(super) fn status(self) -> Self {
        Self {
            is_status: true,
            ..self
        }
    }
}

/// Targets that cannot be as they are wished, with what the API server said; none: somebody else has one of that name.
pub(super) type Problems = BTreeMap<Target, Option<String>>;

/// What became of a wish.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is so now.
    Applied(Box<DynamicObject>),
    Deleted,
    /// It is another by now, or gone: it will be heard of.
    Outdated,
    /// There is one already of that name.
    Taken,
    /// The API server does not take it.
    Refused(String),
    Failed,
}

#[derive(Debug, Default)]
pub(super) struct Term {
    written: BTreeMap<Target, Written>,
    pauses: BTreeMap<Target, Pause>,
    pub(super) problems: Problems,
}

/// What was carried out last of one target.
#[derive(Debug)]
struct Written {
    /// What was wished.
    meant: u64,
    /// How it was before, and how it was then; none: not there.
    before: Option<u64>,
    after: Option<u64>,
    at: Instant,
}

#[derive(Debug)]
struct Pause {
    length: Duration,
    until: Instant,
    /// Over as soon as something else is wished than this.
    meant: u64,
}

impl Term {
    /// Those of the wishes that are to be carried out now.
    pub(super) fn due<'a>(&mut self, wishes: &'a [Wish], now: Instant) -> Vec<&'a Wish> {
        let there: BTreeSet<_> = wishes.iter().map(|wish| &wish.target).collect();
        self.written.retain(|target, _| there.contains(target));
        self.pauses.retain(|target, _| there.contains(target));
        self.problems.retain(|target, _| there.contains(target));
        let due = wishes.iter().filter(|wish| {
            let pause = self.pauses.get(&wish.target);
            let is_paused = pause.is_some_and(|it| now < it.until && it.meant == meaning(wish));
            !is_paused && !self.is_fulfilled(wish, now)
        });
        due.collect()
    }

    fn is_fulfilled(&self, wish: &Wish, now: Instant) -> bool {
        let written = self.written.get(&wish.target);
        let (meant, live) = (meaning(wish), live(wish));
        if let Some(written) = written.filter(|it| it.meant == meant) {
            let is_unheard = live == written.before && now < written.at + LAG;
            if live == written.after || is_unheard {
                return true;
            }
        }
        let (Action::Apply(body), Some(object)) = (&wish.action, &wish.live) else {
            return false;
        };
        // What was applied before and is not any more has to go.
        let is_same = written.is_none_or(|it| it.meant == meant);
        is_same && includes(&seen(object, wish.target.is_status), body)
    }

    /// When something may be due although nothing happens.
    pub(super) fn wakes(&self, now: Instant) -> Option<Instant> {
        let pauses = self.pauses.values().map(|pause| pause.until);
        let heard = self.written.values().map(|written| written.at + LAG);
        pauses.chain(heard).filter(|&time| time > now).min()
    }

    pub(super) fn wrote(&mut self, wish: &Wish, outcome: Outcome, now: Instant) {
        let target = &wish.target;
        let after = match outcome {
            Outcome::Applied(object) => Some(digest(&seen(&object, target.is_status))),
            Outcome::Deleted => None,
            Outcome::Outdated | Outcome::Failed => return self.pause(wish, now),
            Outcome::Taken => {
                self.problems.insert(target.clone(), None);
                return self.pause(wish, now);
            }
            Outcome::Refused(why) => {
                self.problems.insert(target.clone(), Some(why));
                return self.pause(wish, now);
            }
        };
        self.pauses.remove(target);
        self.problems.remove(target);
        let written = Written {
            meant: meaning(wish),
            before: live(wish),
            after,
            at: now,
        };
        self.written.insert(target.clone(), written);
    }

    fn pause(&mut self, wish: &Wish, now: Instant) {
        let meant = meaning(wish);
        let earlier = self.pauses.get(&wish.target);
        let earlier = earlier.filter(|pause| pause.meant == meant);
        let length = earlier.map_or(FIRST_PAUSE, |pause| pause.length * 2);
        let length = length.min(LONGEST_PAUSE);
        let pause = Pause {
            length,
            until: now + length,
            meant,
        };
        self.pauses.insert(wish.target.clone(), pause);
    }
}

/// What a wish comes to, whenever it is wished.
fn meaning(wish: &Wish) -> u64 {
    match &wish.action {
        Action::Delete => 0,
        Action::Apply(body) | Action::Withdraw(body) => digest(&timeless(body.clone())),
    }
}

fn live(wish: &Wish) -> Option<u64> {
    let object = wish.live.as_ref()?;
    Some(digest(&seen(object, wish.target.is_status)))
}

fn digest(value: &Value) -> u64 {
    xxh3_64(value.to_string().as_bytes())
}

/// What people or controllers write of an object, with its identity: its status, or all else.
fn seen(object: &DynamicObject, is_status: bool) -> Value {
    let metadata = &object.metadata;
    let (name, namespace, uid) = (&metadata.name, &metadata.namespace, &metadata.uid);
    if is_status {
        return json!({"uid": uid, "status": object.data["status"]});
    }
    let mut seen = object.data.as_object().cloned().unwrap_or_default();
    seen.remove("status");
    let written = json!({
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "labels": metadata.labels,
        "annotations": metadata.annotations,
        "ownerReferences": metadata.owner_references,
    });
    seen.insert("metadata".to_owned(), written);
    Value::Object(seen)
}

/// Whether a wished object is in what is there of it.
fn includes(seen: &Value, wished: &Value) -> bool {
    let fields = wished.as_object().into_iter().flatten();
    let is_status = wished.get("status").is_some();
    // What it is called and of which kind is known.
    let known: &[&str] = match is_status {
        true => &["apiVersion", "kind", "metadata"],
        false => &["apiVersion", "kind"],
    };
    let mut fields = fields.filter(|(field, _)| !known.contains(&field.as_str()));
    fields.all(|(field, wished)| has(&seen[field], wished))
}

fn has(live: &Value, wished: &Value) -> bool {
    match (live, wished) {
        (Value::Object(live), Value::Object(wished)) => wished
            .iter()
            .all(|(field, wished)| has(live.get(field).unwrap_or(&Value::Null), wished)),
        // What is not there is as good as empty.
        (Value::Null, Value::Object(wished)) => wished.is_empty(),
        (Value::Array(live), Value::Array(wished)) => {
            let mut pairs = live.iter().zip(wished);
            live.len() == wished.len() && pairs.all(|(live, wished)| has(live, wished))
        }
        _ => live == wished,
    }
}

fn timeless(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields = fields.filter(|(field, _)| field != "lastTransitionTime");
            Value::Object(fields.map(|(field, it)| (field, timeless(it))).collect())
        }
        Value::Array(items) => items.into_iter().map(timeless).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests;
