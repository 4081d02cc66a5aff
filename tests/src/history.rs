//! Whether what clients saw of one value could have happened in some order: linearizability, by the
//! search of Wing and Gong with Lowe's memory of what was tried
//! (<https://www.cs.ox.ac.uk/people/gavin.lowe/LinearizabiltyTesting/paper.pdf>).

use std::collections::HashSet;
use std::fmt;

/// What was done to a value, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes it.
    Set(i64),
    /// Reads it: this.
    Get(Option<i64>),
    /// Adds one; the sum where it is known. A missing value counts as 0.
    Incr(Option<i64>),
    /// Writes the second where it is the first.
    Cas(Option<i64>, i64),
}

/// One operation of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub action: Action,
    /// When it was asked for; of any clock that all share.
    pub invoked: u64,
    /// When its answer was there. `None`: it may have happened at any time since, or never.
    pub returned: Option<u64>,
}

/// How far an order could be found.
#[derive(Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The longest order, and the value after it.
    pub order: Vec<Operation>,
    pub value: Option<i64>,
    /// What would have to come next, and cannot.
    pub next: Vec<Operation>,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.order.len().saturating_sub(8);
        writeln!(f, "after {skipped} others:")?;
        for operation in self.order.iter().skip(skipped) {
            writeln!(f, "  {operation:?}")?;
        }
        writeln!(
            f,
            "the value is {:?}, and none of these may follow:",
            self.value
        )?;
        for operation in &self.next {
            writeln!(f, "  {operation:?}")?;
        }
        Ok(())
    }
}

impl Action {
    /// The value afterwards; `None` where it cannot have been so.
    fn apply(self, value: Option<i64>) -> Option<Option<i64>> {
        match self {
            Self::Set(new) => Some(Some(new)),
            Self::Get(read) => (read == value).then_some(value),
            Self::Incr(sum) => {
                let new = value.unwrap_or(0) + 1;
                sum.is_none_or(|sum| sum == new).then_some(Some(new))
            }
            Self::Cas(old, new) => (old == value).then_some(Some(new)),
        }
    }
}

/// Finds an order of the operations that explains all answers, the value being missing at first.
///
/// # Errors
/// When there is none.
pub fn linearizable(operations: &[Operation]) -> Result<(), Contradiction> {
    let mut operations = operations.to_vec();
    operations.sort_by_key(|operation| operation.invoked);
    let mut search = Search {
        done: vec![false; operations.len()],
        left: operations.iter().filter(|o| o.returned.is_some()).count(),
        operations,
        value: None,
        order: Vec::new(),
        tried: HashSet::new(),
        best: None,
    };
    search.run()
}

struct Search {
    operations: Vec<Operation>,
    done: Vec<bool>,
    /// Operations with answers that have no place yet.
    left: usize,
    value: Option<i64>,
    /// The operations that have a place, each with the value before it.
    order: Vec<(usize, Option<i64>)>,
    tried: HashSet<(Vec<u64>, Option<i64>)>,
    best: Option<Contradiction>,
}

impl Search {
    fn run(&mut self) -> Result<(), Contradiction> {
        let mut from = 0;
        while self.left > 0 {
            let candidates = self.candidates();
            if let Some(step) = (from..candidates.len()).find(|step| self.place(candidates[*step]))
            {
                let _ = step;
                from = 0;
                continue;
            }
            self.note(&candidates);
            let Some((last, value)) = self.order.pop() else {
                return Err(self.best.take().expect("it was noted"));
            };
            self.done[last] = false;
            self.left += usize::from(self.operations[last].returned.is_some());
            self.value = value;
            from = self
                .candidates()
                .iter()
                .position(|candidate| *candidate == last)
                .map_or(0, |place| place + 1);
        }
        Ok(())
    }

    /// What may come next: what was asked for before any of the rest was answered. Those with
    /// answers first.
    fn candidates(&self) -> Vec<usize> {
        let rest = || (0..self.operations.len()).filter(|n| !self.done[*n]);
        let first = rest().filter_map(|n| self.operations[n].returned).min();
        let open =
            rest().take_while(|n| first.is_none_or(|first| self.operations[*n].invoked <= first));
        let (answered, unknown): (Vec<_>, Vec<_>) =
            open.partition(|n| self.operations[*n].returned.is_some());
        answered.into_iter().chain(unknown).collect()
    }

    /// False: it cannot be so, or that was tried.
    fn place(&mut self, n: usize) -> bool {
        let Some(value) = self.operations[n].action.apply(self.value) else {
            return false;
        };
        self.done[n] = true;
        let mut bits = vec![0; self.done.len().div_ceil(64)];
        for (n, _) in self.done.iter().enumerate().filter(|(_, done)| **done) {
            bits[n / 64] |= 1 << (n % 64);
        }
        if !self.tried.insert((bits, value)) {
            self.done[n] = false;
            return false;
        }
        self.left -= usize::from(self.operations[n].returned.is_some());
        self.order.push((n, self.value));
        self.value = value;
        true
    }

    fn note(&mut self, candidates: &[usize]) {
        let longest = self.best.as_ref().map_or(0, |best| best.order.len());
        if self.best.is_some() && self.order.len() <= longest {
            return;
        }
        self.best = Some(Contradiction {
            order: self
                .order
                .iter()
                .map(|(n, _)| self.operations[*n])
                .collect(),
            value: self.value,
            next: candidates.iter().map(|n| self.operations[*n]).collect(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(action: Action, invoked: u64, returned: u64) -> Operation {
        Operation {
            action,
            invoked,
            returned: Some(returned),
        }
    }

    fn may_have_done(action: Action, invoked: u64) -> Operation {
        Operation {
            action,
            invoked,
            returned: None,
        }
    }

    #[test]
    fn what_overlaps_may_be_in_any_order() {
        let history = [
            did(Action::Set(1), 0, 10),
            did(Action::Get(None), 1, 9),
            did(Action::Get(Some(1)), 2, 8),
            did(Action::Incr(Some(2)), 3, 20),
            did(Action::Cas(Some(2), 7), 3, 20),
            did(Action::Get(Some(7)), 21, 22),
        ];
        assert_eq!(linearizable(&history), Ok(()));
    }

    #[test]
    fn an_old_value_is_not_read_again() {
        let history = [
            did(Action::Set(1), 0, 1),
            did(Action::Set(2), 2, 3),
            did(Action::Get(Some(1)), 4, 5),
        ];
        let told = linearizable(&history).unwrap_err();
        assert_eq!((told.order.len(), told.value), (2, Some(2)));
        // Nor by one reader after another has read the new one.
        let history = [
            did(Action::Set(1), 0, 1),
            did(Action::Set(2), 2, 9),
            did(Action::Get(Some(2)), 3, 4),
            did(Action::Get(Some(1)), 5, 6),
        ];
        assert!(linearizable(&history).is_err());
    }

    #[test]
    fn no_update_is_lost_and_none_is_made_twice() {
        let lost = [
            did(Action::Incr(Some(1)), 0, 5),
            did(Action::Incr(Some(1)), 1, 6),
        ];
        assert!(linearizable(&lost).is_err());
        let twice = [
            did(Action::Incr(Some(1)), 0, 1),
            did(Action::Incr(Some(3)), 2, 3),
        ];
        assert!(linearizable(&twice).is_err());
        let both = [
            did(Action::Set(4), 0, 1),
            did(Action::Cas(Some(4), 5), 2, 6),
            did(Action::Cas(Some(4), 6), 3, 7),
        ];
        assert!(linearizable(&both).is_err());
    }

    #[test]
    fn what_was_not_answered_happened_later_or_never() {
        let history = [
            did(Action::Set(1), 0, 1),
            may_have_done(Action::Set(2), 2),
            may_have_done(Action::Incr(None), 2),
            did(Action::Get(Some(1)), 4, 5),
            did(Action::Get(Some(3)), 6, 7),
        ];
        assert_eq!(linearizable(&history), Ok(()));
        let history = [
            did(Action::Get(Some(2)), 0, 1),
            may_have_done(Action::Set(2), 2),
        ];
        assert!(
            linearizable(&history).is_err(),
            "not before it was asked for"
        );
        let history = [
            may_have_done(Action::Set(2), 0),
            did(Action::Get(Some(2)), 1, 2),
            did(Action::Get(None), 3, 4),
        ];
        assert!(
            linearizable(&history).is_err(),
            "what was seen has happened"
        );
    }

    #[test]
    fn a_long_history_is_judged_soon() {
        let mut history = Vec::new();
        for n in 0..3000 {
            let sum = i64::try_from(n).unwrap();
            // Four at a time.
            history.push(did(Action::Incr(Some(sum + 1)), n, n + 4));
            if n % 50 == 0 {
                history.push(may_have_done(Action::Set(-1), n));
            }
        }
        assert_eq!(linearizable(&history), Ok(()));
    }
}
