//! Skips any value without recursion, so that hostile nesting costs neither stack nor time.

use super::MAX_DEPTH;
use super::reader::Reader;
use crate::error::ReadError;
use crate::text::Text;

/// What an open composite still waits for.
#[derive(Clone, Copy)]
enum Pending {
    /// That many values.
    Values(u32),
    /// Values until `Z`.
    List,
    /// A key, or `Z`.
    MapKey,
    /// The value of a key.
    MapValue,
}

/// What one step found.
enum Step {
    /// A whole value.
    Value,
    /// Something that stands before a value, such as a class definition.
    Prefix,
    Open(Pending),
}

impl<'a> Reader<'a> {
    /// Skips one value of any type. Time is linear in its bytes; memory is constant but for class
    /// definitions beyond the eighth.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the value is malformed, ends early, or nests deeper than
    /// [`MAX_DEPTH`].
    #[inline]
    pub fn skip(&mut self) -> Result<(), ReadError> {
        if self.passes_text() {
            return Ok(());
        }
        match self.step()? {
            Step::Value => Ok(()),
            Step::Prefix => self.skip_nested(None),
            Step::Open(pending) => self.skip_nested(Some(pending)),
        }
    }

    /// Passes a string of up to 1,023 bytes, if it is ASCII: what most arguments are. False: nothing was
    /// passed.
    #[inline]
    fn passes_text(&mut self) -> bool {
        let (len, tail) = match self.rest {
            [tag @ 0x00..=0x1f, tail @ ..] => (usize::from(*tag), tail),
            [tag @ 0x30..=0x33, low, tail @ ..] => {
                (usize::from(*tag - 0x30) << 8 | usize::from(*low), tail)
            }
            _ => return false,
        };
        match tail.split_at_checked(len) {
            Some((text, rest)) if text.is_ascii() => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Whether the next value is a scalar: it needs no class definition and enters no reference
    /// table.
    #[inline]
    pub(crate) fn at_scalar(&self) -> bool {
        !matches!(
            self.peek(),
            Some(b'C' | b'H' | b'M' | b'O' | 0x51 | 0x55..=0x58 | 0x60..=0x7f)
        )
    }

    /// The class of the next value where it is an object that defines its class, or a typed map.
    pub(crate) fn leading_class(&self) -> Option<Text<'a>> {
        let mut ahead = self.clone();
        let tag = ahead.peek()?;
        ahead.advance(1).ok()?;
        match tag {
            b'C' => ahead.string().ok()?,
            b'M' => ahead.type_name().ok()?,
            _ => None,
        }
    }

    #[inline(never)]
    fn skip_nested(&mut self, first: Option<Pending>) -> Result<(), ReadError> {
        let mut stack = [Pending::List; MAX_DEPTH];
        let mut depth = 0;
        if let Some(pending) = first {
            push(&mut stack, &mut depth, pending)?;
        }
        loop {
            let Some(top) = depth.checked_sub(1).and_then(|top| stack.get_mut(top)) else {
                // A class definition was skipped: the object itself follows.
                match self.step()? {
                    Step::Value => return Ok(()),
                    Step::Prefix => continue,
                    Step::Open(pending) => push(&mut stack, &mut depth, pending)?,
                }
                continue;
            };
            let closed = match top {
                Pending::Values(left) => *left == 0,
                Pending::List | Pending::MapKey => self.end(),
                Pending::MapValue => false,
            };
            if closed {
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
                continue;
            }
            let step = self.step()?;
            if matches!(step, Step::Prefix) {
                continue;
            }
            match top {
                Pending::Values(left) => *left -= 1,
                Pending::List => {}
                Pending::MapKey => *top = Pending::MapValue,
                Pending::MapValue => *top = Pending::MapKey,
            }
            if let Step::Open(pending) = step {
                push(&mut stack, &mut depth, pending)?;
            }
        }
    }

    /// Consumes a scalar, a class definition, or the head of a composite.
    fn step(&mut self) -> Result<Step, ReadError> {
        let tag = self.peek().ok_or_else(|| self.truncated())?;
        let scalar_len = match tag {
            0x00..=0x1f | 0x30..=0x33 | b'R' | b'S' => return self.skip_string(),
            0x20..=0x2f | 0x34..=0x37 | b'A' | b'B' => return self.skip_binary(),
            b'N' | b'T' | b'F' | 0x5b | 0x5c | 0x80..=0xbf | 0xd8..=0xef => 1,
            0x5d | 0xc0..=0xcf | 0xf0..=0xff => 2,
            0x38..=0x3f | 0x5e | 0xd0..=0xd7 => 3,
            b'I' | 0x4b | 0x59 | 0x5f => 5,
            b'D' | 0x4a | b'L' => 9,
            _ => return self.open(tag),
        };
        self.advance(scalar_len)?;
        Ok(Step::Value)
    }

    fn open(&mut self, tag: u8) -> Result<Step, ReadError> {
        let refused = self.unexpected("a value");
        self.advance(1)?;
        let pending = match tag {
            b'C' => return self.define_class(),
            0x51 => {
                self.int()?;
                return Ok(Step::Value);
            }
            b'H' => Pending::MapKey,
            b'M' => {
                self.type_name()?;
                Pending::MapKey
            }
            0x55 => {
                self.type_name()?;
                Pending::List
            }
            0x57 => Pending::List,
            0x56 => {
                self.type_name()?;
                Pending::Values(self.length()?)
            }
            0x58 => Pending::Values(self.length()?),
            0x70..=0x77 => {
                self.type_name()?;
                Pending::Values(u32::from(tag - 0x70))
            }
            0x78..=0x7f => Pending::Values(u32::from(tag - 0x78)),
            0x60..=0x6f => Pending::Values(self.classes.fields(u32::from(tag - 0x60))?),
            b'O' => {
                let index = self.length()?;
                Pending::Values(self.classes.fields(index)?)
            }
            _ => return Err(refused),
        };
        Ok(Step::Open(pending))
    }

    /// `C` name, number of fields, their names; the object follows.
    fn define_class(&mut self) -> Result<Step, ReadError> {
        self.skip_string()?;
        let fields = self.length()?;
        for _ in 0..fields {
            self.skip_string()?;
        }
        self.classes.push(fields)?;
        Ok(Step::Prefix)
    }

    fn length(&mut self) -> Result<u32, ReadError> {
        let at = self.position();
        u32::try_from(self.int()?).map_err(|_| ReadError::BadLength { at })
    }

    #[inline]
    fn skip_string(&mut self) -> Result<Step, ReadError> {
        while !self.chunk()?.1 {}
        Ok(Step::Value)
    }

    fn skip_binary(&mut self) -> Result<Step, ReadError> {
        loop {
            let (tag_len, len, last) = match *self.rest {
                [tag @ 0x20..=0x2f, ..] => (1, usize::from(tag - 0x20), true),
                [tag @ 0x34..=0x37, low, ..] => {
                    (2, usize::from(tag - 0x34) << 8 | usize::from(low), true)
                }
                [tag @ (b'A' | b'B'), high, low, ..] => {
                    (3, usize::from(high) << 8 | usize::from(low), tag == b'B')
                }
                [0x34..=0x37 | b'A' | b'B', ..] => return Err(self.truncated()),
                _ => return Err(self.unexpected("a chunk of bytes")),
            };
            self.advance(tag_len)?;
            self.advance(len)?;
            if last {
                return Ok(Step::Value);
            }
        }
    }

    /// Whether the next value is a string.
    #[inline]
    pub(crate) fn at_string(&self) -> bool {
        matches!(self.peek(), Some(0x00..=0x1f | 0x30..=0x33 | b'R' | b'S'))
    }
}

fn push(
    stack: &mut [Pending; MAX_DEPTH],
    depth: &mut usize,
    pending: Pending,
) -> Result<(), ReadError> {
    *stack.get_mut(*depth).ok_or(ReadError::TooDeep)? = pending;
    *depth += 1;
    Ok(())
}
