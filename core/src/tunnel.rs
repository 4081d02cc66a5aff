//! A tunnel: two connections, and bytes that pass between them as they come.
//!
//! A state machine without I/O or clock. Whoever drives it tells what happened, writes what is
//! [`Tunnel::unsent`], and does the [`Step`] that it is told.
//!
//! **Invariant:** each direction holds at most what one read has brought: nothing more is read of one
//! side while the other has not taken that.
//!
//! **Invariant:** the end of one side's bytes reaches the other behind the last of them, and the other
//! direction goes on (Envoy's `tcp_proxy` with half-close).

use std::time::Instant;

/// One of the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// The client's.
    Downstream,
    /// The endpoint's.
    Upstream,
}

impl Side {
    /// The other one.
    #[must_use]
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Downstream => Self::Upstream,
            Self::Upstream => Self::Downstream,
        }
    }
}

/// What there is to do after something has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write to this side what is unsent.
    Flush(Side),
    /// This side may be read again.
    Resume(Side),
    /// Tell this side that there is no more to come.
    Shutdown(Side),
}

/// Two connections, and what is on its way between them.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// From the client to the endpoint.
    up: Flow,
    /// From the endpoint to the client.
    down: Flow,
    /// The endpoint's connection is there.
    connected: bool,
    last_moved: Instant,
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    bytes: Vec<u8>,
    /// So many of them have left.
    start: usize,
    /// Its source sends no more.
    ended: bool,
    /// Its destination was told so, or wants to hear nothing any more.
    closed: bool,
    /// All that came of its source.
    came: u64,
    /// All that its destination took.
    left: u64,
}

impl Tunnel {
    /// The client is there, the endpoint is not.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            up: Flow::default(),
            down: Flow::default(),
            connected: false,
            last_moved: now,
        }
    }

    /// The endpoint's connection is there.
    pub(crate) fn connected(&mut self, now: Instant) -> Option<Step> {
        self.connected = true;
        self.last_moved = now;
        match self.up.is_empty() {
            true => self.pass_end(Side::Downstream),
            false => Some(Step::Flush(Side::Upstream)),
        }
    }

    /// Whether the endpoint's connection is there.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether more bytes of this side are welcome.
    pub(crate) fn wants_read(&self, from: Side) -> bool {
        let flow = self.flow(from);
        flow.is_empty() && !flow.ended
    }

    /// Whether what this side sends next may be written to the other one at once.
    pub(crate) fn passes(&self, from: Side) -> bool {
        self.is_open(from.other()) && self.wants_read(from)
    }

    /// This side sent `bytes`, of which so many have been written to the other one already.
    pub(crate) fn received(
        &mut self,
        from: Side,
        (bytes, gone): (&[u8], usize),
        now: Instant,
    ) -> Option<Step> {
        self.last_moved = now;
        let is_open = self.is_open(from.other());
        let flow = self.flow_mut(from);
        if flow.closed {
            return None;
        }
        flow.came += bytes.len() as u64;
        flow.left += gone as u64;
        let rest = bytes.get(gone..).unwrap_or_default();
        flow.bytes.extend_from_slice(rest);
        (is_open && !rest.is_empty()).then_some(Step::Flush(from.other()))
    }

    /// What waits to be written to this side.
    pub(crate) fn unsent(&self, to: Side) -> &[u8] {
        match self.is_open(to) {
            true => self.flow(to.other()).unsent(),
            false => &[],
        }
    }

    /// This side took the first `n` of what waits for it.
    pub(crate) fn sent(&mut self, to: Side, n: usize, now: Instant) -> Option<Step> {
        self.last_moved = now;
        let from = to.other();
        let flow = self.flow_mut(from);
        flow.consume(n);
        match (flow.is_empty(), flow.ended) {
            (false, _) => None,
            (true, false) => Some(Step::Resume(from)),
            (true, true) => self.pass_end(from),
        }
    }

    /// This side sends no more.
    pub(crate) fn end_of_file(&mut self, from: Side) -> Option<Step> {
        self.flow_mut(from).ended = true;
        self.pass_end(from)
    }

    /// The connection of this side broke. False: nothing is owed to the other side any more.
    ///
    /// Where it had ended its bytes before, they still reach the other side, whose own are dropped.
    pub(crate) fn lost(&mut self, side: Side) -> bool {
        let goes_on = self.flow(side).ended;
        let dropped = self.flow_mut(side.other());
        (dropped.ended, dropped.closed) = (true, true);
        (dropped.bytes, dropped.start) = (Vec::new(), 0);
        goes_on
    }

    /// Whether both sides were told that there is no more.
    pub(crate) fn is_over(&self) -> bool {
        self.up.closed && self.down.closed
    }

    /// When something moved last.
    pub(crate) fn last_moved(&self) -> Instant {
        self.last_moved
    }

    /// How many bytes came of this side.
    pub(crate) fn came(&self, from: Side) -> u64 {
        self.flow(from).came
    }

    /// How many bytes this side took.
    pub(crate) fn took(&self, to: Side) -> u64 {
        self.flow(to.other()).left
    }

    /// Bytes that wait.
    #[cfg(test)]
    fn buffered(&self) -> usize {
        self.up.unsent().len() + self.down.unsent().len()
    }

    /// Tells the other side of the end of this one's bytes, once it has all of them.
    fn pass_end(&mut self, from: Side) -> Option<Step> {
        let is_open = self.is_open(from.other());
        let flow = self.flow_mut(from);
        if !is_open || !flow.ended || flow.closed || !flow.is_empty() {
            return None;
        }
        flow.closed = true;
        Some(Step::Shutdown(from.other()))
    }

    /// Whether this side can be written to.
    fn is_open(&self, side: Side) -> bool {
        self.connected || side == Side::Downstream
    }

    fn flow(&self, from: Side) -> &Flow {
        match from {
            Side::Downstream => &self.up,
            Side::Upstream => &self.down,
        }
    }

    fn flow_mut(&mut self, from: Side) -> &mut Flow {
        match from {
            Side::Downstream => &mut self.up,
            Side::Upstream => &mut self.down,
        }
    }
}

impl Flow {
    fn unsent(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// A direction in which nothing waits holds no memory: most tunnels are silent most of the time.
    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.bytes.len());
        self.left += n as u64;
        if self.is_empty() {
            (self.bytes, self.start) = (Vec::new(), 0);
        }
    }
}

#[cfg(test)]
mod tests;
