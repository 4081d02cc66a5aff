use super::super::condition::Condition;
use super::*;

fn event_of(kind: &str, from: Option<Truth>, to: (Truth, &str)) -> Option<(String, String)> {
    let (status, reason) = to;
    let transition = Transition {
        from,
        to: Condition {
            kind: kind.to_owned(),
            status,
            observed_generation: 1,
            last_transition_time: String::new(),
            reason: reason.to_owned(),
            message: "why".to_owned(),
        },
    };
    let event = event(&transition)?;
    assert_eq!(
        (event.note.as_deref(), event.action.as_str()),
        (Some("why"), kind)
    );
    Some((format!("{:?}", event.type_), event.reason))
}

#[test]
fn a_change_for_the_worse_is_a_warning_and_one_for_the_better_is_normal() {
    use Truth::{False, True, Unknown};
    let rows = [
        ("Accepted", None, (True, "Accepted"), None),
        ("Accepted", None, (False, "InvalidRegex"), Some("Warning")),
        (
            "Accepted",
            Some(True),
            (False, "InvalidRegex"),
            Some("Warning"),
        ),
        ("Accepted", Some(False), (True, "Accepted"), Some("Normal")),
        ("ResolvedRefs", Some(False), (Unknown, "NotAccepted"), None),
        ("ResolvedRefs", Some(Unknown), (True, "ResolvedRefs"), None),
        ("Conflicted", None, (False, "NoConflicts"), None),
        (
            "Conflicted",
            Some(False),
            (True, "HiddenRouter"),
            Some("Warning"),
        ),
        (
            "Conflicted",
            Some(True),
            (False, "NoConflicts"),
            Some("Normal"),
        ),
        (
            "meltemi.io/ProtocolMismatch",
            None,
            (True, "OtherProtocol"),
            Some("Warning"),
        ),
        (
            "meltemi.io/ProtocolMismatch",
            Some(True),
            (False, "NoMismatch"),
            Some("Normal"),
        ),
        ("Programmed", None, (Unknown, "Pending"), None),
        (
            "Programmed",
            Some(Unknown),
            (True, "Programmed"),
            Some("Normal"),
        ),
        (
            "Programmed",
            Some(True),
            (False, "RejectedByProxy"),
            Some("Warning"),
        ),
        ("Programmed", Some(True), (False, "NotAccepted"), None),
        ("Programmed", Some(True), (Unknown, "NoProxies"), None),
    ];
    for (kind, from, to, expected) in rows {
        let found = event_of(kind, from, to);
        let expected = expected.map(|type_| (type_.to_owned(), to.1.to_owned()));
        assert_eq!(found, expected, "{kind} from {from:?} to {to:?}");
    }
}

#[test]
fn a_note_is_as_long_as_it_may_be() {
    assert_eq!(note(&"ö".repeat(LONGEST_NOTE)).len(), LONGEST_NOTE);
    assert_eq!(
        note(&format!("a{}", "ö".repeat(LONGEST_NOTE))).len(),
        LONGEST_NOTE - 1
    );
    assert_eq!(note("short"), "short");
}

#[test]
fn of_a_gateway_is_told_what_became_worse_or_better_and_not_that_it_begins() {
    let condition = |status: &str, reason: &str| {
        serde_json::json!([{
            "type": "Programmed", "status": status, "reason": reason, "message": "why",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        }])
    };
    let (waiting, pending) = (
        condition("Unknown", "Pending"),
        condition("False", "Pending"),
    );
    let programmed = condition("True", "Programmed");
    let rows = [
        (&waiting, &pending, vec![]),
        (&pending, &programmed, vec!["Programmed"]),
        (&programmed, &programmed, vec![]),
        (&programmed, &pending, vec!["Pending"]),
        (&pending, &condition("False", "Invalid"), vec![]),
        (
            &programmed,
            &condition("False", "Detached"),
            vec!["Detached"],
        ),
    ];
    for (before, after, expected) in rows {
        let events = events(before, after).into_iter();
        let reasons: Vec<_> = events.map(|event| event.reason).collect();
        assert_eq!(reasons, expected, "{before} {after}");
    }
}
