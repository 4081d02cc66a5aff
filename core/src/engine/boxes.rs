//! Boxes that requests give back for later ones.

/// Boxes that are kept at most.
const MOST: usize = 1024;

/// Boxes that nobody uses now.
pub(super) struct Boxes<T>(Vec<Box<T>>);

impl<T> Default for Boxes<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Boxes<T> {
    /// A box as somebody has left it.
    pub(super) fn used(&mut self) -> Option<Box<T>> {
        self.0.pop()
    }

    /// A box with `value` in it.
    pub(super) fn put(&mut self, value: T) -> Box<T> {
        match self.used() {
            Some(mut used) => {
                *used = value;
                used
            }
            None => Box::new(value),
        }
    }

    pub(super) fn give(&mut self, used: Box<T>) {
        if self.0.len() < MOST {
            self.0.push(used);
        }
    }
}
