//! Finds the end of a struct by skipping its values, without recursion, and goes on where the
//! bytes ended.

mod binary;
mod compact;
#[cfg(test)]
mod differential;

use crate::{
    dialect::Encoding,
    reader::{Cut, Reader},
};

/// How many containers may be open at once, as in Apache's own readers.
const DEPTH: usize = 64;

const TOO_DEEP: Cut = Cut::Bad("values are nested more than 64 deep");
const UNKNOWN_TYPE: Cut = Cut::Bad("a value is of an unknown type");

/// The type of a value, whatever the protocol's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Stop,
    Void,
    Bool,
    I8,
    I16,
    I32,
    I64,
    Double,
    Uuid,
    String,
    Struct,
    Map,
    List,
}

/// The front of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Stop,
    /// A bool of the compact protocol, whose value is its type.
    Bool,
    Value(Type),
}

/// A container that is open, with what it still holds.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// `last` is the id of the field before, by which compact counts.
    Struct {
        last: i16,
    },
    List {
        element: Type,
        left: u32,
    },
    /// `left` counts keys and values.
    Map {
        key: Type,
        value: Type,
        left: u64,
    },
}

/// A struct that is being skipped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skipper {
    compact: bool,
    /// At most [`DEPTH`] of them; all that is ever allocated, whatever a message says.
    stack: Vec<Open>,
    /// Bytes of the value at hand that need not be looked at.
    raw: u64,
    /// The fewest bytes that the open containers still need. It is what catches a count that the
    /// message cannot hold before anybody waits for it.
    owed: u64,
    /// Bytes of the message so far, and the most that it may have.
    spent: u64,
    limit: u64,
}

/// How far a skipper came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The struct ends after so many bytes.
    Done(usize),
    /// So many bytes are done with. At least `least` follow them, and with `next` of these more can
    /// be said.
    More { taken: usize, next: u64, least: u64 },
}

impl Skipper {
    /// Begins with the struct that follows the first `spent` bytes of a message of at most `limit`
    /// bytes.
    pub(crate) fn begin(&mut self, encoding: Encoding, spent: usize, limit: u64) {
        self.compact = encoding == Encoding::Compact;
        self.stack.clear();
        self.stack.push(Open::Struct { last: 0 });
        self.raw = 0;
        self.owed = 1;
        self.spent = spent as u64;
        self.limit = limit;
    }

    /// Skips as much of `input`, which follows what was skipped before, as can be.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Result<Progress, &'static str> {
        let mut taken = 0;
        loop {
            taken += self.skip_raw(input.len() - taken);
            if self.raw > 0 {
                // What needs no look and ends the message ends it; else something follows.
                let next = self.raw + self.owed.min(1);
                let least = self.raw + self.owed;
                return Ok(Progress::More { taken, next, least });
            }
            self.settle();
            if self.stack.is_empty() {
                return Ok(Progress::Done(taken));
            }
            match self.token(input.get(taken..).unwrap_or_default()) {
                Ok(n) => taken += n,
                Err(Cut::Short(n)) => {
                    let next = n as u64;
                    let least = self.owed.max(next);
                    return Ok(Progress::More { taken, next, least });
                }
                Err(Cut::Bad(reason)) => return Err(reason),
            }
        }
    }

    /// Takes what is needed of the next `n` bytes.
    fn skip_raw(&mut self, n: usize) -> usize {
        let n = usize::try_from(self.raw).map_or(n, |raw| raw.min(n));
        self.raw -= n as u64;
        self.spent += n as u64;
        n
    }

    /// Takes the front of the next field or element, if all of it is there. Nothing has changed if
    /// it is not.
    pub(crate) fn token(&mut self, input: &[u8]) -> Result<usize, Cut> {
        let mut reader = Reader::new(input, 0);
        match self.stack.last().copied() {
            None => return Ok(0),
            Some(Open::Struct { last }) => self.field(&mut reader, last)?,
            Some(Open::List { element, left }) => {
                let left = left.saturating_sub(1);
                self.element(&mut reader, element, Open::List { element, left })?;
            }
            Some(Open::Map { key, value, left }) => {
                // Keys come first: an even number is left before one.
                let next = if left % 2 == 0 { key } else { value };
                let left = left.saturating_sub(1);
                self.element(&mut reader, next, Open::Map { key, value, left })?;
            }
        }
        self.spent += reader.at() as u64;
        let least = self
            .spent
            .saturating_add(self.raw)
            .saturating_add(self.owed);
        if least > self.limit {
            return Err(Cut::Bad("the message is larger than the frame limit"));
        }
        Ok(reader.at())
    }

    fn field(&mut self, reader: &mut Reader<'_>, last: i16) -> Result<(), Cut> {
        let (field, id) = match self.compact {
            true => compact::field(reader, last)?,
            false => (binary::field(reader)?, 0),
        };
        let value = match field {
            Field::Stop => {
                self.stack.pop();
                self.owed = self.owed.saturating_sub(1);
                return Ok(());
            }
            Field::Bool if self.stack.len() < DEPTH => Value::Raw(0),
            Field::Bool => return Err(TOO_DEEP),
            Field::Value(kind) => self.value(reader, kind)?,
        };
        self.replace(Open::Struct { last: id });
        self.enter(value);
        Ok(())
    }

    /// One element of the innermost container, of which `rest` is left afterwards.
    fn element(&mut self, reader: &mut Reader<'_>, kind: Type, rest: Open) -> Result<(), Cut> {
        let value = self.value(reader, kind)?;
        self.owed = self.owed.saturating_sub(self.least(kind));
        self.replace(rest);
        self.enter(value);
        Ok(())
    }

    fn value(&self, reader: &mut Reader<'_>, kind: Type) -> Result<Value, Cut> {
        if self.stack.len() >= DEPTH {
            return Err(TOO_DEEP);
        }
        let value = match self.compact {
            true => compact::value(reader, kind)?,
            false => binary::value(reader, kind)?,
        };
        match value {
            Value::Run(_) if self.stack.len() + 1 >= DEPTH => Err(TOO_DEEP),
            value => Ok(value),
        }
    }

    fn enter(&mut self, value: Value) {
        match value {
            Value::Raw(n) | Value::Run(n) => self.raw = n,
            Value::Open(open) => {
                self.owed = self.owed.saturating_add(match open {
                    Open::Struct { .. } => 1,
                    Open::List { element, left } => u64::from(left) * self.least(element),
                    Open::Map { key, value, left } => {
                        left / 2 * (self.least(key) + self.least(value))
                    }
                });
                self.stack.push(open);
            }
        }
    }

    fn replace(&mut self, rest: Open) {
        if let Some(open) = self.stack.last_mut() {
            *open = rest;
        }
    }

    /// Removes containers that are through. They count as open while their last element is.
    fn settle(&mut self) {
        while let Some(Open::List { left: 0, .. } | Open::Map { left: 0, .. }) = self.stack.last() {
            self.stack.pop();
        }
    }

    /// The fewest bytes that an element of this type takes.
    fn least(&self, kind: Type) -> u64 {
        match self.compact {
            true => compact::least(kind),
            false => binary::least(kind),
        }
    }
}

/// What a value turns out to be when its front is read.
#[derive(Clone, Copy, Debug)]
enum Value {
    /// So many bytes.
    Raw(u64),
    /// A container of elements that are so many bytes together.
    Run(u64),
    Open(Open),
}

/// A list or set; `width` is how many bytes each element has where that is known.
fn list(element: Type, left: u32, width: Option<u64>) -> Result<Value, Cut> {
    match (left, element, width) {
        (0, ..) => Ok(Value::Raw(0)),
        (_, Type::Stop | Type::Void, _) => Err(UNKNOWN_TYPE),
        (_, _, Some(width)) => Ok(Value::Run(u64::from(left) * width)),
        _ => Ok(Value::Open(Open::List { element, left })),
    }
}

/// A map of `pairs`; `widths` is how many bytes key and value have together where that is known.
fn map(key: Type, value: Type, pairs: u32, widths: Option<u64>) -> Result<Value, Cut> {
    match (pairs, key, value) {
        (0, ..) => return Ok(Value::Raw(0)),
        (_, Type::Stop | Type::Void, _) | (_, _, Type::Stop | Type::Void) => {
            return Err(UNKNOWN_TYPE);
        }
        _ => {}
    }
    let left = u64::from(pairs) * 2;
    Ok(match widths {
        Some(widths) => Value::Run(u64::from(pairs) * widths),
        None => Value::Open(Open::Map { key, value, left }),
    })
}
