//! Hessian 2 as Dubbo speaks it: a cursor over borrowed bytes, a skipper and a small writer.

mod reader;
mod skip;
mod string;
mod writer;

pub use reader::Reader;
pub(crate) use string::{push_chunked_units, push_units};
pub use writer::{write_int, write_null, write_string, write_string_map};

/// How deep values may nest before the skipper gives up.
pub const MAX_DEPTH: usize = 128;
/// How many class definitions one body may hold.
pub const MAX_CLASSES: usize = 1024;

/// The field counts of the class definitions seen so far: all that skipping has to remember.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClassDefs {
    inline: [u32; Self::INLINE],
    len: usize,
    spill: Vec<u32>,
}

impl ClassDefs {
    const INLINE: usize = 8;

    fn push(&mut self, fields: u32) -> Result<(), crate::ReadError> {
        if self.len >= MAX_CLASSES {
            return Err(crate::ReadError::TooManyClasses);
        }
        match self.inline.get_mut(self.len) {
            Some(slot) => *slot = fields,
            None => self.spill.push(fields),
        }
        self.len += 1;
        Ok(())
    }

    fn fields(&self, index: u32) -> Result<u32, crate::ReadError> {
        let at = index as usize;
        let known = if at < Self::INLINE.min(self.len) {
            self.inline.get(at)
        } else {
            at.checked_sub(Self::INLINE)
                .and_then(|at| self.spill.get(at))
        };
        known
            .copied()
            .ok_or(crate::ReadError::UnknownClass { index })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}
