//! Ejection and return: stories on a clock that the test moves.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use proptest::prelude::*;

use super::*;

mod kinds;
mod rates;

const SECOND: Duration = Duration::from_secs(1);

/// Envoy's defaults, but for the percentage, and that one may always be ejected.
fn rule(max_ejection_percent: u32) -> OutlierDetection {
    OutlierDetection {
        consecutive_errors: 5,
        consecutive_gateway_errors: 0,
        split_errors: false,
        consecutive_local_errors: 5,
        application_errors: false,
        interval: 10 * SECOND,
        base_ejection_time: 30 * SECOND,
        max_ejection_time: 300 * SECOND,
        max_ejection_time_jitter: Duration::ZERO,
        max_ejection_percent,
        always_eject_one_host: true,
        unejected_by_health_check: true,
        success_rate: None,
        failure_percentage: None,
    }
}

fn host(index: u16) -> Address {
    Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, index)))
}

fn ejected(index: u16) -> Change {
    Change::Ejected(host(index), Cause::ConsecutiveErrors)
}

/// A detector over hosts 0.. and its clock.
struct Story {
    detector: OutlierDetector,
    start: Instant,
    now: Instant,
}

impl Story {
    fn new(rule: OutlierDetection, hosts: u16) -> Self {
        let start = Instant::now();
        Self {
            detector: OutlierDetector::new(rule, (0..hosts).map(host), start, 1),
            start,
            now: start,
        }
    }

    fn at(&mut self, seconds: u32) {
        self.now = self.start + seconds * SECOND;
    }

    fn fail(&mut self, index: u16, times: u32) -> Vec<Change> {
        (0..times)
            .filter_map(|_| {
                self.detector
                    .report(&host(index), Outcome::Unreachable, self.now)
            })
            .collect()
    }

    fn succeed(&mut self, index: u16) {
        let change = self
            .detector
            .report(&host(index), Outcome::Success, self.now);
        assert_eq!(change, None);
    }

    /// Sweeps at each deadline until something is taken back; gives the second of it.
    fn until_back(&mut self, index: u16) -> u64 {
        while let Some(deadline) = self.detector.deadline() {
            self.now = deadline;
            if self
                .detector
                .sweep(deadline)
                .contains(&Change::Unejected(host(index)))
            {
                return (deadline - self.start).as_secs();
            }
        }
        panic!("host {index} never comes back");
    }

    fn ejected(&self) -> BTreeSet<Address> {
        self.detector.ejected().cloned().collect()
    }
}

#[test]
fn five_failures_in_a_row_eject() {
    let mut story = Story::new(rule(100), 3);
    assert_eq!(story.fail(1, 4), []);
    assert_eq!(story.fail(2, 4), []);
    story.succeed(1);
    assert_eq!(story.fail(1, 4), []);
    assert_eq!(story.detector.deadline(), None);
    assert_eq!(story.fail(1, 1), [ejected(1)]);
    assert_eq!(story.ejected(), BTreeSet::from([host(1)]));
    // Late failures of what was in flight change nothing.
    assert_eq!(story.fail(1, 20), []);
    assert_eq!(story.fail(2, 1), [ejected(2)]);
}

#[test]
fn a_host_is_taken_back_at_the_first_sweep_after_its_time() {
    for (ejected_at, back_at) in [(0, 30), (3, 40), (9, 40), (10, 40), (11, 50)] {
        let mut story = Story::new(rule(100), 2);
        story.at(ejected_at);
        story.fail(0, 5);
        assert_eq!(story.until_back(0), back_at, "ejected at {ejected_at}");
        assert_eq!(story.ejected(), BTreeSet::new());
    }
}

#[test]
fn sweeps_before_their_time_do_nothing() {
    let mut story = Story::new(rule(100), 1);
    story.fail(0, 5);
    for second in [0, 1, 9, 10, 11, 29] {
        story.at(second);
        assert_eq!(story.detector.sweep(story.now), [], "{second}");
    }
    story.at(30);
    assert_eq!(
        story.detector.sweep(story.now),
        [Change::Unejected(host(0))]
    );
}

#[test]
fn ejections_get_longer_up_to_the_longest() {
    let mut limited = rule(100);
    limited.max_ejection_time = 70 * SECOND;
    let mut story = Story::new(limited, 1);
    let mut lengths = Vec::new();
    for _ in 0..5 {
        let ejected_at = (story.now - story.start).as_secs();
        assert_eq!(story.fail(0, 5).len(), 1);
        lengths.push(story.until_back(0) - ejected_at);
    }
    assert_eq!(lengths, [30, 60, 70, 70, 70]);
}

#[test]
fn time_in_service_shortens_the_next_ejection() {
    // After two ejections: seconds in service, and the length of the third.
    for (in_service, expected) in [(0, 90), (10, 60), (20, 30), (90, 30)] {
        let mut story = Story::new(rule(100), 1);
        story.fail(0, 5);
        assert_eq!(story.until_back(0), 30);
        story.fail(0, 5);
        assert_eq!(story.until_back(0), 90);
        story.at(90 + in_service);
        while story.detector.deadline().is_some_and(|at| at <= story.now) {
            let deadline = story.detector.deadline().unwrap();
            assert_eq!(story.detector.sweep(deadline), []);
        }
        story.fail(0, 5);
        let back = story.until_back(0);
        assert_eq!(back, u64::from(90 + in_service) + expected, "{in_service}");
    }
}

#[test]
fn a_sweep_that_is_late_lengthens_nothing() {
    let milliseconds = Duration::from_millis;
    let mut story = Story::new(rule(100), 1);
    story.fail(0, 5);
    story.at(30);
    let changes = story.detector.sweep(story.now + milliseconds(7));
    assert_eq!(changes, [Change::Unejected(host(0))]);
    // Less late than the one before: it was in service for a whole interval all the same.
    story.at(40);
    assert_eq!(story.detector.sweep(story.now + milliseconds(2)), []);
    assert_eq!(story.detector.deadline(), None, "all is forgotten");
}

#[test]
fn a_forgotten_history_needs_no_sweeps() {
    let mut story = Story::new(rule(100), 1);
    story.fail(0, 5);
    story.until_back(0);
    let mut sweeps = 0;
    while let Some(deadline) = story.detector.deadline() {
        assert_eq!(story.detector.sweep(deadline), []);
        sweeps += 1;
    }
    assert_eq!(sweeps, 1);
}

#[test]
fn no_more_than_the_percentage_but_always_one() {
    // (hosts, percent, how many are ejected when all of them fail)
    for (hosts, percent, expected) in [
        (10, 10, 1),
        (19, 10, 1),
        (20, 10, 2),
        (3, 10, 1),
        (1, 10, 1),
        (3, 66, 1),
        (3, 67, 2),
        (4, 50, 2),
        (4, 100, 4),
        (4, 0, 1),
    ] {
        let mut story = Story::new(rule(percent), hosts);
        let ejected: usize = (0..hosts).map(|index| story.fail(index, 5).len()).sum();
        assert_eq!(ejected, expected, "{hosts} {percent}");
    }
}

#[test]
fn without_room_failures_are_counted_anew() {
    let mut story = Story::new(rule(50), 2);
    assert_eq!(story.fail(0, 5).len(), 1);
    assert_eq!(story.fail(1, 7), []);
    story.until_back(0);
    assert_eq!(story.fail(1, 2), []);
    assert_eq!(story.fail(1, 1), [ejected(1)]);
}

#[test]
fn an_update_keeps_those_that_stay() {
    let mut story = Story::new(rule(100), 3);
    story.fail(0, 5);
    story.fail(1, 5);
    story.fail(2, 4);
    story
        .detector
        .update(rule(100), [1, 2, 3].map(host), story.now);
    assert_eq!(story.ejected(), BTreeSet::from([host(1)]));
    assert_eq!(story.fail(0, 5), []);
    assert_eq!(story.fail(2, 1), [ejected(2)]);
    // An endpoint that returns has no history.
    story
        .detector
        .update(rule(100), [0, 3].map(host), story.now);
    assert_eq!(
        (story.ejected(), story.detector.deadline()),
        (BTreeSet::new(), None)
    );
    story
        .detector
        .update(rule(100), [0, 1].map(host), story.now);
    assert_eq!(story.ejected(), BTreeSet::new());
}

#[test]
fn zero_errors_never_eject() {
    let mut never = rule(100);
    never.consecutive_errors = 0;
    assert_eq!(Story::new(never, 1).fail(0, 100), []);
}

proptest! {
    #[test]
    fn changes_always_describe_the_set(
        steps in prop::collection::vec((0u16..6, any::<bool>(), 0u64..40), 0..200),
        percent in 0u32..=100,
        errors in 1u32..4,
    ) {
        let mut rule = rule(percent);
        rule.consecutive_errors = errors;
        let mut story = Story::new(rule, 5);
        let mut ejected = BTreeSet::new();
        for (index, success, seconds) in steps {
            story.now += Duration::from_secs(seconds);
            let mut changes = story.detector.sweep(story.now);
            let outcome = if success { Outcome::Success } else { Outcome::Unreachable };
            changes.extend(story.detector.report(&host(index), outcome, story.now));
            for change in changes {
                match change {
                    Change::Ejected(host, _) => prop_assert!(ejected.insert(host)),
                    Change::Unejected(host) => prop_assert!(ejected.remove(&host)),
                }
            }
            prop_assert_eq!(&story.ejected(), &ejected);
            prop_assert!(ejected.len() <= (5 * percent as usize / 100).max(1));
            prop_assert!(ejected.is_empty() || story.detector.deadline().is_some());
        }
    }
}
