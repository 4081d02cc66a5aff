//! `status`, in the shape of the Gateway API: conditions for each Gateway that an object names. `controller/src/status` writes it.

use serde_json::{Value, json};

use super::kinds::Column;

/// Behind the columns of a kind.
pub(super) const COLUMNS: &[Column] = &[
    Column {
        name: "Accepted",
        path: r#".status.parents[0].conditions[?(@.type=="Accepted")].status"#,
    },
    Column {
        name: "Programmed",
        path: r#".status.parents[0].conditions[?(@.type=="Programmed")].status"#,
    },
];

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "description": "What became of it; written by the controller.",
        "properties": {
            "protocol": text("The protocol of its requests."),
            "parents": {
                "type": "array",
                "description": "For each Gateway that it names; one entry where it names none.",
                "maxItems": 64,
                "items": parent(),
            },
        },
    })
}

fn parent() -> Value {
    json!({
        "type": "object",
        "required": ["parentRef", "controllerName"],
        "properties": {
            "parentRef": {
                "type": "object",
                "description": "The Gateway; without one the service of its host, and of what has no host the root namespace.",
                "required": ["name"],
                "properties": {
                    "group": text("Of its kind."),
                    "kind": text("Its kind."),
                    "namespace": text("Where it is."),
                    "name": text("What it is called."),
                    "sectionName": text("The server."),
                },
            },
            "controllerName": text("Who wrote this."),
            "conditions": {
                "type": "array",
                "description": "What holds of it there.",
                "maxItems": 16,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": condition(),
            },
        },
    })
}

/// Kubernetes' own `Condition`.
fn condition() -> Value {
    json!({
        "type": "object",
        "required": ["type", "status", "lastTransitionTime", "reason", "message"],
        "properties": {
            "type": text("Such as `Accepted`."),
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "reason": text("Why, in a word."),
            "message": {
                "type": "string",
                "description": "Why, and what to do about it.",
                "maxLength": 32768,
            },
        },
    })
}

fn text(meaning: &str) -> Value {
    json!({"type": "string", "description": meaning, "maxLength": 316})
}
