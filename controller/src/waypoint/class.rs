//! The GatewayClasses of a controller: singletons of a cluster, each of which one revision has.

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::gateway::{BINDING, BOUND};
use super::objects::MANAGED_BY;
use crate::model::CONTROLLER;
use crate::standing::{DEFAULT, REVISION};
use crate::status::{State, Truth};

const EDGE: &str = "meltemi";
const WAYPOINT: &str = "meltemi-waypoint";

/// What a class of ours would be called is somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) by: String,
}

impl Taken {
    pub(super) fn message(&self) -> String {
        format!(
            "the GatewayClass {} is of {}, and stays so: delete it, so that {CONTROLLER} makes its own; until then nobody \
             serves Gateways of it here",
            self.name, self.by
        )
    }
}

/// What the class of waypoints is called.
pub(super) fn waypoint_name(revision: &str) -> String {
    named(WAYPOINT, revision)
}

fn named(name: &str, revision: &str) -> String {
    match revision {
        DEFAULT => name.to_owned(),
        _ => format!("{name}-{revision}"),
    }
}

/// Those that there have to be, as they are applied.
pub(super) fn desired(revision: &str, has_waypoints: bool) -> Vec<(String, Value)> {
    let (managed, by) = MANAGED_BY;
    let class = |name: &str, description: &str| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {
                "name": named(name, revision),
                "labels": {managed: by, REVISION: revision},
            },
            "spec": {"controllerName": CONTROLLER, "description": description},
        })
    };
    let mut classes = vec![class(
        EDGE,
        "Listeners of Meltemi proxies at the edge of a mesh",
    )];
    if has_waypoints {
        let mut waypoint = class(
            WAYPOINT,
            "Waypoints of an ambient mesh that read Dubbo, Redis, …",
        );
        waypoint["metadata"]["labels"]["istio.io/waypoint-for"] = json!("service");
        waypoint["metadata"]["annotations"] = json!({ BINDING: BOUND });
        classes.push(waypoint);
    }
    let classes = classes.into_iter().map(|class| {
        let name = class["metadata"]["name"].as_str().unwrap_or_default();
        (name.to_owned(), class)
    });
    classes.collect()
}

/// Whose a class is that is there.
pub(super) fn controller(class: &DynamicObject) -> &str {
    class.data["spec"]["controllerName"]
        .as_str()
        .unwrap_or_default()
}

/// Whether it was made by a controller of ours, which then keeps it as it is.
pub(super) fn is_kept(class: &DynamicObject) -> bool {
    let labels = class.metadata.labels.as_ref();
    let by = labels.and_then(|labels| labels.get(MANAGED_BY.0));
    controller(class) == CONTROLLER && by.is_some_and(|by| by == MANAGED_BY.1)
}

/// Whether its status is this revision's to write.
pub(super) fn is_of(class: &DynamicObject, revision: &str) -> bool {
    let labels = class.metadata.labels.as_ref();
    let of = labels.and_then(|labels| labels.get(REVISION));
    controller(class) == CONTROLLER && of.map_or(DEFAULT, String::as_str) == revision
}

/// Of one that is ours.
pub(super) fn accepted(class: &DynamicObject) -> State {
    match class.data["spec"]["parametersRef"].is_object() {
        false => State::new(Truth::True, "Accepted", "Gateways of it are served"),
        true => {
            let message = "`spec.parametersRef` means nothing here: give each Gateway its own, in `spec.infrastructure`";
            State::new(Truth::False, "InvalidParameters", message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(controller: &str, labels: Value) -> DynamicObject {
        let object = json!({
            "metadata": {"name": "c", "labels": labels}, "spec": {"controllerName": controller},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn each_revision_has_classes_of_its_own() {
        let names = |revision: &str, has_waypoints: bool| {
            let classes = desired(revision, has_waypoints).into_iter();
            classes.map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(DEFAULT, true), ["meltemi", "meltemi-waypoint"]);
        assert_eq!(
            names("canary", true),
            ["meltemi-canary", "meltemi-waypoint-canary"]
        );
        assert_eq!(names(DEFAULT, false), ["meltemi"]);
        let classes = desired(DEFAULT, true);
        let (_, waypoint) = &classes[1];
        insta::assert_snapshot!(serde_saphyr::to_string(waypoint).unwrap());
        for (_, class) in classes {
            let description = class["spec"]["description"].as_str().unwrap();
            assert!(description.chars().count() <= 64, "{description}");
        }
    }

    #[test]
    fn a_class_is_one_revision_s_or_somebody_else_s() {
        let none = json!({});
        let canary = json!({REVISION: "canary"});
        let managed = json!({MANAGED_BY.0: MANAGED_BY.1});
        let rows = [
            (CONTROLLER, &none, (true, false, false)),
            (CONTROLLER, &canary, (false, true, false)),
            (CONTROLLER, &managed, (true, false, true)),
            ("example.com/other", &managed, (false, false, false)),
        ];
        for (controller, labels, expected) in rows {
            let class = class(controller, labels.clone());
            let found = (
                is_of(&class, DEFAULT),
                is_of(&class, "canary"),
                is_kept(&class),
            );
            assert_eq!(found, expected, "{controller} {labels}");
        }
    }
}
