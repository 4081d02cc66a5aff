//! Which replicas there are: those whose Leases are renewed. Without I/O and clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::digest::Digest;

/// A Lease that was not renewed for so many of its durations is removed.
const REMOVAL: u32 = 40;
/// Between two lists. Where it was longer nobody heard whether Leases were renewed.
pub(super) const LONGEST_GAP: Duration = Duration::from_secs(5);

/// The Lease of a replica, as it was listed.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) name: String,
    pub(super) version: String,
    /// For how long it stands without being renewed.
    pub(super) duration: Duration,
    pub(super) says: Says,
}

/// What a replica says of its proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// It has only begun, and serves nobody.
    Nothing,
    /// In a form that is not known here.
    Unreadable,
    Digest(Arc<Digest>),
}

/// What those say that are there, by the names of their Leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::status) struct Live(pub(super) BTreeMap<String, Says>);

/// As in an election, a Lease is over when it was not seen to change for its duration by the clock of whoever waits.
#[derive(Debug)]
pub(super) struct Roll {
    /// Which says nothing here: what its own proxies say is known better.
    own: String,
    known: BTreeMap<String, Known>,
    heard: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    version: String,
    /// When this version was first seen.
    since: Instant,
    duration: Duration,
    says: Says,
}

impl Roll {
    pub(super) fn new(own: &str) -> Self {
        Self {
            own: own.to_owned(),
            known: BTreeMap::new(),
            heard: None,
        }
    }

    /// All Leases were listed. Nobody is taken for dead because a list failed.
    pub(super) fn heard(&mut self, list: Vec<Heard>, now: Instant) {
        let gap = self.heard.map_or(Duration::ZERO, |heard| now - heard);
        let gap = if gap > LONGEST_GAP {
            gap
        } else {
            Duration::ZERO
        };
        self.heard = Some(now);
        let mut before = std::mem::take(&mut self.known);
        for heard in list.into_iter().filter(|heard| heard.name != self.own) {
            let known = before.remove(&heard.name);
            let known = known.filter(|known| known.version == heard.version);
            let since = known.map_or(now, |known| known.since + gap);
            let known = Known {
                version: heard.version,
                since,
                duration: heard.duration,
                says: heard.says,
            };
            self.known.insert(heard.name, known);
        }
    }

    /// Those that had renewed their Leases when they were listed last.
    pub(super) fn live(&self) -> Live {
        let known = self.known.iter();
        let live = known.filter(|(_, known)| self.age(known) < known.duration);
        let live = live.map(|(name, known)| (name.clone(), known.says.clone()));
        Live(live.collect())
    }

    /// Those that are long gone.
    pub(super) fn removable(&self) -> impl Iterator<Item = &str> {
        let known = self.known.iter();
        let gone = known.filter(|(_, known)| self.age(known) >= known.duration * REMOVAL);
        gone.map(|(name, _)| name.as_str())
    }

    fn age(&self, known: &Known) -> Duration {
        let heard = self.heard.unwrap_or(known.since);
        heard.saturating_duration_since(known.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    fn lease(name: &str, version: u64) -> Heard {
        Heard {
            name: name.to_owned(),
            version: version.to_string(),
            duration: DURATION,
            says: Says::Nothing,
        }
    }

    fn live(roll: &Roll) -> String {
        roll.live().0.into_keys().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn who_does_not_renew_its_lease_is_gone_after_it() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut roll = Roll::new("me");
        // When, the versions that are listed of me, a and b, and who lives then.
        for (at, versions, expected) in [
            (0, [1, 1, 1], "a b"),
            (5, [2, 2, 1], "a b"),
            (10, [3, 3, 1], "a b"),
            (14, [4, 3, 1], "a b"),
            (15, [4, 4, 1], "a"),
            (16, [5, 4, 2], "a b"),
        ] {
            let names = ["me", "a", "b"].into_iter().zip(versions);
            let list = names.map(|(name, version)| lease(name, version)).collect();
            roll.heard(list, now + second * at);
            assert_eq!(live(&roll), expected, "after {at} s");
        }
        // Whose Lease is gone is gone at once.
        roll.heard(vec![lease("a", 5)], now + second * 17);
        assert_eq!(live(&roll), "a");
    }

    #[test]
    fn while_nobody_listens_nobody_dies() {
        let now = Instant::now();
        let mut roll = Roll::new("me");
        roll.heard(vec![lease("a", 1)], now);
        let later = now + DURATION * 10;
        roll.heard(vec![lease("a", 1)], later);
        assert_eq!(live(&roll), "a");
        for seconds in [4, 8, 12, 15] {
            roll.heard(vec![lease("a", 1)], later + Duration::from_secs(seconds));
        }
        assert_eq!(live(&roll), "");
    }

    #[test]
    fn what_is_long_gone_can_be_removed() {
        let now = Instant::now();
        let mut roll = Roll::new("me");
        let seconds = u32::try_from(DURATION.as_secs()).unwrap() * REMOVAL;
        for second in (0..seconds).step_by(5) {
            roll.heard(
                vec![lease("a", 1)],
                now + Duration::from_secs(second.into()),
            );
            assert_eq!(roll.removable().count(), 0);
        }
        roll.heard(vec![lease("a", 1)], now + DURATION * REMOVAL);
        assert_eq!(roll.removable().collect::<Vec<_>>(), ["a"]);
    }
}
