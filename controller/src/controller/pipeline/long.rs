//! The long way: every object is looked at, with the others, and whatever is not as it was is encoded.

#[cfg(feature = "kubernetes")]
use std::collections::BTreeMap;
use std::sync::Arc;
#[cfg(feature = "kubernetes")]
use std::time::Instant;

#[cfg(feature = "kubernetes")]
use super::{Followed, Pipeline, Said, Short, Update, short};
use crate::ads::{Made, Published, Resources};
use crate::check::Report;
#[cfg(feature = "kubernetes")]
use crate::check::{planned, told};
use crate::index::{Index, Objects};
use crate::model::{Before, Leaving, Model};
use crate::places::Places;
use crate::resolution::{Resolution, resolve};
use crate::schema::Settings;
#[cfg(feature = "kubernetes")]
use crate::status;
use crate::translate::{Earlier, accounts, scopes, translate};

/// Where it begins.
pub(super) struct Standpoint<'a> {
    pub(super) index: &'a Index,
    pub(super) settings: &'a Settings,
    pub(super) model: &'a Model,
    pub(super) published: &'a Published,
}

/// Where it has led.
pub(crate) struct Reached {
    pub(super) model: Arc<Model>,
    pub(super) objects: Arc<Objects>,
    pub(super) published: Arc<Published>,
    pub(super) report: Report,
    #[cfg(feature = "kubernetes")]
    pub(super) said: Said,
    #[cfg(feature = "kubernetes")]
    pub(super) short: Short,
    #[cfg(feature = "kubernetes")]
    pub(super) leaving: Leaving,
}

impl Standpoint<'_> {
    /// To all that is valid.
    pub(super) fn go(&self) -> Reached {
        self.reach(self.resolve(&Leaving::default()))
    }

    /// The same where waypoints serve those that have opted out for a while: others hear of that later.
    #[cfg(feature = "kubernetes")]
    pub(super) fn go_at(&self, now: Instant, leaving: &Leaving) -> Reached {
        let mut leaving = leaving.clone();
        let mut resolution = self.resolve(&leaving.at(now));
        // Those whose time is over are not new.
        if leaving.note(self.model, &resolution.model, now) {
            resolution = self.resolve(&leaving.at(now));
        }
        Reached {
            leaving: leaving.at(now),
            ..self.reach(resolution)
        }
    }

    fn resolve(&self, leaving: &Leaving) -> Resolution {
        let before = Before {
            model: self.model,
            leaving,
        };
        resolve(self.index, self.settings, before)
    }

    fn reach(&self, resolution: Resolution) -> Reached {
        let published = Arc::new(self.publish(&resolution));
        #[cfg(feature = "kubernetes")]
        let said = Said::of(&resolution, (self.index, self.settings));
        let Resolution {
            model,
            objects,
            findings,
            ..
        } = resolution;
        Reached {
            #[cfg(feature = "kubernetes")]
            short: Short::new(
                self.index,
                &objects,
                &resolution.standing,
                resolution.flawed,
            ),
            #[cfg(feature = "kubernetes")]
            said,
            #[cfg(feature = "kubernetes")]
            leaving: Leaving::default(),
            report: Report {
                diagnostics: findings,
                objects: objects.len(),
            },
            model: Arc::new(model),
            objects: Arc::new(objects),
            published,
        }
    }

    /// Shares with what was published before whatever is as it was.
    fn publish(&self, resolution: &Resolution) -> Published {
        let Resolution { model, objects, .. } = resolution;
        let was = self.published;
        let earlier = Earlier {
            model: self.model,
            resources: &was.all,
        };
        let all = translate(model, self.settings.place(), &earlier);
        let all = all.sharing(&was.all);
        let shared = |(gateway, scope): (_, Resources)| {
            let scope = match was.scopes.get(&gateway) {
                Some(earlier) => scope.sharing(earlier),
                None => Arc::new(scope),
            };
            (gateway, scope)
        };
        Published {
            scopes: scopes(model, &all).map(shared).collect(),
            accounts: Arc::new(accounts(model)),
            all,
            places: Places::new(objects),
            made: Made::default(),
        }
    }
}

#[cfg(feature = "kubernetes")]
impl Said {
    fn of(resolution: &Resolution, (index, settings): (&Index, &Settings)) -> Self {
        let Resolution {
            model,
            objects,
            standing,
            ..
        } = resolution;
        let mut findings = BTreeMap::<_, Vec<_>>::new();
        // What follows from findings for other objects is told of these, too.
        for finding in resolution.findings.iter().chain(&resolution.consequences) {
            let object = finding.object.as_ref();
            let Some(object) = object.filter(|id| status::KINDS.contains(&id.kind)) else {
                continue;
            };
            findings
                .entry(object.clone())
                .or_default()
                .push(finding.clone());
        }
        let plan = planned(model, (objects, &settings.root_namespace));
        Self {
            foreign: Arc::new(standing.foreign.clone()),
            refused: Arc::new(index.refused_of(status::KINDS, objects)),
            findings: Arc::new(findings),
            plans: Arc::new(told(&plan)),
        }
    }
}

/// The long way beside the short ones, which are gone meanwhile: from what was known when it began, on any thread.
#[cfg(feature = "kubernetes")]
pub(in super::super) struct Journey {
    index: Index,
    settings: Settings,
    model: Arc<Model>,
    published: Arc<Published>,
    leaving: Leaving,
    now: Instant,
}

/// What it came to.
#[cfg(feature = "kubernetes")]
pub(in super::super) struct Arrival {
    reached: Reached,
    beside_aeraki: bool,
}

/// What can be published where a journey has led.
#[cfg(feature = "kubernetes")]
pub(in super::super) enum Arrived {
    /// All that is known by now.
    AtThePresent { update: Update, is_to_be_told: bool },
    /// What was known when it began; another one is to begin.
    InThePast(Update),
    /// Nothing, since less is in it than is published: another one is to begin.
    Behind,
}

#[cfg(feature = "kubernetes")]
impl Journey {
    pub(in super::super) fn go(self) -> Arrival {
        let standpoint = Standpoint {
            index: &self.index,
            settings: &self.settings,
            model: &self.model,
            published: &self.published,
        };
        Arrival {
            reached: standpoint.go_at(self.now, &self.leaving),
            beside_aeraki: self.settings.beside_aeraki,
        }
    }
}

#[cfg(feature = "kubernetes")]
impl Pipeline {
    /// Begins the long way with what is known; `again`: with findings on endpoints, which are looked for some time later.
    pub(in super::super) fn set_out(&mut self, now: Instant, again: bool) -> Journey {
        self.index.mark(short::is_short);
        self.is_ahead = false;
        let mut model = self.model.clone();
        if again {
            Arc::make_mut(&mut model).forget_findings();
        }
        Journey {
            index: self.index.clone(),
            settings: self.settings.clone(),
            model,
            published: self.published.clone(),
            leaving: self.leaving.clone(),
            now,
        }
    }

    /// Puts in force where it has led, and follows from there whatever has changed since it began.
    pub(in super::super) fn arrive(&mut self, arrival: Arrival) -> Arrived {
        let report = arrival.reached.report.clone();
        let is_ahead = std::mem::take(&mut self.is_ahead);
        self.index.accept_marked(&arrival.reached.objects);
        self.stand(arrival.reached);
        if arrival.beside_aeraki != self.settings.beside_aeraki {
            self.short = Short::default();
        }
        let has_changed = self.index.newest().is_some_and(|(_, it)| !it.is_empty());
        let followed = self.follow();
        let resources = self.published.clone();
        let update = Update { resources, report };
        match followed {
            Some(Followed { is_to_be_told, .. }) => Arrived::AtThePresent {
                update,
                is_to_be_told,
            },
            None if !has_changed && arrival.beside_aeraki == self.settings.beside_aeraki => {
                Arrived::AtThePresent {
                    update,
                    is_to_be_told: false,
                }
            }
            None if is_ahead => Arrived::Behind,
            None => Arrived::InThePast(update),
        }
    }
}
