//! Messages without a frame: how far they reach.

use meltemi_codec::{Body, Limits, Malformed};

use crate::{
    dialect::Encoding,
    reader::Cut,
    skip::{Progress, Skipper},
};

/// The longest front of a field and its value (bytes) that has to be seen as one: type, id, varint.
const LONGEST_TOKEN: usize = 16;

/// The messages of a connection that has no frames.
#[derive(Debug, Default)]
pub(crate) struct Unframed {
    /// How far into the message at the front of the input it was skipped when it was looked at
    /// last: no byte is skipped twice.
    scan: Option<(usize, Skipper)>,
    /// The rest of a message that was returned by its head.
    pieces: Option<Pieces>,
}

/// How far a message reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing can be said before there are `need` bytes.
    Short { need: usize },
    /// All of it is there: so many bytes.
    Whole(usize),
    /// It is larger than what is kept.
    Streamed,
}

impl Unframed {
    /// How far the message at the front of `input` reaches, whose struct begins at `body`. At least
    /// `head` bytes of a message that is not kept are waited for.
    pub(crate) fn reach(
        &mut self,
        input: &[u8],
        (encoding, body): (Encoding, usize),
        head: usize,
        limits: Limits,
    ) -> Result<Reach, Malformed> {
        let (mut at, mut skipper) = match self.scan.take() {
            Some((at, skipper)) if at <= input.len() => (at, skipper),
            _ => (body, Skipper::new(encoding, body, limits.frame)),
        };
        let rest = input.get(at..).unwrap_or_default();
        let more = match skipper.advance(rest) {
            Ok(Progress::Done(taken)) => return Ok(Reach::Whole(at + taken)),
            Ok(Progress::More { taken, more }) => {
                at += taken;
                more
            }
            Err(reason) => return Err(Malformed { reason }),
        };
        let least = usize::try_from(more).map_or(usize::MAX, |more| at.saturating_add(more));
        if least > limits.whole && input.len() >= head {
            let mut pieces = Pieces {
                skipper,
                cut: [0; LONGEST_TOKEN],
                kept: 0,
            };
            pieces.keep(input.get(at..).unwrap_or_default());
            self.pieces = Some(pieces);
            return Ok(Reach::Streamed);
        }
        self.scan = Some((at, skipper));
        let need = if least > limits.whole {
            least.min(head)
        } else {
            least
        };
        Ok(Reach::Short { need })
    }

    /// The next piece of a message that is larger than what is kept.
    pub(crate) fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        let Some(pieces) = &mut self.pieces else {
            return Err(Malformed {
                reason: "no message is open",
            });
        };
        let body = pieces.read(input).map_err(|reason| Malformed { reason })?;
        if let Body::End(_) = body {
            self.pieces = None;
        }
        Ok(body)
    }
}

/// The rest of a message.
#[derive(Debug)]
struct Pieces {
    skipper: Skipper,
    /// The beginning of a token whose end is in a later piece: every byte of a piece is passed on.
    cut: [u8; LONGEST_TOKEN],
    kept: usize,
}

impl Pieces {
    fn read(&mut self, input: &[u8]) -> Result<Body, &'static str> {
        let mut at = 0;
        if self.kept > 0 {
            let Some(taken) = self.complete(input)? else {
                return Ok(Body::More(input.len()));
            };
            at = taken;
        }
        let rest = input.get(at..).unwrap_or_default();
        match self.skipper.advance(rest)? {
            Progress::Done(taken) => Ok(Body::End(at + taken)),
            Progress::More { taken, .. } => {
                self.keep(rest.get(taken..).unwrap_or_default());
                Ok(Body::More(input.len()))
            }
        }
    }

    /// Completes the token that was cut, and says how much of `input` belongs to it; `None` if it
    /// still is.
    fn complete(&mut self, input: &[u8]) -> Result<Option<usize>, &'static str> {
        let mut token = [0; 2 * LONGEST_TOKEN];
        let kept = self.cut.get(..self.kept).unwrap_or_default();
        let length = kept.len() + input.len().min(LONGEST_TOKEN);
        let bytes = kept.iter().chain(input);
        for (place, byte) in token.iter_mut().zip(bytes).take(length) {
            *place = *byte;
        }
        match self.skipper.token(token.get(..length).unwrap_or_default()) {
            Ok(taken) => {
                let taken = taken.saturating_sub(self.kept);
                self.kept = 0;
                Ok(Some(taken))
            }
            Err(Cut::Short(_)) => {
                self.keep(input);
                Ok(None)
            }
            Err(Cut::Bad(reason)) => Err(reason),
        }
    }

    /// Adds the beginning of a token, which is shorter than the longest.
    fn keep(&mut self, bytes: &[u8]) {
        let room = self.cut.get_mut(self.kept..).unwrap_or_default();
        for (place, byte) in room.iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.kept = (self.kept + bytes.len()).min(LONGEST_TOKEN);
    }
}
