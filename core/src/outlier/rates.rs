//! Which endpoints fail more of their requests in an interval than others do, or than may be.

use std::ops::AddAssign;

use super::Cause;
use crate::config::{Address, FailurePercentage, OutlierDetection, SuccessRate};

/// How the attempts of an interval ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They were answered.
    pub answered: u64,
    /// They were answered with an error of the endpoint's system.
    pub system_errors: u64,
    /// The endpoint could not be reached, or did not answer in time.
    pub unreached: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.answered += other.answered;
        self.system_errors += other.system_errors;
        self.unreached += other.unreached;
    }
}

/// What one of Envoy's monitors counts.
#[derive(Clone, Copy)]
struct Tally {
    succeeded: u64,
    total: u64,
}

impl Tally {
    /// In percent.
    fn rate(self) -> f64 {
        self.succeeded as f64 * 100.0 / self.total as f64
    }
}

impl Counts {
    /// Of requests; without split errors all failures are failures of requests.
    fn external(self, split: bool) -> Tally {
        let unreached = if split { 0 } else { self.unreached };
        Tally {
            succeeded: self.answered,
            total: self.answered + self.system_errors + unreached,
        }
    }

    /// Of reaching the endpoint.
    fn local(self) -> Tally {
        let succeeded = self.answered + self.system_errors;
        Tally {
            succeeded,
            total: succeeded + self.unreached,
        }
    }
}

type Rated<'a> = Vec<(&'a Address, Tally)>;

/// Whom the rates of success of those in service eject, of a cluster of `hosts`. An endpoint may be
/// named twice.
pub(super) fn outliers(
    rule: &OutlierDetection,
    hosts: usize,
    counted: Vec<(&Address, Counts)>,
) -> Vec<(Address, Cause)> {
    let tallies = |of: fn(Counts, bool) -> Tally| -> Rated<'_> {
        let counted = counted.iter();
        let tallies = counted.map(|(host, counts)| (*host, of(*counts, rule.split_errors)));
        tallies.filter(|(_, tally)| tally.total > 0).collect()
    };
    let external = tallies(Counts::external);
    let local = tallies(|counts, _| counts.local());
    let mut found = Vec::new();
    for (tallies, is_local) in [(&external, false), (&local, true)] {
        if let Some(rule) = rule.success_rate.filter(|it| !is_local || it.local) {
            found.extend(below_the_others(rule, hosts, tallies));
        }
        if let Some(rule) = rule.failure_percentage.filter(|it| !is_local || it.local) {
            found.extend(above_the_threshold(rule, hosts, tallies));
        }
    }
    found
}

fn below_the_others(rule: SuccessRate, hosts: usize, tallies: &Rated<'_>) -> Vec<(Address, Cause)> {
    let rated = enough(tallies, (rule.minimum_hosts, rule.request_volume), hosts);
    let count = rated.len() as f64;
    let average = rated.iter().map(|(_, tally)| tally.rate()).sum::<f64>() / count;
    let squares = rated
        .iter()
        .map(|(_, tally)| (tally.rate() - average).powi(2));
    let deviation = (squares.sum::<f64>() / count).sqrt();
    let threshold = average - f64::from(rule.stdev_factor) / 1000.0 * deviation;
    let cause = |rate| Cause::SuccessRate {
        rate,
        average,
        threshold,
    };
    let rates = rated.iter().map(|(host, tally)| (*host, tally.rate()));
    let below = rates.filter(|(_, rate)| *rate < threshold);
    below
        .map(|(host, rate)| (host.clone(), cause(rate)))
        .collect()
}

fn above_the_threshold(
    rule: FailurePercentage,
    hosts: usize,
    tallies: &Rated<'_>,
) -> Vec<(Address, Cause)> {
    let rated = enough(tallies, (rule.minimum_hosts, rule.request_volume), hosts);
    let rates = rated.iter().map(|(host, tally)| (*host, tally.rate()));
    let above = rates.filter(|(_, rate)| 100.0 - rate >= f64::from(rule.threshold));
    let cause = |rate| Cause::FailurePercentage { rate };
    above
        .map(|(host, rate)| (host.clone(), cause(rate)))
        .collect()
}

/// Those that had enough requests to be judged; nobody where they are too few.
fn enough<'a>(tallies: &Rated<'a>, (fewest, volume): (u32, u32), hosts: usize) -> Rated<'a> {
    let fewest = usize::try_from(fewest).unwrap_or(usize::MAX);
    let rated = tallies
        .iter()
        .filter(|(_, tally)| tally.total >= volume.into());
    let rated: Rated<'a> = rated.copied().collect();
    match hosts < fewest || rated.len() < fewest {
        true => Vec::new(),
        false => rated,
    }
}
