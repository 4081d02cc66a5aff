//! What one replica tells the others, and when. Without I/O and clock.

use std::time::{Duration, Instant};

use super::digest::Digest;
use crate::ads::Clients;
use crate::status::expected::Expected;
use crate::status::ledger::Ledger;
use crate::status::mismatches;
use crate::status::programmed::{Judge, SETTLING};

/// A Lease that is not renewed for [`super::lease::DURATION`] is over.
const RENEWAL: Duration = Duration::from_secs(5);
/// Between two writes: what changes meanwhile is told together.
const PACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Share {
    judge: Judge,
    written: Option<Written>,
    /// Nothing is written before.
    not_before: Instant,
}

#[derive(Debug)]
struct Written {
    digest: Option<Digest>,
    at: Instant,
}

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// That it is still there.
    Renewal,
    /// And what its proxies say; none: it serves nobody yet.
    Digest(Option<Digest>),
}

impl Share {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            judge: Judge::new(now),
            written: None,
            not_before: now,
        }
    }

    /// What is due now, else when to look again although nothing happens.
    pub(super) fn turn(
        &mut self,
        ledger: &Ledger,
        clients: &Clients,
        now: Instant,
    ) -> Result<Due, Instant> {
        if now < self.not_before {
            return Err(self.not_before);
        }
        let digest = ledger.read().map(|(resolved, judged)| {
            let expected = Expected::of(&resolved, &judged);
            let answers = self.judge.ask(&expected, clients, now);
            Digest::of(&expected, &answers).with_mismatches(mismatches::of(clients))
        });
        let Some(written) = &self.written else {
            return Ok(Due::Digest(digest));
        };
        if written.digest != digest {
            return Ok(Due::Digest(digest));
        }
        let renewal = written.at + RENEWAL;
        if now >= renewal {
            return Ok(Due::Renewal);
        }
        let settled = self.judge.wakes((now, SETTLING));
        Err(settled.map_or(renewal, |settled| settled.min(renewal)))
    }

    /// What was due is written.
    pub(super) fn wrote(&mut self, due: Due, now: Instant) {
        self.not_before = now + PACE;
        match (due, &mut self.written) {
            (Due::Digest(digest), written) => *written = Some(Written { digest, at: now }),
            (Due::Renewal, Some(written)) => written.at = now,
            (Due::Renewal, None) => {}
        }
    }

    /// It is not, or nobody knows.
    pub(super) fn failed(&mut self, now: Instant) {
        self.not_before = now + PACE;
        self.written = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ads::FakeProxy;
    use crate::status::story::Story;

    /// Whether what is due within this time is written, and how often a digest and how often nothing but a renewal is.
    fn writes(share: &mut Share, story: &mut Story, time: Duration) -> (usize, usize) {
        let (mut digests, mut renewals) = (0, 0);
        let end = story.now + time;
        while story.now < end {
            story.now += Duration::from_millis(250);
            if let Ok(due) = share.turn(&story.ledger, &story.clients, story.now) {
                match due {
                    Due::Digest(_) => digests += 1,
                    Due::Renewal => renewals += 1,
                }
                share.wrote(due, story.now);
            }
        }
        (digests, renewals)
    }

    #[test]
    fn what_changes_nothing_is_no_more_than_a_renewal() {
        let mut story = Story::valid();
        let _proxies = [story.proxy(), story.proxy()];
        let mut share = Share::new(story.now);
        let minute = Duration::from_secs(60);
        assert_eq!(writes(&mut share, &mut story, minute), (1, 11));
        // A third one changes nothing, nor does one of several that leaves.
        let third = story.proxy();
        assert_eq!(writes(&mut share, &mut story, minute).0, 0);
        drop(third);
        assert_eq!(writes(&mut share, &mut story, minute).0, 0);
    }

    #[test]
    fn a_rolling_restart_of_many_proxies_tells_nothing() {
        let mut story = Story::valid();
        let mut proxies: Vec<_> = (0..500).map(|_| story.proxy()).collect();
        let mut share = Share::new(story.now);
        writes(&mut share, &mut story, Duration::from_secs(10));
        let mut digests = 0;
        for _ in 0..100 {
            proxies.drain(0..5);
            let mut came: Vec<_> = (0..5)
                .map(|_| FakeProxy::connect(&story.clients, "new"))
                .collect();
            came.iter_mut()
                .for_each(|proxy| proxy.hear(&story.resources));
            digests += writes(&mut share, &mut story, Duration::from_millis(500)).0;
            came.iter_mut()
                .for_each(|proxy| proxy.take_after_answer(&story.resources));
            proxies.extend(came);
        }
        assert_eq!(digests, 0);
    }

    /// A Lease's size does not hang on the proxies, and is written for none of them.
    #[test]
    fn of_1000_objects_a_lease_has_20_kilobytes_however_many_proxies_there_are() {
        let mut story = Story::of_many(50, 20);
        let connect = |story: &Story, gateway: usize| {
            let mut proxy = FakeProxy::connect(&story.clients, "proxy");
            proxy.take(&story.scope(gateway));
            proxy
        };
        let mut proxies: Vec<_> = (0..50).map(|gateway| connect(&story, gateway)).collect();
        let mut share = Share::new(story.now);
        let Ok(Due::Digest(Some(digest))) = share.turn(&story.ledger, &story.clients, story.now)
        else {
            panic!("the first is due");
        };
        let size = digest.encode().answers.len();
        assert!((15_000..20_000).contains(&size), "{size}");
        assert_eq!(Digest::decode(&digest.encode()).as_ref(), Some(&digest));
        share.wrote(Due::Digest(Some(digest)), story.now);
        for n in 0..450 {
            proxies.push(connect(&story, n % 50));
        }
        assert_eq!(writes(&mut share, &mut story, Duration::from_secs(4)).0, 0);
    }

    #[test]
    fn however_much_changes_it_is_told_once_a_second() {
        let mut story = Story::valid();
        let mut share = Share::new(story.now);
        let mut digests = 0;
        for round in 0..40 {
            let proxy = (round % 2 == 0).then(|| story.proxy());
            digests += writes(&mut share, &mut story, Duration::from_millis(250)).0;
            drop(proxy);
        }
        assert!((5..=11).contains(&digests), "{digests}");
    }

    #[test]
    fn what_was_not_written_is_written_again() {
        let mut story = Story::valid();
        let mut share = Share::new(story.now);
        let first = share.turn(&story.ledger, &story.clients, story.now);
        assert!(matches!(first, Ok(Due::Digest(Some(_)))));
        share.failed(story.now);
        let again = share.turn(&story.ledger, &story.clients, story.now);
        assert_eq!(again, Err(story.now + PACE));
        story.now += PACE;
        let again = share.turn(&story.ledger, &story.clients, story.now);
        assert_eq!(again, first);
    }
}
