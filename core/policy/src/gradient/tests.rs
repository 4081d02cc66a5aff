use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

fn params() -> GradientParams {
    GradientParams {
        sample_aggregate_percentile: 50.0,
        max_concurrency_limit: 1000,
        concurrency_update_interval: Duration::from_millis(100),
        min_rtt_interval: Duration::from_secs(60),
        min_rtt_request_count: 5,
        min_rtt_jitter: 10.0,
        min_concurrency: 3,
        min_rtt_buffer: 25.0,
    }
}

/// So many requests one behind the other, of so long each, from then on.
fn serve(gradient: &mut Gradient, now: &mut u64, count: u32, latency: u64) {
    for _ in 0..count {
        assert!(gradient.admit(*now));
        let began = *now;
        *now += latency;
        gradient.answered(began, *now, 0.0);
    }
}

/// One whose minimum is ten milliseconds, at a limit.
fn measured(limit: u32) -> (Gradient, u64) {
    let mut now = 0;
    let mut gradient = Gradient::new(params(), now);
    serve(&mut gradient, &mut now, 5, 10 * MS);
    assert_eq!(gradient.min_rtt().as_millis(), 10);
    gradient.limit = limit;
    (gradient, now)
}

/// The limit after a window of such latencies.
fn after(limit: u32, latency: u64) -> u32 {
    let (mut gradient, mut now) = measured(limit);
    serve(&mut gradient, &mut now, 1, latency);
    // The window's end is seen at the next request.
    now = now.max(gradient.update_at);
    gradient.admit(now);
    gradient.limit()
}

/// The limit times a gradient from 0.5 to 2, and its root.
#[test]
fn the_limit_follows_the_gradient() {
    for (limit, latency, expected) in [
        // Of the minimum with its buffer, or less: more, up to twice.
        (100, 10, 100.0 * 1.25),
        (100, 5, 100.0 * 2.0),
        (100, 1, 100.0 * 2.0),
        (100, 25, 100.0 * 0.5),
        (100, 1000, 100.0 * 0.5),
        (16, 20, 16.0 * 0.625),
    ] {
        // A median of one lies in the middle of its bin.
        let bin = |ms: u64| {
            let width = 10f64.powi(ms.to_string().len() as i32 - 2);
            ms as f64 + width / 2.0
        };
        let gradient = (bin(10) * 1.25 / bin(latency)).clamp(0.5, 2.0);
        let exact = f64::from(limit) * gradient;
        let got = after(limit, latency * MS);
        assert_eq!(
            got,
            (exact + exact.sqrt()) as u32,
            "{limit} at {latency} ms"
        );
        let about = expected + f64::sqrt(expected);
        assert!(
            (f64::from(got) - about).abs() < about * 0.06,
            "{got} and {about}"
        );
    }
    assert_eq!(after(1000, MS), 1000, "the most");
    assert_eq!(after(3, 1000 * MS), 3, "the least");
}

#[test]
fn while_the_minimum_is_measured_few_requests_are_let_through() {
    let mut gradient = Gradient::new(params(), 0);
    assert_eq!(
        [0; 4].map(|now| gradient.admit(now)),
        [true, true, true, false]
    );
    gradient.cancelled();
    assert!(gradient.admit(0) && !gradient.admit(0));
    for n in 1..=5 {
        gradient.answered(0, n * MS, 0.0);
    }
    assert_eq!(gradient.limit(), 3);

    // Then at its interval, with what jitter adds, at the limit that there was.
    let (mut gradient, now) = measured(40);
    assert_eq!(gradient.measure_at, now + 60_000 * MS);
    let mut at = now + 60_000 * MS;
    assert!(gradient.admit(at));
    assert_eq!(gradient.limit(), 3);
    // What began before tells nothing.
    gradient.answered(now, at, 0.0);
    serve(&mut gradient, &mut at, 5, 20 * MS);
    assert_eq!((gradient.limit(), gradient.min_rtt().as_millis()), (40, 20));
}

#[test]
fn jitter_adds_a_share_of_the_interval() {
    let mut gradient = Gradient::new(params(), 0);
    for _ in 0..5 {
        assert!(gradient.admit(0));
        gradient.answered(0, MS, 0.5);
    }
    assert_eq!(gradient.measure_at, MS + 63_000 * MS);
}

#[test]
fn a_limit_that_stays_at_its_least_has_the_minimum_measured_anew() {
    let (mut gradient, mut now) = measured(3);
    let mut windows = 0;
    while gradient.deferred.is_none() {
        serve(&mut gradient, &mut now, 1, 500 * MS);
        windows += 1;
        assert!(windows < 20);
    }
    assert_eq!(windows, 5);
    serve(&mut gradient, &mut now, 5, 500 * MS);
    assert_eq!(gradient.min_rtt().as_millis() / 10, 50);
    serve(&mut gradient, &mut now, 5, 500 * MS);
    assert!(gradient.limit() > 3);
}

/// Numbers from 0 to 1, the same for a seed.
fn random(state: &mut u64) -> f64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    (*state >> 11) as f64 / (1u64 << 53) as f64
}

/// A server that works on so many requests at a time, each for ten milliseconds or so; others queue.
/// The limit half of the time.
fn converges(capacity: usize, mut seed: u64) -> u32 {
    let mut gradient = Gradient::new(params(), 0);
    // When each of the server's places is free, and when requests end and began.
    let mut places: BinaryHeap<_> = (0..capacity).map(|_| Reverse(0)).collect();
    let mut under_way: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
    let (mut now, mut limits) = (0, vec![]);
    while now < 50_000 * MS {
        now += MS / 8;
        while let Some(Reverse((end, began))) = under_way.peek().copied().filter(|it| it.0.0 <= now)
        {
            under_way.pop();
            gradient.answered(began, end, random(&mut seed));
        }
        // There are always more than may begin.
        while gradient.admit(now) {
            let Reverse(free) = places.pop().unwrap();
            let end = now.max(free) + ((8.0 + 4.0 * random(&mut seed)) * MS as f64) as u64;
            places.push(Reverse(end));
            under_way.push(Reverse((end, now)));
        }
        if now > 10_000 * MS && gradient.deferred.is_none() {
            limits.push(gradient.limit());
        }
    }
    limits.sort_unstable();
    limits[limits.len() / 2]
}

#[test]
fn the_limit_comes_to_what_the_server_can_do() {
    for (capacity, seed) in [(20, 1), (50, 2), (200, 3)] {
        let limit = converges(capacity, seed) as usize;
        assert!(limit >= capacity, "{limit} of {capacity}: it would idle");
        assert!(limit <= capacity * 2, "{limit} of {capacity}");
    }
}

proptest! {
    /// Whatever happens: the limit is within its bounds, and so is what is under way.
    #[test]
    fn never_more_are_under_way_than_may_be(
        steps in prop::collection::vec((0u8..4, 0u64..200 * MS), 1..400),
    ) {
        let mut gradient = Gradient::new(params(), 0);
        let (mut now, mut began) = (0, vec![]);
        for (what, time) in steps {
            match what {
                0 => now += time,
                1 => {
                    if gradient.admit(now) {
                        began.push(now);
                        prop_assert!(began.len() <= gradient.limit() as usize);
                    }
                }
                2 => {
                    if let Some(at) = began.pop() {
                        gradient.answered(at, now, 0.3);
                    }
                }
                _ => {
                    if began.pop().is_some() {
                        gradient.cancelled();
                    }
                }
            }
            prop_assert_eq!(gradient.outstanding() as usize, began.len());
            prop_assert!((3..=1000).contains(&gradient.limit()));
        }
    }
}
