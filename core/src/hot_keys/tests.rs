use std::collections::{HashMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

/// What happens to a sketch.
#[derive(Clone, Debug)]
enum Event {
    Count(u8, u32),
    Halve,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        // Few keys often, many rarely: what a sketch is for.
        20 => (0..6_u8, 1..40_u32).prop_map(|(key, n)| Event::Count(key, n)),
        20 => (any::<u8>(), 1..4_u32).prop_map(|(key, n)| Event::Count(key, n)),
        1 => Just(Event::Halve),
    ]
}

/// A sketch beside the truth.
struct Checked {
    sketch: Sketch,
    truth: HashMap<Vec<u8>, f64>,
}

impl Checked {
    fn new(capacity: usize, events: &[Event]) -> Self {
        let mut checked = Self {
            sketch: Sketch::new(capacity),
            truth: HashMap::new(),
        };
        for event in events {
            match event {
                Event::Count(key, n) => {
                    checked.sketch.count(&[*key], f64::from(*n));
                    *checked.truth.entry(vec![*key]).or_default() += f64::from(*n);
                }
                Event::Halve => {
                    checked.sketch.halve(1);
                    checked.truth.values_mut().for_each(|count| *count /= 2.0);
                }
            }
        }
        checked
    }
}

/// What a summary promises, against the truth.
fn check(summary: &Summary, truth: &HashMap<Vec<u8>, f64>) -> Result<(), TestCaseError> {
    let total: f64 = truth.values().sum();
    prop_assert!((summary.total - total).abs() < 1e-6);
    let mut present = HashSet::new();
    for found in &summary.keys {
        let counted = truth.get(&found.key).copied().unwrap_or_default();
        prop_assert!(found.count >= counted - 1e-6, "{found:?}: {counted}");
        prop_assert!(
            found.count - found.error <= counted + 1e-6,
            "{found:?}: {counted}"
        );
        prop_assert!(
            present.insert(found.key.clone()),
            "{found:?} is there twice"
        );
    }
    for (key, counted) in truth {
        let is_covered = present.contains(key) || *counted <= summary.absent + 1e-6;
        prop_assert!(is_covered, "{key:?} with {counted} is missing");
    }
    Ok(())
}

/// The guarantees of a sketch with so many counters, or of several that were merged.
fn check_bounds(
    summary: &Summary,
    capacity: usize,
    truth: &HashMap<Vec<u8>, f64>,
) -> Result<(), TestCaseError> {
    check(summary, truth)?;
    prop_assert!(summary.keys.len() <= capacity);
    let bound = summary.total / capacity as f64 + 1e-6;
    for found in &summary.keys {
        prop_assert!(found.error <= bound, "{found:?} against {bound}");
    }
    for (key, counted) in truth {
        let present = summary.keys.iter().any(|found| found.key == *key);
        prop_assert!(
            present || *counted <= bound,
            "{key:?}: {counted} of {bound}"
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_guarantees_of_space_saving_hold(
        capacity in 1..20_usize,
        events in vec(event(), 0..600),
    ) {
        let Checked { sketch, truth } = Checked::new(capacity, &events);
        let summary = sketch.summary();
        check_bounds(&summary, capacity, &truth)?;
        prop_assert!(summary.absent <= summary.total / capacity as f64 + 1e-6);
    }

    #[test]
    fn a_merged_summary_is_as_good(
        capacity in 1..20_usize,
        workers in vec(vec(event(), 0..200), 1..4),
    ) {
        let checked: Vec<_> = workers.iter().map(|events| Checked::new(capacity, events)).collect();
        let summaries = checked.iter().map(|one| one.sketch.summary()).collect();
        let merged = Summary::merge(summaries, capacity);
        let mut truth: HashMap<Vec<u8>, f64> = HashMap::new();
        for (key, count) in checked.iter().flat_map(|one| &one.truth) {
            *truth.entry(key.clone()).or_default() += count;
        }
        check_bounds(&merged, capacity, &truth)?;
        prop_assert!(merged.keys.is_sorted_by(|a, b| a.count >= b.count));
    }
}

#[test]
fn more_keys_than_a_page_shows_are_bounded_by_the_first_that_is_left_out() {
    let summary = |range: std::ops::Range<usize>| {
        let mut sketch = Sketch::new(COUNTERS);
        for n in range {
            sketch.count(n.to_string().as_bytes(), (n + 1) as f64);
        }
        sketch.summary()
    };
    let merged = Summary::merge(vec![summary(0..100), summary(100..200)], COUNTERS);
    assert_eq!(merged.keys.len(), COUNTERS);
    assert_eq!(merged.keys[0].key, b"199");
    // Keys 72 to 199 are shown; the next had 72 requests.
    assert_eq!(merged.absent, 72.0);
}

#[test]
fn keys_that_differ_behind_256_bytes_are_one_and_say_so() {
    let mut sketch = Sketch::new(4);
    let fits = vec![b'k'; LONGEST_KEY];
    sketch.count(&fits, 1.0);
    sketch.count(&[&fits[..], b"a"].concat(), 1.0);
    sketch.count(&[&fits[..], b"b"].concat(), 1.0);
    let keys = sketch.summary().keys;
    let found: Vec<_> = keys.iter().map(|k| (k.key.len(), k.cut, k.count)).collect();
    assert_eq!(found, [(LONGEST_KEY, false, 1.0), (LONGEST_KEY, true, 2.0)]);
}

fn count(hot: &mut HotKeys, now: Instant, random: &mut SmallRng, key: &[u8]) {
    if let Some(requests) = hot.sampled(now, || random.random()) {
        hot.count(key, requests);
    }
}

fn requests(summary: &Summary, key: &[u8]) -> f64 {
    let found = summary.keys.iter().find(|found| found.key == key);
    found.map_or(0.0, |found| found.count)
}

#[test]
fn few_requests_are_counted_one_by_one() {
    let now = Instant::now();
    let mut random = SmallRng::seed_from_u64(1);
    let mut hot = HotKeys::new(now);
    for n in 0..1000 {
        count(
            &mut hot,
            now,
            &mut random,
            [b"a", b"b"][usize::from(n % 4 == 0)],
        );
    }
    let summary = hot.summary(now);
    assert_eq!(
        (requests(&summary, b"a"), requests(&summary, b"b")),
        (750.0, 250.0)
    );
}

#[test]
fn samples_of_many_requests_do_not_fall_into_step_with_them() {
    let now = Instant::now();
    let mut random = SmallRng::seed_from_u64(2);
    let mut hot = HotKeys::new(now);
    let all = 160_000;
    let mut drawn = 0;
    for n in 0..all {
        // Every 16th request is of another key: a fixed step would see one of the two only.
        let key: &[u8] = if n % 16 == 0 { b"a" } else { b"b" };
        if let Some(requests) = hot.sampled(now, || random.random()) {
            drawn += 1;
            hot.count(key, requests);
        }
    }
    let drawn_share = f64::from(drawn) / f64::from(all);
    assert!((drawn_share - 1.0 / 16.0).abs() < 0.01, "{drawn_share}");
    let summary = hot.summary(now);
    assert!(
        (summary.total / f64::from(all) - 1.0).abs() < 0.05,
        "{}",
        summary.total
    );
    let share = requests(&summary, b"a") / summary.total;
    assert!((share * 16.0 - 1.0).abs() < 0.15, "{share}");
}

#[test]
fn what_was_hot_is_halved_every_minute() {
    let start = Instant::now();
    let after = |minutes: f64| start + HALVING.mul_f64(minutes);
    let mut random = SmallRng::seed_from_u64(3);
    let mut hot = HotKeys::new(start);
    for _ in 0..800 {
        count(&mut hot, start, &mut random, b"old");
    }
    assert_eq!(requests(&hot.summary(after(0.99)), b"old"), 800.0);
    assert_eq!(requests(&hot.summary(after(1.0)), b"old"), 400.0);
    assert_eq!(requests(&hot.summary(after(3.5)), b"old"), 100.0);
    for _ in 0..200 {
        count(&mut hot, after(4.0), &mut random, b"new");
    }
    let summary = hot.summary(after(4.0));
    assert_eq!(
        (requests(&summary, b"old"), requests(&summary, b"new")),
        (50.0, 200.0)
    );
    let summary = hot.summary(after(1e6));
    assert!(summary.total < 1e-200, "however long ago it was");
}
