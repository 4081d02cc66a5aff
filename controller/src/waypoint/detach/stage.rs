//! What comes next, of one waypoint that is to be taken out. Without I/O and clock.

use std::fmt;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::super::part::Part;

/// What there is of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Since when it is said to be out; none where nobody says so, or not since when.
    pub(super) since: Option<Timestamp>,
    /// Whether istiod leads connections there.
    pub(super) is_published: bool,
    /// Of what it is made of, that which is there.
    pub(super) parts: Vec<Part>,
    /// Those that there still are, also ending ones.
    pub(super) pods: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is said to be out, so that no controller undoes what follows.
    Announce,
    /// Its addresses go.
    Withdraw,
    /// It serves until then, for whoever has not heard of it yet.
    Farewell(Timestamp),
    /// What keeps its pods goes.
    End(Vec<Part>),
    /// So many pods are ending.
    Drain(usize),
    /// What is left of it goes.
    Clear(Vec<Part>),
    Out,
}

/// What keeps pods, in the order in which it goes: nobody is to scale what ends.
const WORKLOAD: [Part; 3] = [Part::Autoscaler, Part::Budget, Part::Deployment];

/// `published`: when it was last seen with an address, by whoever asks.
pub(super) fn stage(
    seen: &Seen,
    published: Option<Timestamp>,
    farewell: Duration,
    now: Timestamp,
) -> Stage {
    let Some(since) = seen.since else {
        return Stage::Announce;
    };
    if seen.is_published {
        return Stage::Withdraw;
    }
    let there = |parts: &[Part]| {
        let there = parts.iter().filter(|part| seen.parts.contains(part));
        there.copied().collect::<Vec<_>>()
    };
    let workload = there(&WORKLOAD);
    let since = published.map_or(since, |published| published.max(since));
    // A time that cannot be is one that is over.
    let until = since.checked_add(farewell).unwrap_or(since);
    if !workload.is_empty() && now < until {
        return Stage::Farewell(until);
    }
    if !workload.is_empty() {
        return Stage::End(workload);
    }
    if seen.pods > 0 {
        return Stage::Drain(seen.pods);
    }
    match there(&Part::ALL) {
        rest if rest.is_empty() => Stage::Out,
        rest => Stage::Clear(rest),
    }
}

/// What is told of it.
impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Announce => f.write_str("is taken out"),
            Self::Withdraw => f.write_str("loses its address: new connections pass it by"),
            Self::Farewell(until) => write!(
                f,
                "has no address, and serves until {until:.0} for whoever has not heard of it yet"
            ),
            Self::End(_) => f.write_str(
                "has its pods end: they send their clients elsewhere, and answer what is under way",
            ),
            Self::Drain(1) => f.write_str("has a pod that is ending"),
            Self::Drain(pods) => write!(f, "has {pods} pods that are ending"),
            Self::Clear(_) => f.write_str("has no pod any more; the rest of it goes"),
            Self::Out => f.write_str("is out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAREWELL: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn seen(since: Option<i64>, is_published: bool, parts: &[Part], pods: usize) -> Seen {
        Seen {
            since: since.map(at),
            is_published,
            parts: parts.to_vec(),
            pods,
        }
    }

    #[test]
    fn connections_go_first_then_pods_then_the_rest() {
        let all = &Part::ALL[..];
        let rest = [Part::ServiceAccount, Part::Service];
        let rows = [
            (seen(None, true, all, 2), None, Stage::Announce),
            (seen(Some(100), true, all, 2), None, Stage::Withdraw),
            (
                seen(Some(100), false, all, 2),
                None,
                Stage::Farewell(at(160)),
            ),
            // It had an address later than it was said to be out.
            (
                seen(Some(30), false, all, 2),
                Some(90),
                Stage::Farewell(at(150)),
            ),
            (
                seen(Some(30), false, all, 2),
                None,
                Stage::End(WORKLOAD.to_vec()),
            ),
            // Announced, and then somebody gave it an address again.
            (seen(Some(30), true, &rest, 0), None, Stage::Withdraw),
            (
                seen(Some(30), false, &[Part::Service, Part::Deployment], 2),
                None,
                Stage::End(vec![Part::Deployment]),
            ),
            (seen(Some(30), false, &rest, 2), None, Stage::Drain(2)),
            // Whoever has no pods has nobody to wait for.
            (
                seen(Some(100), false, &rest, 0),
                None,
                Stage::Clear(rest.to_vec()),
            ),
            (seen(Some(100), false, &[], 0), None, Stage::Out),
        ];
        for (seen, published, expected) in rows {
            let found = stage(&seen, published.map(at), FAREWELL, at(100));
            assert_eq!(found, expected, "{seen:?}");
        }
    }

    /// Whatever is seen, what is done about it leads on: there is an end.
    #[test]
    fn it_comes_to_an_end_from_wherever_it_begins() {
        for begin in 0..32_u32 {
            let has = |bit: u32| begin & (1 << bit) != 0;
            let parts = if has(2) { &Part::ALL[..] } else { &[] };
            let pods = if has(3) { 3 } else { 0 };
            let since = has(0).then_some(i64::from(has(4)) * 1000);
            let mut seen = seen(since, has(1), parts, pods);
            let (mut now, mut published) = (at(1000), None);
            let mut steps = 0;
            loop {
                published = if seen.is_published {
                    Some(now)
                } else {
                    published
                };
                match stage(&seen, published, FAREWELL, now) {
                    Stage::Announce => seen.since = Some(now),
                    Stage::Withdraw => seen.is_published = false,
                    Stage::Farewell(until) => {
                        assert!(seen.pods == pods, "nobody ends before {until}");
                        now = until;
                    }
                    Stage::End(gone) | Stage::Clear(gone) => {
                        assert!(!seen.is_published);
                        seen.parts.retain(|part| !gone.contains(part));
                    }
                    Stage::Drain(_) => seen.pods -= 1,
                    Stage::Out => break,
                }
                steps += 1;
                assert!(steps < 12, "{seen:?}");
            }
            assert!(seen.parts.is_empty() && seen.pods == 0 && !seen.is_published);
        }
    }
}
