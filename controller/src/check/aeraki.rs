//! What objects that were written for Aeraki mean here: the same, or what differs. What Aeraki makes of them is read from its
//! sources; what nobody can have meant (a manifest that ends its process) is not told.

use std::collections::BTreeMap;
use std::fmt;

use meltemi_policy::Condition;
use serde::Serialize;

use super::Report;
use crate::index::Index;
use crate::manifest::{MetaRouter, Object, ObjectRef, RedisService, Spec};

/// The findings of a check, and each object of Aeraki's kinds beside what it meant.
#[derive(Clone, Debug, Serialize)]
pub struct Migration {
    #[serde(flatten)]
    pub report: Report,
    pub aeraki: Vec<Compared>,
}

/// An object, here and there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    pub object: String,
    /// Where it stands.
    pub place: String,
    /// It is refused here, which a finding tells.
    pub refused: bool,
    /// Without any, and unless it is refused, it applies unchanged.
    pub differences: Vec<Difference>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub field: &'static str,
    pub here: &'static str,
    pub there: &'static str,
}

impl Migration {
    pub(crate) fn of(report: Report, index: &Index) -> Self {
        let newest: BTreeMap<&ObjectRef, &Object> = index
            .readable()
            .map(|object| (&object.id, &**object))
            .collect();
        let is_refused = |id: &ObjectRef| {
            let mut findings = report.diagnostics.iter();
            findings.any(|it| it.is_error() && it.object.as_ref() == Some(id))
        };
        let aeraki = index.own().map(|(id, _, place)| {
            let object = newest.get(id);
            Compared {
                object: id.to_string(),
                place: place.to_string(),
                refused: object.is_none() || is_refused(id),
                differences: object.map_or_else(Vec::new, |it| differences(it, &newest)),
            }
        });
        Self {
            aeraki: aeraki.collect(),
            report,
        }
    }
}

fn differences(object: &Object, all: &BTreeMap<&ObjectRef, &Object>) -> Vec<Difference> {
    let mut found = Found::default();
    match &object.spec {
        Spec::MetaRouter(router) => {
            of_router(router, &mut found);
            let same_host = |it: &&&Object| match &it.spec {
                Spec::MetaRouter(other) => other.host.value == router.host.value,
                _ => false,
            };
            if all.values().filter(same_host).count() > 1 {
                found.add(
                    "hosts",
                    "all MetaRouters of a host count, in the order of `priority` and age",
                    "one of them does, of whatever namespace",
                );
            }
        }
        Spec::RedisService(service) => of_redis(service, &mut found),
        _ => {}
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Difference>);

impl Found {
    fn add(&mut self, field: &'static str, here: &'static str, there: &'static str) {
        self.0.push(Difference { field, here, there });
    }

    fn without_gateways(&mut self) {
        self.add(
            "gateways",
            "requests come in through the Gateways that it names: without any it has none",
            "the sidecar of every client routes",
        );
    }
}

fn of_router(router: &MetaRouter, found: &mut Found) {
    if router.gateways.is_empty() {
        found.without_gateways();
    }
    let attributes = || router.alternatives().flat_map(|it| &it.attributes);
    if attributes().any(|it| it.matching.condition == Condition::Present) {
        found.add(
            "match.attributes",
            "`{}` asks for an attribute that is there, whatever its value",
            "`{}` asks for nothing, so that the route takes more",
        );
    }
    let routes = &router.routes;
    if routes
        .iter()
        .any(|route| !route.response_mutation.is_empty())
    {
        found.add(
            "responseMutation",
            "it changes answers",
            "it is never applied",
        );
    }
    let mut named = routes.iter().flat_map(|route| route.named());
    if named.any(|to| !to.host.value.contains('.')) {
        found.add(
            "destination.host",
            "a short name is one of the rule's namespace",
            "a short name is no host",
        );
    }
    of_limits(router, found);
}

fn of_limits(router: &MetaRouter, found: &mut Found) {
    if router.limit.is_some() {
        found.add(
            "localRateLimit",
            "each proxy of its Gateways counts",
            "each pod of the service counts in its sidecar",
        );
    }
    let Some(limit) = &router.global_limit else {
        return;
    };
    if limit.alternatives.iter().any(|it| it.attributes.is_empty()) {
        found.add(
            "globalRateLimit.match",
            "without it every request is asked about",
            "without it none is",
        );
    }
    if limit.descriptors.len() > 1 {
        found.add(
            "globalRateLimit.descriptors",
            "they are the entries of one descriptor",
            "each is a descriptor of its own",
        );
    }
    found.add(
        "globalRateLimit.requestTimeout",
        "it is waited for so long, while other requests go on",
        "it is not in force: a worker waits for as long as the service takes",
    );
}

fn of_redis(service: &RedisService, found: &mut Found) {
    if service.gateways.is_empty() {
        found.without_gateways();
    }
    let settings = &service.settings;
    if settings.op_timeout.is_none() {
        found.add(
            "settings.opTimeout",
            "without it there is no limit",
            "without it 60 s",
        );
    }
    if settings.case_insensitive {
        found.add(
            "settings.caseInsensitive",
            "it is in force",
            "it is ignored",
        );
    }
    if settings.max_unknown_connections.is_some() {
        found.add(
            "settings.maxUpstreamUnknownConnections",
            "it is in force",
            "it is ignored",
        );
    }
    if settings.read_policy == Some("PREFER_REPLICA") {
        found.add(
            "settings.readPolicy",
            "replicas are preferred",
            "PREFER_REPLICA is PREFER_MASTER",
        );
    }
    if service.routes.iter().any(|route| !route.mirrors.is_empty()) {
        found.add(
            "redis[].mirror",
            "it has a port of its own",
            "it has the port of `route`",
        );
    }
}

/// The findings, then every object.
impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.report.diagnostics {
            writeln!(f, "{diagnostic}\n")?;
        }
        for compared in &self.aeraki {
            writeln!(f, "{compared}")?;
        }
        let is_same = |it: &&Compared| !it.refused && it.differences.is_empty();
        let unchanged = self.aeraki.iter().filter(is_same).count();
        write!(
            f,
            "\n{} of {} objects of Aeraki's kinds apply unchanged\n{}",
            unchanged,
            self.aeraki.len(),
            self.report.summary()
        )
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.refused, self.differences.is_empty()) {
            (true, _) => "is refused",
            (false, true) => "applies unchanged",
            (false, false) => "applies, and differs",
        };
        write!(f, "{} ({}) {verdict}", self.object, self.place)?;
        for Difference { field, here, there } in &self.differences {
            write!(f, "\n  {field}\n    here    {here}\n    Aeraki  {there}")?;
        }
        Ok(())
    }
}
