//! When a root is followed by another: no clock, no keys, nothing but times.
//!
//! A root that lives for L has its successor made when half of it is over. The successor is published beside it, and signs
//! when everybody has had it for L/4, or at the latest when 7/8 of L are over. What was signed before is gone after the
//! lifetime of a certificate; then so is the old root.

use std::time::Duration;

/// Seconds since 1970.
pub(super) type Time = u64;

/// No certificate lives longer, and none for more than an eighth of its root.
const CERTIFICATE: u64 = 24 * 60 * 60;

/// How long a root or a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Time,
    pub(super) until: Time,
}

/// The roots that there are, as far as time is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Roots {
    /// The one that signs.
    pub(super) current: Validity,
    pub(super) next: Option<Next>,
    /// Since when the current one signs, while the one before it still counts.
    pub(super) signs_since: Option<Time>,
}

/// The one that will sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// Since when everybody has it.
    pub(super) published: Option<Time>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is none that counts: a new one signs at once.
    MakeFirst,
    MakeNext,
    /// Everybody has the next one, as of now.
    NotePublished,
    SignByNext,
    DropPrevious,
    /// Nothing before this time, unless everybody gets the next one earlier.
    Wait(Time),
}

impl Validity {
    pub(super) fn of(from: Time, lifetime: Duration) -> Self {
        Self {
            from,
            until: from.saturating_add(lifetime.as_secs()),
        }
    }

    fn lifetime(self) -> u64 {
        self.until.saturating_sub(self.from)
    }

    /// When so many eighths of it are over.
    fn eighths(self, over: u64) -> Time {
        self.from + self.lifetime() / 8 * over
    }

    /// That of certificates which this root signs now.
    pub(super) fn of_certificate(self, now: Time) -> Self {
        let lifetime = (self.lifetime() / 8).clamp(1, CERTIFICATE);
        Self {
            from: now,
            until: now + lifetime,
        }
    }

    /// When a certificate is replaced.
    pub(super) fn half(self) -> Time {
        self.eighths(4)
    }
}

/// `is_published`: everybody has all roots that there are.
pub(super) fn step(roots: Option<&Roots>, is_published: bool, now: Time) -> Step {
    let Some(roots) = roots else {
        return Step::MakeFirst;
    };
    let current = roots.current;
    if let Some(since) = roots.signs_since {
        let gone = current.of_certificate(since).until;
        return match now >= gone {
            true => Step::DropPrevious,
            false => Step::Wait(gone),
        };
    }
    let latest = current.eighths(7);
    match roots.next {
        None if now >= current.until => Step::MakeFirst,
        None if now >= current.half() => Step::MakeNext,
        None => Step::Wait(current.half()),
        Some(_) if now >= latest => Step::SignByNext,
        Some(Next { published: None }) if is_published => Step::NotePublished,
        Some(Next { published: None }) => Step::Wait(latest),
        Some(Next {
            published: Some(at),
        }) => {
            let due = latest.min(at + current.lifetime() / 4);
            match now >= due {
                true => Step::SignByNext,
                false => Step::Wait(due),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOT: Validity = Validity {
        from: 1000,
        until: 1800,
    };

    fn roots(next: Option<Option<Time>>, signs_since: Option<Time>) -> Roots {
        Roots {
            current: ROOT,
            next: next.map(|published| Next { published }),
            signs_since,
        }
    }

    #[test]
    fn a_root_is_followed_step_by_step() {
        let alone = roots(None, None);
        let made = roots(Some(None), None);
        let published = roots(Some(Some(1450)), None);
        let late = roots(Some(Some(1690)), None);
        let followed = roots(None, Some(1010));
        let rows = [
            (alone, true, 1000, Step::Wait(1400)),
            (alone, false, 1399, Step::Wait(1400)),
            (alone, false, 1400, Step::MakeNext),
            (alone, false, 1799, Step::MakeNext),
            (alone, false, 1800, Step::MakeFirst),
            (made, false, 1400, Step::Wait(1700)),
            (made, true, 1410, Step::NotePublished),
            (made, false, 1700, Step::SignByNext),
            (published, true, 1450, Step::Wait(1650)),
            (published, false, 1649, Step::Wait(1650)),
            (published, true, 1650, Step::SignByNext),
            (late, true, 1695, Step::Wait(1700)),
            (late, true, 1700, Step::SignByNext),
            (followed, true, 1010, Step::Wait(1110)),
            (followed, true, 1110, Step::DropPrevious),
        ];
        assert_eq!(step(None, false, 0), Step::MakeFirst);
        for (roots, is_published, now, expected) in rows {
            let found = step(Some(&roots), is_published, now);
            assert_eq!(found, expected, "{roots:?} {is_published} {now}");
        }
    }

    #[test]
    fn a_certificate_is_short_and_within_its_root() {
        assert_eq!(ROOT.of_certificate(1000).until, 1100);
        let year = Validity::of(0, Duration::from_secs(365 * 86_400));
        assert_eq!(year.of_certificate(5).until, 5 + 86_400);
        assert_eq!(year.of_certificate(0).half(), 43_200);
    }

    /// A keeper that looks now and then, and proxies that hear of roots a while after they are published.
    fn live(looks: &[(u64, bool)]) -> Result<(), TestCaseError> {
        let lifetime = Duration::from_secs(800);
        let mut now = 0;
        let mut serial = 0;
        // Serial numbers of the roots that are in the bundle: previous, current, next.
        let mut bundle = (None, 0, None);
        let mut made = 0;
        let mut state: Option<Roots> = None;
        // What everybody has: the bundle as of the last look at which it could be published.
        let mut everybody: Vec<u64> = vec![];
        for &(passes, can_publish) in looks {
            now += passes;
            let mut told = can_publish;
            // The leader publishes before it decides.
            if told && state.is_some() {
                everybody = [bundle.0, Some(bundle.1), bundle.2]
                    .into_iter()
                    .flatten()
                    .collect();
            }
            loop {
                match (step(state.as_ref(), told, now), &mut state) {
                    (Step::Wait(until), _) => {
                        prop_assert!(until > now);
                        break;
                    }
                    (Step::MakeFirst, state) => {
                        serial += 1;
                        bundle = (None, serial, None);
                        let current = Validity::of(now, lifetime);
                        *state = Some(Roots {
                            current,
                            next: None,
                            signs_since: None,
                        });
                        // Whoever has to do with a first root waits for it.
                        everybody = vec![serial];
                    }
                    (Step::MakeNext, Some(roots)) => {
                        serial += 1;
                        made = now;
                        bundle.2 = Some(serial);
                        roots.next = Some(Next { published: None });
                        told = false;
                    }
                    (Step::NotePublished, Some(roots)) => {
                        prop_assert!(everybody.contains(&serial));
                        roots.next = Some(Next {
                            published: Some(now),
                        });
                    }
                    (Step::SignByNext, Some(roots)) => {
                        // By the rule, or because the old one is about to end.
                        let has_to = now >= roots.current.eighths(7);
                        prop_assert!(has_to || everybody.contains(&serial));
                        bundle = (Some(bundle.1), serial, None);
                        roots.current = Validity::of(made, lifetime);
                        roots.next = None;
                        roots.signs_since = Some(now);
                        told = false;
                    }
                    (Step::DropPrevious, Some(roots)) => {
                        bundle.0 = None;
                        roots.signs_since = None;
                        told = false;
                    }
                    (step, None) => prop_assert!(false, "{step:?} of nothing"),
                }
            }
            let current = state.map(|roots| roots.current);
            prop_assert!(current.is_some_and(|current| now < current.until));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn there_always_is_a_root_and_who_listens_knows_it(
            looks in prop::collection::vec((1_u64..120, any::<bool>()), 1..200),
        ) {
            live(&looks)?;
        }
    }
}
