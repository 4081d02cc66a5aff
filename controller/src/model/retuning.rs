//! DestinationRules that change: what that changes of a model, which is not built anew for it.
//!
//! It is for the ordinary: rules that speak of the hosts and subsets that they spoke of before, and clusters without secrets. What
//! is warned of is not looked for here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_policy::{ClusterName, host};

use super::rerouting::is_plain;
use super::{
    ClientTimes, Cluster, Context, DestinationRules, Findings, Model, Parts, Service, clusters,
};
use crate::index::Objects;
use crate::manifest::{DestinationRule, Object, ObjectRef, Spec};
use crate::schema::Settings;

/// DestinationRules that are others than before.
pub(crate) struct Rules<'a> {
    pub(crate) changed: &'a [ObjectRef],
    pub(crate) was: &'a Objects,
    /// What objects are by now.
    pub(crate) objects: &'a Objects,
    pub(crate) settings: &'a Settings,
}

impl Model {
    /// Takes over changed DestinationRules. The clusters that are others now; none where that takes more than this, and the
    /// model is as it was.
    pub(crate) fn retune(
        model: &mut Arc<Self>,
        rules: &Rules<'_>,
    ) -> Option<BTreeSet<ClusterName>> {
        let parts = Arc::new(Parts {
            rules: Arc::new(rules.merged(model)?),
            ..Parts::clone(&model.parts)
        });
        let objects = (rules.objects, rules.settings);
        let context = Context::new(objects, &model.services, &parts);
        let mut changed = BTreeMap::new();
        for (name, was) in model.clusters_of(&rules.concerned(&context)) {
            let now = again(name, was, &context)?;
            if now != **was {
                changed.insert(name.clone(), Arc::new(now));
            }
        }
        let mut clusters = model.clusters.clone();
        for (name, cluster) in &changed {
            clusters.insert(name.clone(), cluster.clone());
        }
        // How long clients may stay is the shortest of where a server leads.
        let is_as_before = |server: &Arc<super::Server>| {
            server.policy.clients == ClientTimes::of(&server.rules, &clusters)
        };
        let leads = |server: &&Arc<super::Server>| {
            let mut led_to = server.rules.iter().flat_map(|rule| rule.clusters());
            led_to.any(|name| changed.contains_key(name))
        };
        if !model.servers.iter().filter(leads).all(is_as_before) {
            return None;
        }
        let model = Arc::make_mut(model);
        model.localities.revise(rules.objects);
        (model.parts, model.clusters) = (parts, clusters);
        Some(changed.into_keys().collect())
    }

    fn clusters_of<'a>(
        &'a self,
        services: &BTreeSet<&ObjectRef>,
    ) -> impl Iterator<Item = (&'a ClusterName, &'a Arc<Cluster>)> {
        let clusters = self.clusters.iter();
        clusters.filter(|(_, cluster)| services.contains(&cluster.service))
    }
}

/// The cluster as it is by now. None where others have a say in it.
fn again(name: &ClusterName, was: &Cluster, context: &Context<'_>) -> Option<Cluster> {
    // Else it would matter who names it first.
    if !context.services.is_of_one(&name.host) {
        return None;
    }
    let service = context.services.find(&name.host, &was.service.namespace)?;
    let mut findings = Findings::default();
    let mut now = clusters::cluster(name, service, context, &mut findings)?;
    let is_wrong = findings.0.iter().any(|it| it.diagnostic.is_error());
    // It hangs on the servers that lead to it.
    now.max_unknown_nodes = was.max_unknown_nodes;
    (!is_wrong && is_plain(was) && is_plain(&now)).then_some(now)
}

impl Rules<'_> {
    /// All rules, with the changed ones in their places.
    fn merged(&self, model: &Model) -> Option<DestinationRules> {
        let mut merged = DestinationRules::clone(&model.parts.rules);
        for id in self.changed {
            let (was, now) = (self.was.get(id)?, self.objects.get(id)?);
            if !speaks_of_the_same(was, now) {
                return None;
            }
            merged.replace((now, rule(now)?), &model.services)?;
        }
        Some(merged)
    }

    /// The services whose policy one of them decides, or has a part in.
    fn concerned<'a>(&self, context: &Context<'a>) -> BTreeSet<&'a ObjectRef> {
        let mut services = BTreeSet::new();
        for object in self.changed.iter().filter_map(|id| self.objects.get(id)) {
            let Some(rule) = rule(object) else { continue };
            let of = DestinationRules::host(object, rule, context.services);
            let covered = |service: &&Service| host::covers(&of, &service.host);
            let decides = |service: &&Service| {
                let rule = context.rules.of(service);
                rule.is_some_and(|rule| rule.sources().any(|source| source.id == object.id))
            };
            let concerned = context.services.iter().filter(covered).filter(decides);
            services.extend(concerned.map(|service| &service.source.id));
        }
        services
    }
}

/// Whether two versions of a rule are for the same hosts, subsets and clients.
fn speaks_of_the_same(was: &Object, now: &Object) -> bool {
    let (Some(one), Some(other)) = (rule(was), rule(now)) else {
        return false;
    };
    let subsets = |rule: &DestinationRule| {
        let names = rule.subsets.iter().map(|it| it.name.value.clone());
        names.collect::<Vec<_>>()
    };
    let is_for_all = one.selector.is_none() && other.selector.is_none();
    is_for_all
        && (&one.host, &one.export_to) == (&other.host, &other.export_to)
        && subsets(one) == subsets(other)
        && was.metadata.created == now.metadata.created
}

fn rule(object: &Object) -> Option<&DestinationRule> {
    match &object.spec {
        Spec::DestinationRule(rule) => Some(rule),
        _ => None,
    }
}
