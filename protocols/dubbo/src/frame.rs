//! Where frames begin and end, and how much of one has to be there.

use dubbo_rs_codec::{BodyFormat, HEADER_LEN, Header, SerializationId, patch_id, reply};
use meltemi_codec::{Limits, Malformed, Message, Size};

/// Bytes of a frame that is not kept as a whole which are waited for: enough for the header and
/// the five strings of any usual call, and for what an answer's outcome is read from.
pub(crate) const HEAD: usize = 4 * 1024;
/// Bytes that are waited for at most where [`HEAD`] does not hold the five strings.
pub(crate) const LONG_HEAD: usize = 64 * 1024;

/// What stands at the front of a connection's bytes.
#[derive(Debug)]
pub(crate) enum Front<'a> {
    /// Nothing can be said before there are `need` bytes.
    Short { need: usize },
    /// A frame above the limit, of which only the header was looked at.
    TooLarge(Header),
    /// A frame, or the head of a large one.
    Frame(Arrived<'a>),
}

/// A frame as far as it has to be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) header: Header,
    /// The body, or what there is of it.
    pub(crate) body: &'a [u8],
    /// Whether `body` is all of it.
    pub(crate) whole: bool,
}

impl<'a> Front<'a> {
    /// Looks at `input`, which begins at a frame's first byte.
    ///
    /// Java takes what precedes a magic for telnet and looks for the next one. A proxy that did so
    /// could take a frame within an argument for a call, so here it ends the connection (rule 5).
    pub(crate) fn of(input: &'a [u8], limits: Limits) -> Result<Self, Malformed> {
        let header = Header::parse(input).map_err(|_| Malformed {
            reason: "a frame does not begin with da bb",
        })?;
        let Some(header) = header else {
            return Ok(Self::Short { need: HEADER_LEN });
        };
        let size = size(&header);
        if size > limits.frame {
            return Ok(Self::TooLarge(header));
        }
        let len = header.frame_len();
        let need = limits.needed(len.min(HEAD), size);
        if input.len() < need {
            return Ok(Self::Short { need });
        }
        let frame = input.get(..len);
        let body = frame.unwrap_or(input).get(HEADER_LEN..).unwrap_or_default();
        Ok(Self::Frame(Arrived {
            header,
            body,
            whole: frame.is_some(),
        }))
    }
}

/// Header and body together, in bytes.
fn size(header: &Header) -> u64 {
    HEADER_LEN as u64 + u64::from(header.body_len)
}

/// The frame of `header`, and what it is.
pub(crate) fn message<Event>(header: &Header, event: Event) -> Message<Event> {
    Message {
        size: Size::Known(size(header)),
        event,
    }
}

/// Appends `frame` under another id, otherwise byte for byte (rule 4).
pub(crate) fn under(id: u64, frame: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(frame);
    if let Some(written) = out.get_mut(start..) {
        patch_id(written, id);
    }
}

/// Appends what a two-way event is owed (rule 2). The peer's two-way events are heartbeats, also
/// where their null is in a serialization that nobody here can read; notices are not two-way.
pub(crate) fn answer_event(arrived: &Arrived<'_>, out: &mut Vec<u8>) -> reply::Event {
    let event = reply::read_event(arrived.header.serialization, arrived.body);
    if matches!(event, reply::Event::Heartbeat | reply::Event::Other) {
        reply::write_heartbeat_answer(&arrived.header, out);
    }
    event
}

/// The serialization to speak of one's own accord to a peer that uses `serialization`: the same
/// where it can be written, else hessian2, which every Dubbo reads.
pub(crate) fn spoken(serialization: SerializationId) -> SerializationId {
    match BodyFormat::of(serialization) {
        Some(_) => serialization,
        None => SerializationId::HESSIAN2,
    }
}
