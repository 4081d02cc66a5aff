//! The first line of each element: its type, and a text or a number.

use meltemi_codec::Malformed;
use memchr::memchr;

use super::{
    super::number::{self, Digits},
    Open, ReplyScan, State, malformed,
};

/// The longest line of a length or count: 64 bits in decimal, and its sign.
const NUMBER_LINE: usize = 20;

const NO_LENGTH: &str = "a length that is no number, or a negative one";

impl ReplyScan {
    /// Reads an element's first line where it is there as a whole, which is nearly always so. `None`
    /// where it is not, or is out of the ordinary.
    pub(super) fn line_at_once(
        &mut self,
        kind: u8,
        rest: &[u8],
    ) -> Result<Option<usize>, Malformed> {
        let taken = match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {
                let end = memchr(b'\r', rest).filter(|end| rest.get(end + 1) == Some(&b'\n'));
                let Some(end) = end else {
                    return Ok(None);
                };
                self.begin(kind);
                self.head();
                self.complete();
                end + 2
            }
            b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' => {
                let Some((value, taken)) = number::line(kind, rest) else {
                    return Ok(None);
                };
                self.begin(kind);
                self.head();
                self.counted(kind, value)?;
                taken
            }
            _ => return Ok(None),
        };
        Ok(Some(taken))
    }

    /// An element of this type begins.
    fn begin(&mut self, kind: u8) {
        if self.open.is_empty() && kind != b'|' {
            self.top = Some((kind, self.taken));
        }
    }

    pub(super) fn kind(&mut self, kind: u8) -> Result<(), Malformed> {
        self.begin(kind);
        self.state = match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => State::Line { cr: false },
            b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' => State::Number {
                kind,
                digits: Digits::default(),
                cr: false,
            },
            b'.' if matches!(self.open.last(), Some(Open { left: None, .. })) => {
                // Its line end is that of a number without digits.
                State::Number {
                    kind,
                    digits: Digits::default(),
                    cr: false,
                }
            }
            _ => return Err(malformed("no RESP type begins with this byte")),
        };
        Ok(())
    }

    pub(super) fn line(&mut self, rest: &[u8], cr: bool) -> usize {
        if cr && rest.first() == Some(&b'\n') {
            self.head();
            self.complete();
            return 1;
        }
        // A CR that no LF follows is text, as hiredis has it.
        match memchr(b'\r', rest) {
            Some(at) => {
                self.state = State::Line { cr: true };
                at + 1
            }
            None => {
                self.state = State::Line { cr: false };
                rest.len()
            }
        }
    }

    pub(super) fn number(
        &mut self,
        kind: u8,
        mut digits: Digits,
        at: (bool, u8),
    ) -> Result<(), Malformed> {
        match at {
            (true, b'\n') => {
                self.head();
                return self.numbered(kind, digits);
            }
            (true, _) => return Err(malformed("a line of a number without its LF")),
            (false, b'\r') => {}
            (false, _) if digits.len() >= NUMBER_LINE => {
                return Err(malformed("a number of more than 64 bits"));
            }
            (false, byte) => digits.push(byte),
        }
        let cr = at.1 == b'\r';
        self.state = State::Number { kind, digits, cr };
        Ok(())
    }

    /// Goes on behind a line whose bytes came one by one.
    fn numbered(&mut self, kind: u8, digits: Digits) -> Result<(), Malformed> {
        if kind == b'.' {
            if digits.len() > 0 {
                return Err(malformed(
                    "an end of a streamed aggregate that is not alone",
                ));
            }
            self.close();
            return Ok(());
        }
        if digits.is(b'?') && !matches!(kind, b';' | b'!' | b'=') {
            if kind == b'$' {
                self.state = State::Chunk;
                return Ok(());
            }
            return self.nest(None, kind);
        }
        self.counted(kind, digits.value().ok_or(malformed(NO_LENGTH))?)
    }

    /// Goes on behind the line of a length or count.
    fn counted(&mut self, kind: u8, value: i64) -> Result<(), Malformed> {
        if value == -1 && matches!(kind, b'$' | b'*') {
            self.complete();
            return Ok(());
        }
        let count = u64::try_from(value).map_err(|_| malformed(NO_LENGTH))?;
        match kind {
            b'$' | b'!' | b'=' => {
                self.judge_push(count);
                let left = count.saturating_add(2);
                self.state = State::Data { left, chunk: false };
            }
            b';' if count == 0 => self.complete(),
            b';' => {
                let left = count.saturating_add(2);
                self.state = State::Data { left, chunk: true };
            }
            b'%' | b'|' => return self.nest(Some(count.saturating_mul(2)), kind),
            _ => return self.nest(Some(count), kind),
        }
        Ok(())
    }

    /// A push begins between the elements of another reply. The specification says that there are no
    /// such; but what a transaction publishes to a channel of its own client, Redis 7.0 puts into the
    /// answer to `EXEC`, and does not count it. (The answers to its `SUBSCRIBE`s are pushes that count.)
    /// `length` is that of its first word.
    pub(super) fn judge_push(&mut self, length: u64) {
        if let Some(push) = self.open.last_mut().filter(|open| open.unjudged) {
            push.unjudged = false;
            let message = b"message".len() as u64;
            // `pmessage` and `smessage` too; no other word is as short.
            push.attribute = length == message || length == message + 1;
        }
    }
}
