//! Skips any JSONB value without recursion. Needed only inside maps: elsewhere the length in
//! front of each value is enough.

use super::reader::Reader;
use super::{
    ARRAY, ARRAY_FIX_MAX, ARRAY_FIX_MIN, BIGINT, BIGINT_LONG, BINARY, CHAR, DECIMAL, DECIMAL_LONG,
    DOUBLE, DOUBLE_LONG, DOUBLE_NUM_0, DOUBLE_NUM_1, FALSE, FLOAT, FLOAT_INT, LOCAL_DATE,
    LOCAL_DATETIME, LOCAL_TIME, NULL, OBJECT, REFERENCE, STR_ASCII_FIX_MIN, STR_GB18030, SYMBOL,
    TIMESTAMP, TIMESTAMP_MILLIS, TIMESTAMP_MINUTES, TIMESTAMP_SECONDS, TIMESTAMP_WITH_TIMEZONE,
    TRUE, TYPED,
};
use crate::error::ReadError;
use crate::hessian2::MAX_DEPTH;

#[derive(Clone, Copy)]
enum Pending {
    Values(u32),
    Key,
    Value,
}

enum Step {
    Value,
    /// The type of the value that follows.
    Prefix,
    Open(Pending),
}

impl Reader<'_> {
    /// Skips one value of any type, in time linear in its bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the value is malformed, ends early, or nests deeper than
    /// [`MAX_DEPTH`].
    pub fn skip(&mut self) -> Result<(), ReadError> {
        let mut stack = [Pending::Key; MAX_DEPTH];
        let mut depth: usize = 0;
        loop {
            // The state of the innermost composite, read before and written after its next value.
            let top = depth.checked_sub(1);
            let pending = top.and_then(|top| stack.get(top)).copied();
            let next = match pending {
                Some(Pending::Values(0)) => None,
                Some(Pending::Key) if self.end() => None,
                Some(Pending::Values(left)) => Some(Pending::Values(left - 1)),
                Some(Pending::Key) => Some(Pending::Value),
                Some(Pending::Value) | None => Some(Pending::Key),
            };
            let Some(next) = next else {
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
                continue;
            };
            let step = self.step()?;
            if matches!(step, Step::Prefix) {
                continue;
            }
            if let Some(slot) = top.and_then(|top| stack.get_mut(top)) {
                *slot = next;
            }
            match step {
                Step::Open(pending) => {
                    *stack.get_mut(depth).ok_or(ReadError::TooDeep)? = pending;
                    depth += 1;
                }
                _ if depth == 0 => return Ok(()),
                _ => {}
            }
        }
    }

    fn step(&mut self) -> Result<Step, ReadError> {
        let Some(tag) = self.peek() else {
            return Err(self.truncated());
        };
        if self.at_integer() {
            self.long()?;
            return Ok(Step::Value);
        }
        if let STR_ASCII_FIX_MIN..=STR_GB18030 = tag {
            self.string()?;
            return Ok(Step::Value);
        }
        let refused = self.unexpected("a value");
        self.advance(1)?;
        match tag {
            NULL | TRUE | FALSE | DOUBLE_NUM_0 | DOUBLE_NUM_1 => {}
            FLOAT | LOCAL_DATE | TIMESTAMP_SECONDS | TIMESTAMP_MINUTES => self.advance(4)?,
            DOUBLE | TIMESTAMP_MILLIS => self.advance(8)?,
            CHAR | DOUBLE_LONG | FLOAT_INT | DECIMAL_LONG | BIGINT_LONG => {
                self.long()?;
            }
            BINARY | BIGINT => {
                let len = self.length()?;
                self.advance(len)?;
            }
            DECIMAL => {
                self.long()?;
                return Ok(Step::Open(Pending::Values(1)));
            }
            REFERENCE => {
                self.string()?;
            }
            LOCAL_TIME => self.fields_and_nanos(3)?,
            LOCAL_DATETIME => self.fields_and_nanos(7)?,
            TIMESTAMP_WITH_TIMEZONE => {
                self.fields_and_nanos(7)?;
                self.string()?;
            }
            TIMESTAMP => {
                self.long()?;
                self.long()?;
            }
            TYPED => {
                self.name_and_number()?;
                return Ok(Step::Prefix);
            }
            SYMBOL => self.name_and_number()?,
            OBJECT => return Ok(Step::Open(Pending::Key)),
            ARRAY_FIX_MIN..=ARRAY_FIX_MAX => {
                let len = u32::from(tag - ARRAY_FIX_MIN);
                return Ok(Step::Open(Pending::Values(len)));
            }
            ARRAY => {
                let at = self.position();
                let len = u32::try_from(self.length()?).map_err(|_| ReadError::BadLength { at })?;
                return Ok(Step::Open(Pending::Values(len)));
            }
            _ => return Err(refused),
        }
        Ok(Step::Value)
    }

    /// Types and symbols: a name and the number it gets, or the number of one met before.
    fn name_and_number(&mut self) -> Result<(), ReadError> {
        if self.peek() == Some(SYMBOL) {
            self.advance(1)?;
        }
        if self.at_string() {
            self.string()?;
        }
        self.long().map(|_| ())
    }

    fn fields_and_nanos(&mut self, fields: usize) -> Result<(), ReadError> {
        self.advance(fields)?;
        self.long().map(|_| ())
    }
}
