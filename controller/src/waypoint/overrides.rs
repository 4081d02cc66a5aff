//! What a Gateway's ConfigMap (`infrastructure.parametersRef`) changes of the objects that the Gateway is made of: a strategic
//! merge patch for each, under the keys that Istio's have.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::part::Part;

/// By which field items of these lists are the same; others are replaced as a whole (`patchMergeKey` in the types of
/// Kubernetes). Where there are two, the first that all items have.
const KEYED: &[(&str, &[&str])] = &[
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("ports", &["containerPort", "port"]),
    ("imagePullSecrets", &["name"]),
    ("topologySpreadConstraints", &["topologyKey"]),
    ("hostAliases", &["ip"]),
];

/// Says of an object what becomes of the one before, instead of being merged with it.
const DIRECTIVE: &str = "$patch";

/// What the controller finds its objects by, and istiod its pods; and as whom these run, which others believe.
const FIXED: [&str; 11] = [
    "/apiVersion",
    "/kind",
    "/metadata/name",
    "/metadata/namespace",
    "/metadata/ownerReferences",
    "/metadata/labels",
    "/spec/selector",
    "/spec/podSelector",
    "/spec/scaleTargetRef",
    "/spec/template/metadata/labels",
    "/spec/template/spec/serviceAccountName",
];

/// By the object that they change; none: it is not wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Overrides(BTreeMap<Part, Option<Map<String, Value>>>);

/// Why they cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidOverride {
    #[error("key `{0}` is none of {known}", known = known())]
    Unknown(String),
    #[error("{key}: {reason}")]
    Unreadable { key: &'static str, reason: String },
    #[error("{0}: write an object with the fields to be changed")]
    NoObject(&'static str),
    #[error("{0}: a waypoint is not one without it")]
    Needed(&'static str),
    #[error(
        "{key}: `{field}` is what its objects, or its proxies, are known by, and stays as it is"
    )]
    Fixed { key: &'static str, field: String },
    #[error("{key}: what comes of it is no {part}: {reason}")]
    Type {
        key: &'static str,
        part: Part,
        reason: String,
    },
    #[error(
        "deployment: `spec.replicas` is the HorizontalPodAutoscaler's: change its `spec.minReplicas`, or take it away with \
         `horizontalPodAutoscaler: \"null\"`"
    )]
    Replicas,
}

fn known() -> String {
    Part::ALL.map(Part::key).join(", ")
}

impl Overrides {
    /// Of a ConfigMap's `data`.
    ///
    /// # Errors
    /// With the first key that is not understood.
    pub(super) fn parse(data: &BTreeMap<String, String>) -> Result<Self, InvalidOverride> {
        let mut overrides = BTreeMap::new();
        for (key, text) in data {
            let mut parts = Part::ALL.into_iter();
            let part = parts.find(|part| part.key() == key);
            let part = part.ok_or_else(|| InvalidOverride::Unknown(key.clone()))?;
            let key = part.key();
            let read: Value = serde_saphyr::from_str(text).map_err(|error| {
                let reason = error.to_string();
                InvalidOverride::Unreadable { key, reason }
            })?;
            let patch = match read {
                Value::Null => None,
                Value::Object(fields) if is_deletion(&fields) => None,
                Value::Object(fields) => Some(fields),
                _ => return Err(InvalidOverride::NoObject(key)),
            };
            if patch.is_none() && !matches!(part, Part::Autoscaler | Part::Budget | Part::Policy) {
                return Err(InvalidOverride::Needed(key));
            }
            overrides.insert(part, patch);
        }
        Ok(Self(overrides))
    }

    /// Whether there is an object that there may be, which whoever changes it wants.
    pub(super) fn has(&self, part: Part, otherwise: bool) -> bool {
        self.0.get(&part).map_or(otherwise, Option::is_some)
    }

    /// What they make of an object.
    ///
    /// # Errors
    /// When that is none, or is not found any more as this one.
    pub(super) fn apply(
        &self,
        (part, object): (Part, Value),
        is_scaled: bool,
    ) -> Result<Value, InvalidOverride> {
        let Some(Some(patch)) = self.0.get(&part) else {
            return Ok(object);
        };
        let key = part.key();
        let mut merged = object.clone();
        merge(&mut merged, patch);
        let changed = FIXED.iter().find(|field| {
            let before = object.pointer(field);
            before.is_some_and(|before| !merged.pointer(field).is_some_and(|it| has(it, before)))
        });
        if let Some(field) = changed {
            let field = field.trim_start_matches('/').replace('/', ".");
            return Err(InvalidOverride::Fixed { key, field });
        }
        if part == Part::Deployment && is_scaled && merged["spec"].get("replicas").is_some() {
            return Err(InvalidOverride::Replicas);
        }
        part.check(&merged)
            .map_err(|reason| InvalidOverride::Type { key, part, reason })?;
        Ok(merged)
    }
}

fn is_deletion(fields: &Map<String, Value>) -> bool {
    fields.get(DIRECTIVE).is_some_and(|it| it == "delete")
}

/// Labels may be more than before; everything else is the same or another.
fn has(value: &Value, before: &Value) -> bool {
    match (value.as_object(), before.as_object()) {
        (Some(value), Some(before)) => before
            .iter()
            .all(|(key, before)| value.get(key) == Some(before)),
        _ => value == before,
    }
}

fn merge(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() || patch.get(DIRECTIVE).is_some_and(|it| it == "replace") {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (field, value) in patch.iter().filter(|(field, _)| *field != DIRECTIVE) {
        match value {
            Value::Null => drop(target.remove(field)),
            Value::Object(fields) if is_deletion(fields) => drop(target.remove(field)),
            Value::Object(fields) => merge(target.entry(field).or_insert(Value::Null), fields),
            Value::Array(items) => {
                let before = target.entry(field).or_insert(Value::Null);
                merge_list(field, before, items);
            }
            other => drop(target.insert(field.clone(), other.clone())),
        }
    }
}

fn merge_list(field: &str, target: &mut Value, patch: &[Value]) {
    let keys = KEYED.iter().find(|(keyed, _)| *keyed == field);
    let has_all = |key: &&&str| patch.iter().all(|item| item.get(**key).is_some());
    let key = keys.and_then(|(_, keys)| keys.iter().find(has_all));
    let (Some(key), Some(items)) = (key, target.as_array_mut()) else {
        *target = Value::Array(patch.to_vec());
        return;
    };
    for item in patch {
        let Some(fields) = item.as_object() else {
            continue;
        };
        let place = items.iter().position(|it| it.get(key) == item.get(key));
        match place {
            Some(place) if is_deletion(fields) => drop(items.remove(place)),
            Some(place) => {
                if let Some(before) = items.get_mut(place) {
                    merge(before, fields);
                }
            }
            None if is_deletion(fields) => {}
            None => items.push(item.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(key: &str, text: &str) -> Result<Overrides, InvalidOverride> {
        Overrides::parse(&[(key.to_owned(), text.to_owned())].into())
    }

    #[test]
    fn a_patch_merges_as_kubectl_does_it() {
        let rows = [
            ("{a: 1}", "{b: 2}", "{a: 1, b: 2}"),
            ("{a: {b: 1, c: 2}}", "{a: {b: null}}", "{a: {c: 2}}"),
            ("{a: {b: 1}}", "{a: {$patch: replace, c: 1}}", "{a: {c: 1}}"),
            ("{a: {b: 1}}", "{a: {$patch: delete}}", "{}"),
            ("{a: [1, 2]}", "{a: [3]}", "{a: [3]}"),
            ("{}", "{a: {b: [1]}}", "{a: {b: [1]}}"),
            (
                "{containers: [{name: a, x: 1}, {name: b}]}",
                "{containers: [{name: a, y: 2}, {name: c}]}",
                "{containers: [{name: a, x: 1, y: 2}, {name: b}, {name: c}]}",
            ),
            (
                "{containers: [{name: a}, {name: b}]}",
                "{containers: [{name: a, $patch: delete}, {name: x, $patch: delete}]}",
                "{containers: [{name: b}]}",
            ),
            (
                "{ports: [{containerPort: 1, name: a}]}",
                "{ports: [{containerPort: 1, name: b}, {containerPort: 2}]}",
                "{ports: [{containerPort: 1, name: b}, {containerPort: 2}]}",
            ),
            (
                "{ports: [{port: 1, targetPort: 2}]}",
                "{ports: [{port: 1, nodePort: 3}]}",
                "{ports: [{port: 1, targetPort: 2, nodePort: 3}]}",
            ),
        ];
        for (object, patch, expected) in rows {
            let read = |text| serde_saphyr::from_str::<Value>(text).unwrap();
            let mut merged = read(object);
            merge(&mut merged, read(patch).as_object().unwrap());
            assert_eq!(merged, read(expected), "{object} with {patch}");
        }
    }

    #[test]
    fn what_is_not_understood_says_why() {
        for (key, text, words) in [
            (
                "deploymnt",
                "{}",
                "none of serviceAccount, service, deployment",
            ),
            ("deployment", "spec: [", "deployment: "),
            ("deployment", "text", "write an object"),
            ("deployment", "[1]", "write an object"),
            ("deployment", "null", "not one without it"),
            ("service", "$patch: delete", "not one without it"),
        ] {
            let error = parsed(key, text).unwrap_err().to_string();
            assert!(error.contains(words), "{key}: {text}: {error}");
        }
        assert!(parsed("podDisruptionBudget", "null").is_ok());
    }

    #[test]
    fn what_objects_and_proxies_are_known_by_stays() {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "l7", "labels": {"a": "b"}, "ownerReferences": [{"uid": "u"}]},
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "metadata": {"labels": {"a": "b"}},
                    "spec": {"serviceAccountName": "l7"},
                },
            },
        });
        for (text, words) in [
            ("metadata: {name: other}", "`metadata.name`"),
            ("metadata: {labels: {a: c}}", "`metadata.labels`"),
            (
                "metadata: {ownerReferences: []}",
                "`metadata.ownerReferences`",
            ),
            ("spec: {selector: {matchLabels: {a: c}}}", "`spec.selector`"),
            (
                "spec: {template: {metadata: {labels: {a: null}}}}",
                "`spec.template.metadata.labels`",
            ),
            (
                "spec: {template: {spec: {serviceAccountName: other}}}",
                "`spec.template.spec.serviceAccountName`",
            ),
            ("spec: {replicas: 2}", "HorizontalPodAutoscaler"),
            ("spec: {minReadySeconds: soon}", "no Deployment"),
        ] {
            let overrides = parsed("deployment", text).unwrap();
            let refused = overrides.apply((Part::Deployment, object.clone()), true);
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        let labelled = parsed("deployment", "metadata: {labels: {c: d}}").unwrap();
        let merged = labelled.apply((Part::Deployment, object), true).unwrap();
        assert_eq!(merged["metadata"]["labels"], json!({"a": "b", "c": "d"}));
    }
}
