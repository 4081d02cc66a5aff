//! Bytes on their way to a peer, and the spare buffers that idle connections give back.

/// The unsent bytes of one connection, with positions counted from the connection's first byte.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    start: usize,
    sent: u64,
    /// A flush was asked for and has not emptied the queue yet.
    pub(super) flushing: bool,
}

impl Outbox {
    #[inline]
    pub(super) fn unsent(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that have left.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The position of the next byte that is appended.
    #[inline]
    pub(super) fn end(&self) -> u64 {
        self.sent + self.len() as u64
    }

    /// The buffer to append to.
    #[inline]
    pub(super) fn append(&mut self, spare: &mut Spare) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = spare.take();
        }
        &mut self.bytes
    }

    /// The unsent bytes from `position` on, where none of them has left.
    pub(super) fn from(&self, position: u64) -> Option<&[u8]> {
        let offset = usize::try_from(position.checked_sub(self.sent)?).ok()?;
        self.unsent().get(offset..)
    }

    /// `n` bytes have left that were not appended: nothing was unsent before them.
    pub(super) fn pass(&mut self, n: usize) {
        debug_assert!(n == 0 || self.is_empty(), "bytes overtake others");
        self.sent += n as u64;
    }

    /// `n` bytes have left.
    pub(super) fn consume(&mut self, n: usize, spare: &mut Spare) {
        self.start = (self.start + n).min(self.bytes.len());
        self.sent += n as u64;
        if self.start == self.bytes.len() {
            self.start = 0;
            self.flushing = false;
            spare.give(std::mem::take(&mut self.bytes));
        } else if self.start >= Spare::LARGEST {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

/// Empty buffers, so that a connection owns one only while it has something to send.
#[derive(Debug, Default)]
pub(super) struct Spare {
    buffers: Vec<Vec<u8>>,
    /// The fewest that there were since they were looked through last: so many nobody has needed.
    unneeded: usize,
}

impl Spare {
    /// Buffers that grew beyond this (bytes) are freed instead of kept.
    const LARGEST: usize = 128 * 1024;
    const MOST: usize = 64;
    /// So many stay however little there is to do.
    const KEPT: usize = 4;
    const FIRST: usize = 4 * 1024;

    pub(super) fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop();
        self.unneeded = self.unneeded.min(self.buffers.len());
        buffer.unwrap_or_else(|| Vec::with_capacity(Self::FIRST))
    }

    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        let is_of_use = (1..=Self::LARGEST).contains(&buffer.capacity());
        if !is_of_use || self.buffers.len() >= Self::MOST {
            return;
        }
        buffer.clear();
        self.buffers.push(buffer);
    }

    pub(super) fn len(&self) -> usize {
        self.buffers.len()
    }

    /// Whether there are more than stay however little there is to do.
    pub(super) fn may_shrink(&self) -> bool {
        self.buffers.len() > Self::KEPT
    }

    /// Frees those that nobody has needed since the last call. The last ones are those in use.
    pub(super) fn shrink(&mut self) {
        let spared = self.buffers.len().saturating_sub(Self::KEPT);
        self.buffers.drain(..self.unneeded.min(spared));
        self.buffers.shrink_to(Self::KEPT);
        self.unneeded = self.buffers.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_the_first_byte() {
        let mut spare = Spare::default();
        let mut outbox = Outbox::default();
        outbox.append(&mut spare).extend_from_slice(b"abcdef");
        assert_eq!(outbox.end(), 6);
        outbox.consume(2, &mut spare);
        assert_eq!((outbox.sent(), outbox.unsent()), (2, &b"cdef"[..]));
        assert_eq!(outbox.from(4), Some(&b"ef"[..]));
        assert_eq!(outbox.from(1), None, "that byte has left");
        outbox.consume(4, &mut spare);
        assert!(outbox.is_empty());
        assert_eq!(outbox.end(), 6);
        outbox.append(&mut spare).push(b'g');
        assert_eq!(outbox.from(6), Some(&b"g"[..]));
    }

    #[test]
    fn an_empty_outbox_owns_no_buffer() {
        let mut spare = Spare::default();
        let mut outbox = Outbox::default();
        outbox.append(&mut spare).push(1);
        outbox.consume(1, &mut spare);
        assert_eq!(outbox.bytes.capacity(), 0);
        assert_eq!(spare.len(), 1);
    }

    #[test]
    fn buffers_that_nobody_needs_are_freed_and_those_in_use_stay() {
        let mut spare = Spare::default();
        let taken: Vec<_> = (0..20).map(|_| spare.take()).collect();
        taken.into_iter().for_each(|buffer| spare.give(buffer));
        spare.shrink();
        assert_eq!(spare.len(), 20, "all of them were needed");
        let taken: Vec<_> = (0..7).map(|_| spare.take()).collect();
        taken.into_iter().for_each(|buffer| spare.give(buffer));
        spare.shrink();
        assert_eq!(spare.len(), 7);
        assert!(spare.may_shrink());
        spare.shrink();
        assert_eq!(spare.len(), Spare::KEPT);
        assert!(!spare.may_shrink());
    }
}
