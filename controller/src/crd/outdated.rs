//! What a definition that is installed lacks of our own: fields that its API server drops, and values that it refuses.

use serde_json::Value;

/// Paths below the object, such as `spec.routes[].timeout`. A definition that knows more than ours lacks nothing.
pub(crate) fn lacking(own: &Value, installed: &Value) -> Vec<String> {
    let schema = |definition: &Value| {
        let versions = definition["spec"]["versions"].as_array()?;
        let version = versions.iter().find(|it| it["name"] == "v1alpha1")?;
        Some(version["schema"]["openAPIV3Schema"].clone())
    };
    let mut lacking = vec![];
    match (schema(own), schema(installed)) {
        (Some(own), Some(installed)) => compare("", &own, &installed, &mut lacking),
        _ => lacking.push("v1alpha1".to_owned()),
    }
    lacking
}

/// An object without `properties`, as in `status: {type: object}` of older ones, drops all that is in it.
fn compare(path: &str, own: &Value, installed: &Value, lacking: &mut Vec<String>) {
    if installed["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    for (name, field) in own["properties"].as_object().into_iter().flatten() {
        // Every object has these.
        if path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
            continue;
        }
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        match installed["properties"].get(name) {
            Some(known) => compare(&path, field, known, lacking),
            None => lacking.push(path),
        }
    }
    for (keyword, place) in [("items", "[]"), ("additionalProperties", "{}")] {
        if own[keyword].is_object() {
            let path = format!("{path}{place}");
            match installed[keyword].is_object() {
                true => compare(&path, &own[keyword], &installed[keyword], lacking),
                false => lacking.push(path),
            }
        }
    }
    if let (Some(own), Some(installed)) = (own["enum"].as_array(), installed["enum"].as_array()) {
        let refused = own.iter().filter(|value| !installed.contains(value));
        lacking.extend(refused.map(|value| format!("{path}: {value}")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd::definitions;

    fn definition(schema: &Value) -> Value {
        json!({"spec": {"versions": [{"name": "v1alpha1", "schema": {"openAPIV3Schema": schema}}]}})
    }

    #[test]
    fn a_definition_lacks_nothing_of_itself() {
        for own in definitions() {
            assert_eq!(lacking(&own, &own), Vec::<String>::new());
            assert_eq!(lacking(&own, &json!({})), ["v1alpha1"]);
        }
    }

    #[test]
    fn what_is_dropped_or_refused_is_named() {
        let own = json!({"properties": {
            "kind": {"type": "string"},
            "spec": {"properties": {
                "routes": {"items": {"properties": {"name": {}, "timeout": {}}}},
                "match": {"additionalProperties": {"properties": {"exact": {}, "present": {}}}},
                "mode": {"enum": ["PROXY", "CLUSTER"]},
                "free": {"properties": {"a": {}}},
            }},
        }});
        let installed = json!({"properties": {"spec": {"properties": {
            "routes": {"items": {"properties": {"name": {}}}},
            "match": {"additionalProperties": {"properties": {"exact": {}}}},
            "mode": {"enum": ["PROXY"]},
            "free": {"x-kubernetes-preserve-unknown-fields": true},
            "more": {},
        }}}});
        let found = lacking(&definition(&own), &definition(&installed));
        let expected = [
            "spec.match{}.present",
            "spec.mode: \"CLUSTER\"",
            "spec.routes[].timeout",
        ];
        assert_eq!(found, expected);
    }
}
