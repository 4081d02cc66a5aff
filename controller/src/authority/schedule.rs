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

    const LIFETIME: Duration = Duration::from_secs(800);

    /// A keeper that looks now and then. Roots are their serial numbers.
    #[derive(Default)]
    struct Keeper {
        now: Time,
        serial: u64,
        /// When the newest was made.
        made: Time,
        roots: Option<Roots>,
        previous: Option<u64>,
        current: u64,
        next: Option<u64>,
        /// What all proxies know: the roots as of the last time when they could be published.
        known: Vec<u64>,
    }

    impl Keeper {
        fn publish(&mut self) {
            let all = [self.previous, Some(self.current), self.next];
            self.known = all.into_iter().flatten().collect();
        }

        /// Does it; says whether everybody still has all roots then.
        fn take(&mut self, step: Step) -> Result<bool, TestCaseError> {
            let Some(roots) = self.roots.as_mut().filter(|_| step != Step::MakeFirst) else {
                prop_assert_eq!(step, Step::MakeFirst);
                self.serial += 1;
                self.current = self.serial;
                self.roots = Some(Roots {
                    current: Validity::of(self.now, LIFETIME),
                    next: None,
                    signs_since: None,
                });
                // Whoever has to do with a first root waits for it.
                self.publish();
                return Ok(false);
            };
            match step {
                Step::MakeFirst | Step::Wait(_) => {}
                Step::MakeNext => {
                    self.serial += 1;
                    (self.made, self.next) = (self.now, Some(self.serial));
                    roots.next = Some(Next { published: None });
                }
                Step::NotePublished => {
                    prop_assert!(self.known.contains(&self.serial));
                    let published = Some(self.now);
                    roots.next = Some(Next { published });
                    return Ok(true);
                }
                Step::SignByNext => {
                    // By the rule, or because the old one is about to end.
                    let has_to = self.now >= roots.current.eighths(7);
                    prop_assert!(has_to || self.known.contains(&self.serial));
                    *roots = Roots {
                        current: Validity::of(self.made, LIFETIME),
                        next: None,
                        signs_since: Some(self.now),
                    };
                    (self.previous, self.next) = (Some(self.current), None);
                    self.current = self.serial;
                }
                Step::DropPrevious => {
                    roots.signs_since = None;
                    self.previous = None;
                }
            }
            Ok(false)
        }

        /// After a while, in which it may be that not everybody can be told.
        fn look(&mut self, passes: u64, can_publish: bool) -> Result<(), TestCaseError> {
            self.now += passes;
            let mut told = can_publish && self.roots.is_some();
            if told {
                self.publish();
            }
            loop {
                match step(self.roots.as_ref(), told, self.now) {
                    Step::Wait(until) => {
                        prop_assert!(until > self.now);
                        break;
                    }
                    due => told = self.take(due)?,
                }
            }
            let current = self.roots.map(|roots| roots.current);
            prop_assert!(current.is_some_and(|current| self.now < current.until));
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn there_always_is_a_root_and_who_listens_knows_it(
            looks in prop::collection::vec((1_u64..120, any::<bool>()), 1..200),
        ) {
            let mut keeper = Keeper::default();
            for (passes, can_publish) in looks {
                keeper.look(passes, can_publish)?;
            }
        }
    }
}
