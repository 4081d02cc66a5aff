use super::super::gateway::DETACH;
use super::*;
use crate::standing::DEFAULT;

const SETTINGS: &str =
    "{image: 'meltemi:1', controller: 'c:1', podDisruptionBudget: {minAvailable: 1}}";

fn object(value: Value) -> Arc<DynamicObject> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn gateway_of(class: &str, change: impl FnOnce(&mut Value)) -> Arc<DynamicObject> {
    let mut value = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "l7", "namespace": "shop", "uid": "u-1", "generation": 3},
        "spec": {
            "gatewayClassName": class,
            "listeners": [{"name": "proxy", "port": 15088, "protocol": "istio.io/PROXY"}],
        },
    });
    change(&mut value);
    object(value)
}

fn part(part: Part, owner: &str) -> ((Part, String, String), Arc<DynamicObject>) {
    let value = json!({
        "apiVersion": part.api_version(), "kind": part.kind(),
        "metadata": {
            "name": "l7", "namespace": "shop", "uid": "p",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Gateway", "name": "l7", "uid": owner}],
        },
    });
    ((part, "shop".to_owned(), "l7".to_owned()), object(value))
}

fn seen(gateways: Vec<Arc<DynamicObject>>, parts: Parts) -> Seen {
    Seen {
        classes: None,
        gateways: Some(gateways),
        parts: Some(parts),
        leads: None,
    }
}

struct Made {
    /// `Apply Deployment`, …
    wishes: Vec<String>,
    status: Value,
    plan: Plan,
}

fn made(seen: &Seen, parameters: &Parameters, good: &mut Good) -> Made {
    let planner = Planner {
        revision: DEFAULT.to_owned(),
        settings: Some(SETTINGS.parse().unwrap()),
        leads_sidecars: false,
    };
    let known = Known {
        seen,
        news: None,
        parameters,
        problems: &Problems::new(),
        now: "now",
    };
    let plan = planner.plan(&known, good);
    let wishes = plan.wishes.iter().map(|wish| {
        let verb = match wish.action {
            Action::Apply(_) => "apply",
            Action::Withdraw(_) => "withdraw",
            Action::Delete => "delete",
        };
        let status = if wish.target.is_status { "/status" } else { "" };
        format!("{verb} {:?}{status}", wish.target.what)
    });
    let mut statuses = plan.wishes.iter().filter(|wish| wish.target.is_status);
    let status = statuses
        .next()
        .map_or(Value::Null, |wish| match &wish.action {
            Action::Apply(body) => body["status"].clone(),
            _ => Value::Null,
        });
    Made {
        wishes: wishes.collect(),
        status,
        plan,
    }
}

fn reason(status: &Value, condition: usize) -> &str {
    status["conditions"][condition]["reason"].as_str().unwrap()
}

const ALL: [&str; 7] = [
    "apply Part(ServiceAccount)",
    "apply Part(Service)",
    "apply Part(Deployment)",
    "apply Part(Autoscaler)",
    "apply Part(Budget)",
    "apply Gateway",
    "apply Gateway/status",
];

#[test]
fn a_gateway_of_our_class_is_made_and_no_other() {
    let none = Parameters::default();
    let of = |class: &str| {
        let seen = seen(vec![gateway_of(class, |_| {})], Parts::new());
        made(&seen, &none, &mut Good::new()).wishes
    };
    assert_eq!(of("meltemi-waypoint"), ALL);
    for other in ["meltemi-waypoint-canary", "istio-waypoint", "meltemi"] {
        assert!(of(other).is_empty(), "{other}");
    }
    // Nothing is made before it is known what there is.
    let unknown = Seen {
        parts: None,
        ..seen(vec![gateway_of("meltemi-waypoint", |_| {})], Parts::new())
    };
    assert!(made(&unknown, &none, &mut Good::new()).wishes.is_empty());
    let ending = gateway_of("meltemi-waypoint", |it| {
        it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    let ending = seen(vec![ending], Parts::new());
    assert!(made(&ending, &none, &mut Good::new()).wishes.is_empty());
}

#[test]
fn of_one_that_was_taken_out_nothing_is_made_again() {
    let gateway = gateway_of("meltemi-waypoint", |it| {
        it["metadata"]["annotations"] = json!({ DETACH: "true" });
    });
    for parts in [
        Parts::new(),
        Parts::from([part(Part::Deployment, "u-1"), part(Part::Service, "u-1")]),
    ] {
        let seen = seen(vec![gateway.clone()], parts);
        let made = made(&seen, &Parameters::default(), &mut Good::new());
        assert_eq!(made.wishes, ["apply Gateway/status"]);
        assert_eq!(reason(&made.status, 1), "Detached");
    }
}

#[test]
fn what_is_not_its_own_is_left_alone() {
    let gateway = gateway_of("meltemi-waypoint", |_| {});
    let parts = Parts::from([part(Part::Service, "other"), part(Part::Deployment, "u-1")]);
    let made = made(
        &seen(vec![gateway], parts),
        &Parameters::default(),
        &mut Good::new(),
    );
    assert!(
        !made.wishes.contains(&"apply Part(Service)".to_owned()),
        "{:?}",
        made.wishes
    );
    assert!(made.wishes.contains(&"apply Part(Deployment)".to_owned()));
    assert_eq!(reason(&made.status, 1), "NoResources");
    let message = made.status["conditions"][1]["message"].as_str().unwrap();
    assert!(
        message.contains("Service shop/l7") && message.contains("delete it"),
        "{message}"
    );
}

#[test]
fn a_bad_override_changes_nothing() {
    let named = json!({"group": "", "kind": "ConfigMap", "name": "o"});
    let gateway = gateway_of("meltemi-waypoint", |it| {
        it["spec"]["infrastructure"]["parametersRef"] = named;
    });
    let seen = seen(vec![gateway], Parts::from([part(Part::Autoscaler, "u-1")]));
    let key = ("shop".to_owned(), "o".to_owned());
    let of = |overrides: Result<Overrides, String>| Parameters::with(key.clone(), overrides);
    let mut good = Good::new();
    // Not read yet.
    assert!(
        made(&seen, &Parameters::default(), &mut good)
            .wishes
            .is_empty()
    );
    let unscaled =
        Overrides::parse(&[("horizontalPodAutoscaler".to_owned(), "null".to_owned())].into());
    let first = made(&seen, &of(Ok(unscaled.unwrap())), &mut good);
    assert!(
        first.wishes.contains(&"delete Part(Autoscaler)".to_owned()),
        "{:?}",
        first.wishes
    );
    // What was made stays, and is kept so.
    let bad = of(Err("there is no such ConfigMap".to_owned()));
    let second = made(&seen, &bad, &mut good);
    assert_eq!(second.wishes[..5], first.wishes[..5]);
    assert_eq!(second.plan.wishes[..5], first.plan.wishes[..5]);
    assert_eq!(reason(&second.status, 0), "InvalidParameters");
    // Who knows nothing of before makes nothing, and takes nothing away.
    let third = made(&seen, &bad, &mut Good::new());
    assert_eq!(third.wishes, ["apply Gateway/status"]);
}

#[test]
fn a_gateway_that_gets_another_class_is_released() {
    let bound = |it: &mut Value| it["metadata"]["annotations"] = json!({ BINDING: BOUND });
    let gateway = gateway_of("istio-waypoint", bound);
    let none = Parameters::default();
    let own = seen(
        vec![gateway.clone()],
        Parts::from([part(Part::Service, "u-1")]),
    );
    assert_eq!(
        made(&own, &none, &mut Good::new()).wishes,
        ["withdraw Gateway"]
    );
    // One that never was ours says what it wants.
    let others = seen(vec![gateway], Parts::new());
    assert!(made(&others, &none, &mut Good::new()).wishes.is_empty());
}

#[test]
fn classes_are_made_and_those_of_others_are_left() {
    let class = |name: &str, controller: &str, labels: Value| {
        object(json!({
            "metadata": {"name": name, "uid": "c", "labels": labels},
            "spec": {"controllerName": controller},
        }))
    };
    let of = |classes: Vec<Arc<DynamicObject>>| {
        let seen = Seen {
            classes: Some(classes),
            ..Seen::default()
        };
        made(&seen, &Parameters::default(), &mut Good::new())
    };
    assert_eq!(of(vec![]).wishes, ["apply Class", "apply Class"]);
    // Somebody else has the name, and another one made ours.
    let other = class("meltemi", "example.com/other", json!({}));
    let theirs = class("meltemi-waypoint", CONTROLLER, json!({}));
    let made = of(vec![other, theirs]);
    assert_eq!(made.wishes, ["apply Class/status"]);
    assert_eq!(made.plan.taken.len(), 1);
    assert!(made.plan.taken[0].message().contains("example.com/other"));
}
