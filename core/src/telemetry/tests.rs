use std::time::Duration;

use super::*;

fn answered(code: u32) -> Answered {
    Answered {
        outcome: OutcomeLabel::Ok,
        code,
        flag: ResponseFlag::None,
        duration: Duration::from_micros(100),
        requests: 1,
        request_bytes: 10,
        response_bytes: 20,
    }
}

#[track_caller]
fn assert_line(page: &str, line: &str) {
    assert!(
        page.lines().any(|l| l == line),
        "no line\n{line}\nin\n{page}"
    );
}

#[test]
fn workers_are_summed() {
    let telemetry = Telemetry::new();
    for _ in 0..2 {
        let worker = telemetry.worker();
        let series = worker.series("default/echo", "canary", "outbound|20880|v1|echo");
        series.record(answered(20));
        series.record(Answered {
            outcome: OutcomeLabel::Local,
            code: 80,
            flag: ResponseFlag::NoHealthyUpstream,
            ..answered(0)
        });
        // The same name again: the same cells.
        worker
            .series("default/echo", "canary", "outbound|20880|v1|echo")
            .record(answered(20));
        let service = worker.service("default/echo");
        service.connection_opened();
        service.connection_opened();
        service.connection_closed();
        worker.cluster("outbound|20880|v1|echo").connect_failed();
    }
    let page = telemetry.render();
    let labels = r#"service="default/echo",route="canary",destination="outbound|20880|v1|echo""#;
    for line in [
        format!(r#"meltemi_requests_total{{{labels},outcome="ok",code="20",flag="-"}} 4"#),
        format!(r#"meltemi_requests_total{{{labels},outcome="local",code="80",flag="UH"}} 2"#),
        format!("meltemi_request_bytes_total{{{labels}}} 60"),
        format!("meltemi_response_bytes_total{{{labels}}} 120"),
        format!(r#"meltemi_request_duration_seconds_bucket{{{labels},le="0.000064"}} 0"#),
        format!(r#"meltemi_request_duration_seconds_bucket{{{labels},le="0.000128"}} 6"#),
        format!(r#"meltemi_request_duration_seconds_bucket{{{labels},le="+Inf"}} 6"#),
        format!("meltemi_request_duration_seconds_sum{{{labels}}} 0.0006"),
        format!("meltemi_request_duration_seconds_count{{{labels}}} 6"),
        r#"meltemi_downstream_connections{service="default/echo"} 2"#.into(),
        r#"meltemi_downstream_connections_total{service="default/echo"} 4"#.into(),
        r#"meltemi_upstream_connect_failures_total{cluster="outbound|20880|v1|echo"} 2"#.into(),
        "meltemi_workers 2".into(),
    ] {
        assert_line(&page, &line);
    }
}

#[test]
fn codes_from_the_wire_are_bounded() {
    let telemetry = Telemetry::new();
    let worker = telemetry.worker();
    for series in 0..50 {
        let series = worker.series("s", &format!("r{series}"), "d");
        for code in 0..100_u32 {
            series.record(answered(code.wrapping_mul(7919)));
        }
    }
    let mut distinct = HashSet::new();
    let mut total = 0;
    for line in telemetry
        .render()
        .lines()
        .filter(|l| l.starts_with("meltemi_requests_total{"))
    {
        let (labels, count) = line.rsplit_once(' ').unwrap();
        total += count.parse::<u64>().unwrap();
        let code = labels
            .split("code=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        distinct.insert(code.unwrap().to_owned());
    }
    assert_eq!(total, 5000, "every exchange is counted");
    assert!(distinct.contains("other"));
    assert!(distinct.len() <= MOST_CODES + 1);
}

#[test]
fn many_services_share_the_bound_on_codes() {
    let telemetry = Telemetry::new();
    let worker = telemetry.worker();
    for code in 0..3000_u32 {
        worker
            .series("s", &code.to_string(), "d")
            .record(answered(code));
    }
    let page = telemetry.render();
    let others = page.matches("code=\"other\"").count();
    assert_eq!(others, 3000 - MOST_CODES);
}

#[test]
fn label_values_are_escaped() {
    let telemetry = Telemetry::new();
    let worker = telemetry.worker();
    worker.service("a\"b\\c\nd").connection_opened();
    let line = r#"meltemi_downstream_connections{service="a\"b\\c\nd"} 1"#;
    assert_line(&telemetry.render(), line);
}

#[test]
fn counters_outlive_their_handles() {
    let telemetry = Telemetry::new();
    let worker = telemetry.worker();
    worker.service("s").decode_error();
    worker.service("s").decode_error();
    assert_line(
        &telemetry.render(),
        r#"meltemi_downstream_decode_errors_total{service="s"} 2"#,
    );
}

#[test]
fn names_that_are_gone_are_forgotten_in_the_end() {
    let telemetry = Telemetry::new();
    let worker = telemetry.worker();
    let live = worker.service("live");
    for n in 0..2 * MOST_WITHDRAWN {
        worker.service(&n.to_string()).connection_opened();
    }
    live.connection_opened();
    let page = telemetry.render();
    assert_line(&page, r#"meltemi_downstream_connections{service="live"} 1"#);
    let services = page
        .lines()
        .filter(|l| l.starts_with("meltemi_downstream_connections{"))
        .count();
    assert!(services <= MOST_WITHDRAWN + 1, "{services}");
}

#[test]
fn response_flags_have_distinct_names() {
    let short: HashSet<_> = ResponseFlag::ALL.iter().map(|flag| flag.as_str()).collect();
    let words: HashSet<_> = ResponseFlag::ALL.iter().map(|flag| flag.word()).collect();
    assert_eq!(
        (short.len(), words.len()),
        (ResponseFlag::ALL.len(), ResponseFlag::ALL.len())
    );
}
