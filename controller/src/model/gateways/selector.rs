//! Whether a Gateway of Istio is for proxies of ours alone: its `selector` says to Istio's own gateways which of them open its
//! servers. Ours are told Gateways by their names.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Findings, objects_of};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{Gateway, Object, Spec, one_of};

/// What pods of the chart `meltemi-gateway` have, whatever they are called.
const OF_CHART: (&str, &str) = ("app.kubernetes.io/name", "meltemi-gateway");
/// By which they are told from other gateways.
const TOLD_BY: &str = "istio";

/// Says so where Istio's gateways open its servers, or where none of ours is meant. Of a namespace without proxies of ours nothing
/// is known.
pub(super) fn check(
    object: &Object,
    gateway: &Gateway,
    objects: &Objects,
    findings: &mut Findings,
) {
    let pods = objects_of!(objects, Pod).filter(|(pod, _)| pod.id.namespace == object.id.namespace);
    let labels = pods.map(|(pod, _)| &*pod.metadata.labels);
    let is_ours =
        |it: &&BTreeMap<String, String>| it.get(OF_CHART.0).is_some_and(|name| name == OF_CHART.1);
    let ours: Vec<_> = labels.filter(is_ours).collect();
    let selector = &gateway.selector.value;
    let is_selected = |labels: &&BTreeMap<String, String>| {
        let mut wanted = selector.iter();
        wanted.all(|(name, value)| labels.get(name) == Some(value))
    };
    if ours.is_empty() || (!selector.is_empty() && ours.iter().any(is_selected)) {
        return;
    }
    let message = match selector.is_empty() {
        true => "without a `selector` every gateway of Istio opens these servers, too".to_owned(),
        false => format!(
            "`selector` is of other gateways than those of Meltemi in namespace {}",
            object.id.namespace
        ),
    };
    let names: BTreeSet<_> = ours.iter().filter_map(|it| it.get(TOLD_BY)).collect();
    let names: Vec<_> = names
        .iter()
        .map(|it| format!("`{TOLD_BY}: {it}`"))
        .collect();
    let remedy = match names.as_slice() {
        [] => format!(
            "set `selector` to a label of these pods, such as `{}: {}`",
            OF_CHART.0, OF_CHART.1
        ),
        names => format!("set `selector` to {}, a label of these pods", one_of(names)),
    };
    let diagnostic = Diagnostic::warning(Code::SelectsOtherGateway, message).remedy(remedy);
    findings.at(object, gateway.selector.at, diagnostic);
}
