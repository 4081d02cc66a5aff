//! Who answered which calls: in all, and of late.

use std::collections::{BTreeMap, VecDeque};

use dubbo_rs_codec::Status;

use super::{
    consumer::{Method, Seen},
    provider::{ROLES, Role},
};

/// Slices of time that "of late" consists of.
const SLICES: usize = 4;

/// How often something happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// By provider, in the order of [`ROLES`], and by method.
    answered: [[u64; Method::ALL.len()]; ROLES.len()],
    /// The proxy's own answers, by their status.
    pub(super) refused: BTreeMap<u8, u64>,
    pub(super) wrong: u64,
    pub(super) unanswered: u64,
}

impl Counts {
    pub(super) fn add(&mut self, seen: &Seen) {
        match seen {
            Seen::Answered { method, provider } => {
                let role = ROLES.iter().position(|role| role.name == provider);
                let cell = role.and_then(|role| self.answered.get_mut(role));
                match cell.and_then(|methods| methods.get_mut(*method as usize)) {
                    Some(cell) => *cell += 1,
                    None => self.wrong += 1,
                }
            }
            Seen::Refused { status } => *self.refused.entry(status.0).or_default() += 1,
            Seen::Wrong => self.wrong += 1,
            Seen::Unanswered => self.unanswered += 1,
        }
    }

    /// Calls that providers answered, of these methods by those who fit.
    pub(super) fn of(&self, methods: &[Method], fits: impl Fn(&Role) -> bool) -> u64 {
        let rows = ROLES.iter().zip(&self.answered);
        rows.filter(|(role, _)| fits(role))
            .flat_map(|(_, counts)| {
                methods
                    .iter()
                    .filter_map(|method| counts.get(*method as usize))
            })
            .sum()
    }

    /// Calls that providers answered.
    pub(super) fn answered(&self) -> u64 {
        self.of(&Method::ALL, |_| true)
    }

    /// Calls that the proxy answered itself.
    pub(super) fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    /// The statuses of the proxy's own answers and how often they came, in words.
    pub(super) fn refusals(&self) -> Vec<(String, u64)> {
        let named = self.refused.iter();
        named
            .map(|(status, times)| (Status(*status).to_string(), *times))
            .collect()
    }
}

/// Counts of the whole demonstration, and of its last slices of time.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) total: Counts,
    slices: VecDeque<Counts>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            total: Counts::default(),
            slices: VecDeque::from([Counts::default()]),
        }
    }

    pub(super) fn add(&mut self, seen: &Seen) {
        self.total.add(seen);
        if let Some(slice) = self.slices.back_mut() {
            slice.add(seen);
        }
    }

    /// A new slice of time begins.
    pub(super) fn turn(&mut self) {
        self.slices.push_back(Counts::default());
        while self.slices.len() > SLICES + 1 {
            self.slices.pop_front();
        }
    }

    /// Forgets what was of late.
    pub(super) fn start_over(&mut self) {
        self.slices = VecDeque::from([Counts::default()]);
    }

    /// The last whole slices together; `None` where there are not enough of them.
    pub(super) fn of_late(&self) -> Option<Counts> {
        if self.slices.len() <= SLICES {
            return None;
        }
        let mut sum = Counts::default();
        for slice in self.slices.iter().take(SLICES) {
            for (row, more) in sum.answered.iter_mut().zip(&slice.answered) {
                for (cell, more) in row.iter_mut().zip(more) {
                    *cell += more;
                }
            }
            for (status, times) in &slice.refused {
                *sum.refused.entry(*status).or_default() += times;
            }
            sum.wrong += slice.wrong;
            sum.unanswered += slice.unanswered;
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(provider: &str) -> Seen {
        Seen::Answered {
            method: Method::Hello,
            provider: provider.to_owned(),
        }
    }

    #[test]
    fn of_late_is_the_last_whole_slices() {
        let mut tally = Tally::new();
        tally.add(&answer("v1-eu-a"));
        for _ in 0..SLICES - 1 {
            tally.turn();
            assert!(tally.of_late().is_none());
        }
        tally.turn();
        tally.add(&answer("v1-eu-b"));
        assert_eq!(tally.of_late().unwrap().answered(), 1);
        tally.turn();
        let late = tally.of_late().unwrap();
        assert_eq!(late.of(&[Method::Hello], |role| role.locality == "eu/b"), 1);
        assert_eq!(late.answered(), 1, "the first slice is long ago");
        assert_eq!(tally.total.answered(), 2);
    }

    #[test]
    fn an_answer_of_nobody_is_wrong() {
        let mut tally = Tally::new();
        tally.add(&answer("v9"));
        assert_eq!((tally.total.answered(), tally.total.wrong), (0, 1));
    }
}
