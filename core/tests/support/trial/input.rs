//! The fuzzer's bytes, read as choices.

/// What is left of an input. At its end, every choice is 0.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    /// As many bytes as the next one says, or as there are.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    /// One of them.
    pub(crate) fn among<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let index = usize::from(self.byte()).checked_rem(choices.len())?;
        choices.get(index).copied()
    }

    /// A number of bytes: few, some, or more than are kept as a whole.
    pub(crate) fn size(&mut self) -> usize {
        [0, 1, 7, 60, 700, 3000, 5000, 20_000][usize::from(self.byte() & 7)]
    }

    /// How much of `all` is moved now.
    pub(crate) fn part(&mut self, all: usize) -> usize {
        match self.byte() {
            0 => all,
            few @ 1..=127 => usize::from(few).min(all),
            many => (usize::from(many - 127) * 64).min(all),
        }
    }
}
