//! What the relay knows of a connection, and how large messages pass from one to another.
//!
//! Where the receiver takes no more, the sender is left unread until it does: the pieces of a message
//! wait in sockets, not here.

use std::io;

use super::Client;
use crate::link::Link;
use crate::wire::{LARGE, MAX_MESSAGE, Wire, WireError};

/// Of a large message the bytes that are looked at, and may be changed: ids lie there.
const START: usize = 64;

/// What begins a read.
pub(super) enum Message<'b> {
    Whole(&'b [u8]),
    Large {
        start: &'b [u8],
        /// What has come of it behind the start.
        piece: &'b [u8],
        /// Bytes that have not come.
        left: usize,
    },
}

impl<'b> Message<'b> {
    pub(super) fn start(&self) -> &'b [u8] {
        match self {
            Self::Whole(message) => message,
            Self::Large { start, .. } => start,
        }
    }
}

/// A message and what follows it.
type Next<'b> = Option<(Message<'b>, &'b [u8])>;

/// The first message of `bytes` and what follows it, or `None` while there is too little of it.
pub(super) fn next_message<W: Wire>(bytes: &[u8]) -> io::Result<Next<'_>> {
    let len = match W::message_len(bytes).map_err(io::Error::other)? {
        Some(len) if len > MAX_MESSAGE => return Err(io::Error::other(WireError::TooLong(len))),
        Some(len) => len,
        None if bytes.len() > LARGE => {
            return Err(io::Error::other(WireError::TooLong(bytes.len())));
        }
        None => return Ok(None),
    };
    if let Some((message, rest)) = bytes.split_at_checked(len) {
        return Ok(Some((Message::Whole(message), rest)));
    }
    let large = bytes.split_at_checked(START).filter(|_| len > LARGE);
    Ok(large.map(|(start, piece)| {
        let left = len - bytes.len();
        (Message::Large { start, piece, left }, [].as_slice())
    }))
}

/// The rest of a large message, which has left in part.
pub(super) struct Passing<T> {
    pub(super) to: T,
    pub(super) left: usize,
}

impl<T> Passing<T> {
    /// What of `bytes` belongs to it, and what follows.
    pub(super) fn take<'b>(&mut self, bytes: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
        self.left -= piece.len();
        (piece, rest)
    }

    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }
}

/// From where a large message comes.
#[derive(Clone, Copy, Debug)]
struct Feed {
    from: usize,
    /// Whether the sender was left unread.
    stalled: bool,
}

pub(super) struct Downstream {
    pub(super) link: Link,
    pub(super) serial: u64,
    /// The upstream connection that its last request took.
    pub(super) upstream: usize,
    /// Requests without an answer.
    pub(super) owed: usize,
    /// The request that it is in the middle of.
    pub(super) passing: Option<Passing<usize>>,
    fed: Option<Feed>,
}

impl Downstream {
    pub(super) fn new(link: Link, serial: u64) -> Self {
        Self {
            link,
            serial,
            upstream: 0,
            owed: 0,
            passing: None,
            fed: None,
        }
    }

    /// Nothing may come within a large answer; of one request in flight that cannot happen.
    pub(super) fn expect_free(&self) -> io::Result<()> {
        match self.fed {
            Some(_) => Err(io::Error::other("an answer within a large one")),
            None => Ok(()),
        }
    }

    /// A large answer from upstream connection `from` begins. What fails to be written is noticed at
    /// the flush.
    pub(super) fn begin(&mut self, from: usize, piece: &[u8]) {
        let stalled = false;
        self.fed = Some(Feed { from, stalled });
        let _ = self.link.pass(piece);
    }

    pub(super) fn pass(&mut self, piece: &[u8], is_last: bool) {
        let _ = self.link.pass(piece);
        self.fed.take_if(|_| is_last);
    }

    /// Whether `from` has to wait before it sends more.
    pub(super) fn is_stalled(&mut self, from: usize) -> bool {
        stall(&mut self.fed, &self.link, from)
    }

    /// The upstream connection that waited and need not any more.
    pub(super) fn unblocked(&mut self) -> Option<usize> {
        unblock(&mut self.fed, &self.link)
    }
}

pub(super) struct Upstream {
    pub(super) link: Link,
    /// The answer that it is in the middle of.
    pub(super) passing: Option<Passing<Client>>,
    fed: Option<Feed>,
}

/// All upstream connections.
pub(super) struct Upstreams {
    all: Vec<Upstream>,
    /// Whose turn it is.
    turn: usize,
    touched: Vec<usize>,
}

impl Upstreams {
    pub(super) fn new(links: Vec<Link>) -> Self {
        let upstream = |link| Upstream {
            link,
            passing: None,
            fed: None,
        };
        Self {
            all: links.into_iter().map(upstream).collect(),
            turn: 0,
            touched: Vec::new(),
        }
    }

    pub(super) fn get(&mut self, index: usize) -> io::Result<&mut Upstream> {
        self.all.get_mut(index).ok_or_else(none_is_free)
    }

    /// The next that no large request is on its way to.
    pub(super) fn next(&mut self) -> io::Result<usize> {
        for _ in 0..self.all.len() {
            let index = self.turn;
            self.turn = (self.turn + 1) % self.all.len();
            if self.get(index)?.fed.is_none() {
                return Ok(index);
            }
        }
        Err(none_is_free())
    }

    /// A connection that is written to at the end of the turn.
    pub(super) fn touch(&mut self, index: usize) -> io::Result<&mut Link> {
        let upstream = self.all.get_mut(index).filter(|it| it.fed.is_none());
        let link = &mut upstream.ok_or_else(none_is_free)?.link;
        if !std::mem::replace(&mut link.queued, true) {
            self.touched.push(index);
        }
        Ok(link)
    }

    /// A large request of client `from` begins.
    pub(super) fn begin(&mut self, index: usize, from: usize, piece: &[u8]) -> io::Result<()> {
        let upstream = self.get(index)?;
        let stalled = false;
        upstream.fed = Some(Feed { from, stalled });
        upstream.link.pass(piece).map(|_| ())
    }

    pub(super) fn pass(&mut self, index: usize, piece: &[u8], is_last: bool) -> io::Result<()> {
        let upstream = self.get(index)?;
        upstream.fed.take_if(|_| is_last);
        upstream.link.pass(piece).map(|_| ())
    }

    /// Whether client `from` has to wait before it sends more there.
    pub(super) fn is_stalled(&mut self, index: usize, from: usize) -> bool {
        let upstream = self.all.get_mut(index);
        upstream.is_some_and(|it| stall(&mut it.fed, &it.link, from))
    }

    /// The client that waited for a connection and need not any more.
    pub(super) fn unblocked(&mut self, index: usize) -> Option<usize> {
        let upstream = self.all.get_mut(index)?;
        unblock(&mut upstream.fed, &upstream.link)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        for index in self.touched.drain(..) {
            if let Some(upstream) = self.all.get_mut(index) {
                upstream.link.queued = false;
                upstream.link.flush()?;
            }
        }
        Ok(())
    }
}

fn stall(fed: &mut Option<Feed>, link: &Link, from: usize) -> bool {
    let Some(feed) = fed.as_mut().filter(|feed| feed.from == from) else {
        return false;
    };
    feed.stalled = link.is_blocked();
    feed.stalled
}

fn unblock(fed: &mut Option<Feed>, link: &Link) -> Option<usize> {
    let feed = fed.as_mut().filter(|_| !link.is_blocked())?;
    std::mem::take(&mut feed.stalled).then_some(feed.from)
}

fn none_is_free() -> io::Error {
    io::Error::other("no upstream connection is free of large requests")
}
