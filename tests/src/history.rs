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
    let mut sorted = operations.to_vec();
    sorted.sort_by_key(|operation| operation.invoked);
    let (answered, unknown): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|o| o.returned.is_some());
    let mut search = Search {
        done: vec![false; answered.len() + unknown.len()],
        answered: answered.len(),
        operations: answered.into_iter().chain(unknown).collect(),
        first: 0,
        value: None,
        order: Vec::new(),
        tried: HashSet::new(),
        best: None,
    };
    search.run()
}

struct Search {
    /// Those with answers, in the order in which they were asked for; then those without.
    operations: Vec<Operation>,
    answered: usize,
    done: Vec<bool>,
    /// All with answers before this have a place.
    first: usize,
    value: Option<i64>,
    /// The operations that have a place, each with the value before it.
    order: Vec<(usize, Option<i64>)>,
    tried: HashSet<State>,
    best: Option<Contradiction>,
}

/// What has a place: all up to the first that has none, and of the others these. With the value.
type State = (usize, Vec<usize>, Option<i64>);

impl Search {
    fn run(&mut self) -> Result<(), Contradiction> {
        let mut from = 0;
        while self.first < self.answered {
            let candidates = self.candidates();
            if candidates.iter().skip(from).any(|n| self.place(*n)) {
                from = 0;
                continue;
            }
            self.note(&candidates);
            let Some((last, value)) = self.order.pop() else {
                return Err(self.best.take().expect("it was noted"));
            };
            self.done[last] = false;
            self.first = self.first.min(last);
            self.value = value;
            let mut candidates = self.candidates().into_iter();
            from = candidates
                .position(|n| n == last)
                .map_or(0, |place| place + 1);
        }
        Ok(())
    }

    /// What may come next: what was asked for before any of the rest was answered. Those with
    /// answers first.
    fn candidates(&self) -> Vec<usize> {
        let mut first = u64::MAX;
        let mut open = Vec::new();
        for n in (self.first..self.answered).filter(|n| !self.done[*n]) {
            let operation = &self.operations[n];
            if operation.invoked > first {
                break;
            }
            first = first.min(operation.returned.unwrap_or(u64::MAX));
            open.push(n);
        }
        open.retain(|n| self.operations[*n].invoked <= first);
        let unknown = self.answered..self.operations.len();
        open.extend(unknown.filter(|n| !self.done[*n] && self.operations[*n].invoked <= first));
        open
    }

    /// False: it cannot be so, or that was tried.
    fn place(&mut self, n: usize) -> bool {
        let Some(value) = self.operations[n].action.apply(self.value) else {
            return false;
        };
        self.done[n] = true;
        let mut first = self.first;
        while first < self.answered && self.done[first] {
            first += 1;
        }
        // Nothing that was asked for after the first without a place was answered has one.
        let until = self.operations.get(first).and_then(|first| first.returned);
        let ahead = (first..self.answered)
            .take_while(|n| until.is_none_or(|until| self.operations[*n].invoked <= until));
        let unknown = self.answered..self.operations.len();
        let others = ahead.chain(unknown).filter(|n| self.done[*n]).collect();
        if !self.tried.insert((first, others, value)) {
            self.done[n] = false;
            return false;
        }
        self.first = first;
        self.order.push((n, self.value));
        self.value = value;
        true
    }

    fn note(&mut self, candidates: &[usize]) {
        let longest = self.best.as_ref().map_or(0, |best| best.order.len());
        if self.best.is_some() && self.order.len() <= longest {
            return;
        }
        let operation = |n: &usize| self.operations[*n];
        self.best = Some(Contradiction {
            order: self.order.iter().map(|(n, _)| operation(n)).collect(),
            value: self.value,
            next: candidates.iter().map(operation).collect(),
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
