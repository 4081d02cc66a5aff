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
    skipper: Skipper,
    /// How far into the message at the front of the input it was skipped when it was looked at
    /// last: no byte is skipped twice.
    at: Option<usize>,
    /// Of a message that was returned by its head and is still passing: the beginning of a token
    /// whose end is in a later piece. Every byte of a piece is passed on.
    passing: Option<Token>,
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
        let mut at = match self.at.take() {
            Some(at) if at <= input.len() => at,
            _ => {
                self.skipper.begin(encoding, body, limits.frame);
                body
            }
        };
        let rest = input.get(at..).unwrap_or_default();
        let (next, least) = match self.skipper.advance(rest) {
            Ok(Progress::Done(taken)) => return Ok(Reach::Whole(at + taken)),
            Ok(Progress::More { taken, next, least }) => {
                at += taken;
                (place(at, next), place(at, least))
            }
            Err(reason) => return Err(Malformed { reason }),
        };
        // It may turn out to be larger than what is kept, and so be returned, before the least that
        // it has is there.
        if least <= limits.whole {
            self.at = Some(at);
            return Ok(Reach::Short { need: next });
        }
        if input.len() < head {
            self.at = Some(at);
            let need = least.min(head);
            return Ok(Reach::Short { need });
        }
        let mut token = Token::default();
        token.keep(input.get(at..).unwrap_or_default());
        self.passing = Some(token);
        Ok(Reach::Streamed)
    }

    /// The next piece of a message that is larger than what is kept.
    pub(crate) fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        let Some(token) = &mut self.passing else {
            return Err(Malformed {
                reason: "no message is open",
            });
        };
        let body = piece(&mut self.skipper, token, input);
        if let Ok(Body::End(_)) = body {
            self.passing = None;
        }
        body.map_err(|reason| Malformed { reason })
    }
}

/// Where `more` bytes behind `at` end.
fn place(at: usize, more: u64) -> usize {
    usize::try_from(more).map_or(usize::MAX, |more| at.saturating_add(more))
}

fn piece(skipper: &mut Skipper, cut: &mut Token, input: &[u8]) -> Result<Body, &'static str> {
    let mut at = 0;
    if cut.length > 0 {
        match cut.complete(skipper, input)? {
            Some(taken) => at = taken,
            None => return Ok(Body::More(input.len())),
        }
    }
    let rest = input.get(at..).unwrap_or_default();
    match skipper.advance(rest)? {
        Progress::Done(taken) => Ok(Body::End(at + taken)),
        Progress::More { taken, .. } => {
            cut.keep(rest.get(taken..).unwrap_or_default());
            Ok(Body::More(input.len()))
        }
    }
}

/// The beginning of a token.
#[derive(Debug, Default)]
struct Token {
    bytes: [u8; LONGEST_TOKEN],
    length: usize,
}

impl Token {
    /// Skips the token with what `input` has of it, and says how much that is; `None` if it still is
    /// not all.
    fn complete(
        &mut self,
        skipper: &mut Skipper,
        input: &[u8],
    ) -> Result<Option<usize>, &'static str> {
        let mut token = [0; 2 * LONGEST_TOKEN];
        let kept = self.bytes.get(..self.length).unwrap_or_default();
        let length = kept.len() + input.len().min(LONGEST_TOKEN);
        let bytes = kept.iter().chain(input);
        for (place, byte) in token.iter_mut().zip(bytes).take(length) {
            *place = *byte;
        }
        match skipper.token(token.get(..length).unwrap_or_default()) {
            Ok(taken) => {
                let taken = taken.saturating_sub(self.length);
                self.length = 0;
                Ok(Some(taken))
            }
            Err(Cut::Short(_)) => {
                self.keep(input);
                Ok(None)
            }
            Err(Cut::Bad(reason)) => Err(reason),
        }
    }

    /// Adds what there is of a token, which is less than the longest has.
    fn keep(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        for (place, byte) in room.iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.length = (self.length + bytes.len()).min(LONGEST_TOKEN);
    }
}
