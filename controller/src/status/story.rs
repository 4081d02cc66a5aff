//! For tests: an API server of one process, the pipeline, proxies, and a leader that writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::condition::Condition;
use super::ledger::Ledger;
use super::record::Record;
use super::replicas::Peers;
use super::term::{Outcome, Term, Write};
use crate::ads::{Clients, FakeProxy, Published, Resources};
use crate::controller::Pipeline;
use crate::diagnostic::SourceFile;
use crate::fixture::{GATEWAY, ROUTER, RULE, SERVICE, settings};
use crate::manifest::{Kind, ObjectRef, decode_file};

pub(super) struct Story {
    pub(super) ledger: Ledger,
    pub(super) clients: Clients,
    pub(super) resources: Arc<Published>,
    pipeline: Pipeline,
    /// What the API server holds, of kinds whose status is ours.
    held: BTreeMap<ObjectRef, Map<String, Value>>,
    version: u64,
    pub(super) term: Term,
    pub(super) now: Instant,
    /// Each that was written, in its order.
    pub(super) writes: Vec<ObjectRef>,
}

impl Story {
    /// Nothing is applied.
    pub(super) fn empty() -> Self {
        let now = Instant::now();
        Self {
            ledger: Ledger::default(),
            clients: Clients::default(),
            resources: Arc::default(),
            pipeline: Pipeline::new(settings()),
            held: BTreeMap::new(),
            version: 0,
            term: Term::new(now, Peers::none()),
            now,
            writes: vec![],
        }
    }

    /// A MetaRouter and everything that it needs.
    pub(super) fn valid() -> Self {
        let mut story = Self::empty();
        story.apply(&[SERVICE, RULE, GATEWAY, ROUTER].join("---\n"));
        story
    }

    /// Many Gateways, and for each of them as many MetaRouters.
    pub(super) fn of_many(gateways: usize, routers: usize) -> Self {
        let mut story = Self::empty();
        let of_gateway = |g: usize| {
            let own = move |n: usize| {
                format!(
                    "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
                     metadata: {{name: r{n}, namespace: team-{g}}}\n\
                     spec: {{hosts: [s{g}.example], gateways: [edge], routes: [{{match: {{attributes: \
                     {{method: {{exact: m{n}}}}}}}, route: [{{destination: {{host: s{g}.example}}}}]}}]}}\n"
                )
            };
            let shared = format!(
                "apiVersion: networking.istio.io/v1\nkind: Gateway\n\
                 metadata: {{name: edge, namespace: team-{g}}}\n\
                 spec: {{servers: [{{port: {{number: 20880, name: tcp-metaprotocol-dubbo}}, hosts: ['*']}}]}}\n\
                 ---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
                 metadata: {{name: own, namespace: team-{g}}}\n\
                 spec: {{hosts: [s{g}.example], ports: [{{number: 20880, name: tcp-metaprotocol-dubbo}}], \
                 resolution: STATIC, endpoints: [{{address: 10.0.0.1}}]}}\n"
            );
            std::iter::once(shared).chain((0..routers).map(own))
        };
        let manifests: Vec<_> = (0..gateways).flat_map(of_gateway).collect();
        story.pipeline.settings.gateways_apart = true;
        story.apply(&manifests.join("---\n"));
        story
    }

    /// What concerns the proxies of a Gateway of [`Self::of_many`].
    pub(super) fn scope(&self, gateway: usize) -> Arc<Resources> {
        let gateway = format!("team-{gateway}/edge").parse().expect("a name");
        self.resources.scope(&gateway).expect("it is there").clone()
    }

    /// Applies manifests, which are resolved at once.
    pub(super) fn apply(&mut self, manifests: &str) {
        for text in manifests.split("---\n") {
            let name = "f.yaml".to_owned();
            let file = SourceFile {
                name,
                text: text.to_owned(),
            };
            let mut decoded = decode_file(&Arc::new(file)).pop().expect("a document");
            let id = decoded.id.clone().expect("a name");
            decoded.place.file = id.to_string();
            let object: Map<_, _> = serde_saphyr::from_str(text).expect("a mapping");
            let is_new = self.pipeline.index.put(decoded);
            self.hold(id, object, is_new);
        }
        self.resolve();
    }

    pub(super) fn delete(&mut self, id: &ObjectRef) {
        self.pipeline.index.remove(id);
        self.held.remove(id);
        self.ledger.remove(id);
        self.resolve();
    }

    fn resolve(&mut self) {
        let update = self.pipeline.apply();
        self.resources = update.resources.clone();
        self.ledger.resolve(self.pipeline.judged());
    }

    fn hold(&mut self, id: ObjectRef, mut object: Map<String, Value>, is_new: bool) {
        let earlier = self.held.get(&id);
        let generation = earlier.map_or(1, |earlier| {
            let before = earlier["metadata"]["generation"]
                .as_i64()
                .unwrap_or_default();
            before + i64::from(earlier["spec"] != object["spec"])
        });
        let status = earlier.and_then(|earlier| earlier.get("status").cloned());
        object.insert("status".to_owned(), status.unwrap_or(Value::Null));
        object["metadata"]["generation"] = json!(generation);
        self.held.insert(id.clone(), object);
        self.touch(&id, is_new);
    }

    /// Another version of an object, which is heard of.
    fn touch(&mut self, id: &ObjectRef, is_new: bool) {
        self.version += 1;
        let object = self.held.get_mut(id).expect("it is there");
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if super::KINDS.contains(&id.kind) {
            let record = Record::of(id.clone(), "uid", object).expect("a record");
            self.ledger.put(record, is_new);
        }
    }

    /// Somebody else writes a status.
    pub(super) fn set_status(&mut self, id: &ObjectRef, status: Value) {
        self.held
            .get_mut(id)
            .expect("it is there")
            .insert("status".to_owned(), status);
        self.touch(id, false);
    }

    pub(super) fn status(&self, id: &ObjectRef) -> Value {
        self.held[id]["status"].clone()
    }

    /// What the leader would write now.
    pub(super) fn due(&mut self) -> Vec<Write> {
        let text = format!("{:?}", self.now);
        self.term
            .turn(&self.ledger, &self.clients, (self.now, &text))
            .writes
    }

    /// As the API server does; what is written is heard of.
    pub(super) fn write(&mut self, write: &Write) -> Outcome {
        let id = write.record.id.clone();
        let outcome = self.write_unheard(write);
        if matches!(outcome, Outcome::Written { .. }) {
            let object = &self.held[&id];
            let record = Record::of(id, "uid", object).expect("a record");
            self.ledger.put(record, false);
        }
        outcome
    }

    /// As the API server does, whose word of it is late.
    pub(super) fn write_unheard(&mut self, write: &Write) -> Outcome {
        let id = &write.record.id;
        let Some(object) = self.held.get_mut(id) else {
            return Outcome::Outdated;
        };
        if object["metadata"]["resourceVersion"] != write.over.as_str() {
            return Outcome::Outdated;
        }
        self.version += 1;
        let version = self.version.to_string();
        object["metadata"]["resourceVersion"] = json!(version);
        object.insert("status".to_owned(), write.patch.clone());
        self.writes.push(id.clone());
        Outcome::Written {
            version,
            status: write.patch.clone(),
        }
    }

    /// Writes what is due, and so on until nothing is.
    pub(super) fn settle(&mut self) {
        for _ in 0..10 {
            let due = self.due();
            if due.is_empty() {
                return;
            }
            for write in due {
                let outcome = self.write(&write);
                self.term.wrote(&write, outcome, self.now);
            }
        }
        panic!("there is no end to what is due");
    }

    /// Time passes, in which everything that becomes due is written.
    pub(super) fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = (self.now + Duration::from_millis(250)).min(end);
            self.settle();
        }
    }

    pub(super) fn condition(&self, id: &ObjectRef, kind: &str) -> Option<Condition> {
        let status = self.status(id);
        let mut entries = status["parents"].as_array()?.iter();
        let entry = entries.find(|entry| entry["controllerName"] == crate::model::CONTROLLER)?;
        let mut conditions = entry["conditions"].as_array()?.iter();
        let condition = conditions.find(|condition| condition["type"] == kind)?;
        Some(serde_json::from_value(condition.clone()).expect("a condition"))
    }

    /// `True/Accepted`.
    pub(super) fn says(&self, id: &ObjectRef, kind: &str) -> String {
        let condition = self.condition(id, kind);
        condition.map_or("nothing".to_owned(), |it| {
            format!("{:?}/{}", it.status, it.reason)
        })
    }

    /// A proxy that has everything.
    pub(super) fn proxy(&self) -> FakeProxy {
        let mut proxy = FakeProxy::connect(&self.clients, "proxy");
        proxy.take(&self.resources);
        proxy
    }
}

/// The MetaRouter of [`Story::valid`].
pub(super) fn router() -> ObjectRef {
    ObjectRef::new(Kind::MetaRouter, "default", "greeter")
}
