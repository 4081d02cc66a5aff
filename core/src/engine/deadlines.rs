//! Deadlines of requests. Those that start in one turn and may take equally long have one timer.

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
    newest: Option<(Instant, DeadlineKey)>,
    spare: Vec<Vec<ExchangeKey>>,
}

struct Group {
    timer: TimerKey,
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
        if let Some((at, key)) = self.newest
            && at == due
            && let Some(group) = self.groups.get_mut(key)
            && group.members.len() < MOST
        {
            group.members.push(exchange);
            group.left += 1;
            return key;
        }
        let mut members = self.spare.pop().unwrap_or_default();
        members.push(exchange);
        let key = self.groups.insert_with_key(|key| Group {
            timer: timers.set(due, Timer::Deadline(key)),
            members,
            left: 1,
        });
        self.newest = Some((due, key));
        key
    }

    /// One that has it needs it no more.
    #[inline(always)]
    pub(super) fn leave(&mut self, timers: &mut Timers<Timer>, key: DeadlineKey) {
        let Some(group) = self.groups.get_mut(key) else {
            return;
        };
        group.left -= 1;
        if group.left == 0
            && let Some(group) = self.groups.remove(key)
        {
            timers.cancel(group.timer);
            self.give(group.members);
        }
    }

    /// It has passed: those that had it, of which some may have left it.
    pub(super) fn fired(&mut self, key: DeadlineKey) -> Vec<ExchangeKey> {
        let group = self.groups.remove(key);
        group.map(|group| group.members).unwrap_or_default()
    }

    /// A list is used no more.
    pub(super) fn give(&mut self, mut members: Vec<ExchangeKey>) {
        members.clear();
        if self.spare.len() < KEPT {
            self.spare.push(members);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn those_of_one_turn_have_one_timer_until_the_last_has_left() {
        let now = Instant::now();
        let (mut timers, mut deadlines) = (Timers::new(now), Deadlines::default());
        let mut keys = SlotMap::<ExchangeKey, ()>::with_key();
        let (a, b, c) = (keys.insert(()), keys.insert(()), keys.insert(()));
        let due = now + Duration::from_millis(500);
        let first = deadlines.set(&mut timers, due, a);
        assert_eq!(deadlines.set(&mut timers, due, b), first);
        let later = deadlines.set(&mut timers, due + Duration::from_millis(1), c);
        assert_ne!(later, first);
        deadlines.leave(&mut timers, later);
        deadlines.leave(&mut timers, first);
        let fired = timers.expired(due + Duration::from_millis(100));
        assert!(matches!(fired, Some(Timer::Deadline(key)) if key == first));
        assert_eq!(deadlines.fired(first), [a, b]);
        deadlines.leave(&mut timers, first);
        assert!(timers.next().is_none() && deadlines.groups.is_empty());
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
}
