//! How much of the load each priority takes, given the health of its hosts: Envoy's arithmetic.
//!
//! All percentages are integers that are rounded down at the same places as in Envoy's
//! `LoadBalancerBase`, so that a cluster spills over at the same number of failed hosts.

/// How much more than its own share a healthy host may take, in percent, unless configured.
pub const DEFAULT_OVERPROVISIONING: u32 = 140;

/// The hosts of one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounts {
    pub total: u32,
    pub healthy: u32,
    pub degraded: u32,
}

/// What one priority takes; over all priorities, the shares of `healthy` and `degraded` add up
/// to 100 (unless there is no priority).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriorityLoad {
    /// Percent of the requests that go to its healthy hosts.
    pub healthy: u32,
    /// Percent of the requests that go to its degraded hosts.
    pub degraded: u32,
    /// Too few hosts are left: what comes here goes to any host, healthy or not.
    pub panic: bool,
}

/// The load of each priority.
///
/// `overprovisioning` is in percent (140 by default). `panic_threshold` is the percentage of
/// available hosts below which a priority panics; 0 never does.
pub fn distribute(
    priorities: &[HostCounts],
    overprovisioning: u32,
    panic_threshold: u32,
) -> Vec<PriorityLoad> {
    let mut loads = vec![PriorityLoad::default(); priorities.len()];
    if loads.is_empty() {
        return loads;
    }
    let health: Vec<Availability> = priorities
        .iter()
        .map(|counts| Availability::of(counts, overprovisioning))
        .collect();
    let available = health
        .iter()
        .fold(0, |sum, p| (sum + p.healthy + p.degraded).min(100));
    for (load, counts) in loads.iter_mut().zip(priorities) {
        load.panic = available != 100 && panics(counts, panic_threshold);
    }
    if loads.iter().all(|load| load.panic) {
        share_by_size(&mut loads, priorities);
    } else if available > 0 {
        share_by_health(&mut loads, &health, available);
    } else {
        // Nobody can serve and nobody may panic; the sum still has to be 100.
        loads[0].healthy = 100;
    }
    loads
}

/// What a locality weighs within its tier, given how many of its hosts are available: Envoy's
/// `effectiveLocalityWeight`, which does not round the part that is missing. Here it is counted in
/// millionths.
pub fn effective_weight(weight: u64, (available, total): (u32, u32), overprovisioning: u32) -> u64 {
    const WHOLE: u64 = 1_000_000;
    let scaled = WHOLE / 100 * u64::from(overprovisioning) * u64::from(available);
    let part = scaled.checked_div(total.into()).unwrap_or(0);
    weight.saturating_mul(part.min(WHOLE))
}

/// Percent of all load that the healthy hosts of a priority could take, at most 100.
pub fn capacity(counts: &HostCounts, overprovisioning: u32) -> u32 {
    Availability::of(counts, overprovisioning).healthy
}

/// Percent of its full load that a priority could take, at most 100.
#[derive(Clone, Copy)]
struct Availability {
    healthy: u32,
    degraded: u32,
}

impl Availability {
    fn of(counts: &HostCounts, overprovisioning: u32) -> Self {
        let percent = |hosts: u32| {
            let scaled = u64::from(overprovisioning) * u64::from(hosts);
            let percent = scaled.checked_div(u64::from(counts.total)).unwrap_or(0);
            u32::try_from(percent.min(100)).expect("at most 100")
        };
        Self {
            healthy: percent(counts.healthy),
            degraded: percent(counts.degraded),
        }
    }
}

/// Fewer than `threshold` percent of the hosts are available.
fn panics(counts: &HostCounts, threshold: u32) -> bool {
    let available = u64::from(counts.healthy) + u64::from(counts.degraded);
    if counts.total == 0 {
        return threshold > 0;
    }
    available * 100 < u64::from(threshold.min(100)) * u64::from(counts.total)
}

fn share_by_health(loads: &mut [PriorityLoad], health: &[Availability], available: u32) {
    let mut left = 100;
    for (load, p) in loads.iter_mut().zip(health) {
        load.healthy = left.min(p.healthy * 100 / available);
        left -= load.healthy;
    }
    for (load, p) in loads.iter_mut().zip(health) {
        load.degraded = left.min(p.degraded * 100 / available);
        left -= load.degraded;
    }
    // What rounding left over goes to the first that can take it.
    if let Some(first) = health.iter().position(|p| p.healthy > 0) {
        loads[first].healthy += left;
    } else if let Some(first) = health.iter().position(|p| p.degraded > 0) {
        loads[first].degraded += left;
    }
}

/// When every priority panics, hosts are equal wherever they are.
fn share_by_size(loads: &mut [PriorityLoad], priorities: &[HostCounts]) {
    let total: u64 = priorities.iter().map(|p| u64::from(p.total)).sum();
    let mut left = 100;
    for (load, p) in loads.iter_mut().zip(priorities) {
        let share = (100 * u64::from(p.total)).checked_div(total).unwrap_or(0);
        load.healthy = u32::try_from(share).expect("a part of 100");
        left -= load.healthy;
    }
    let first = priorities.iter().position(|p| p.total > 0).unwrap_or(0);
    loads[first].healthy += left;
}

#[cfg(test)]
mod tests;
