//! Keeps waypoints and GatewayClasses as they should be, while this process leads.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::core::ApiResource;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, info, warn};

use super::class::Taken;
use super::parameters::Parameters;
use super::plan::{Action, Good, Known, Planner, Wish};
use super::settings::WaypointSettings;
use super::term::{Outcome, Target, Term, What};
use super::world::World;
use crate::leader::Leadership;
use crate::leads::manager;
use crate::manifest::Kind;
use crate::model::CONTROLLER;
use crate::source::kubernetes::resource;
use crate::standing::DEFAULT;
use crate::status::{News, Rate, events, now};

/// Between two looks at what is due: what changes meanwhile is done together.
const PAUSE: Duration = Duration::from_millis(250);
/// Without any change.
const LONGEST: Duration = Duration::from_secs(60);
/// Of writes a second; and how many may come together.
const RATE: u32 = 20;
const BURST: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(10);

const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;
const GONE: u16 = 410;
/// Too much is asked, or too much under way: that says nothing of what was asked.
const BUSY: [u16; 3] = [429, 503, 504];

pub(crate) struct Keeper {
    client: Client,
    /// As whom it writes, among those who manage an object's fields.
    manager: String,
    planner: Planner,
    leadership: Leadership,
    /// What proxies have.
    news: watch::Receiver<Option<News>>,
    recorder: Recorder,
    rate: Rate,
    /// Classes of somebody else, as far as people were told.
    taken: Vec<Taken>,
}

impl Keeper {
    pub(crate) fn new(
        (client, manager): (Client, String),
        (revision, settings, leads_sidecars): (Option<String>, Option<WaypointSettings>, bool),
        leadership: Leadership,
        news: watch::Receiver<Option<News>>,
    ) -> Self {
        Self {
            recorder: Recorder::new(client.clone(), Reporter::from(CONTROLLER)),
            rate: Rate::new(RATE, BURST, Instant::now()),
            planner: Planner {
                revision: revision.unwrap_or_else(|| DEFAULT.to_owned()),
                settings,
                leads_sidecars,
            },
            client,
            manager,
            leadership,
            news,
            taken: vec![],
        }
    }

    /// Whenever it leads, as long as that may be.
    pub(crate) async fn run(mut self) {
        while self.leadership.begun().await.is_ok() {
            let mut ended = self.leadership.clone();
            tokio::select! {
                () = self.serve() => {}
                // What is under way is given up: whoever leads now finds out what became of it.
                () = ended.ended() => {}
            }
        }
    }

    async fn serve(&mut self) {
        let mut world = World::watch(
            &self.client,
            self.planner.settings.is_some(),
            self.planner.leads_sidecars,
        );
        let (mut term, mut good) = (Term::default(), Good::new());
        let mut parameters = Parameters::default();
        loop {
            let seen = world.see();
            let named = self.planner.parameters(&seen);
            parameters.look(&self.client, &named).await;
            let news = self.news.borrow_and_update().clone();
            let known = Known {
                seen: &seen,
                news: news.as_ref(),
                parameters: &parameters,
                problems: &term.problems,
                now: &now(),
            };
            let plan = self.planner.plan(&known, &mut good);
            self.tell(plan.taken).await;
            for wish in term.due(&plan.wishes, Instant::now()) {
                while let Err(there) = self.rate.take(Instant::now()) {
                    sleep_until(there.into()).await;
                }
                let outcome = self.carry_out(wish).await;
                if let Outcome::Applied(object) = &outcome {
                    self.announce(wish, object).await;
                }
                term.wrote(wish, outcome, Instant::now());
            }
            let wakes = term.wakes(Instant::now()).into_iter();
            let wakes = wakes.chain(parameters.wakes()).min();
            let latest = Instant::now() + LONGEST;
            let wakes = wakes.map_or(latest, |wakes| wakes.min(latest));
            tokio::select! {
                () = world.changed() => {}
                Ok(()) = self.news.changed() => {}
                () = sleep_until(wakes.into()) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn carry_out(&self, wish: &Wish) -> Outcome {
        let done = timeout(PATIENCE, self.write(wish)).await;
        let target = &wish.target;
        let (namespace, name) = (&target.namespace, &target.name);
        let what = kind(&resource_of(target.what), target.is_status);
        match done {
            Ok(Ok(outcome)) => {
                match &outcome {
                    Outcome::Taken => warn!(what, namespace, name, "there is another one already"),
                    _ => info!(what, namespace, name, "it is as it should be"),
                }
                outcome
            }
            Ok(Err(kube::Error::Api(status))) => match status.code {
                NOT_FOUND | CONFLICT | GONE => {
                    debug!(
                        what,
                        namespace,
                        name,
                        reason = status.reason,
                        "it is another by now"
                    );
                    Outcome::Outdated
                }
                code if BUSY.contains(&code) => {
                    warn!(
                        what,
                        namespace,
                        name,
                        error = status.message,
                        "it cannot be written"
                    );
                    Outcome::Failed
                }
                // What is no field of an object is an internal error to server-side apply.
                _ => {
                    warn!(
                        what,
                        namespace,
                        name,
                        error = status.message,
                        "it is refused"
                    );
                    Outcome::Refused(status.message)
                }
            },
            Ok(Err(error)) => {
                warn!(what, namespace, name, %error, "it cannot be written");
                Outcome::Failed
            }
            Err(_) => {
                warn!(
                    what,
                    namespace, name, "it cannot be written: no answer in time"
                );
                Outcome::Failed
            }
        }
    }

    async fn write(&self, wish: &Wish) -> kube::Result<Outcome> {
        let target = &wish.target;
        let resource = resource_of(target.what);
        let api: Api<DynamicObject> = match target.namespace.is_empty() {
            true => Api::all_with(self.client.clone(), &resource),
            false => Api::namespaced_with(self.client.clone(), &target.namespace, &resource),
        };
        let uid = wish.live.as_ref().and_then(|it| it.metadata.uid.clone());
        let (Action::Apply(body) | Action::Withdraw(body)) = &wish.action else {
            let params = DeleteParams {
                preconditions: Some(Preconditions {
                    uid,
                    resource_version: None,
                }),
                ..DeleteParams::default()
            };
            api.delete(&target.name, &params).await?;
            return Ok(Outcome::Deleted);
        };
        if wish.live.is_none() && !self.may_create(&api, body, target.what).await? {
            return Ok(Outcome::Taken);
        }
        let mut body = body.clone();
        // Another one of that name is not meant.
        if let Some(uid) = uid {
            body["metadata"]["uid"] = json!(uid);
        }
        let params = PatchParams {
            // Of what is not there nobody has fields.
            force: wish.live.is_some(),
            ..PatchParams::apply(&self.manager(target.what))
        };
        let patch = Patch::Apply(body);
        let applied = match target.is_status {
            true => api.patch_status(&target.name, &params, &patch).await?,
            false => api.patch(&target.name, &params, &patch).await?,
        };
        Ok(Outcome::Applied(Box::new(applied)))
    }

    /// What is written of a Gateway that sidecars are led to is kept apart from what else is written of it.
    fn manager(&self, what: What) -> String {
        match what {
            What::LedTo | What::Lead(_) => manager(&self.manager),
            What::Class | What::Gateway | What::Part(_) => self.manager.clone(),
        }
    }

    /// Whether there is none of that name: to apply it would change one that somebody else has made.
    async fn may_create(
        &self,
        api: &Api<DynamicObject>,
        body: &Value,
        what: What,
    ) -> kube::Result<bool> {
        let object = serde_json::from_value(body.clone()).map_err(kube::Error::SerdeError)?;
        let params = PostParams {
            dry_run: true,
            field_manager: Some(self.manager(what)),
        };
        match api.create(&params, &object).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == CONFLICT => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Says what became of a Gateway.
    async fn announce(&self, wish: &Wish, now: &DynamicObject) {
        let Target {
            what, is_status, ..
        } = wish.target;
        let Some(before) = wish
            .live
            .as_ref()
            .filter(|_| matches!(what, What::Gateway | What::LedTo) && is_status)
        else {
            return;
        };
        let conditions = |object: &DynamicObject| object.data["status"]["conditions"].clone();
        let about = ObjectReference {
            api_version: Some("gateway.networking.k8s.io/v1".to_owned()),
            kind: Some("Gateway".to_owned()),
            namespace: now.metadata.namespace.clone(),
            name: now.metadata.name.clone(),
            uid: now.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        for event in events(&conditions(before), &conditions(now)) {
            self.publish(&event, &about).await;
        }
    }

    async fn publish(&self, event: &Event, about: &ObjectReference) {
        let done = timeout(PATIENCE, self.recorder.publish(event, about)).await;
        let failed = done.map_or(Some("no answer in time".to_owned()), |done| {
            done.err().map(|error| error.to_string())
        });
        if let Some(error) = failed {
            let (name, reason) = (&about.name, &event.reason);
            warn!(name, reason, error, "an Event cannot be written");
        }
    }

    /// Tells people once of each class that is somebody else's.
    async fn tell(&mut self, taken: Vec<Taken>) {
        for class in taken.iter().filter(|class| !self.taken.contains(class)) {
            warn!(name = class.name, by = class.by, "{}", class.message());
            let event = Event {
                type_: EventType::Warning,
                reason: "ClassTaken".to_owned(),
                note: Some(class.message()),
                action: "Create".to_owned(),
                secondary: None,
            };
            let about = ObjectReference {
                api_version: Some("gateway.networking.k8s.io/v1".to_owned()),
                kind: Some("GatewayClass".to_owned()),
                name: Some(class.name.clone()),
                uid: Some(class.uid.clone()),
                ..ObjectReference::default()
            };
            self.publish(&event, &about).await;
        }
        self.taken = taken;
    }
}

fn resource_of(what: What) -> ApiResource {
    match what {
        What::Class => resource::of(Kind::GatewayClass, "v1"),
        What::Gateway | What::LedTo => resource::of(Kind::KubernetesGateway, "v1"),
        What::Lead(lead) => resource::of(lead.kind(), "v1"),
        What::Part(part) => part.resource(),
    }
}

fn kind(resource: &ApiResource, is_status: bool) -> String {
    let of = if is_status { "the status of the " } else { "" };
    format!("{of}{}", resource.kind)
}
