//! Errors and delays on purpose.

use std::time::{Duration, Instant};

use crate::peers::{Answer, Call};
use crate::proxied::{Route, Rules};
use crate::stage::Stage;

/// All that `fault.abort.status` takes.
const STATUSES: [&str; 8] = [
    "fault-injected",
    "no-healthy-upstream",
    "connect-failure",
    "upstream-reset",
    "timeout",
    "rate-limited",
    "overloaded",
    "denied",
];

const DELAY: Duration = Duration::from_millis(300);

pub(super) fn aborts(stage: &mut Stage) {
    let a = [stage.a.port()];
    let before = stage.counted(a[0]);
    for status in STATUSES {
        let fault = format!("fault: {{abort: {{percentage: {{value: 100}}, status: {status}}}}}");
        let rules = Rules {
            routes: &[Route(Some(Call::Count), &fault), Route(None, "")],
            ..Rules::default()
        };
        let _proxied = stage.before(&a, rules);
        for library in &mut stage.libraries {
            library.hears(Call::Count, status, "fault injected");
            library.gets(Call::Who, "a");
        }
    }
    assert_eq!(stage.counted(a[0]), before, "nobody was asked");
    let rules = Rules {
        routes: &[Route(None, "fault: {abort: {percentage: {value: 0}}}")],
        ..Rules::default()
    };
    let _proxied = stage.before(&a, rules);
    for library in &mut stage.libraries {
        library.gets(Call::Who, "a");
    }
}

pub(super) fn delays(stage: &mut Stage) {
    let delay = "delay: {percentage: {value: 100}, fixedDelay: 300ms}";
    let abort = "abort: {percentage: {value: 100}, status: overloaded}";
    let rules = Rules {
        routes: &[
            Route(Some(Call::Who), &format!("fault: {{{delay}}}")),
            Route(Some(Call::Count), &format!("fault: {{{delay}, {abort}}}")),
            Route(None, ""),
        ],
        ..Rules::default()
    };
    let proxied = stage.before(&[stage.a.port()], rules);
    for library in &mut stage.libraries {
        let begun = Instant::now();
        library.gets(Call::Who, "a");
        assert!(begun.elapsed() >= DELAY);
        let begun = Instant::now();
        library.hears(Call::Count, "overloaded", "fault injected");
        assert!(begun.elapsed() >= DELAY);
        let answer = library.client.call(Call::Counted);
        assert!(matches!(answer, Answer::Value(_)), "{answer:?}");
    }
    let injected = proxied.metric("meltemi_requests_total", &["flag=\"FI\""]);
    assert_eq!(injected, stage.libraries.len() as u64);
}
