//! Healthy or not: rows of what checks came to, and a model.

use std::net::{Ipv4Addr, SocketAddr};

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn rule(unhealthy: u32, healthy: u32) -> HealthCheck {
    HealthCheck {
        interval: 10 * SECOND,
        interval_jitter: Duration::ZERO,
        timeout: SECOND,
        unhealthy_threshold: unhealthy,
        healthy_threshold: healthy,
        protocol: None,
    }
}

fn host(index: u16) -> Address {
    Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, index)))
}

fn verdict(letter: char) -> Verdict {
    match letter {
        'p' => Verdict::Passed,
        'r' => Verdict::Refused,
        _ => Verdict::Lost,
    }
}

/// One letter for each check: whether the endpoint gets requests after it.
fn story(rule: HealthCheck, verdicts: &str) -> String {
    let now = Instant::now();
    let mut checker = HealthChecker::new(rule, [host(1)], now, 1);
    let after = verdicts.chars().map(|letter| {
        checker.take(&host(1), verdict(letter), now);
        match checker.unhealthy().next() {
            None => '+',
            Some(_) => '-',
        }
    });
    after.collect()
}

#[test]
fn thresholds_are_envoys() {
    for (unhealthy, healthy, verdicts, after) in [
        (3, 2, "p", "+"),
        // The first check decides at once, either way.
        (3, 2, "l", "-"),
        (3, 2, "r", "-"),
        (3, 2, "lp", "--"),
        (3, 2, "lpp", "--+"),
        (3, 2, "lplpp", "----+"),
        (3, 2, "plll", "+++-"),
        (3, 2, "pllplll", "++++++-"),
        // An answer that says no counts at once.
        (3, 2, "pr", "+-"),
        (3, 2, "prpp", "+--+"),
        (1, 1, "plplp", "+-+-+"),
    ] {
        assert_eq!(
            story(rule(unhealthy, healthy), verdicts),
            after,
            "{verdicts}"
        );
    }
}

#[test]
fn endpoints_are_asked_again_after_the_interval() {
    let start = Instant::now();
    let mut checker = HealthChecker::new(rule(3, 2), [host(1)], start, 1);
    assert_eq!(checker.due(start), [host(1)]);
    // One check at a time.
    assert_eq!(
        (checker.due(start + 60 * SECOND), checker.deadline()),
        (vec![], None)
    );
    checker.take(&host(1), Verdict::Passed, start + SECOND);
    assert_eq!(checker.deadline(), Some(start + 11 * SECOND));
    assert_eq!(checker.due(start + 10 * SECOND), []);
    assert_eq!(checker.due(start + 11 * SECOND), [host(1)]);
}

#[test]
fn new_endpoints_are_trusted_where_they_take_the_place_of_all() {
    let start = Instant::now();
    let mut checker = HealthChecker::new(rule(1, 1), [host(1), host(2)], start, 1);
    checker.due(start);
    checker.take(&host(1), Verdict::Passed, start);
    checker.take(&host(2), Verdict::Lost, start);
    // The one that could serve goes.
    checker.update(rule(1, 1), [host(2), host(3)], start);
    assert_eq!(checker.unhealthy().collect::<Vec<_>>(), [&host(2)]);
    checker.due(start);
    checker.take(&host(3), Verdict::Lost, start);
    // Nobody could serve before either.
    checker.update(rule(1, 1), [host(4)], start);
    assert_eq!(checker.unhealthy().collect::<Vec<_>>(), [&host(4)]);
}

#[test]
fn only_the_first_endpoints_are_trusted() {
    let now = Instant::now();
    let mut checker = HealthChecker::new(rule(3, 2), [host(1)], now, 1);
    checker.update(rule(3, 2), [host(1), host(2)], now);
    assert_eq!(checker.unhealthy().collect::<Vec<_>>(), [&host(2)]);
    assert_eq!(
        checker.take(&host(2), Verdict::Passed, now),
        Some(Change::Healthy)
    );
    assert_eq!(
        checker.take(&host(1), Verdict::Lost, now),
        Some(Change::Unhealthy)
    );
    // What is gone is forgotten, and a late end of its check means nothing.
    checker.update(rule(3, 2), [host(1)], now);
    assert_eq!(checker.take(&host(2), Verdict::Lost, now), None);
    assert_eq!(checker.healthy(), 0);
}

proptest! {
    /// Of a trace, the last rows decide.
    #[test]
    fn the_newest_row_decides(verdicts in "[pl]{1,40}", unhealthy in 1u32..5, healthy in 1u32..5) {
        let after = story(rule(unhealthy, healthy), &verdicts);
        let mut state = None;
        for (n, shown) in (1..=verdicts.len()).zip(after.chars()) {
            let seen = &verdicts[..n];
            let row = |letter| seen.chars().rev().take_while(|it| *it == letter).count() as u32;
            state = Some(match state {
                None => seen == "p",
                Some(true) => row('l') < unhealthy,
                Some(false) => row('p') >= healthy,
            });
            prop_assert_eq!(shown == '+', state == Some(true), "{}", seen);
        }
    }

    #[test]
    fn jitter_only_adds(jitter in 1u64..5_000, seed in any::<u64>()) {
        let now = Instant::now();
        let mut rule = rule(1, 1);
        rule.interval_jitter = Duration::from_millis(jitter);
        let mut checker = HealthChecker::new(rule, [host(1)], now, seed);
        checker.take(&host(1), Verdict::Passed, now);
        let pause = checker.deadline().unwrap() - now;
        prop_assert!(pause >= 10 * SECOND && pause < 10 * SECOND + Duration::from_millis(jitter));
    }
}
