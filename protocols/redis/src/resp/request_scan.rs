//! Where a request ends: an array of bulk strings, or an inline line
//! (`processMultibulkBuffer`, `processInlineBuffer` of Redis' `networking.c`).

use std::ops::Range;

use memchr::memchr;

use super::{
    Scanned,
    number::{self, Digits},
};

/// The longest line of an inline command, and of a count or length, in bytes
/// (`PROTO_INLINE_MAX_SIZE`).
pub const LINE: usize = 64 * 1024;
/// The longest bulk string in bytes (`proto-max-bulk-len`).
pub const BULK: i64 = 512 * 1024 * 1024;
/// Before a client has authenticated: arguments of a command, bytes of each.
const LOCKED: (i64, i64) = (10, 16 * 1024);

/// What a request breaks, in Redis' own words. The connection is closed after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The line of an inline command does not end.
    #[error("too big inline request")]
    Inline,
    /// An inline command with an open quote.
    #[error("unbalanced quotes in request")]
    Quotes,
    /// The line after `*` does not end.
    #[error("too big mbulk count string")]
    CountLine,
    /// No number of arguments.
    #[error("invalid multibulk length")]
    Count,
    /// Too many arguments for a client that has not authenticated.
    #[error("unauthenticated multibulk length")]
    LockedCount,
    /// The line after `$` does not end.
    #[error("too big bulk count string")]
    LengthLine,
    /// Something else in the place of `$`.
    #[error("expected '$', got '{0}'")]
    Dollar(char),
    /// No length of an argument.
    #[error("invalid bulk length")]
    Length,
    /// Too long an argument for a client that has not authenticated.
    #[error("unauthenticated bulk length")]
    LockedLength,
    /// More than the proxy lets pass, and its end is not known.
    #[error("the request is larger than the limit of the proxy")]
    TooLarge,
}

impl ProtocolError {
    /// For a log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Inline => "an inline command of more than 64 KiB",
            Self::Quotes => "unbalanced quotes in an inline command",
            Self::CountLine => "a multibulk count of more than 64 KiB",
            Self::Count => "an invalid multibulk length",
            Self::LockedCount => "more than 10 arguments before authentication",
            Self::LengthLine => "a bulk length of more than 64 KiB",
            Self::Dollar(_) => "an argument without `$`",
            Self::Length => "an invalid bulk length",
            Self::LockedLength => "an argument of more than 16 KiB before authentication",
            Self::TooLarge => "a request of more bytes than the frame limit",
        }
    }
}

/// Finds the end of one request.
#[derive(Clone, Debug)]
pub struct RequestScan {
    state: State,
    /// The largest request that passes, in bytes.
    frame: u64,
    /// Whether this one is larger, and its end is known.
    too_large: bool,
    /// Bytes of the request so far.
    taken: u64,
    /// Arguments that are not complete.
    left: u32,
    /// Bytes of the line so far.
    line: usize,
    /// Whether the client still has to authenticate: it may send only little.
    locked: bool,
}

/// An array that is there as a whole and breaks no rule, as nearly all requests are.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    /// Where it ends.
    pub(crate) end: usize,
    /// How many arguments it has: one or more.
    pub(crate) count: usize,
    /// Where the first of them lies.
    pub(crate) name: Range<usize>,
}

impl Whole {
    /// The request at the front of `bytes`. `None`: it has to be looked at step by step, or it is
    /// larger than `frame` bytes.
    pub(crate) fn at(bytes: &[u8], frame: u64) -> Option<Self> {
        let (count, at) = number::short_line(b'*', bytes, 0)?;
        let (length, start) = number::short_line(b'$', bytes, at)?;
        let name = start..start + length;
        let end = Self::behind(bytes, name.end + 2, count.checked_sub(1)?)?;
        (end as u64 <= frame).then_some(Self { end, count, name })
    }

    /// Where so many arguments end that begin at `at`, if they are there.
    #[inline(always)]
    pub(crate) fn behind(bytes: &[u8], mut at: usize, arguments: usize) -> Option<usize> {
        for _ in 0..arguments {
            let (length, start) = number::short_line(b'$', bytes, at)?;
            at = start + length + 2;
        }
        (at <= bytes.len()).then_some(at)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte.
    Start,
    /// In an inline command.
    Inline,
    /// Behind `*`.
    Count(Digits),
    /// In an argument's first line: what is there instead of `$`, and the number.
    Length(Option<u8>, Digits),
    /// Behind the CR of a line. Redis does not look at what follows it.
    LineEnd(Next),
    /// Bytes of an argument and its end.
    Data(u64),
    /// Behind the end.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Argument,
    Data(u64),
    End,
}

impl Next {
    /// Behind the line's end.
    fn state(self) -> State {
        match self {
            Self::Argument => State::Length(None, Digits::default()),
            Self::Data(n) => State::Data(n),
            Self::End => State::End,
        }
    }
}

impl RequestScan {
    /// For the next request, of at most `frame` bytes. `locked`: of a client that still has to
    /// authenticate.
    #[must_use]
    pub fn new(frame: u64, locked: bool) -> Self {
        Self {
            state: State::Start,
            frame,
            too_large: false,
            taken: 0,
            left: 0,
            line: 0,
            locked,
        }
    }

    /// Reads on: `bytes` are those that follow what was read before.
    ///
    /// # Errors
    /// [`ProtocolError`] where Redis would write one and close the connection.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Scanned, ProtocolError> {
        if matches!(self.state, State::Start)
            && let Some(end) = self.all_at_once(bytes)
        {
            return Ok(Scanned::End(end));
        }
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let taken = self.step(rest)?;
            at += taken;
            self.taken += taken as u64;
            if self.state == State::End {
                return Ok(Scanned::End(at));
            }
        }
        Ok(Scanned::More)
    }

    /// Bytes of the request so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How many bytes the request has at least.
    #[must_use]
    pub fn at_least(&self) -> u64 {
        // An argument takes no less than `$0` and two line ends.
        let behind = |arguments: u32| u64::from(arguments) * 6;
        self.taken
            + match self.state {
                State::Start | State::Inline => 1,
                State::Count(_) => 2,
                State::Length(..) => 4 + behind(self.left.saturating_sub(1)),
                State::LineEnd(Next::Argument) => 1 + behind(self.left),
                State::LineEnd(Next::Data(n)) => 1 + n + behind(self.left.saturating_sub(1)),
                State::Data(n) => n + behind(self.left.saturating_sub(1)),
                State::LineEnd(Next::End) => 1,
                State::End => 0,
            }
    }

    /// How many bytes the request has, as soon as that is known: in its last argument.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self.state {
            State::Data(n) if self.left == 1 => Some(self.taken + n),
            State::LineEnd(Next::Data(n)) if self.left == 1 => Some(self.taken + 1 + n),
            State::End => Some(self.taken),
            _ => None,
        }
    }

    /// Whether it is larger than what passes, as far as is known now. Where a request turns out to
    /// be so before its last argument, its end cannot be known, and it is an error instead.
    #[must_use]
    pub fn too_large(&self) -> bool {
        self.too_large
    }

    /// Whether all of it was there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.state, State::End)
    }

    fn all_at_once(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.locked {
            return None;
        }
        let whole = Whole::at(bytes, self.frame)?;
        self.taken = whole.end as u64;
        self.state = State::End;
        Some(whole.end)
    }

    fn step(&mut self, rest: &[u8]) -> Result<usize, ProtocolError> {
        if let Some(taken) = self.line_at_once(rest)? {
            return Ok(taken);
        }
        let byte = rest.first().copied().unwrap_or_default();
        match &mut self.state {
            State::Start if byte == b'*' => self.state = State::Count(Digits::default()),
            State::Start => {
                self.state = State::Inline;
                return self.inline(rest);
            }
            State::Inline => return self.inline(rest),
            State::Count(_) | State::Length(..) => return self.number(rest),
            State::LineEnd(next) => self.state = next.state(),
            State::Data(n) => {
                let taken = usize::try_from(*n).map_or(rest.len(), |n| n.min(rest.len()));
                *n -= taken as u64;
                if *n == 0 {
                    self.left -= 1;
                    self.state = match self.left {
                        0 => State::End,
                        _ => State::Length(None, Digits::default()),
                    };
                }
                return Ok(taken);
            }
            State::End => return Ok(rest.len()),
        }
        Ok(1)
    }

    /// Reads a line with a number that is there as a whole, which is nearly always so. `None` where
    /// it is not, or is out of the ordinary.
    fn line_at_once(&mut self, rest: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let kind = match self.state {
            State::Start => b'*',
            State::Length(..) if self.line == 0 => b'$',
            _ => return Ok(None),
        };
        let Some((value, taken)) = number::line(kind, rest) else {
            return Ok(None);
        };
        let next = match kind {
            b'*' => self.count(Some(value))?,
            _ => self.length(None, Some(value))?,
        };
        self.state = State::LineEnd(next);
        self.bounded(taken as u64 - 1)?;
        self.state = next.state();
        Ok(Some(taken))
    }

    fn inline(&mut self, rest: &[u8]) -> Result<usize, ProtocolError> {
        let end = memchr(b'\n', rest);
        let taken = end.map_or(rest.len(), |at| at + 1);
        self.line += taken;
        if self.line > LINE {
            return Err(ProtocolError::Inline);
        }
        if self.line as u64 > self.frame {
            return Err(ProtocolError::TooLarge);
        }
        if end.is_some() {
            self.state = State::End;
        }
        Ok(taken)
    }

    /// Reads a line with a number. Redis looks for its CR first, and only then at the line.
    fn number(&mut self, rest: &[u8]) -> Result<usize, ProtocolError> {
        let end = memchr(b'\r', rest);
        let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let counts = matches!(self.state, State::Count(_));
        for byte in text {
            match &mut self.state {
                State::Length(wrong, _) if self.line == 0 => {
                    *wrong = Some(*byte).filter(|byte| *byte != b'$');
                }
                State::Count(digits) | State::Length(_, digits) => digits.push(*byte),
                _ => {}
            }
            self.line += 1;
        }
        if self.line > LINE {
            return Err(match counts {
                true => ProtocolError::CountLine,
                false => ProtocolError::LengthLine,
            });
        }
        if end.is_none() {
            return Ok(text.len());
        }
        let next = match self.state {
            State::Length(wrong, digits) => {
                // An empty line has its CR in the place of `$`.
                let wrong = wrong.or((self.line == 0).then_some(b'\r'));
                self.length(wrong, digits.value())?
            }
            State::Count(digits) => self.count(digits.value())?,
            _ => Next::End,
        };
        self.line = 0;
        self.state = State::LineEnd(next);
        self.bounded(text.len() as u64 + 1)?;
        Ok(text.len() + 1)
    }

    /// Compares what the request has at least, now that a line of it was read, with the limit.
    fn bounded(&mut self, line: u64) -> Result<(), ProtocolError> {
        if self.at_least().saturating_add(line) <= self.frame {
            return Ok(());
        }
        self.too_large = self.size().is_some();
        match self.too_large {
            true => Ok(()),
            false => Err(ProtocolError::TooLarge),
        }
    }

    fn count(&mut self, value: Option<i64>) -> Result<Next, ProtocolError> {
        let count = value
            .filter(|count| *count <= i64::from(i32::MAX))
            .ok_or(ProtocolError::Count)?;
        if self.locked && count > LOCKED.0 {
            return Err(ProtocolError::LockedCount);
        }
        self.left = u32::try_from(count).unwrap_or(0);
        Ok(match self.left {
            0 => Next::End,
            _ => Next::Argument,
        })
    }

    fn length(&mut self, wrong: Option<u8>, value: Option<i64>) -> Result<Next, ProtocolError> {
        if let Some(byte) = wrong {
            return Err(ProtocolError::Dollar(char::from(byte)));
        }
        let length = value
            .filter(|length| (0..=BULK).contains(length))
            .ok_or(ProtocolError::Length)?;
        if self.locked && length > LOCKED.1 {
            return Err(ProtocolError::LockedLength);
        }
        Ok(Next::Data(length.unsigned_abs() + 2))
    }
}
