//! Hosts of one tier and one state of health, ready to be picked from.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_policy::{WeightedCycle, load};

use super::draws::Draws;
use super::schedule::Schedule;

/// A host as a pool sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) host: usize,
    pub(super) weight: u32,
    /// Its locality within its tier, as an index of the weights.
    pub(super) group: usize,
}

/// A clone shares its hosts, and has turns of its own.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// The hosts of each group, one group after the other.
    seats: Arc<[Seat]>,
    /// One, unless localities share the tier by weight.
    groups: Vec<Group>,
    between_groups: Option<Arc<WeightedCycle>>,
}

#[derive(Clone, Debug)]
struct Group {
    /// Where its hosts start in the pool.
    start: usize,
    len: usize,
    cycle: Arc<WeightedCycle>,
    turn: u64,
}

/// Of each group of a pool, where its hosts weigh differently: they take turns by their load.
#[derive(Debug, Default)]
pub(super) struct Schedules(Vec<Option<RefCell<Schedule>>>);

impl Pool {
    /// All hosts are one group.
    pub(super) fn flat(seats: Vec<Seat>) -> Self {
        let groups = Group::of(&seats, 0).into_iter().collect();
        Self {
            seats: seats.into(),
            groups,
            between_groups: None,
        }
    }

    /// The hosts marked `true`, in their groups.
    ///
    /// The weight of a group is reduced by the part of its hosts that is missing, as in Envoy's
    /// locality weighted balancing.
    pub(super) fn by_group(
        seats: Vec<(Seat, bool)>,
        weights: &[u64],
        overprovisioning: u32,
    ) -> Self {
        let mut by_group: BTreeMap<usize, (usize, Vec<Seat>)> = BTreeMap::new();
        for (seat, here) in seats {
            let (total, present) = by_group.entry(seat.group).or_default();
            *total += 1;
            present.extend(here.then_some(seat));
        }
        let (mut seats, mut groups) = (Vec::new(), Vec::new());
        let mut effective = Vec::new();
        for (index, (total, present)) in by_group {
            let Some(group) = Group::of(&present, seats.len()) else {
                continue;
            };
            let weight = weights.get(index).copied().unwrap_or_default();
            let hosts = (count(present.len()), count(total));
            effective.push(load::effective_weight(weight, hosts, overprovisioning));
            groups.push(group);
            seats.extend(present);
        }
        Self {
            seats: seats.into(),
            between_groups: (groups.len() > 1).then(|| cycle(&effective)).flatten(),
            groups,
        }
    }

    /// Round robin starts at `turn`.
    pub(super) fn start(&mut self, turn: u64) {
        for group in &mut self.groups {
            group.turn = turn;
        }
    }

    pub(super) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    /// The host at a position.
    pub(super) fn host(&self, position: usize) -> Option<usize> {
        self.seats.get(position).map(|seat| seat.host)
    }

    /// The n-th host from a position on: those of its group first, then all others once.
    pub(super) fn host_after(&self, start: usize, n: usize) -> Option<usize> {
        let is_of = |group: &&Group| (group.start..group.start + group.len).contains(&start);
        let group = self.groups.iter().find(is_of)?;
        let position = match n < group.len {
            true => group.start + (start - group.start + n) % group.len,
            false => (group.start + n) % self.len(),
        };
        self.host(position)
    }

    /// A group, by weight.
    pub(super) fn group(&self, draws: &mut Draws) -> usize {
        match &self.between_groups {
            None => 0,
            Some(cycle) => cycle.pick(draws.next_u32()),
        }
    }

    /// The number of the next pick in turn.
    pub(super) fn take_turn(&mut self, group: usize) -> u64 {
        self.groups.get_mut(group).map_or(0, |group| {
            let turn = group.turn;
            group.turn = turn.wrapping_add(1);
            turn
        })
    }

    /// Whose turn it is, as a position.
    pub(super) fn in_turn(&self, group: usize, turn: u64) -> Option<usize> {
        let group = self.groups.get(group)?;
        Some(group.start + group.cycle.at(turn))
    }

    /// A position by weight.
    pub(super) fn at_random(&self, group: usize, draws: &mut Draws) -> Option<usize> {
        let group = self.groups.get(group)?;
        Some(group.start + group.cycle.pick(draws.next_u32()))
    }

    /// Lets hosts that weigh differently take turns by their load, as Envoy's least request balancer does.
    pub(super) fn schedules(&self, draws: &mut Draws) -> Schedules {
        let groups = self.groups.iter();
        let schedules = groups.map(|group| {
            let weights = self.seats.iter().skip(group.start).take(group.len);
            let weights = weights.map(|seat| seat.weight);
            let is_uneven = weights.clone().max() != weights.clone().min();
            is_uneven.then(|| RefCell::new(Schedule::new(weights.map(f64::from), draws)))
        });
        Schedules(schedules.collect())
    }

    /// The position of the host whose turn it is, where there are turns.
    pub(super) fn scheduled(
        &self,
        group: usize,
        schedules: &Schedules,
        load: &impl Fn(usize) -> u64,
    ) -> Option<usize> {
        let schedule = schedules.0.get(group)?.as_ref()?;
        let group = self.groups.get(group)?;
        let weight = |position: usize| {
            let seat = self.seats.get(group.start + position);
            seat.map_or(1.0, |seat| {
                f64::from(seat.weight) / (load(seat.host) as f64 + 1.0)
            })
        };
        Some(group.start + schedule.borrow_mut().pick(weight)?)
    }

    /// The less loaded of two positions that are drawn by weight.
    ///
    /// Load is relative to weight, and the first draw wins a tie: idle hosts are picked by weight,
    /// busy ones so that their requests in flight are.
    pub(super) fn less_loaded(
        &self,
        group: usize,
        draws: &mut Draws,
        load: &impl Fn(usize) -> u64,
    ) -> Option<usize> {
        let group = self.groups.get(group)?;
        if group.len == 1 {
            return Some(group.start);
        }
        let first = group.cycle.pick(draws.next_u32());
        let mut second = group.cycle.pick(draws.next_u32());
        if second == first {
            second = (first + 1) % group.len;
        }
        let (a, b) = (group.start + first, group.start + second);
        let (seat_a, seat_b) = (self.seats.get(a)?, self.seats.get(b)?);
        let load =
            |seat: &Seat, other: &Seat| u128::from(load(seat.host)) * u128::from(other.weight);
        Some(if load(seat_b, seat_a) < load(seat_a, seat_b) {
            b
        } else {
            a
        })
    }

    /// The part of each host, from 0 to 1, when all are equally busy.
    pub(super) fn shares(&self) -> Vec<(usize, f64)> {
        let mut of_group = vec![1.0; self.groups.len()];
        if let Some(cycle) = &self.between_groups {
            for (group, share) in of_group.iter_mut().enumerate() {
                *share = cycle.share(group);
            }
        }
        self.groups
            .iter()
            .zip(of_group)
            .flat_map(|(group, of_group)| {
                let seats = &self.seats[group.start..group.start + group.len];
                seats.iter().enumerate().map(move |(position, seat)| {
                    (seat.host, of_group * group.cycle.share(position))
                })
            })
            .collect()
    }
}

impl Group {
    fn of(seats: &[Seat], start: usize) -> Option<Self> {
        let weights: Vec<u64> = seats.iter().map(|seat| u64::from(seat.weight)).collect();
        Some(Self {
            start,
            len: seats.len(),
            cycle: cycle(&weights)?,
            turn: 0,
        })
    }
}

fn count(hosts: usize) -> u32 {
    u32::try_from(hosts).unwrap_or(u32::MAX)
}

/// Weights of any size, at the precision that a cycle has; `None` if there is none.
fn cycle(weights: &[u64]) -> Option<Arc<WeightedCycle>> {
    let sum = weights
        .iter()
        .fold(0u64, |sum, weight| sum.saturating_add(*weight));
    let room = u64::from(u32::MAX) - weights.len() as u64;
    let scale = sum / room + 1;
    let weights: Vec<u32> = weights
        .iter()
        .map(|&weight| match weight {
            0 => 0,
            _ => u32::try_from((weight / scale).max(1)).unwrap_or(u32::MAX),
        })
        .collect();
    WeightedCycle::new(&weights).ok().map(Arc::new)
}
