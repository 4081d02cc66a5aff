//! Which DestinationRule speaks of a host, and what it says of a subset and port of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_policy::host;

use super::{Findings, Service, Services, objects_of};
use crate::index::Objects;
use crate::manifest::{
    ConsistentHash, DestinationRule, HealthCheck, LocalitySetting, Located, Object, Spec, Subset,
    Tls, TrafficPolicy, nearest,
};
use crate::schema::Settings;

mod checks;

/// Rules by namespace and host; those of one host and for the same clients are merged.
#[derive(Clone, Debug)]
pub(crate) struct DestinationRules {
    by_host: BTreeMap<(Arc<str>, String), Arc<Vec<MergedRule>>>,
    root: String,
}

/// As Istio merges: subsets come together, the first of a name counts; the first policy counts.
#[derive(Clone, Debug)]
pub(crate) struct MergedRule {
    /// The first, oldest.
    pub(crate) source: Arc<Object>,
    /// The others.
    later: Vec<Arc<Object>>,
    policy: TrafficPolicy,
    subsets: Vec<Subset>,
    export_to: Vec<Located<String>>,
}

impl DestinationRules {
    pub(super) fn new(
        objects: &Objects,
        services: &Services,
        settings: &Settings,
        findings: &mut Findings,
    ) -> Self {
        let mut rules: Vec<_> = objects_of!(objects, DestinationRule).collect();
        // The oldest first; those without a time after those that have one.
        rules.sort_by_key(|(o, _)| (o.metadata.created.is_none(), o.metadata.created));
        let mut merged = Self {
            by_host: BTreeMap::new(),
            root: settings.root_namespace.clone(),
        };
        for (object, rule) in rules {
            if checks::is_for_others((object, rule), findings) {
                continue;
            }
            let host = Self::host(object, rule, services);
            checks::targets((object, rule), &host, services, findings);
            merged.add(object, rule, host, findings);
        }
        for service in services.iter() {
            if let Some(rule) = merged.of(service) {
                rule.check_subsets(service, findings);
            }
        }
        merged.check_use(services, findings);
        merged
    }

    /// A name without a dot is a host as it stands where there is a service of that name.
    pub(super) fn host(object: &Object, rule: &DestinationRule, services: &Services) -> String {
        let host = &rule.host.value;
        match services.has_host(host) {
            true => host.clone(),
            false => host::expand(host, &object.id.namespace),
        }
    }

    fn add(
        &mut self,
        object: &Arc<Object>,
        rule: &DestinationRule,
        host: String,
        findings: &mut Findings,
    ) {
        let key = (object.id.namespace.clone(), host);
        let of_host = Arc::make_mut(self.by_host.entry(key).or_default());
        let mut same_clients = of_host.iter_mut().filter(|m| m.export_to == rule.export_to);
        let Some(merged) = same_clients.next() else {
            of_host.push(MergedRule::new(object, rule));
            return;
        };
        checks::overruled((object, rule), merged, findings);
        merged.merge(object, rule);
    }

    /// Puts a rule that has changed in the place of what it was, which is for the same host and clients; none where it has no
    /// place.
    #[cfg(feature = "kubernetes")]
    pub(super) fn replace(
        &mut self,
        (object, rule): (&Arc<Object>, &DestinationRule),
        services: &Services,
    ) -> Option<()> {
        let host = Self::host(object, rule, services);
        let of_host = self.by_host.get_mut(&(object.id.namespace.clone(), host))?;
        let mut merged = Arc::make_mut(of_host).iter_mut();
        let merged = merged.find(|merged| merged.sources().any(|it| it.id == object.id))?;
        let now = |it: &Arc<Object>| match it.id == object.id {
            true => object.clone(),
            false => it.clone(),
        };
        let mut again: Option<MergedRule> = None;
        for source in merged.sources().map(now) {
            let Spec::DestinationRule(rule) = &source.spec else {
                return None;
            };
            match &mut again {
                Some(again) => again.merge(&source, rule),
                None => again = Some(MergedRule::new(&source, rule)),
            }
        }
        *merged = again?;
        Some(())
    }

    /// The rule for a service, looked up as for a client in its namespace: that namespace, then the
    /// root namespace; in each the most specific host, of the rules that are exported to it.
    pub(crate) fn of(&self, service: &Service) -> Option<&MergedRule> {
        [&*service.namespace, self.root.as_str()]
            .into_iter()
            .find_map(|namespace| {
                let rules: Vec<_> = self
                    .of_namespace(namespace)
                    .filter(|(_, rule)| exports(&rule.export_to, namespace, &service.namespace))
                    .collect();
                let hosts = rules.iter().map(|(host, _)| *host);
                let best = host::most_specific(&service.host, hosts)?;
                rules.get(best).map(|(_, rule)| *rule)
            })
    }
}

impl DestinationRules {
    /// Those of a namespace, with their host.
    fn of_namespace(&self, namespace: &str) -> impl Iterator<Item = (&str, &MergedRule)> {
        let first = (Arc::from(namespace), String::new());
        let of_namespace = self.by_host.range(first.clone()..);
        let of_namespace = of_namespace.take_while(move |((ns, _), _)| *ns == first.0);
        of_namespace.flat_map(|((_, host), rules)| rules.iter().map(|rule| (host.as_str(), rule)))
    }

    /// All of them with their namespace and host.
    fn iter(&self) -> impl Iterator<Item = (&str, &str, &MergedRule)> {
        self.by_host.iter().flat_map(|((namespace, host), rules)| {
            let of_host = rules.iter();
            of_host.map(move |rule| (&**namespace, host.as_str(), rule))
        })
    }
}

/// Whether a rule of namespace `own` is for clients in `client`: `.` is its own, `*` are all.
pub(super) fn exports(to: &[Located<String>], own: &str, client: &str) -> bool {
    let is_for = |to: &Located<String>| match to.value.as_str() {
        "*" => true,
        "." => own == client,
        named => named == client,
    };
    to.is_empty() || to.iter().any(is_for)
}

impl MergedRule {
    fn new(object: &Arc<Object>, rule: &DestinationRule) -> Self {
        Self {
            source: object.clone(),
            later: vec![],
            policy: rule.policy.clone(),
            subsets: rule.subsets.clone(),
            export_to: rule.export_to.clone(),
        }
    }

    fn merge(&mut self, object: &Arc<Object>, rule: &DestinationRule) {
        self.later.push(object.clone());
        if self.policy == TrafficPolicy::default() {
            self.policy.clone_from(&rule.policy);
        }
        for subset in &rule.subsets {
            if self.subset(&subset.name.value).is_none() {
                self.subsets.push(subset.clone());
            }
        }
    }

    /// The DestinationRules that it was merged from.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Arc<Object>> {
        std::iter::once(&self.source).chain(&self.later)
    }

    /// The DestinationRule that a subset of it is written in.
    pub(super) fn source_of(&self, subset: &Subset) -> &Arc<Object> {
        let defines = |object: &&Arc<Object>| match &object.spec {
            Spec::DestinationRule(rule) => rule.subsets.contains(subset),
            _ => false,
        };
        self.sources().find(defines).unwrap_or(&self.source)
    }

    /// The DestinationRule that a wish for TLS is written in.
    pub(super) fn asking(&self, tls: &Tls) -> &Arc<Object> {
        let asks = |object: &&Arc<Object>| match &object.spec {
            Spec::DestinationRule(rule) => rule.tls().any(|t| t == tls && t.mark.at == tls.mark.at),
            _ => false,
        };
        self.sources().find(asks).unwrap_or(&self.source)
    }

    /// The DestinationRule that a locality setting is written in.
    pub(super) fn setting(&self, setting: &LocalitySetting) -> &Arc<Object> {
        let is_in = |object: &&Arc<Object>| match &object.spec {
            Spec::DestinationRule(rule) => rule
                .locality_settings()
                .any(|s| s == setting && s.mark.at == setting.mark.at),
            _ => false,
        };
        self.sources().find(is_in).unwrap_or(&self.source)
    }

    /// The DestinationRule that a hash is written in.
    pub(super) fn hashing(&self, hash: &ConsistentHash) -> &Arc<Object> {
        let at = |hash: &ConsistentHash| hash.key.as_ref().map(|key| key.at);
        let is_in = |object: &&Arc<Object>| match &object.spec {
            Spec::DestinationRule(rule) => rule.hashes().any(|h| h == hash && at(h) == at(hash)),
            _ => false,
        };
        self.sources().find(is_in).unwrap_or(&self.source)
    }

    /// The DestinationRule that a health check is written in.
    pub(super) fn checking(&self, check: &HealthCheck) -> &Arc<Object> {
        let is_in = |object: &&Arc<Object>| match &object.spec {
            Spec::DestinationRule(rule) => rule.health_checks().any(|it| it == check),
            _ => false,
        };
        self.sources().find(is_in).unwrap_or(&self.source)
    }

    pub(super) fn subsets(&self) -> &[Subset] {
        &self.subsets
    }

    pub(crate) fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|s| s.name.value == name)
    }

    /// Its subsets, for people.
    pub(super) fn subset_list(&self) -> String {
        let names: Vec<_> = self.subsets.iter().map(|s| s.name.value.as_str()).collect();
        names.join(", ")
    }

    /// "did you mean", for a subset that is not there.
    pub(super) fn nearest_subset(&self, name: &str) -> String {
        nearest(name, self.subsets.iter().map(|s| s.name.value.as_str()))
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default()
    }

    /// The policy for a port of a subset, or of the whole service.
    pub(crate) fn policy(&self, subset: Option<&Subset>, port: u16) -> TrafficPolicy {
        let whole = merge(TrafficPolicy::default(), &self.policy, port);
        match subset {
            Some(subset) => merge(whole, &subset.policy, port),
            None => whole,
        }
    }
}

/// Istio's `MergeTrafficPolicy`: each part of the narrower policy replaces the wider one's, but the
/// settings of a port replace everything that they can have, and what they leave out is at its default.
fn merge(wide: TrafficPolicy, narrow: &TrafficPolicy, port: u16) -> TrafficPolicy {
    if let Some(settings) = narrow.ports.get(&port) {
        return TrafficPolicy {
            retry_budget: narrow.retry_budget.or(wide.retry_budget),
            ..settings.value.clone()
        };
    }
    TrafficPolicy {
        load_balancer: narrow.load_balancer.clone().or(wide.load_balancer),
        connection_pool: narrow.connection_pool.clone().or(wide.connection_pool),
        outlier_detection: narrow.outlier_detection.clone().or(wide.outlier_detection),
        health_check: narrow.health_check.clone().or(wide.health_check),
        retry_budget: narrow.retry_budget.or(wide.retry_budget),
        proxy_protocol: None,
        tls: narrow.tls.clone().or(wide.tls),
        ports: BTreeMap::new(),
    }
}
