//! Feeds a codec as the core does, and checks what every call has to keep.

use super::{broken::Broken, leg::Leg};
use crate::message::{Body, Decoded, Limits, Message, Size};

/// A message as a codec saw it.
#[derive(Debug)]
pub(super) struct Seen<Event> {
    /// Where it starts in the stream.
    pub(super) at: usize,
    /// All of it, as far as the stream goes.
    pub(super) len: usize,
    /// How much of it was there when it was returned.
    pub(super) head: usize,
    /// Whether that was all of it.
    pub(super) whole: bool,
    /// What it is; `None` for bytes that mean nothing.
    pub(super) event: Option<Event>,
    /// What the codec wrote itself.
    pub(super) out: Vec<u8>,
}

impl<Event: PartialEq> PartialEq for Seen<Event> {
    /// How much was there at first is the network's choice.
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.len, &self.event, &self.out)
            == (other.at, other.len, &other.event, &other.out)
    }
}

/// What became of a stream.
#[derive(Debug, PartialEq)]
pub(super) struct Transcript<Event> {
    pub(super) seen: Vec<Seen<Event>>,
    /// Where the message starts at which the codec gave up, and why it did.
    pub(super) malformed: Option<(usize, &'static str)>,
    /// The stream ends within the last message that was seen.
    pub(super) ends_within: bool,
}

/// Feeds `stream` in pieces that end at `cuts`, ascending, and then the rest.
pub(super) fn feed<L: Leg>(
    leg: &mut L,
    stream: &[u8],
    cuts: impl IntoIterator<Item = usize>,
) -> Result<Transcript<L::Event>, Broken> {
    let mut feed = Feed {
        leg,
        start: 0,
        need: 0,
        asked: 0,
        inside: Inside::Message,
        transcript: Transcript {
            seen: Vec::new(),
            malformed: None,
            ends_within: false,
        },
    };
    for end in cuts.into_iter().chain([stream.len()]) {
        while let Some(rest) = stream.get(feed.start..end).filter(|rest| !rest.is_empty()) {
            let step = feed
                .step(rest)
                .map_err(|broken| broken.shows(stream, feed.start).in_stream(feed.start))?;
            match step {
                Step::Taken(n) => feed.start += n,
                Step::Wait => break,
                Step::Over(reason) => {
                    // A message that goes wrong after its head is one that goes wrong.
                    let begun = match feed.inside {
                        Inside::Body => feed.transcript.seen.pop().map(|seen| seen.at),
                        Inside::Message | Inside::Rest(_) => None,
                    };
                    feed.transcript.malformed = Some((begun.unwrap_or(feed.start), reason));
                    return Ok(feed.transcript);
                }
            }
        }
    }
    feed.transcript.ends_within = !matches!(feed.inside, Inside::Message);
    Ok(feed.transcript)
}

/// What the buffer for the codec's own answers holds already: it may be added to, not changed.
pub(super) const SENT_BEFORE: &[u8] = b"sent before";

/// What a codec added to a buffer that held [`SENT_BEFORE`].
pub(super) fn added(out: &[u8]) -> Result<&[u8], Broken> {
    out.strip_prefix(SENT_BEFORE).ok_or_else(|| {
        Broken::new(
            "",
            "the codec changed bytes of `out` that were there before; they belong to others",
            "Downstream::decode: every hook appends to `out`",
        )
        .expected("what was in `out` before the call, and what the codec adds behind it")
    })
}

struct Feed<'a, L: Leg> {
    leg: &'a mut L,
    start: usize,
    need: usize,
    /// How often the codec asked about these same bytes.
    asked: u8,
    inside: Inside,
    transcript: Transcript<L::Event>,
}

#[derive(Clone, Copy)]
enum Inside {
    Message,
    Rest(u64),
    Body,
}

enum Step {
    Taken(usize),
    Wait,
    Over(&'static str),
}

impl<L: Leg> Feed<'_, L> {
    fn step(&mut self, rest: &[u8]) -> Result<Step, Broken> {
        match self.inside {
            Inside::Message if rest.len() < self.need => Ok(Step::Wait),
            Inside::Message => self.message(rest),
            Inside::Rest(left) => {
                let taken = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                self.inside = match left - taken as u64 {
                    0 => Inside::Message,
                    left => Inside::Rest(left),
                };
                self.grow(taken);
                Ok(Step::Taken(taken))
            }
            Inside::Body => self.body(rest),
        }
    }

    fn message(&mut self, rest: &[u8]) -> Result<Step, Broken> {
        let mut out = SENT_BEFORE.to_vec();
        let decoded = match self.leg.decode(rest, &mut out) {
            Err(malformed) => return Ok(Step::Over(malformed.reason)),
            Ok(decoded) => decoded,
        };
        match decoded {
            Decoded::Incomplete { need } => {
                check_need(need, rest.len(), self.leg.limits())?;
                self.need = need;
                Ok(Step::Wait)
            }
            Decoded::Skip { len } => {
                check_skip(len, rest)?;
                self.need = 0;
                self.push((len, true), None, &out)?;
                Ok(Step::Taken(len))
            }
            Decoded::Message(message) => {
                self.need = 0;
                if self.leg.follow(&message.event) {
                    check_question(message.size)?;
                    self.asked += 1;
                    check_asked(self.asked)?;
                    return Ok(Step::Taken(0));
                }
                self.asked = 0;
                check_size::<L>(&message, rest, self.leg.limits())?;
                let (taken, whole) = self.extent(message.size, rest);
                self.push((taken, whole), Some(message.event), &out)?;
                Ok(Step::Taken(taken))
            }
        }
    }

    fn body(&mut self, rest: &[u8]) -> Result<Step, Broken> {
        let piece = match self.leg.body(rest) {
            Err(malformed) => return Ok(Step::Over(malformed.reason)),
            Ok(piece) => piece,
        };
        let (Body::More(n) | Body::End(n)) = piece;
        if n > rest.len() {
            return Err(Broken::new(
                "",
                format!("`body` takes {n} bytes of {}", rest.len()),
                "Body::More, Body::End",
            )
            .expected("no more than it was given"));
        }
        if piece == Body::End(n) {
            self.inside = Inside::Message;
        } else if n == 0 {
            return Ok(Step::Wait);
        }
        self.grow(n);
        Ok(Step::Taken(n))
    }

    /// How much of `rest` the message takes now, and whether that is all of it; what follows is
    /// noted.
    fn extent(&mut self, size: Size, rest: &[u8]) -> (usize, bool) {
        match size {
            Size::Known(size) => {
                let left = size.saturating_sub(rest.len() as u64);
                if left > 0 {
                    self.inside = Inside::Rest(left);
                }
                let taken = usize::try_from(size).map_or(rest.len(), |size| size.min(rest.len()));
                (taken, left == 0)
            }
            Size::Streamed => {
                self.inside = Inside::Body;
                (rest.len(), false)
            }
        }
    }

    fn push(
        &mut self,
        (len, whole): (usize, bool),
        event: Option<L::Event>,
        out: &[u8],
    ) -> Result<(), Broken> {
        self.transcript.seen.push(Seen {
            at: self.start,
            len,
            head: len,
            whole,
            event,
            out: added(out)?.to_vec(),
        });
        Ok(())
    }

    fn grow(&mut self, n: usize) {
        if let Some(last) = self.transcript.seen.last_mut() {
            last.len += n;
        }
    }
}

/// A codec may want so much to read a head with, whatever the limits: one whose length has sixteen
/// bits, and what is around it.
const HEAD: usize = 128 * 1024;

/// What a codec that holds `len` bytes may ask for.
pub(super) fn check_need(need: usize, len: usize, limits: Limits) -> Result<(), Broken> {
    if need <= len {
        return Err(Broken::new(
            "",
            format!(
                "the codec has {len} bytes and says it needs {need}: it would be asked again with what it has, without end"
            ),
            "Decoded::Incomplete",
        )
        .expected(format!("a `need` of more than the {len} bytes that it has")));
    }
    if need > limits.whole.max(HEAD) {
        return Err(Broken::new(
            "",
            format!(
                "the codec wants {need} bytes buffered, the limit for a message that is kept as a whole is {}",
                limits.whole
            ),
            "Limits::needed",
        )
        .expected(format!(
            "a `need` of at most {}: of a larger message only the head is waited for",
            limits.whole.max(HEAD)
        )));
    }
    Ok(())
}

fn check_skip(len: usize, rest: &[u8]) -> Result<(), Broken> {
    if (1..=rest.len()).contains(&len) {
        return Ok(());
    }
    Err(Broken::new(
        "",
        format!("the codec skips {len} bytes of {}", rest.len()),
        "Decoded::Skip",
    )
    .expected("at least one byte, and no more than there are"))
}

fn check_question(size: Size) -> Result<(), Broken> {
    if size == Size::Known(0) {
        return Ok(());
    }
    Err(Broken::new(
        "",
        format!("a question that takes {size:?}"),
        "FromClient::Ask",
    )
    .expected("`Size::Known(0)`: the bytes are decoded again when the answer is there"))
}

fn check_asked(times: u8) -> Result<(), Broken> {
    if times <= 3 {
        return Ok(());
    }
    Err(Broken::new(
        "",
        "the codec asks again and again about the same bytes though it got no answer",
        "Downstream::learn",
    )
    .expected("the message itself, now that the codec knows that there is no answer"))
}

fn check_size<L: Leg>(
    message: &Message<L::Event>,
    rest: &[u8],
    limits: Limits,
) -> Result<(), Broken> {
    let Size::Known(size) = message.size else {
        return Ok(());
    };
    let here = rest.len() as u64;
    let (found, expected, read) = if size == 0 {
        (
            "a message of no bytes: it would be found again without end".to_owned(),
            "at least one byte".to_owned(),
            "Size::Known",
        )
    } else if size > here && size <= limits.whole as u64 && !L::refuses(&message.event) {
        (
            format!("a message of {size} bytes was returned when {here} of them were there"),
            format!(
                "`Decoded::Incomplete` until all of it is there, up to `Limits::whole` ({})",
                limits.whole
            ),
            "Limits::whole, Limits::needed",
        )
    } else if size > limits.frame && !L::refuses(&message.event) {
        (
            format!(
                "a message of {size} bytes was accepted, the limit is {}",
                limits.frame
            ),
            "`FromClient::Refused` with `Status::TooLarge`, or `Malformed`".to_owned(),
            "Limits::frame, FromClient::Refused",
        )
    } else {
        return Ok(());
    };
    Err(Broken::new("", found, read).expected(expected))
}
