//! How much of an earlier version stays: no more than what is there now leaves room for.

use std::sync::Arc;

use crate::index::Objects;
use crate::manifest::{DestinationRule, Object, ServiceEntry, Spec, TrafficPolicy};
use crate::model::Need;

/// The last good version without what others define now, and of a deleted one only what is needed
/// (`needs`). What an earlier pass kept of it remains. None if nothing is left.
pub(super) fn of(
    good: &Arc<Object>,
    needs: Option<&[Need]>,
    was_replaced: bool,
    objects: &Objects,
) -> Option<Arc<Object>> {
    let kept = objects.get(&good.id).filter(|_| was_replaced);
    let others = || {
        let others = objects.values().filter(|o| o.id != good.id);
        others.filter(|o| o.id.namespace == good.id.namespace)
    };
    let spec = match &good.spec {
        Spec::ServiceEntry(entry) => {
            let is_kept = |host: &str| kept.is_some_and(|kept| defines(kept, host));
            let is_needed = |host: &str| {
                let by = |need: &Need| need.is_host(host, &good.id.namespace);
                needs.is_none_or(|needs| needs.iter().any(by))
            };
            let mut hosts = entry.hosts.clone();
            hosts.retain(|h| {
                let host = h.value.as_str();
                is_kept(host) || (is_needed(host) && !others().any(|o| defines(o, host)))
            });
            if hosts.is_empty() {
                return None;
            }
            Spec::ServiceEntry(ServiceEntry {
                hosts,
                ..entry.clone()
            })
        }
        // Beside a rule that is there now it adds the subsets that are missing, and no policy.
        Spec::DestinationRule(rule) if needs.is_some() && !rule.asks_for_tls() => {
            let same_host = |o: &&Arc<Object>| match &o.spec {
                Spec::DestinationRule(other) => other.host == rule.host,
                _ => false,
            };
            let beside: Vec<_> = others().filter(same_host).collect();
            if beside.is_empty() {
                return Some(good.clone());
            }
            let mut subsets = rule.subsets.clone();
            subsets.retain(|s| !beside.iter().any(|o| has_subset(o, &s.name.value)));
            let has_policy = beside.iter().any(|o| has_policy(o));
            let policy = if has_policy {
                TrafficPolicy::default()
            } else {
                rule.policy.clone()
            };
            Spec::DestinationRule(DestinationRule {
                policy,
                subsets,
                ..rule.clone()
            })
        }
        _ => return Some(good.clone()),
    };
    Some(Arc::new(Object {
        spec,
        ..Object::clone(good)
    }))
}

fn defines(object: &Object, host: &str) -> bool {
    matches!(&object.spec, Spec::ServiceEntry(e) if e.hosts.iter().any(|h| h.value == host))
}

fn has_subset(object: &Object, name: &str) -> bool {
    matches!(&object.spec, Spec::DestinationRule(r) if r.subsets.iter().any(|s| s.name.value == name))
}

fn has_policy(object: &Object) -> bool {
    matches!(&object.spec, Spec::DestinationRule(r) if r.policy != TrafficPolicy::default())
}
