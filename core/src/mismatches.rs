//! What clients have spoken lately that is not their service's protocol: the control plane is told, which tells people.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meltemi_policy::{Foreign, Mismatches};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::telemetry::Telemetry;

/// For so long it is told of a service after the last such client: one that tries again every few minutes is there all the
/// time.
const LATELY: Duration = Duration::from_mins(5);
const INTERVAL: Duration = Duration::from_secs(1);
/// So many services are told of: what goes on there is a mistake of few.
const MOST: usize = 64;

type Counts = [u64; Foreign::ALL.len()];

/// Which services had such clients lately, and what these spoke. Without a clock.
#[derive(Debug, Default)]
struct Lately {
    counts: HashMap<Arc<str>, Counts>,
    /// The last of each.
    seen: BTreeMap<Arc<str>, [Option<Instant>; Foreign::ALL.len()]>,
}

impl Lately {
    /// `counts`: since the process began.
    fn look(&mut self, counts: BTreeMap<Arc<str>, Counts>, now: Instant) -> Mismatches {
        for (service, counts) in counts {
            let before = self.counts.insert(Arc::clone(&service), counts);
            let grown = counts.iter().zip(before.unwrap_or_default());
            let seen = self.seen.entry(service).or_default();
            for (last, _) in seen
                .iter_mut()
                .zip(grown)
                .filter(|(_, (now, was))| *now > was)
            {
                *last = Some(now);
            }
        }
        self.seen.retain(|_, seen| {
            for last in seen.iter_mut() {
                *last = last.filter(|last| now < *last + LATELY);
            }
            seen.iter().any(Option::is_some)
        });
        let told = self.seen.iter().take(MOST).map(|(service, seen)| {
            let spoken = Foreign::ALL.into_iter().zip(seen);
            let spoken = spoken.filter_map(|(spoken, last)| last.map(|_| spoken));
            (service.to_string(), spoken.collect())
        });
        told.collect()
    }
}

/// Tells `told` for as long as what is returned is kept.
pub(crate) fn follow(telemetry: Arc<Telemetry>, told: watch::Sender<Mismatches>) -> JoinSet<()> {
    let mut following = JoinSet::new();
    following.spawn(async move {
        let mut lately = Lately::default();
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = told.closed() => return,
            }
            let now = lately.look(telemetry.mismatches(), Instant::now());
            told.send_if_modified(|told| {
                let is_new = *told != now;
                *told = now;
                is_new
            });
        }
    });
    following
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mismatches: &Mismatches) -> String {
        let services = mismatches.iter().map(|(service, spoken)| {
            let spoken: Vec<_> = spoken.iter().map(|it| it.as_str()).collect();
            format!("{service}: {}", spoken.join(","))
        });
        services.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn it_is_told_until_there_was_none_for_long() {
        let (begin, mut lately) = (Instant::now(), Lately::default());
        let minute = Duration::from_mins(1);
        let rows = [
            // After so many minutes, with these counts.
            (0, [0, 0], [0, 0], ""),
            (1, [1, 0], [0, 0], "a: http1"),
            (2, [1, 1], [0, 0], "a: http1,http2"),
            (3, [1, 1], [0, 4], "a: http1,http2; b: http2"),
            (6, [1, 1], [0, 4], "a: http2; b: http2"),
            (7, [1, 1], [0, 5], "b: http2"),
            (11, [1, 1], [0, 5], "b: http2"),
            (12, [1, 1], [0, 5], ""),
            (13, [2, 1], [0, 5], "a: http1"),
        ];
        for (after, a, b, expected) in rows {
            let counts = [("a", a), ("b", b)];
            let counts =
                counts.map(|(service, [one, two])| (Arc::<str>::from(service), [one, two, 0, 0]));
            let found = lately.look(counts.into(), begin + minute * after);
            assert_eq!(told(&found), expected, "after {after} minutes");
        }
    }

    #[test]
    fn a_mistake_everywhere_is_told_of_few() {
        let counts = (0..1000).map(|n| (Arc::<str>::from(format!("s{n}")), [1, 0, 0, 0]));
        let found = Lately::default().look(counts.collect(), Instant::now());
        assert_eq!(found.len(), MOST);
    }
}
