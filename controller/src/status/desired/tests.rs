use std::time::Duration;

use serde_json::json;

use super::super::story::{Story, router};
use super::*;
use crate::fixture::{ROUTER, SERVICE};
use crate::manifest::{Kind as Object, ObjectRef};

/// Statuses and reasons of `Accepted`, `ResolvedRefs` and `Conflicted`.
fn verdict(story: &Story, id: &ObjectRef) -> [String; 3] {
    ["Accepted", "ResolvedRefs", "Conflicted"].map(|kind| story.says(id, kind))
}

fn message(story: &Story, id: &ObjectRef, kind: &str) -> String {
    story.condition(id, kind).expect("a condition").message
}

#[test]
fn what_is_right_says_where_it_applies() {
    let mut story = Story::valid();
    story.settle();
    let expected = ["True/Accepted", "True/ResolvedRefs", "False/NoConflicts"];
    assert_eq!(verdict(&story, &router()), expected);
    let status = story.status(&router());
    assert_eq!(status["protocol"], "dubbo");
    let parent = json!({
        "group": "networking.istio.io", "kind": "Gateway", "namespace": "default", "name": "edge",
    });
    assert_eq!(status["parents"][0]["parentRef"], parent);
}

#[test]
fn what_is_wrong_says_why_and_what_remains() {
    let missing = [
        "False/UnknownSubset",
        "False/UnknownSubset",
        "False/NoConflicts",
    ];
    let rows = [
        ("subset: v1", "subset: v9", missing, "v9"),
        (
            "{exact: sayHello}",
            "{regex: '(say'}",
            [
                "False/InvalidRegex",
                "Unknown/NotAccepted",
                "False/NoConflicts",
            ],
            "(say",
        ),
        (
            "hosts: [greeter.shop]",
            "hosts: [nobody.shop]",
            [
                "False/UnknownHost",
                "False/UnknownHost",
                "False/NoConflicts",
            ],
            "a ServiceEntry defines a host",
        ),
        (
            "gateways: [edge]",
            "gateways: [eden]",
            [
                "False/UnknownGateway",
                "False/UnknownGateway",
                "False/NoConflicts",
            ],
            "did you mean",
        ),
    ];
    for (right, wrong, expected, word) in rows {
        let mut story = Story::valid();
        story.settle();
        story.apply(&ROUTER.replace(right, wrong));
        story.settle();
        assert_eq!(verdict(&story, &router()), expected, "{wrong}");
        let accepted = message(&story, &router(), "Accepted");
        assert!(accepted.contains(word), "{accepted}");
        assert!(
            accepted.ends_with("its last good version stays in force"),
            "{accepted}"
        );
        assert_eq!(story.says(&router(), "Programmed"), "False/NotAccepted");
        story.apply(ROUTER);
        story.settle();
        assert_eq!(story.says(&router(), "Accepted"), "True/Accepted");
    }
}

#[test]
fn of_what_was_never_right_nothing_remains() {
    let mut story = Story::valid();
    story.delete(&router());
    story.apply(&ROUTER.replace("subset: v1", "subset: v9"));
    story.settle();
    let accepted = message(&story, &router(), "Accepted");
    assert!(
        accepted.ends_with("nothing of it is in force"),
        "{accepted}"
    );
}

#[test]
fn what_follows_from_another_object_is_said_as_well() {
    let mut story = Story::empty();
    let spoilt = SERVICE.replace("resolution: STATIC", "resolution: SOMEHOW");
    story.apply(&[&spoilt, crate::fixture::GATEWAY, ROUTER].join("---\n"));
    story.settle();
    let expected = [
        "False/UnknownHost",
        "False/UnknownHost",
        "False/NoConflicts",
    ];
    assert_eq!(verdict(&story, &router()), expected);
}

#[test]
fn warnings_are_notes_on_what_is_in_force() {
    let mut story = Story::valid();
    story.apply(&ROUTER.replace("  gateways: [edge]\n", ""));
    story.settle();
    assert_eq!(story.says(&router(), "Accepted"), "True/Accepted");
    let accepted = message(&story, &router(), "Accepted");
    assert!(accepted.contains("it names no gateway"), "{accepted}");
    let status = story.status(&router());
    let parent = json!({
        "group": "networking.istio.io", "kind": "ServiceEntry", "namespace": "default", "name": "greeter",
    });
    assert_eq!(status["parents"].as_array().map(Vec::len), Some(1));
    assert_eq!(status["parents"][0]["parentRef"], parent);
}

#[test]
fn who_is_in_the_way_of_another_is_told_and_so_is_the_other() {
    let mut story = Story::valid();
    story.apply(&ROUTER.replace("metadata: {name: greeter}", "metadata: {name: second}"));
    story.settle();
    let second = ObjectRef::new(Object::MetaRouter, "default", "second");
    let expected = ["True/Accepted", "True/ResolvedRefs", "True/HiddenRouter"];
    assert_eq!(verdict(&story, &router()), expected);
    let expected = [
        "False/HiddenRouter",
        "Unknown/NotAccepted",
        "True/HiddenRouter",
    ];
    assert_eq!(verdict(&story, &second), expected);
    let accepted = message(&story, &second, "Accepted");
    assert!(
        accepted.starts_with("MetaRouter default/greeter: this route takes"),
        "{accepted}"
    );
    assert!(accepted.contains("a higher `priority`"), "{accepted}");
}

#[test]
fn a_protocol_counts_for_the_mesh() {
    let mut story = Story::valid();
    story.apply(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
         metadata: {name: ours}\nspec: {protocol: Ours, codec: dubbo}\n",
    );
    story.settle();
    let id = ObjectRef::new(Object::ApplicationProtocol, "", "ours");
    assert_eq!(story.says(&id, "Accepted"), "True/Accepted");
    let status = story.status(&id);
    assert_eq!(status["protocol"], "ours");
    assert_eq!(status["parents"][0]["parentRef"]["kind"], "Namespace");
}

fn wanted(kind: Kind, status: Truth) -> Wanted {
    Wanted {
        kind,
        state: State::new(status, "Reason", "message"),
        generation: 1,
    }
}

fn at(name: &str, accepted: Truth) -> DesiredParent {
    let id = ObjectRef::new(Object::Gateway, "default", name);
    DesiredParent {
        parent: ParentRef::of(&id),
        accepted: wanted(Kind::Accepted, accepted),
        resolved_refs: wanted(Kind::ResolvedRefs, Truth::True),
        programmed: None,
        conflicted: wanted(Kind::Conflicted, Truth::False),
    }
}

fn desired_at(names: &[&str], accepted: Truth) -> Desired {
    Desired {
        protocol: Some("dubbo".to_owned()),
        parents: names.iter().map(|name| at(name, accepted)).collect(),
    }
}

#[test]
fn nothing_is_written_where_nothing_changes() {
    let change = desired_at(&["a", "b"], Truth::True).change(&Value::Null, "then");
    let written = change.expect("there is nothing yet").patch;
    assert_eq!(
        desired_at(&["a", "b"], Truth::True).change(&written, "now"),
        None
    );
    // Nor is the order of our own entries a matter.
    assert_eq!(
        desired_at(&["b", "a"], Truth::True).change(&written, "now"),
        None
    );
}

#[test]
fn times_and_transitions_are_those_of_what_changes() {
    let written = desired_at(&["a"], Truth::True).change(&Value::Null, "then");
    let written = written.expect("there is nothing yet").patch;
    let change = desired_at(&["a"], Truth::False)
        .change(&written, "now")
        .expect("a change");
    let times = change.patch["parents"][0]["conditions"]
        .as_array()
        .expect("conditions")
        .iter();
    let times: Vec<_> = times
        .map(|condition| condition["lastTransitionTime"].as_str())
        .collect();
    assert_eq!(
        times,
        [Some("now"), Some("then"), Some("then"), Some("then")]
    );
    let transitions = change.transitions.iter();
    let transitions: Vec<_> = transitions
        .map(|it| (it.to.kind.as_str(), it.from, it.to.status))
        .collect();
    assert_eq!(transitions, [("Accepted", Some(Truth::True), Truth::False)]);
}

#[test]
fn entries_of_others_stay_where_they_are_and_old_ones_of_ours_go() {
    let theirs = json!({"parentRef": {"name": "a"}, "controllerName": "other", "more": [1]});
    let ours = desired_at(&["a", "b"], Truth::True).change(&Value::Null, "then");
    let mut written = ours.expect("there is nothing yet").patch;
    written["parents"]
        .as_array_mut()
        .expect("a list")
        .insert(1, theirs.clone());
    written["more"] = json!("kept by a merge patch");
    assert_eq!(
        desired_at(&["a", "b"], Truth::True).change(&written, "now"),
        None
    );
    let change = desired_at(&["b", "c"], Truth::True)
        .change(&written, "now")
        .expect("a change");
    let parents = change.patch["parents"].as_array().expect("a list");
    assert_eq!(parents[0], theirs);
    let names: Vec<_> = parents
        .iter()
        .map(|it| it["parentRef"]["name"].as_str())
        .collect();
    assert_eq!(names, [Some("a"), Some("b"), Some("c")]);
    assert_eq!(change.patch.get("more"), None);
}

#[test]
fn whatever_stands_there_is_put_right() {
    for written in [
        json!({"parents": "none"}),
        json!({"parents": [{"controllerName": CONTROLLER}]}),
        json!({"parents": [{"controllerName": CONTROLLER, "parentRef": {"kind": 1}, "conditions": 7}]}),
        json!({"parents": [null], "protocol": 3}),
    ] {
        let change = desired_at(&["a"], Truth::True)
            .change(&written, "now")
            .expect("a change");
        let after = change.patch;
        assert_eq!(
            desired_at(&["a"], Truth::True).change(&after, "later"),
            None,
            "{written}"
        );
    }
}

fn policy(spec: &str) -> String {
    format!(
        "apiVersion: dubbo.aeraki.io/v1alpha1\nkind: DubboAuthorizationPolicy\nmetadata: {{name: callers}}\n\
         spec: {{{spec}}}\n"
    )
}

/// Who may call what is judged by what is read of it, and what cannot be read denies: its author has to see that.
#[test]
fn a_policy_says_whether_it_can_be_read_and_whether_anybody_can_meet_it() {
    let mut story = Story::valid();
    let id = ObjectRef::new(Object::DubboAuthorizationPolicy, "default", "callers");
    story.apply(&policy(
        "rules: [{to: [{operation: {methods: [sayHello]}}]}]",
    ));
    let _proxy = story.proxy();
    story.passes(Duration::from_secs(5));
    let expected = ["True/Accepted", "True/ResolvedRefs", "False/NoConflicts"];
    assert_eq!(verdict(&story, &id), expected);
    assert_eq!(story.says(&id, "Programmed"), "True/Programmed");
    let parent = json!({"group": "", "kind": "Namespace", "name": "default"});
    assert_eq!(story.status(&id)["parents"][0]["parentRef"], parent);

    story.apply(&policy(
        "rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b]}}]}]",
    ));
    story.settle();
    assert_eq!(story.says(&id, "Accepted"), "True/Accepted");
    let accepted = message(&story, &id, "Accepted");
    let words = "asks none for a certificate: all of them are nobody";
    assert!(accepted.contains(words), "{accepted}");

    story.apply(&policy("action: SOMETIMES"));
    story.settle();
    assert_eq!(story.says(&id, "Accepted"), "False/PolicyClosed");
    let accepted = message(&story, &id, "Accepted");
    let end = "Meanwhile nobody may use what it is for";
    assert!(
        accepted.contains("`spec.action` does not take `SOMETIMES`") && accepted.ends_with(end),
        "{accepted}"
    );
}

/// Nothing that anybody is sent hangs on a policy where nobody speaks Dubbo.
#[test]
fn a_policy_for_nothing_says_so() {
    let mut story = Story::empty();
    let id = ObjectRef::new(Object::DubboAuthorizationPolicy, "default", "callers");
    story.apply(&policy("rules: [{}]"));
    story.passes(Duration::from_secs(5));
    assert_eq!(story.says(&id, "Accepted"), "True/Accepted");
    assert_eq!(story.says(&id, "Programmed"), "Unknown/NotUsed");
}
