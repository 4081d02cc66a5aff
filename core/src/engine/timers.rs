//! Deadlines in two wheels: set and cancelled in constant time, fired at most one tick late.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use slotmap::{SlotMap, new_key_type};

new_key_type! {
    /// A deadline that was set and has neither fired nor been cancelled.
    pub(super) struct TimerKey;
}

const FINE_TICK: u64 = 8;
const FINE_SLOTS: usize = 1024;
const COARSE_TICK: u64 = FINE_TICK * FINE_SLOTS as u64 / 8;
/// Ticks ahead that the fine wheel takes: one slot stays free for the tick that is looked at twice.
const REACH: u64 = FINE_SLOTS as u64 - 1;
const COARSE_SLOTS: usize = 4096;

/// Deadlines, and what to do at each.
///
/// The fine wheel holds what is due within about eight seconds in ticks of 8 ms; the coarse one,
/// in ticks of about a second, what is due later and moves into the fine wheel when its tick comes.
#[derive(Debug)]
pub(super) struct Timers<T> {
    origin: Instant,
    nodes: SlotMap<TimerKey, Node<T>>,
    fine: Wheel,
    coarse: Wheel,
    /// What [`Timers::next`] said, as long as it holds: a search of the wheels a turn would cost
    /// more than a look that turns out to be too early.
    soonest: Cell<Option<Soonest>>,
}

/// No deadline comes before this millisecond, which is then; `None`: there is none.
type Soonest = Option<(u64, Instant)>;

#[derive(Debug)]
struct Node<T> {
    due: u64,
    slot: Slot,
    previous: Option<TimerKey>,
    next: Option<TimerKey>,
    item: T,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Fine(usize),
    Coarse(usize),
}

#[derive(Debug)]
struct Wheel {
    heads: Vec<Option<TimerKey>>,
    occupied: Vec<u64>,
    /// The first tick that was not looked at yet.
    tick: u64,
}

impl Slot {
    fn index(self) -> usize {
        match self {
            Self::Fine(index) | Self::Coarse(index) => index,
        }
    }
}

impl Wheel {
    fn new(slots: usize) -> Self {
        Self {
            heads: vec![None; slots],
            occupied: vec![0; slots.div_ceil(64)],
            tick: 0,
        }
    }

    fn head(&self, slot: usize) -> Option<TimerKey> {
        self.heads.get(slot).copied().flatten()
    }

    fn set_head(&mut self, slot: usize, head: Option<TimerKey>) {
        if let (Some(place), Some(word)) =
            (self.heads.get_mut(slot), self.occupied.get_mut(slot / 64))
        {
            *place = head;
            let bit = 1 << (slot % 64);
            *word = if head.is_some() {
                *word | bit
            } else {
                *word & !bit
            };
        }
    }

    /// Ticks from `self.tick` to the first occupied slot.
    fn distance(&self) -> Option<u64> {
        let slots = self.heads.len();
        let start = usize::try_from(self.tick % slots as u64).unwrap_or(0);
        let words = self.occupied.len();
        (0..=words).find_map(|step| {
            let index = (start / 64 + step) % words;
            let mut word = *self.occupied.get(index)?;
            if step == 0 {
                word &= u64::MAX << (start % 64);
            }
            (word != 0).then(|| {
                let slot = index * 64 + word.trailing_zeros() as usize;
                ((slot + slots - start) % slots) as u64
            })
        })
    }
}

impl<T: Copy> Timers<T> {
    pub(super) fn new(origin: Instant) -> Self {
        Self {
            origin,
            nodes: SlotMap::with_key(),
            fine: Wheel::new(FINE_SLOTS),
            coarse: Wheel::new(COARSE_SLOTS),
            soonest: Cell::new(None),
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }

    /// Fires `item` at `due`, or within a tick after it.
    pub(super) fn set(&mut self, due: Instant, item: T) -> TimerKey {
        let due = self.millis(due) + 1;
        let slot = self.slot(due);
        let head = self.wheel(slot).head(slot.index());
        let key = self.nodes.insert(Node {
            due,
            slot,
            previous: None,
            next: head,
            item,
        });
        self.become_head(key, slot, head);
        if let Some(soonest) = self.soonest.get() {
            let due = due.next_multiple_of(FINE_TICK);
            if soonest.is_none_or(|(soonest, _)| due < soonest) {
                self.soonest.set(Some(Some((due, self.instant(due)))));
            }
        }
        key
    }

    /// Where nothing is left to do for it.
    pub(super) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let node = self.nodes.remove(key)?;
        if let Some(next) = node.next.and_then(|key| self.nodes.get_mut(key)) {
            next.previous = node.previous;
        }
        match node.previous.and_then(|key| self.nodes.get_mut(key)) {
            Some(previous) => previous.next = node.next,
            None => self.wheel(node.slot).set_head(node.slot.index(), node.next),
        }
        Some(node.item)
    }

    /// Where a deadline of this millisecond belongs.
    fn slot(&self, due: u64) -> Slot {
        let tick = due.div_ceil(FINE_TICK).max(self.fine.tick);
        if tick < self.fine.tick + REACH {
            return Slot::Fine((tick % FINE_SLOTS as u64) as usize);
        }
        let last = self.coarse.tick + COARSE_SLOTS as u64 - 1;
        let tick = (due / COARSE_TICK).clamp(self.coarse.tick, last);
        Slot::Coarse((tick % COARSE_SLOTS as u64) as usize)
    }

    fn wheel(&mut self, slot: Slot) -> &mut Wheel {
        match slot {
            Slot::Fine(_) => &mut self.fine,
            Slot::Coarse(_) => &mut self.coarse,
        }
    }

    /// The node is the first of its slot; `head` was.
    fn become_head(&mut self, key: TimerKey, slot: Slot, head: Option<TimerKey>) {
        self.wheel(slot).set_head(slot.index(), Some(key));
        if let Some(node) = head.and_then(|head| self.nodes.get_mut(head)) {
            node.previous = Some(key);
        }
    }

    /// Takes one deadline that has passed. Call until there is none.
    pub(super) fn expired(&mut self, now: Instant) -> Option<T> {
        self.soonest.set(None);
        let now = self.millis(now);
        let last = now / FINE_TICK;
        if let Some(item) = self.fire(last) {
            return Some(item);
        }
        // Nothing is left up to now. What comes from the coarse wheel and is overdue, because no
        // call came in between, goes to the tick of now and not to the one after it.
        if self.fine.tick == last + 1 {
            self.fine.tick = last;
        }
        self.cascade(now);
        self.fire(last)
    }

    fn fire(&mut self, last: u64) -> Option<T> {
        while self.fine.tick <= last {
            match self.fine.distance() {
                Some(distance) if self.fine.tick + distance <= last => {
                    self.fine.tick += distance;
                    let head = self
                        .fine
                        .head((self.fine.tick % FINE_SLOTS as u64) as usize)?;
                    return self.cancel(head);
                }
                _ => self.fine.tick = last + 1,
            }
        }
        None
    }

    fn cascade(&mut self, now: u64) {
        // A coarse tick is opened once the fine wheel can hold all of it.
        let reach = now + (REACH - 3) * FINE_TICK - COARSE_TICK;
        let last = reach / COARSE_TICK;
        while self.coarse.tick <= last {
            let Some(distance) = self.coarse.distance() else {
                self.coarse.tick = last + 1;
                return;
            };
            if self.coarse.tick + distance > last {
                self.coarse.tick = last + 1;
                return;
            }
            self.coarse.tick += distance;
            self.open_coarse();
        }
    }

    fn open_coarse(&mut self) {
        let index = (self.coarse.tick % COARSE_SLOTS as u64) as usize;
        let mut next = self.coarse.head(index);
        self.coarse.set_head(index, None);
        self.coarse.tick += 1;
        while let Some(key) = next {
            let Some(node) = self.nodes.get(key) else {
                return;
            };
            next = node.next;
            let slot = self.slot(node.due);
            let head = self.wheel(slot).head(slot.index());
            if let Some(node) = self.nodes.get_mut(key) {
                (node.slot, node.previous, node.next) = (slot, None, head);
            }
            self.become_head(key, slot, head);
        }
    }

    /// When [`Timers::expired`] should next be called. Never later than the next deadline; earlier
    /// where that was cancelled.
    pub(super) fn next(&self) -> Option<Instant> {
        let (_, soonest) = match self.soonest.get() {
            Some(known) => known,
            None => {
                let found = self.search().map(|due| (due, self.instant(due)));
                self.soonest.set(Some(found));
                found
            }
        }?;
        Some(soonest)
    }

    fn instant(&self, millis: u64) -> Instant {
        self.origin + Duration::from_millis(millis)
    }

    fn search(&self) -> Option<u64> {
        let fine = self
            .fine
            .distance()
            .map(|d| (self.fine.tick + d) * FINE_TICK);
        let coarse = self.coarse.distance().map(|d| {
            let opens = (self.coarse.tick + d + 1) * COARSE_TICK;
            opens.saturating_sub((REACH - 3) * FINE_TICK)
        });
        match (fine, coarse) {
            (Some(fine), Some(coarse)) => Some(fine.min(coarse)),
            (fine, coarse) => fine.or(coarse),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(timers: &mut Timers<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| timers.expired(now)).collect()
    }

    #[test]
    fn fires_after_its_deadline_and_not_before() {
        let origin = Instant::now();
        let mut timers = Timers::new(origin);
        for (item, millis) in [(1, 5), (2, 100), (3, 9_000), (4, 3_600_000)] {
            timers.set(origin + Duration::from_millis(millis), item);
        }
        let at = |millis| origin + Duration::from_millis(millis);
        assert_eq!(drain(&mut timers, at(4)), [0_u32; 0]);
        assert_eq!(drain(&mut timers, at(20)), [1]);
        assert_eq!(drain(&mut timers, at(99)), [0_u32; 0]);
        assert_eq!(drain(&mut timers, at(112)), [2]);
        assert_eq!(drain(&mut timers, at(8_999)), [0_u32; 0]);
        assert_eq!(drain(&mut timers, at(9_016)), [3]);
        assert_eq!(drain(&mut timers, at(3_599_999)), [0_u32; 0]);
        assert_eq!(drain(&mut timers, at(3_600_016)), [4]);
        assert_eq!(timers.next(), None);
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_list(
            steps in prop::collection::vec((0_u64..200_000, 0_u64..30_000, prop::bool::ANY), 1..60)
        ) {
            let origin = Instant::now();
            let mut timers = Timers::new(origin);
            let mut model: Vec<(u64, u32, TimerKey)> = Vec::new();
            let mut now = 0;
            for (item, (delay, advance, cancel)) in steps.into_iter().enumerate() {
                let item = u32::try_from(item).unwrap();
                let key = timers.set(origin + Duration::from_millis(now + delay), item);
                model.push((now + delay, item, key));
                if cancel {
                    let (_, item, key) = model.swap_remove(model.len() / 2);
                    prop_assert_eq!(timers.cancel(key), Some(item));
                }
                if let (Some(next), Some(first)) = (timers.next(), model.iter().map(|m| m.0).min()) {
                    prop_assert!(next <= origin + Duration::from_millis(first + 2 * FINE_TICK));
                }
                now += advance;
                let fired = drain(&mut timers, origin + Duration::from_millis(now));
                for item in &fired {
                    let place = model.iter().position(|m| m.1 == *item);
                    prop_assert!(place.is_some(), "{} fired and was not set", item);
                    prop_assert!(model.swap_remove(place.unwrap()).0 <= now, "fired early");
                }
                let late = model.iter().find(|m| m.0 + 2 * FINE_TICK < now);
                prop_assert!(late.is_none(), "{:?} is late at {}", late, now);
            }
        }
    }
}
