//! Which failures count for which row.

use super::*;

/// One letter for each outcome: a success, a system error, unreachable, a timeout.
fn outcome(letter: char) -> Outcome {
    match letter {
        '+' => Outcome::Success,
        's' => Outcome::SystemError,
        'u' => Outcome::Unreachable,
        _ => Outcome::Timeout,
    }
}

/// After how many outcomes the endpoint is ejected, and why.
fn ejected_after(rule: OutlierDetection, outcomes: &str) -> Option<(usize, Cause)> {
    let mut story = Story::new(rule, 1);
    (1..).zip(outcomes.chars()).find_map(|(n, letter)| {
        let change = story
            .detector
            .report(&host(0), outcome(letter), story.now)?;
        match change {
            Change::Ejected(_, cause) => Some((n, cause)),
            Change::Unejected(_) => None,
        }
    })
}

/// Errors, gateway errors and local errors in a row, whether they are split; outcomes; who is ejected.
type Row = (u32, u32, u32, bool, &'static str, Option<(usize, Cause)>);

#[test]
fn rows_are_counted_as_envoy_counts_codes() {
    use Cause::*;
    let rows: &[Row] = &[
        (3, 0, 0, false, "sut", Some((3, ConsecutiveErrors))),
        (3, 0, 0, false, "su+ssu", Some((6, ConsecutiveErrors))),
        // A system error is no gateway error, and ends a row of them.
        (
            0,
            2,
            0,
            false,
            "susu+ut",
            Some((7, ConsecutiveGatewayErrors)),
        ),
        (5, 2, 0, false, "ut", Some((2, ConsecutiveGatewayErrors))),
        (0, 0, 1, false, "uuu", None),
        // With split errors only what the endpoint answers counts here.
        (3, 0, 0, true, "uuuuuu", None),
        (3, 0, 0, true, "susus", Some((5, ConsecutiveErrors))),
        (0, 3, 0, true, "sss", Some((3, ConsecutiveGatewayErrors))),
        (0, 0, 3, true, "utu", Some((3, ConsecutiveLocalErrors))),
        // Any answer says that it can be reached.
        (
            0,
            0,
            3,
            true,
            "utsut+utu",
            Some((9, ConsecutiveLocalErrors)),
        ),
    ];
    for (errors, gateway, local, split, outcomes, expected) in rows {
        let rule = OutlierDetection {
            consecutive_errors: *errors,
            consecutive_gateway_errors: *gateway,
            consecutive_local_errors: *local,
            split_errors: *split,
            ..rule(100)
        };
        assert_eq!(ejected_after(rule, outcomes), *expected, "{outcomes}");
    }
}

#[test]
fn without_the_exception_for_one_the_percentage_is_exact() {
    for (hosts, percent, expected) in [(3, 10, 0), (9, 10, 0), (10, 10, 1), (1, 99, 0), (1, 100, 1)]
    {
        let strict = OutlierDetection {
            always_eject_one_host: false,
            ..rule(percent)
        };
        let mut story = Story::new(strict, hosts);
        let ejected: usize = (0..hosts).map(|index| story.fail(index, 5).len()).sum();
        assert_eq!(ejected, expected, "{hosts} {percent}");
    }
}

#[test]
fn a_health_check_that_passes_ends_an_ejection() {
    for (ends, after) in [(true, vec![Change::Unejected(host(0))]), (false, vec![])] {
        let rule = OutlierDetection {
            unejected_by_health_check: ends,
            ..rule(100)
        };
        let mut story = Story::new(rule, 1);
        let passed = |story: &mut Story| story.detector.check_passed(&host(0), story.now);
        assert_eq!(passed(&mut story), None);
        story.fail(0, 5);
        assert_eq!(passed(&mut story), after.first().cloned());
        assert_eq!(story.ejected().is_empty(), ends);
    }
}

proptest! {
    #[test]
    fn jitter_only_prolongs(seed in any::<u64>(), jitter in 0u64..60) {
        let rule = OutlierDetection {
            interval: SECOND,
            max_ejection_time_jitter: Duration::from_secs(jitter),
            ..rule(100)
        };
        let mut story = Story::new(rule.clone(), 1);
        story.detector = OutlierDetector::new(rule, [host(0)], story.start, seed);
        story.fail(0, 5);
        let length = story.until_back(0);
        prop_assert!(length >= 30 && length <= 30 + jitter, "{length}");
    }
}
