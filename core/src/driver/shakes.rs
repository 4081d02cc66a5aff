//! Clients that have not ended their handshake: so many a worker has at most, and of more the oldest give way, since who
//! means well is soon done.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use mio::Token;

/// Those of a worker.
#[derive(Debug)]
pub(super) struct Shakes {
    most: usize,
    under_way: Rc<Cell<usize>>,
    /// In the order in which they came; some may be done.
    all: VecDeque<Token>,
}

/// One that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Shake(Rc<Cell<usize>>);

impl Shakes {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            under_way: Rc::default(),
            all: VecDeque::new(),
        }
    }

    /// One more begins, under this name.
    pub(super) fn begin(&mut self, token: Token) -> Shake {
        self.all.push_back(token);
        self.under_way.set(self.under_way.get() + 1);
        Shake(Rc::clone(&self.under_way))
    }

    /// The oldest that is still under way, as `is` says, where there are more than there may be.
    pub(super) fn too_many(&mut self, is: impl Fn(Token) -> bool) -> Option<Token> {
        while self.all.front().is_some_and(|token| !is(*token)) {
            self.all.pop_front();
        }
        // What has ended in the midst of them is in nobody's way, as long as there is not much of it.
        if self.all.len() > self.most.saturating_mul(2) {
            self.all.retain(|token| is(*token));
        }
        match self.under_way.get() > self.most {
            true => self.all.pop_front(),
            false => None,
        }
    }
}

impl Drop for Shake {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_and_what_is_done_does_not_count() {
        let mut shakes = Shakes::new(3);
        let mut open = Vec::new();
        for i in 0..3 {
            open.push((Token(i), shakes.begin(Token(i))));
        }
        let is = |open: &Vec<(Token, Shake)>, token| open.iter().any(|(it, _)| *it == token);
        assert_eq!(shakes.too_many(|token| is(&open, token)), None);
        open.remove(0);
        open.push((Token(3), shakes.begin(Token(3))));
        assert_eq!(shakes.too_many(|token| is(&open, token)), None);
        open.push((Token(4), shakes.begin(Token(4))));
        assert_eq!(shakes.too_many(|token| is(&open, token)), Some(Token(1)));
        open.remove(0);
        assert_eq!(shakes.too_many(|token| is(&open, token)), None);
    }

    #[test]
    fn those_that_are_done_are_forgotten() {
        let mut shakes = Shakes::new(10);
        let _oldest = shakes.begin(Token(0));
        for i in 1..1000 {
            drop(shakes.begin(Token(i)));
            assert_eq!(shakes.too_many(|token| token == Token(0)), None);
            assert!(shakes.all.len() <= 21);
        }
    }
}
