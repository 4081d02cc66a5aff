//! Where a reply ends, in either version of RESP.

mod lines;

use meltemi_codec::Malformed;

use super::{
    Scanned,
    number::{self, Digits},
};

/// How deep replies may nest. Redis' own are a few levels deep; a script's table may be as deep as
/// Lua's stack (`LUAI_MAXCSTACK`, 8,000).
pub const DEPTH: usize = 10_000;

/// Finds the end of one reply; attributes (`|`) belong to the reply that they precede.
#[derive(Clone, Debug)]
pub struct ReplyScan {
    state: State,
    /// Aggregates that are not complete, outermost first.
    open: Vec<Open>,
    /// Bytes of the reply so far.
    taken: u64,
    /// The type of the reply behind its attributes, and where it begins.
    top: Option<(u8, u64)>,
    /// Whether the first line of the reply behind its attributes is complete.
    headed: bool,
    /// Replies of more bytes may pass unseen once their size is known.
    whole: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before an element.
    #[default]
    Type,
    /// In a line, and whether its last byte was a CR.
    Line { cr: bool },
    /// In the number behind this type's byte, and whether its CR was there.
    Number { kind: u8, digits: Digits, cr: bool },
    /// Bytes of a bulk string and its line end, and whether it is a part of a streamed one.
    Data { left: u64, chunk: bool },
    /// Before a part of a streamed string.
    Chunk,
    /// Behind the end.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    /// Elements that are not complete; `None` where a `.` ends them.
    left: Option<u64>,
    /// Whether it precedes an element, instead of being one: an attribute, or some pushes.
    attribute: bool,
    /// Whether it is a push within another reply whose first word was not seen yet.
    unjudged: bool,
}

fn malformed(reason: &'static str) -> Malformed {
    Malformed { reason }
}

/// The end of a reply that is a bulk string and there as a whole, as most are. `None`: it has to be
/// looked at step by step.
pub(crate) fn string(bytes: &[u8]) -> Option<usize> {
    let (length, start) = number::short_line(b'$', bytes, 0)?;
    let end = start + length;
    bytes.get(end..)?.starts_with(b"\r\n").then_some(end + 2)
}

impl Default for ReplyScan {
    /// That looks at every byte.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl ReplyScan {
    /// For replies that may pass unseen behind their last length, if they have more bytes than
    /// `whole`: the last line end of such a one is not looked at, whether it is there or not.
    #[must_use]
    pub fn new(whole: usize) -> Self {
        Self {
            state: State::Type,
            open: Vec::new(),
            taken: 0,
            top: None,
            headed: false,
            whole: whole as u64,
        }
    }

    /// For the next reply, with the memory of the last one.
    pub fn restart(&mut self) {
        self.state = State::Type;
        self.open.clear();
        self.taken = 0;
        self.top = None;
        self.headed = false;
    }

    /// Reads on: `bytes` are those that follow what was read before.
    ///
    /// # Errors
    /// [`Malformed`] where they are no reply.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Scanned, Malformed> {
        if matches!(self.state, State::Type)
            && self.taken == 0
            && let Some(end) = self.string_at_once(bytes)
        {
            return Ok(Scanned::End(end));
        }
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let taken = match self.strings_at_once(rest) {
                0 => self.step(rest)?,
                taken => taken,
            };
            at += taken;
            self.taken += taken as u64;
            if matches!(self.state, State::End) {
                return Ok(Scanned::End(at));
            }
        }
        Ok(Scanned::More)
    }

    fn string_at_once(&mut self, bytes: &[u8]) -> Option<usize> {
        let end = string(bytes)?;
        self.top = Some((b'$', 0));
        self.headed = true;
        self.taken = end as u64;
        self.state = State::End;
        Some(end)
    }

    /// Passes over elements that are strings and there as a whole, but for the last one of their
    /// aggregate. Returns how many bytes they take.
    fn strings_at_once(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        if let State::Type = self.state
            && let Some(Open {
                left,
                unjudged: false,
                ..
            }) = self.open.last_mut()
        {
            while let Some(left) = left.as_mut().filter(|left| **left > 1)
                && let Some(end) = string(bytes.get(taken..).unwrap_or_default())
            {
                *left -= 1;
                taken += end;
            }
        }
        taken
    }

    /// Bytes of the reply so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The type's byte of the reply behind its attributes, and where it begins.
    #[must_use]
    pub fn top(&self) -> Option<(u8, u64)> {
        self.top
    }

    /// Whether the first line of the reply behind its attributes is there.
    #[must_use]
    pub fn headed(&self) -> bool {
        self.headed
    }

    /// How many bytes the reply has at least.
    #[must_use]
    pub fn at_least(&self) -> u64 {
        // No element takes less than a type's byte and a line end.
        let behind: u64 = self
            .open
            .iter()
            .map(|open| match open.left {
                // The innermost one's next element is counted with the state.
                Some(left) => (left - 1)
                    .saturating_mul(3)
                    .saturating_add(u64::from(open.attribute) * 3),
                None => 3,
            })
            .fold(0, u64::saturating_add);
        let here = match self.state {
            State::Type | State::Chunk => 3,
            State::Line { cr } => 2 - u64::from(cr),
            State::Number { cr, .. } => 2 - u64::from(cr),
            State::Data { left, chunk } => left + u64::from(chunk) * 4,
            State::End => 0,
        };
        // The end of a streamed aggregate is counted with the aggregate.
        let twice = match (self.state, self.open.last()) {
            (State::Type, Some(Open { left: None, .. }))
            | (State::Number { kind: b'.', .. }, _) => 3,
            _ => 0,
        };
        let behind = behind.saturating_sub(twice);
        self.taken.saturating_add(here).saturating_add(behind)
    }

    /// How many bytes the reply has, as soon as that is known: in its last bulk string.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        let last = |open: &Open| open.left == Some(1) && !open.attribute;
        match self.state {
            State::Data { left, chunk: false } if self.open.iter().all(last) => {
                Some(self.taken.saturating_add(left))
            }
            State::End => Some(self.taken),
            _ => None,
        }
    }

    fn step(&mut self, rest: &[u8]) -> Result<usize, Malformed> {
        let byte = rest.first().copied().unwrap_or_default();
        match self.state {
            State::Type => match self.line_at_once(byte, rest)? {
                Some(taken) => return Ok(taken),
                None => self.kind(byte)?,
            },
            State::Line { cr } => return Ok(self.line(rest, cr)),
            State::Number { kind, digits, cr } => self.number(kind, digits, (cr, byte))?,
            State::Data { left, chunk } => return self.data(rest, left, chunk),
            State::Chunk if byte == b';' => {
                self.state = State::Number {
                    kind: byte,
                    digits: Digits::default(),
                    cr: false,
                };
            }
            State::Chunk => return Err(malformed("a streamed string without its next part")),
            State::End => return Ok(rest.len()),
        }
        Ok(1)
    }

    fn data(&mut self, rest: &[u8], left: u64, chunk: bool) -> Result<usize, Malformed> {
        let whole = usize::try_from(left).ok().and_then(|left| rest.get(..left));
        if let Some(whole) = whole
            && !chunk
            && whole.ends_with(b"\r\n")
        {
            self.complete();
            return Ok(whole.len());
        }
        // All but the line end.
        if left > 2 {
            let text = usize::try_from(left - 2).map_or(rest.len(), |n| n.min(rest.len()));
            let left = left - text as u64;
            self.state = State::Data { left, chunk };
            return Ok(text);
        }
        let wanted = if left == 2 { b'\r' } else { b'\n' };
        let unseen = self.size().is_some_and(|size| size > self.whole);
        if rest.first() != Some(&wanted) && !unseen {
            return Err(malformed("a bulk string is not as long as it says"));
        }
        match (left, chunk) {
            (2, _) => self.state = State::Data { left: 1, chunk },
            (_, true) => self.state = State::Chunk,
            (_, false) => self.complete(),
        }
        Ok(1)
    }

    fn nest(&mut self, left: Option<u64>, kind: u8) -> Result<(), Malformed> {
        if self.open.len() >= DEPTH {
            return Err(malformed("a reply that nests deeper than 10,000 levels"));
        }
        self.open.push(Open {
            left,
            attribute: kind == b'|',
            unjudged: kind == b'>' && !self.open.is_empty(),
        });
        self.state = State::Type;
        if left == Some(0) {
            self.close();
        }
        Ok(())
    }

    /// The innermost aggregate is complete.
    fn close(&mut self) {
        match self.open.pop() {
            Some(Open {
                attribute: true, ..
            }) => self.state = State::Type,
            _ => self.complete(),
        }
    }

    /// An element is complete.
    fn complete(&mut self) {
        self.state = State::Type;
        loop {
            let Some(inner) = self.open.last_mut() else {
                self.state = State::End;
                return;
            };
            inner.unjudged = false;
            match &mut inner.left {
                None => return,
                Some(left) if *left > 1 => {
                    *left -= 1;
                    return;
                }
                Some(_) => {
                    let inner = self.open.pop();
                    if inner.is_some_and(|inner| inner.attribute) {
                        return;
                    }
                }
            }
        }
    }

    fn head(&mut self) {
        if self.top.is_some() {
            self.headed = true;
        }
    }
}
