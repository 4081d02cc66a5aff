use proptest::prelude::*;

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn pauses_double_up_to_ten_times_the_first() {
    let millis = |number| longest_pause(ms(10), number).as_millis();
    let pauses: Vec<_> = [0, 1, 2, 3, 4, 5, 40].map(millis).into();
    assert_eq!(pauses, [10, 20, 40, 80, 100, 100, 100]);
}

/// Attempts, and in milliseconds the time of a try, backoff, hedge, kept and timeout; what follows: how
/// often it is sent, and how long it takes.
type Row = (
    (u32, Option<u64>, u64, Option<u64>, u64, Option<u64>),
    (u32, Option<u64>),
);

const ROWS: &[Row] = &[
    // Nothing limits it.
    ((0, None, 25, None, 0, None), (1, None)),
    ((0, None, 25, None, 50, None), (1, None)),
    ((2, None, 25, None, 0, None), (3, None)),
    // The timeout is of the whole: what it was kept for, too.
    ((0, None, 25, None, 50, Some(500)), (1, Some(500))),
    ((2, None, 25, None, 0, Some(500)), (3, Some(500))),
    // Tries and the pauses between them.
    ((2, Some(1000), 2000, None, 0, None), (3, Some(9000))),
    ((2, Some(1000), 2000, None, 0, Some(5000)), (3, Some(5000))),
    ((2, Some(1000), 25, None, 40, None), (3, Some(3115))),
    // Pauses do not grow beyond ten times the first: 10 + 20 + 40 + 80 + 100 + 100.
    ((6, Some(100), 10, None, 0, None), (7, Some(1050))),
    // A hedge adds an attempt, and the time that the first is asked alone.
    ((0, None, 25, Some(50), 0, None), (2, None)),
    ((0, None, 25, Some(50), 0, Some(500)), (2, Some(500))),
    ((2, Some(1000), 25, Some(50), 0, None), (4, Some(3125))),
    (
        (2, Some(1000), 25, Some(50), 0, Some(2000)),
        (4, Some(2000)),
    ),
    // Within one step of the timers either may come first.
    ((1, Some(100), 25, Some(107), 0, None), (3, Some(332))),
    // It never comes where a try, or the whole, is over before it.
    ((1, Some(100), 25, Some(108), 0, None), (2, Some(225))),
    ((1, None, 25, Some(508), 0, Some(500)), (2, Some(500))),
];

#[test]
fn the_worst_case_row_by_row() {
    for (given, (sendings, longest)) in ROWS {
        let (attempts, each, backoff, hedge, kept, timeout) = *given;
        let bounds = Bounds {
            attempts,
            per_try_timeout: each.map(ms),
            backoff: ms(backoff),
            hedge: hedge.map(ms),
            kept: ms(kept),
            timeout: timeout.map(ms),
        };
        assert_eq!(bounds.sendings(), *sendings, "{given:?}");
        assert_eq!(bounds.longest(), longest.map(ms), "{given:?}");
    }
}

fn time(most: u64) -> impl Strategy<Value = Duration> {
    (1..most).prop_map(ms)
}

proptest! {
    /// Whatever is allowed besides, it is never sent less often nor over earlier.
    #[test]
    fn more_is_never_less(
        (attempts, each, hedge) in (0u32..6, time(1000), time(1000)),
        (backoff, kept, timeout) in (time(100), time(100), time(5000)),
    ) {
        let bounds = Bounds {
            attempts,
            per_try_timeout: Some(each),
            backoff,
            hedge: None,
            kept,
            timeout: Some(timeout),
        };
        prop_assert!(bounds.longest() <= Some(timeout));
        let unbounded = Bounds { timeout: None, ..bounds };
        let wider = [
            Bounds { attempts: attempts + 1, ..unbounded },
            Bounds { hedge: Some(hedge), ..unbounded },
            Bounds { backoff: backoff * 2, ..unbounded },
            Bounds { kept: kept * 2, ..unbounded },
        ];
        for wider in wider {
            prop_assert!(wider.sendings() >= unbounded.sendings());
            prop_assert!(wider.longest() >= unbounded.longest());
        }
        let hedged = Bounds { hedge: Some(hedge), ..unbounded };
        prop_assert_eq!(hedged.sendings() - unbounded.sendings(), u32::from(hedge < each + STEP));
    }
}
