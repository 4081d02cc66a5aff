//! Rates of success: Envoy's example, and a naive model.

use super::*;
use crate::config::{FailurePercentage, SuccessRate};

fn rates(success: Option<SuccessRate>, failure: Option<FailurePercentage>) -> OutlierDetection {
    OutlierDetection {
        consecutive_errors: 0,
        success_rate: success,
        failure_percentage: failure,
        ..rule(100)
    }
}

const SUCCESS: SuccessRate = SuccessRate {
    minimum_hosts: 5,
    request_volume: 100,
    stdev_factor: 1900,
    local: false,
};

fn counts(answered: u64, system_errors: u64, unreached: u64) -> Counts {
    Counts {
        answered,
        system_errors,
        unreached,
    }
}

/// Who is ejected by the first sweep after these were counted.
fn ejected_by(rule: OutlierDetection, counted: &[Counts]) -> BTreeSet<Address> {
    let hosts = u16::try_from(counted.len()).unwrap();
    let mut story = Story::new(rule, hosts);
    for (index, counts) in (0..).zip(counted) {
        story.detector.count(&host(index), *counts);
    }
    story.now = story
        .detector
        .deadline()
        .expect("rates are judged at each interval");
    story.detector.sweep(story.now);
    story.ejected()
}

#[test]
fn the_example_in_envoys_source() {
    // Rates of 50, 100, 100, 100, 100: mean 90, deviation 20, threshold 52.
    let mut counted = vec![counts(50, 50, 0)];
    counted.extend([counts(100, 0, 0); 4]);
    let only = BTreeSet::from([host(0)]);
    assert_eq!(ejected_by(rates(Some(SUCCESS), None), &counted), only);
    // 56, 100, 100, 100, 100: the threshold is 91.2 - 1.9 * 17.6 = 57.76.
    counted[0] = counts(56, 0, 44);
    assert_eq!(ejected_by(rates(Some(SUCCESS), None), &counted), only);
    let wide = SuccessRate {
        stdev_factor: 2100,
        ..SUCCESS
    };
    assert_eq!(
        ejected_by(rates(Some(wide), None), &counted),
        BTreeSet::new()
    );
    // Too few requests, and so too few endpoints.
    counted[1] = counts(99, 0, 0);
    assert_eq!(
        ejected_by(rates(Some(SUCCESS), None), &counted),
        BTreeSet::new()
    );
}

#[test]
fn an_ejection_by_rates_lasts_whole_intervals() {
    let mut story = Story::new(rates(Some(SUCCESS), None), 5);
    story.detector.count(&host(0), counts(0, 100, 0));
    for index in 1..5 {
        story.detector.count(&host(index), counts(100, 0, 0));
    }
    // What the workers counted comes a little after the interval.
    story.at(10);
    let cause = Cause::SuccessRate {
        rate: 0.0,
        average: 80.0,
        threshold: 4.0,
    };
    let changes = story.detector.sweep(story.now + Duration::from_millis(9));
    assert_eq!(changes, [Change::Ejected(host(0), cause)]);
    assert_eq!(story.until_back(0), 40);
}

#[test]
fn counts_are_of_one_interval() {
    let mut story = Story::new(rates(Some(SUCCESS), None), 5);
    for _ in 0..3 {
        for index in 0..5 {
            let counted = if index == 0 {
                counts(20, 30, 0)
            } else {
                counts(50, 0, 0)
            };
            story.detector.count(&host(index), counted);
        }
        story.now = story.detector.deadline().unwrap();
        assert_eq!(story.detector.sweep(story.now), []);
    }
}

#[test]
fn so_many_percent_of_failures_eject() {
    let failure = |threshold| FailurePercentage {
        threshold,
        minimum_hosts: 1,
        request_volume: 50,
        local: false,
    };
    let counted = [counts(10, 90, 0), counts(20, 80, 0), counts(0, 49, 0)];
    for (threshold, expected) in [
        (91, vec![]),
        (90, vec![0]),
        (80, vec![0, 1]),
        (0, vec![0, 1]),
    ] {
        let expected = expected.into_iter().map(host).collect();
        let rule = rates(None, Some(failure(threshold)));
        assert_eq!(ejected_by(rule, &counted), expected, "{threshold}");
    }
}

#[test]
fn split_errors_are_rated_apart() {
    let mut counted = vec![counts(50, 0, 50)];
    counted.extend([counts(100, 0, 0); 4]);
    for (local, expected) in [(false, BTreeSet::new()), (true, BTreeSet::from([host(0)]))] {
        let rule = OutlierDetection {
            split_errors: true,
            ..rates(
                Some(SuccessRate {
                    local,
                    request_volume: 50,
                    ..SUCCESS
                }),
                None,
            )
        };
        assert_eq!(ejected_by(rule, &counted), expected, "{local}");
    }
}

proptest! {
    /// The rule in words, with no regard to how it is computed.
    #[test]
    fn only_outliers_are_ejected(
        counted in prop::collection::vec((0u64..200, 0u64..200), 1..12),
        minimum_hosts in 1u32..8,
        request_volume in 1u32..200,
        stdev_factor in 0u32..3000,
        percent in 0u32..=100,
    ) {
        let success = SuccessRate { minimum_hosts, request_volume, stdev_factor, local: false };
        let rule = OutlierDetection {
            max_ejection_percent: percent,
            always_eject_one_host: false,
            ..rates(Some(success), None)
        };
        let all: Vec<_> = counted.iter().map(|(ok, bad)| counts(*ok, *bad, 0)).collect();
        let ejected = ejected_by(rule, &all);
        let rated: Vec<(Address, f64)> = (0..)
            .zip(&counted)
            .filter(|(_, (ok, bad))| ok + bad >= u64::from(request_volume))
            .map(|(index, (ok, bad))| (host(index), *ok as f64 / (ok + bad) as f64 * 100.0))
            .collect();
        let mean = rated.iter().map(|it| it.1).sum::<f64>() / rated.len() as f64;
        let spread = rated.iter().map(|it| (it.1 - mean) * (it.1 - mean)).sum::<f64>();
        let spread = (spread / rated.len() as f64).sqrt() * f64::from(stdev_factor) / 1000.0;
        let enough = rated.len() >= minimum_hosts as usize && !rated.is_empty();
        let near = 1e-6;
        let least = rated.iter().filter(|it| enough && it.1 < mean - spread - near).count();
        let may: BTreeSet<_> = rated
            .iter()
            .filter(|it| enough && it.1 < mean - spread + near)
            .map(|it| it.0.clone())
            .collect();
        let cap = counted.len() * percent as usize / 100;
        prop_assert!(ejected.is_subset(&may));
        prop_assert!(ejected.len() <= cap);
        prop_assert!(ejected.len() >= least.min(cap));
    }
}
