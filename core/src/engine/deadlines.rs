//! Deadlines of requests. Those that start in one turn and may take equally long have one timer, and a timer that nobody
//! needs any more is not taken back: whoever comes next, and may take longer, waits on it, and is waited for anew when it has
//! passed. So a request that is answered in time sets and cancels none.

use std::time::Instant;

use slotmap::{SlotMap, new_key_type};

use super::{
    ExchangeKey, Timer,
    timers::{TimerKey, Timers},
};

new_key_type! {
    /// Requests that have one deadline.
    pub(super) struct DeadlineKey;
}

/// So many requests have one timer at most: one that takes long keeps the names of so many.
const MOST: usize = 64;

/// Lists that are kept for later.
const KEPT: usize = 64;

/// The deadlines of what is under way.
#[derive(Default)]
pub(super) struct Deadlines {
    groups: SlotMap<DeadlineKey, Group>,
    newest: Option<DeadlineKey>,
    /// One that nobody is in, whose timer is set all the same.
    idle: Option<DeadlineKey>,
    spare: Vec<Vec<ExchangeKey>>,
}

struct Group {
    timer: TimerKey,
    /// When that fires: not after `due`.
    fires: Instant,
    due: Instant,
    members: Vec<ExchangeKey>,
    /// Those that have it still.
    left: usize,
}

impl Deadlines {
    /// Fires at `due`, or within a tick after it, unless it is [left](Self::leave) before.
    #[inline(always)]
    pub(super) fn set(
        &mut self,
        timers: &mut Timers<Timer>,
        due: Instant,
        exchange: ExchangeKey,
    ) -> DeadlineKey {
        for known in [self.newest, self.idle].into_iter().flatten() {
            if let Some(group) = self.groups.get_mut(known)
                && group.takes(due)
            {
                group.members.push(exchange);
                group.left += 1;
                group.due = due;
                self.newest = Some(known);
                self.idle.take_if(|idle| *idle == known);
                return known;
            }
        }
        let mut members = self.spare.pop().unwrap_or_default();
        members.push(exchange);
        let key = self.groups.insert_with_key(|key| Group {
            timer: timers.set(due, Timer::Deadline(key)),
            fires: due,
            due,
            members,
            left: 1,
        });
        self.newest = Some(key);
        key
    }

    /// One that has it needs it no more.
    #[inline(always)]
    pub(super) fn leave(&mut self, timers: &mut Timers<Timer>, key: DeadlineKey) {
        let Some(group) = self.groups.get_mut(key) else {
            return;
        };
        group.left -= 1;
        if group.left > 0 {
            return;
        }
        group.members.clear();
        if let Some(before) = self.idle.replace(key) {
            self.end(timers, before);
        }
    }

    /// Its timer has fired. Those whose deadline has passed by it, of which some may have left it; where it has not, it is
    /// waited for.
    pub(super) fn fired(
        &mut self,
        timers: &mut Timers<Timer>,
        key: DeadlineKey,
    ) -> Vec<ExchangeKey> {
        if self.idle.take_if(|idle| *idle == key).is_some() {
            self.end(timers, key);
            return Vec::new();
        }
        match self.groups.get_mut(key) {
            Some(group) if group.fires < group.due => {
                group.fires = group.due;
                group.timer = timers.set(group.due, Timer::Deadline(key));
                Vec::new()
            }
            _ => {
                let group = self.groups.remove(key);
                group.map(|group| group.members).unwrap_or_default()
            }
        }
    }

    fn end(&mut self, timers: &mut Timers<Timer>, key: DeadlineKey) {
        if let Some(group) = self.groups.remove(key) {
            timers.cancel(group.timer);
            self.give(group.members);
        }
    }

    /// A list is used no more.
    pub(super) fn give(&mut self, mut members: Vec<ExchangeKey>) {
        members.clear();
        if members.capacity() > 0 && self.spare.len() < KEPT {
            self.spare.push(members);
        }
    }
}

impl Group {
    /// Whether a request that is due then may wait here: with others that are, or alone, for long enough.
    #[inline(always)]
    fn takes(&self, due: Instant) -> bool {
        match self.left {
            0 => self.fires <= due,
            _ => self.due == due && self.members.len() < MOST,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn exchanges(count: usize) -> Vec<ExchangeKey> {
        let mut keys = SlotMap::<ExchangeKey, ()>::with_key();
        (0..count).map(|_| keys.insert(())).collect()
    }

    #[test]
    fn those_of_one_turn_have_one_timer() {
        let now = Instant::now();
        let (mut timers, mut deadlines) = (Timers::new(now), Deadlines::default());
        let [a, b, c] = exchanges(3).try_into().unwrap();
        let due = now + Duration::from_millis(500);
        let first = deadlines.set(&mut timers, due, a);
        assert_eq!(deadlines.set(&mut timers, due, b), first);
        let later = deadlines.set(&mut timers, due + Duration::from_millis(1), c);
        assert_ne!(later, first);
        deadlines.leave(&mut timers, later);
        deadlines.leave(&mut timers, first);
        let passed = due + Duration::from_millis(100);
        let expired: Vec<_> = std::iter::from_fn(|| timers.expired(passed)).collect();
        assert_eq!(expired.len(), 2);
        assert_eq!(deadlines.fired(&mut timers, later), []);
        assert_eq!(deadlines.fired(&mut timers, first), [a, b]);
        deadlines.leave(&mut timers, first);
        assert!(timers.next().is_none() && deadlines.groups.is_empty());
    }

    #[test]
    fn who_comes_next_waits_on_the_timer_that_is_there() {
        let now = Instant::now();
        let (mut timers, mut deadlines) = (Timers::new(now), Deadlines::default());
        let [a, b, c] = exchanges(3).try_into().unwrap();
        let due = |millis| now + Duration::from_millis(millis);
        let first = deadlines.set(&mut timers, due(500), a);
        deadlines.leave(&mut timers, first);
        assert_eq!(deadlines.set(&mut timers, due(700), b), first);
        // What is due before it fires has one of its own.
        assert_ne!(deadlines.set(&mut timers, due(400), c), first);
        assert!(timers.expired(due(408)).is_some());
        assert!(timers.expired(due(508)).is_some());
        assert_eq!(deadlines.fired(&mut timers, first), []);
        assert!(timers.expired(due(690)).is_none());
        assert!(timers.expired(due(708)).is_some());
        assert_eq!(deadlines.fired(&mut timers, first), [b]);
    }

    #[test]
    fn a_full_list_is_followed_by_another() {
        let now = Instant::now();
        let (mut timers, mut deadlines) = (Timers::new(now), Deadlines::default());
        let set = |_| deadlines.set(&mut timers, now, ExchangeKey::default());
        let all: Vec<_> = (0..=MOST).map(set).collect();
        assert!(all[..MOST].iter().all(|key| *key == all[0]));
        assert_ne!(all[MOST], all[0]);
    }

    proptest! {
        /// Steps: some time passes; a request begins that may take so long; or the first of those that are under way ends.
        #[test]
        fn each_fires_when_it_is_due(steps in prop::collection::vec((0..3u8, 0..3000u64), 1..200)) {
            let origin = Instant::now();
            let (mut timers, mut deadlines) = (Timers::new(origin), Deadlines::default());
            let names = exchanges(steps.len());
            let mut now = origin;
            // What is under way: its name, when it is due, and its deadline.
            let mut model: Vec<(ExchangeKey, Instant, DeadlineKey)> = vec![];
            for ((step, millis), name) in steps.into_iter().zip(names) {
                let span = Duration::from_millis(millis);
                match step {
                    0 => {
                        now += span;
                        while let Some(timer) = timers.expired(now) {
                            let Timer::Deadline(key) = timer else { unreachable!("no others are set") };
                            for late in deadlines.fired(&mut timers, key) {
                                let place = model.iter().position(|it| (it.0, it.2) == (late, key));
                                let Some(place) = place else { continue };
                                prop_assert!(model.remove(place).1 <= now, "too early");
                            }
                        }
                        let tick = Duration::from_millis(17);
                        prop_assert!(model.iter().all(|it| it.1 + tick > now), "too late");
                    }
                    1 => {
                        let due = now + span;
                        model.push((name, due, deadlines.set(&mut timers, due, name)));
                    }
                    _ if model.is_empty() => {}
                    _ => deadlines.leave(&mut timers, model.remove(0).2),
                }
                prop_assert!(deadlines.groups.len() <= model.len() + 1, "one is idle at most");
            }
        }
    }
}
