use serde_json::json;

use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// With probes each two seconds, of which three in a row count, and a `preStop` of five seconds.
fn life(now: Instant, restart: &str) -> Life {
    let probe =
        |path: &str| json!({"httpGet": {"path": path, "port": "status"}, "periodSeconds": 2});
    let container = json!({
        "name": "c", "ports": [{"name": "status", "containerPort": 15021}],
        "readinessProbe": probe("/ready"), "livenessProbe": probe("/metrics"),
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    });
    let pod = json!({"spec": {"containers": [container], "restartPolicy": restart}});
    Life::new(&pod, now).expect("a pod")
}

/// Everything that is due.
fn due(life: &mut Life, now: Instant) -> Vec<Action> {
    std::iter::from_fn(|| life.due(now)).collect()
}

#[test]
fn it_is_ready_while_less_than_three_in_a_row_say_no() {
    let start = Instant::now();
    let mut life = life(start, "Always");
    assert_eq!(life.shown().phase, "Pending");
    let asks = [Action::AskAlive, Action::AskReady];
    assert_eq!(
        due(&mut life, start),
        [&[Action::Start][..], &asks].concat()
    );
    assert!(!life.shown().is_ready);
    let rows = [
        (true, true),
        (false, true),
        (false, true),
        (false, false),
        (true, true),
    ];
    for (number, (told, expected)) in (1..).zip(rows) {
        assert_eq!(due(&mut life, start + seconds(2 * number)), asks);
        life.told_ready(told);
        assert_eq!(life.shown().is_ready, expected, "{number}");
    }
}

#[test]
fn one_that_does_not_live_starts_again_later_and_later() {
    let start = Instant::now();
    let mut life = life(start, "Always");
    let _ = due(&mut life, start);
    assert_eq!(life.told_alive(false), None);
    assert_eq!(life.told_alive(false), None);
    assert_eq!(life.told_alive(false), Some(Action::Kill));
    life.ended(false, start);
    assert!(!life.shown().is_ready);
    assert_eq!(due(&mut life, start), []);
    assert_eq!(due(&mut life, start + seconds(1))[0], Action::Start);
    life.ended(false, start);
    assert_eq!(due(&mut life, start + seconds(1)), []);
    assert_eq!(due(&mut life, start + seconds(2))[0], Action::Start);
    assert_eq!(life.shown().restarts, 2);
}

#[test]
fn a_deletion_is_a_pause_then_a_word_then_the_end() {
    let start = Instant::now();
    let mut life = life(start, "Always");
    let _ = due(&mut life, start);
    life.told_ready(true);
    life.deleted(seconds(60), start);
    assert_eq!(due(&mut life, start + seconds(4)), [Action::AskReady]);
    assert!(life.shown().is_ready, "it still serves");
    assert_eq!(due(&mut life, start + seconds(5))[0], Action::Terminate);
    let mut patient = || due(&mut life, start + seconds(59));
    assert_eq!(patient(), [Action::AskReady]);
    life.ended(true, start + seconds(59));
    assert_eq!(due(&mut life, start + seconds(59)), [Action::Remove]);
    assert_eq!(due(&mut life, start + seconds(61)), []);
}

#[test]
fn patience_ends() {
    let start = Instant::now();
    let mut life = life(start, "Always");
    let _ = due(&mut life, start);
    life.deleted(seconds(60), start);
    life.deleted(seconds(2), start);
    life.deleted(seconds(30), start);
    assert_eq!(due(&mut life, start + seconds(2)), [Action::Kill]);
    life.ended(false, start + seconds(2));
    assert_eq!(due(&mut life, start + seconds(2)), [Action::Remove]);
}

#[test]
fn a_job_ends() {
    let start = Instant::now();
    for (restart, is_good, phase) in [
        ("Never", true, "Succeeded"),
        ("Never", false, "Failed"),
        ("OnFailure", true, "Succeeded"),
        ("OnFailure", false, "Running"),
    ] {
        let mut life = life(start, restart);
        let _ = due(&mut life, start);
        life.ended(is_good, start);
        assert_eq!(life.shown().phase, phase, "{restart} {is_good}");
    }
}

#[test]
fn what_is_not_known_is_refused() {
    let container = |more: Value| {
        let mut container = json!({"name": "c"});
        container
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"spec": {"containers": [container]}})
    };
    for (pod, words) in [
        (json!({"spec": {"containers": []}}), "container"),
        (container(json!({"startupProbe": {}})), "startupProbe"),
        (
            container(json!({"readinessProbe": {"exec": {}}})),
            "of HTTP or TCP",
        ),
        (
            container(json!({"lifecycle": {"preStop": {"exec": {}}}})),
            "preStop",
        ),
    ] {
        let refused = Life::new(&pod, Instant::now()).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
}
