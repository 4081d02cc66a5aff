use std::sync::Arc;

use super::*;

fn object(metadata: Value, spec: Value) -> Arc<DynamicObject> {
    let mut object = json!({"metadata": metadata, "spec": spec});
    object["metadata"]["uid"] = json!("u");
    Arc::new(serde_json::from_value(object).unwrap())
}

fn wish(spec: Value, live: Option<Arc<DynamicObject>>) -> Wish {
    Wish {
        target: Target::class("c"),
        action: Action::Apply(json!({"kind": "K", "metadata": {"name": "c"}, "spec": spec})),
        live,
    }
}

fn there(spec: Value) -> Option<Arc<DynamicObject>> {
    Some(object(json!({"name": "c", "labels": {"x": "y"}}), spec))
}

fn is_due(term: &mut Term, wish: &Wish, now: Instant) -> bool {
    !term.due(std::slice::from_ref(wish), now).is_empty()
}

fn applied(live: Option<Arc<DynamicObject>>) -> Outcome {
    Outcome::Applied(Box::new(Arc::unwrap_or_clone(live.unwrap())))
}

#[test]
fn what_is_there_is_not_written() {
    let rows = [
        (json!({"a": 1}), there(json!({"a": 1, "b": 2})), false),
        (
            json!({"a": {"b": [{"c": 1}]}}),
            there(json!({"a": {"b": [{"c": 1, "d": 2}]}})),
            false,
        ),
        (json!({"a": {}}), there(json!({})), false),
        (json!({"a": 1}), there(json!({"a": 2})), true),
        (json!({"a": [1]}), there(json!({"a": [1, 2]})), true),
        (json!({"a": 1}), there(json!({})), true),
        (json!({"a": 1}), None, true),
    ];
    for (spec, live, expected) in rows {
        let wish = wish(spec, live);
        let found = is_due(&mut Term::default(), &wish, Instant::now());
        assert_eq!(found, expected, "{wish:?}");
    }
}

#[test]
fn what_was_written_is_not_written_again_until_somebody_else_writes() {
    let mut term = Term::default();
    let now = Instant::now();
    // The API server writes amounts its own way.
    let (before, after) = (there(json!({"cpu": "1"})), there(json!({"cpu": "2"})));
    let first = wish(json!({"cpu": "2000m"}), before.clone());
    assert!(is_due(&mut term, &first, now));
    term.wrote(&first, applied(after.clone()), now);
    // Not heard of yet, and then heard of.
    assert!(!is_due(&mut term, &first, now));
    assert_eq!(term.wakes(now), Some(now + LAG));
    let heard = wish(json!({"cpu": "2000m"}), after);
    assert!(!is_due(&mut term, &heard, now + LAG * 2));
    // Drift, to what it was before, too.
    assert!(is_due(&mut term, &first, now + LAG));
    let drift = wish(json!({"cpu": "2000m"}), there(json!({"cpu": "3"})));
    assert!(is_due(&mut term, &drift, now));
    // Less is wished than before.
    let less = wish(json!({}), there(json!({"cpu": "2"})));
    assert!(is_due(&mut term, &less, now));
}

#[test]
fn what_is_gone_is_made_again() {
    let mut term = Term::default();
    let now = Instant::now();
    let new = wish(json!({"a": 1}), None);
    term.wrote(&new, applied(there(json!({"a": 1}))), now);
    assert!(!is_due(&mut term, &new, now));
    assert!(is_due(&mut term, &new, now + LAG));
}

#[test]
fn what_fails_is_tried_again_at_growing_intervals() {
    let mut term = Term::default();
    let start = Instant::now();
    let new = wish(json!({"a": 1}), None);
    let mut now = start;
    for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert!(is_due(&mut term, &new, now));
        term.wrote(&new, Outcome::Refused("no".to_owned()), now);
        assert!(!is_due(&mut term, &new, now));
        assert_eq!(term.wakes(now), Some(now + Duration::from_secs(expected)));
        now += Duration::from_secs(expected);
    }
    assert_eq!(term.problems.get(&new.target), Some(&Some("no".to_owned())));
    // Another wish is another matter.
    let other = wish(json!({"a": 2}), None);
    term.wrote(&new, Outcome::Failed, now);
    assert!(!is_due(&mut term, &new, now));
    assert!(is_due(&mut term, &other, now));
    term.wrote(&other, applied(there(json!({"a": 2}))), now);
    assert_eq!(term.problems, Problems::new());
}

#[test]
fn the_time_of_a_condition_is_no_other_wish() {
    let status = |time: &str, live| Wish {
        target: Target::class("c").status(),
        action: Action::Apply(json!({
            "metadata": {"name": "c"},
            "status": {"conditions": [{"type": "A", "lastTransitionTime": time}]},
        })),
        live,
    };
    let mut term = Term::default();
    let now = Instant::now();
    let before = there(json!({}));
    let first = status("then", before.clone());
    assert!(is_due(&mut term, &first, now));
    let mut after = Arc::unwrap_or_clone(before.clone().unwrap());
    after.data["status"] = json!({"conditions": [{"type": "A", "lastTransitionTime": "then"}]});
    term.wrote(&first, Outcome::Applied(Box::new(after.clone())), now);
    assert!(!is_due(&mut term, &status("later", before), now));
    assert!(!is_due(
        &mut term,
        &status("then", Some(Arc::new(after))),
        now
    ));
}
