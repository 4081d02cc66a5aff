//! What is kept of a call until it is answered.

use std::ops::Range;

use meltemi_codec::Memo;

use crate::{
    dialect::{Dialect, Encoding, Transport},
    frame::Layout,
    head,
};

/// How many names of methods a connection keeps. Names beyond are kept with each call.
const NAMES: usize = 64;

/// What is kept of a call in its [`Memo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallMemo {
    pub(crate) dialect: Dialect,
    /// What a local answer is written in.
    pub(crate) spoken: Encoding,
    pub(crate) oneway: bool,
    /// Whether the message has a length of its own within TTHeader.
    pub(crate) inner: bool,
    pub(crate) seq: u32,
    /// The header's sequence number, where there is a header.
    pub(crate) header_seq: u32,
    /// The method's place among the connection's names, counted from one; 0 for none.
    pub(crate) name: u32,
}

impl CallMemo {
    const ONEWAY: u32 = 1 << 8;
    const INNER: u32 = 1 << 9;

    pub(crate) fn of(layout: &Layout, oneway: bool) -> Self {
        Self {
            dialect: layout.dialect,
            spoken: layout.spoken(),
            oneway,
            inner: layout.inner,
            seq: layout.seq(),
            header_seq: layout.header.map_or(0, |header| header.seq),
            name: 0,
        }
    }

    /// Of a message of which nothing can be read but what it is written in.
    pub(crate) fn unreadable(dialect: Dialect) -> Self {
        Self {
            dialect,
            spoken: dialect.encoding,
            oneway: false,
            inner: false,
            seq: 0,
            header_seq: 0,
            name: 0,
        }
    }

    pub(crate) fn pack(self) -> Memo {
        let flag = |set: bool, flag| if set { flag } else { 0 };
        let spoken = Dialect {
            encoding: self.spoken,
            ..self.dialect
        };
        let facts = u32::from(self.dialect.pack())
            | flag(self.oneway, Self::ONEWAY)
            | flag(self.inner, Self::INNER)
            | u32::from(spoken.pack()) << 16;
        Memo {
            words: [self.seq, facts, self.name, self.header_seq],
            data: None,
        }
    }

    /// `None` for a memo that was not made here.
    pub(crate) fn unpack(memo: &Memo) -> Option<Self> {
        let [seq, facts, name, header_seq] = memo.words;
        Some(Self {
            dialect: Dialect::unpack(facts as u8)?,
            spoken: Dialect::unpack((facts >> 16) as u8)?.encoding,
            oneway: facts & Self::ONEWAY != 0,
            inner: facts & Self::INNER != 0,
            seq,
            header_seq,
            name,
        })
    }

    /// Whether an answer, in the transport of this call, can be that to it. A connection whose
    /// answers do not have the sequence numbers of its calls, in order, is out of step.
    pub(crate) fn is_answered_by(&self, answer: &Layout) -> bool {
        let hidden = self.dialect.encoding == Encoding::Opaque || answer.head.is_none();
        match (hidden, answer.header) {
            (true, Some(header)) => header.seq == self.header_seq,
            _ => answer.seq() == self.seq,
        }
    }
}

/// The names of the methods that a connection has called: a local answer repeats its call's, and no
/// call should allocate for it.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: Vec<Box<[u8]>>,
    /// Where the name was found last.
    last: usize,
}

impl Names {
    /// Notes the method of a call in its memo.
    pub(crate) fn note(&mut self, name: &[u8], mut memo: CallMemo) -> Memo {
        if name.is_empty() {
            return memo.pack();
        }
        let newest = self.names.get(self.last);
        if newest.is_none_or(|known| **known != *name) {
            let found = self.names.iter().position(|known| **known == *name);
            if found.is_none() && self.names.len() == NAMES {
                return Memo {
                    data: Some(name.into()),
                    ..memo.pack()
                };
            }
            self.last = found.unwrap_or_else(|| {
                self.names.push(name.into());
                self.names.len() - 1
            });
        }
        memo.name = self.last as u32 + 1;
        memo.pack()
    }

    /// The name that was noted in a memo; the empty one if none was.
    pub(crate) fn of<'a>(&'a self, memo: &'a Memo) -> &'a [u8] {
        let [_, _, place, _] = memo.words;
        let known = (place as usize).checked_sub(1);
        match (&memo.data, known.and_then(|at| self.names.get(at))) {
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => &[],
        }
    }
}

/// Appends `bytes`, a message or the head of one, under another sequence number, otherwise byte for
/// byte. `header_seq` replaces the header's.
///
/// Lengths are written anew: in the compact protocol and in JSON a number may take more bytes.
pub(crate) fn renumber(
    bytes: &[u8],
    layout: &Layout,
    seq: u32,
    header_seq: Option<u32>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    match &layout.head {
        Some(head) => {
            let Range { start, end } = head.seq_at;
            out.extend_from_slice(bytes.get(..start).unwrap_or_default());
            head::write_seq(layout.dialect.encoding, seq, out);
            out.extend_from_slice(bytes.get(end..).unwrap_or_default());
        }
        None => out.extend_from_slice(bytes),
    }
    let grown = (out.len() - start).wrapping_sub(bytes.len()) as u32;
    let mut lengths = Vec::new();
    if layout.dialect.transport != Transport::Buffered {
        lengths.push(0);
    }
    if let (true, Some(header)) = (layout.inner, layout.header) {
        lengths.push(header.end);
    }
    let written = out.get_mut(start..).unwrap_or_default();
    if grown != 0 {
        for at in lengths {
            set(written, at, |length| length.wrapping_add(grown));
        }
    }
    if let (Some(seq), Some(_)) = (header_seq, layout.header) {
        set(written, 8, |_| seq);
    }
}

/// Changes the four bytes at `at`.
pub(crate) fn set(bytes: &mut [u8], at: usize, change: impl FnOnce(u32) -> u32) {
    let place = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
    if let Some(place) = place {
        *place = change(u32::from_be_bytes(*place)).to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memo() -> CallMemo {
        CallMemo {
            dialect: Dialect {
                transport: Transport::TtHeader,
                encoding: Encoding::Opaque,
            },
            spoken: Encoding::Compact,
            oneway: true,
            inner: true,
            seq: 0xffff_fffe,
            header_seq: 7,
            name: 3,
        }
    }

    #[test]
    fn a_memo_is_read_as_it_was_packed() {
        assert_eq!(CallMemo::unpack(&memo().pack()), Some(memo()));
        assert_eq!(CallMemo::unpack(&Memo::default()), None);
    }

    #[test]
    fn names_beyond_the_bound_are_kept_with_their_calls() {
        let mut names = Names::default();
        let all: Vec<String> = (0..NAMES + 3).map(|n| format!("method{n}")).collect();
        for round in 0..2 {
            for (n, name) in all.iter().enumerate() {
                let memo = names.note(name.as_bytes(), memo());
                assert_eq!(memo.data.is_some(), n >= NAMES, "{name}, round {round}");
                assert_eq!(names.of(&memo), name.as_bytes());
            }
        }
        assert_eq!(names.names.len(), NAMES);
        let unnamed = names.note(b"", CallMemo { name: 0, ..memo() });
        assert_eq!(names.of(&unnamed), b"");
    }
}
