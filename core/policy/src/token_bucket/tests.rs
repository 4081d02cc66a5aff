use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn bucket(max: u32, per_fill: u32, interval: Duration) -> TokenBucket {
    TokenBucket::new(max, per_fill, interval).unwrap()
}

/// How many of `asked` requests at this time are admitted.
fn burst(bucket: &TokenBucket, spent: &mut u64, now: u64, asked: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..asked {
        let left = bucket.left(*spent, now);
        let taken = bucket.take(*spent, now);
        assert_eq!(left > 0, taken.is_some(), "{left}");
        if let Some(after) = taken {
            assert_eq!(bucket.left(after, now), left - 1);
            *spent = after;
            admitted += 1;
        }
    }
    admitted
}

#[test]
fn numbers_that_are_no_bucket_are_refused() {
    let second = Duration::from_secs(1);
    for (max, per_fill, interval, expected) in [
        (0, 1, second, BucketRefused::Empty),
        (1, 0, second, BucketRefused::NeverFilled),
        (1, 1, Duration::ZERO, BucketRefused::NoInterval),
        (1, 1, LONGEST + second, BucketRefused::TooSlow),
        (1, 2, Duration::from_nanos(1), BucketRefused::TooFast),
        (1, u32::MAX, second, BucketRefused::TooFast),
    ] {
        assert_eq!(TokenBucket::new(max, per_fill, interval), Err(expected));
    }
}

#[test]
fn a_burst_gets_what_there_is() {
    // Tokens at most, in an interval, of seconds; then (seconds, asked, admitted) in turn.
    type Row = (u32, u32, u64, &'static [(f64, u32, u32)]);
    let rows: &[Row] = &[
        (
            5,
            5,
            60,
            &[(0.0, 9, 5), (11.9, 1, 0), (12.1, 2, 1), (24.2, 2, 1)],
        ),
        (1, 1, 1, &[(0.0, 2, 1), (0.9, 1, 0), (1.1, 2, 1)]),
        // No more than it holds, however long nobody asked.
        (
            3,
            100,
            1,
            &[(0.0, 9, 3), (0.0105, 9, 1), (1e6, 9, 3), (1e6, 9, 0)],
        ),
        // A bucket may hold more than it gets in an interval, and less.
        (10, 1, 1, &[(0.0, 99, 10), (5.5, 99, 5), (6.1, 99, 1)]),
        (1, 10, 1, &[(0.0, 9, 1), (1.0, 9, 1), (1.11, 9, 1)]),
    ];
    for (max, per_fill, seconds, steps) in rows {
        let bucket = bucket(*max, *per_fill, Duration::from_secs(*seconds));
        let mut spent = 0;
        for (at, asked, admitted) in *steps {
            let now = (at * SECOND as f64) as u64;
            let got = burst(&bucket, &mut spent, now, *asked);
            assert_eq!(got, *admitted, "{max} {per_fill}/{seconds}s at {at}s");
        }
    }
}

#[test]
fn a_token_that_is_given_back_is_there_again() {
    let bucket = bucket(2, 1, Duration::from_secs(3600));
    let mut spent = 0;
    assert_eq!(burst(&bucket, &mut spent, 7, 5), 2);
    spent -= bucket.token();
    assert_eq!(burst(&bucket, &mut spent, 7, 5), 1);
}

#[test]
fn a_century_under_load_does_not_drift() {
    // A third of a second is no whole number of nanoseconds.
    let bucket = bucket(1, 3, Duration::from_secs(1));
    let mut spent = 0;
    for second in (0..3_000_000_000).step_by(1_000_003) {
        let now = second * SECOND;
        assert_eq!(burst(&bucket, &mut spent, now, 9), 1, "{second}");
        let third = now + SECOND / 3;
        assert_eq!(burst(&bucket, &mut spent, third - 3, 9), 0, "{second}");
        assert_eq!(burst(&bucket, &mut spent, third + 3, 9), 1, "{second}");
    }
}

fn numbers() -> impl Strategy<Value = (u32, u32, u64)> {
    let max = prop_oneof![1u32..20, any::<u32>().prop_map(|n| n.max(1))];
    let interval = prop_oneof![1u64..2000, 1u64..100 * SECOND, 1u64..1 << 61];
    (max, prop_oneof![1u32..50, any::<u32>()], interval).prop_map(|(max, per_fill, interval)| {
        let most = u32::try_from(interval).unwrap_or(u32::MAX);
        (max, per_fill.clamp(1, most), interval)
    })
}

/// The same without a clock of its own: exact fractions, a token is `interval` parts.
#[derive(Default)]
struct Naive {
    missing: u128,
    at: u64,
}

impl Naive {
    fn takes(&mut self, (max, per_fill, interval): (u32, u32, u64), now: u64) -> bool {
        let filled = u128::from(now - self.at) * u128::from(per_fill);
        let missing = self.missing.saturating_sub(filled) + u128::from(interval);
        let fits = missing <= u128::from(max) * u128::from(interval);
        if fits {
            (self.missing, self.at) = (missing, now);
        }
        fits
    }
}

proptest! {
    /// In every window between two requests, wherever the bucket's life begins.
    #[test]
    fn no_window_has_more_than_it_may(
        numbers in numbers(),
        start in prop_oneof![Just(0u64), 0u64..1 << 61],
        pauses in prop::collection::vec(prop_oneof![Just(0u64), 0u64..1000, 0u64..SECOND], 1..120),
    ) {
        let (max, per_fill, interval) = numbers;
        let bucket = bucket(max, per_fill, Duration::from_nanos(interval));
        let (mut spent, mut now) = (0, start);
        let mut admitted = vec![];
        for pause in pauses {
            now += pause;
            if let Some(after) = bucket.take(spent, now) {
                spent = after;
                admitted.push(now);
            }
        }
        // A full bucket of 2^32 tokens that come seldom has coarser units: a 2^30th of a token.
        for (first, from) in admitted.iter().enumerate() {
            for (last, to) in admitted.iter().enumerate().skip(first) {
                let count = (last - first + 1) as u128;
                let time = u128::from(to - from) + 2 + u128::from(interval >> 28) / u128::from(per_fill);
                let most = u128::from(max) * u128::from(interval) + time * u128::from(per_fill);
                prop_assert!(count * u128::from(interval) <= most, "{count} in {time} ns");
            }
        }
    }

    /// Whoever asks two nanoseconds later than another bucket's owner gets at least as much.
    #[test]
    fn it_admits_what_exact_fractions_admit(
        max in 1u32..20,
        per_fill in 1u32..2000,
        interval in 2000u64..100 * SECOND,
        pauses in prop::collection::vec(prop_oneof![Just(0u64), 0u64..1000, 0u64..SECOND], 1..120),
    ) {
        let bucket = bucket(max, per_fill, Duration::from_nanos(interval));
        let mut naive = Naive::default();
        let (mut spent, mut now) = (0, 0);
        let (mut own, mut exact) = (0u32, 0u32);
        for pause in pauses {
            now += pause;
            exact += u32::from(naive.takes((max, per_fill, interval), now));
            if let Some(after) = bucket.take(spent, now) {
                spent = after;
                own += 1;
            }
            // A request at the very moment of a token may be judged otherwise, and then the next is.
            prop_assert!(own.abs_diff(exact) <= 1, "{own} and {exact}");
        }
    }

    /// A worker whose clock is behind admits nothing that another would not.
    #[test]
    fn an_older_time_gives_no_more(
        numbers in numbers(),
        times in prop::collection::vec((0u64..SECOND, 0u64..SECOND), 1..60),
    ) {
        let (max, per_fill, interval) = numbers;
        let bucket = bucket(max, per_fill, Duration::from_nanos(interval));
        let (mut spent, mut admitted, mut latest) = (0, 0u128, 0);
        for (time, behind) in times {
            latest = latest.max(time);
            if let Some(after) = bucket.take(spent, time.saturating_sub(behind)) {
                prop_assert!(after > spent);
                spent = after;
                admitted += 1;
            }
        }
        let time = u128::from(latest) + 2;
        let most = u128::from(max) * u128::from(interval) + time * u128::from(per_fill);
        prop_assert!(admitted * u128::from(interval) <= most);
    }
}
