//! Dubbo2 frames with Hessian2 bodies.
//!
//! Strings are ASCII, so that a Hessian length (UTF-16 code units) is also a number of bytes.

use super::stamp::{self, STAMP};
use super::{Answers, Exchange, Split, Wire, WireError, WrongAnswer, split};

const HEADER: usize = 16;

pub(crate) const INTERFACE: &str = "meltemi.bench.Echo";
pub(crate) const METHOD: &str = "echo";
pub(crate) const GROUP: &str = "blue";

const MAGIC: [u8; 2] = [0xda, 0xbb];
const REQUEST: u8 = 0x80;
const TWO_WAY: u8 = 0x40;
const EVENT: u8 = 0x20;
const HESSIAN2: u8 = 2;
const STATUS_OK: u8 = 20;
const PROTOCOL_VERSION: &str = "2.0.2";
const SERVICE_VERSION: &str = "0.0.0";
/// Response body markers: a value, and a value followed by attachments.
const VALUE: u8 = 0x91;
const VALUE_WITH_ATTACHMENTS: u8 = 0x94;

#[derive(Debug)]
pub(crate) struct Dubbo;

impl Wire for Dubbo {
    fn message_len(bytes: &[u8]) -> Result<Option<usize>, WireError> {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [m0, m1, .., l0, l1, l2, l3] = *header;
        if [m0, m1] != MAGIC {
            return Err(WireError::Foreign("Dubbo"));
        }
        Ok(Some(HEADER + u32::from_be_bytes([l0, l1, l2, l3]) as usize))
    }

    /// Its string argument as the value, and the attachment that a 3.3.6 provider adds. A two-way
    /// event (a heartbeat) gets the event that answers it.
    fn append_answer(out: &mut Vec<u8>, request: &[u8]) -> Result<(), WireError> {
        let request = Frame::of(request).ok_or(WireError::Body)?;
        if !request.is_two_way_request() {
            return Ok(());
        }
        if request.is_event() {
            append_header(out, EVENT | HESSIAN2, STATUS_OK, request.id());
            append_body(out, b"N");
            return Ok(());
        }
        let mut rest = request.body;
        for _ in 0..5 {
            rest = split_string(rest).ok_or(WireError::Body)?.1;
        }
        let (argument, _) = split_string(rest).ok_or(WireError::Body)?;
        append_header(out, HESSIAN2, STATUS_OK, request.id());
        let tail: &[u8] = b"H\x05dubbo\x052.0.2Z";
        let len = 1 + argument.len() + tail.len();
        out.extend_from_slice(&(len as u32).to_be_bytes());
        out.push(VALUE_WITH_ATTACHMENTS);
        out.extend_from_slice(argument);
        out.extend_from_slice(tail);
        Ok(())
    }
}

impl Dubbo {
    /// The id of a whole frame.
    pub(crate) fn id(frame: &[u8]) -> u64 {
        Frame::of(frame).map_or(0, |frame| frame.id())
    }

    /// Appends `frame` to `out` under another id; every other byte stays.
    pub(crate) fn append_with_id(out: &mut Vec<u8>, frame: &[u8], id: u64) {
        let start = out.len();
        out.extend_from_slice(frame);
        patch_id(out, start, id);
    }
}

/// One whole frame: at least a header.
#[derive(Clone, Copy, Debug)]
struct Frame<'a> {
    header: &'a [u8; HEADER],
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (header, body) = bytes.split_first_chunk()?;
        Some(Self { header, body })
    }

    fn id(&self) -> u64 {
        let [_, _, _, _, id @ .., _, _, _, _] = *self.header;
        u64::from_be_bytes(id)
    }

    fn is_event(&self) -> bool {
        self.flag() & EVENT != 0
    }

    fn is_two_way_request(&self) -> bool {
        self.flag() & (REQUEST | TWO_WAY) == REQUEST | TWO_WAY
    }

    fn flag(&self) -> u8 {
        let [_, _, flag, ..] = *self.header;
        flag
    }

    fn status(&self) -> u8 {
        let [_, _, _, status, ..] = *self.header;
        status
    }
}

/// Calls of [`METHOD`]; id and stamp are patched into ready bytes, so that sending costs one copy.
#[derive(Debug)]
pub(super) struct Echo {
    bytes: Vec<u8>,
    stamp_at: usize,
    /// The argument as Hessian2 encodes it; its stamp is blank.
    argument: Vec<u8>,
    argument_prefix: usize,
}

impl Echo {
    /// `argument` is the length of the string argument in bytes, at least [`STAMP`].
    pub(super) fn new(argument: usize) -> Self {
        let value = "x".repeat(argument.max(STAMP));
        let mut encoded = Vec::new();
        append_string(&mut encoded, &value);
        let argument_prefix = chunk_head(&encoded).map_or(0, |(head, _)| head);

        let mut body = Vec::new();
        for text in [
            PROTOCOL_VERSION,
            INTERFACE,
            SERVICE_VERSION,
            METHOD,
            "Ljava/lang/String;",
        ] {
            append_string(&mut body, text);
        }
        let argument_at = body.len();
        body.extend_from_slice(&encoded);
        append_attachments(&mut body);

        let mut bytes = Vec::with_capacity(HEADER + body.len());
        append_header(&mut bytes, REQUEST | TWO_WAY | HESSIAN2, 0, 0);
        append_body(&mut bytes, &body);
        Self {
            bytes,
            stamp_at: HEADER + argument_at + argument_prefix,
            argument: encoded,
            argument_prefix,
        }
    }
}

impl Exchange for Echo {
    fn append_request(&self, out: &mut Vec<u8>, connection: u32, id: u64) {
        let start = out.len();
        Dubbo::append_with_id(out, &self.bytes, id);
        stamp::put(out, start + self.stamp_at, connection, id);
    }

    fn split<'b>(&self, bytes: &'b [u8]) -> Result<Split<'b>, WireError> {
        split::<Dubbo>(bytes)
    }

    fn answers(&self, answer: &[u8]) -> Result<Answers, WrongAnswer> {
        let frame = Frame::of(answer).ok_or_else(|| WrongAnswer::not_a_value(answer))?;
        // A proxy's own heartbeat or read-only event is not an answer.
        Ok(if frame.is_event() {
            Answers::Nothing
        } else {
            Answers::Id(frame.id())
        })
    }

    fn check(&self, answer: &[u8], connection: u32, id: u64) -> Result<(), WrongAnswer> {
        let value = Frame::of(answer)
            .filter(|frame| (frame.flag(), frame.status()) == (HESSIAN2, STATUS_OK))
            .and_then(|frame| match frame.body.split_first() {
                Some((&(VALUE | VALUE_WITH_ATTACHMENTS), value)) => Some(value),
                _ => None,
            })
            .ok_or_else(|| WrongAnswer::not_a_value(answer))?;
        let (prefix, padded) = self.argument.split_at(self.argument_prefix);
        let (_, padding) = padded.split_at(STAMP);
        value
            .strip_prefix(prefix)
            .and_then(|rest| stamp::strip(rest, connection, id))
            .filter(|rest| rest.starts_with(padding))
            .map(|_| ())
            .ok_or(WrongAnswer::OtherPayload(id))
    }
}

fn append_header(out: &mut Vec<u8>, flag: u8, status: u8, id: u64) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[flag, status]);
    out.extend_from_slice(&id.to_be_bytes());
}

fn append_body(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
}

fn patch_id(out: &mut [u8], frame_at: usize, id: u64) {
    if let Some(target) = out.get_mut(frame_at + 4..frame_at + 12) {
        target.copy_from_slice(&id.to_be_bytes());
    }
}

/// The attachments of a 3.3.6 consumer, in its order.
fn append_attachments(out: &mut Vec<u8>) {
    out.push(b'H');
    for (key, value) in [
        ("path", INTERFACE),
        ("remote.application", "meltemi-bench"),
        ("interface", INTERFACE),
        ("version", SERVICE_VERSION),
        ("timeout", "3000"),
        ("group", GROUP),
    ] {
        append_string(out, key);
        append_string(out, value);
    }
    out.push(b'Z');
}

/// Characters of a chunk that is not the last, as Hessian's Java library writes them.
const CHUNK: usize = 0x8000;

/// Hessian2 string: chunks that are not the last (`R`), and the last: `00-1f`, `30-33` with ten bits,
/// `S` with sixteen.
fn append_string(out: &mut Vec<u8>, mut text: &str) {
    while let Some((chunk, rest)) = text.split_at_checked(CHUNK).filter(|(_, r)| !r.is_empty()) {
        out.push(b'R');
        out.extend_from_slice(&(CHUNK as u16).to_be_bytes());
        out.extend_from_slice(chunk.as_bytes());
        text = rest;
    }
    let len = text.len();
    match len {
        0..=31 => out.push(len as u8),
        32..=1023 => out.extend_from_slice(&[0x30 | (len >> 8) as u8, len as u8]),
        _ => {
            out.push(b'S');
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// The encoded string at the start of `bytes`, its lengths included, and the rest.
fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        let chunk = bytes.get(at..)?;
        let (head, len) = chunk_head(chunk)?;
        at += head + len;
        if !chunk.starts_with(b"R") {
            return bytes.split_at_checked(at);
        }
    }
}

/// Bytes before the text of the chunk at the start of `bytes`, and of the text.
fn chunk_head(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [tag @ 0x00..=0x1f, ..] => Some((1, tag.into())),
        [tag @ 0x30..=0x33, low, ..] => Some((2, (usize::from(tag & 3) << 8) + usize::from(low))),
        [b'R' | b'S', high, low, ..] => Some((3, u16::from_be_bytes([high, low]).into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(argument: usize, connection: u32, id: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        Echo::new(argument).append_request(&mut bytes, connection, id);
        bytes
    }

    fn answer(request: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        Dubbo::append_answer(&mut answer, request).unwrap();
        assert_eq!(
            split::<Dubbo>(&answer).unwrap(),
            Some((&answer[..], &b""[..]))
        );
        answer
    }

    #[test]
    fn a_request_reads_as_a_consumer_would_write_it() {
        let bytes = request(STAMP, 1, 7);
        let expected_start = b"\xda\xbb\xc2\x00\x00\x00\x00\x00\x00\x00\x00\x07";
        assert!(bytes.starts_with(expected_start));
        let body = &bytes[HEADER..];
        let expected = b"\x052.0.2\x12meltemi.bench.Echo\x050.0.0\x04echo\x12Ljava/lang/String;\
            \x18000000010000000000000007H\x04path\x12meltemi.bench.Echo\
            \x12remote.application\x0dmeltemi-bench\x09interface\x12meltemi.bench.Echo\
            \x07version\x050.0.0\x07timeout\x043000\x05group\x04blueZ";
        assert_eq!(
            body.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }

    #[test]
    fn the_echo_answers_each_string_encoding() {
        for argument in [STAMP, 31, 32, 128, 1023, 1024, CHUNK, CHUNK + 1, 200_000] {
            let answer = answer(&request(argument, 3, u64::MAX));
            let calls = Echo::new(argument);
            assert_eq!(calls.answers(&answer).unwrap(), Answers::Id(u64::MAX));
            calls.check(&answer, 3, u64::MAX).unwrap();
        }
    }

    #[test]
    fn another_requests_answer_is_wrong() {
        let calls = Echo::new(128);
        let mut answer = answer(&request(128, 3, 5));
        assert!(calls.check(&answer, 4, 5).is_err());
        assert!(calls.check(&answer, 3, 6).is_err());
        let last_x = answer.iter().rposition(|&byte| byte == b'x').unwrap();
        answer[last_x] = b'y';
        assert!(calls.check(&answer, 3, 5).is_err());
    }

    #[test]
    fn an_error_status_is_wrong() {
        let mut answer = Vec::new();
        append_header(&mut answer, HESSIAN2, 60, 5);
        append_body(&mut answer, b"\x02no");
        let wrong = Echo::new(128).check(&answer, 0, 5).unwrap_err();
        assert!(wrong.to_string().contains("no"), "{wrong}");
    }

    #[test]
    fn a_frame_is_whole_only_at_its_last_byte() {
        let bytes = request(128, 0, 1);
        for cut in 0..bytes.len() {
            assert!(split::<Dubbo>(&bytes[..cut]).unwrap().is_none());
        }
        let twice = [bytes.clone(), bytes.clone()].concat();
        let (frame, rest) = split::<Dubbo>(&twice).unwrap().unwrap();
        assert_eq!((frame, rest), (&bytes[..], &bytes[..]));
    }

    #[test]
    fn foreign_and_oversized_bytes_are_refused() {
        assert!(matches!(
            split::<Dubbo>(b"GET / HTTP/1.1\r\n"),
            Err(WireError::Foreign(_))
        ));
        let mut long = Vec::new();
        append_header(&mut long, HESSIAN2, STATUS_OK, 1);
        long.extend_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(split::<Dubbo>(&long), Err(WireError::TooLong(_))));
    }

    #[test]
    fn an_id_is_replaced_and_nothing_else() {
        let bytes = request(128, 9, 5);
        let mut out = b"before".to_vec();
        Dubbo::append_with_id(&mut out, &bytes, 77);
        let (before, copy) = out.split_at(6);
        assert_eq!((before, Dubbo::id(copy)), (&b"before"[..], 77));
        assert_eq!((&copy[..4], &copy[12..]), (&bytes[..4], &bytes[12..]));
    }

    #[test]
    fn a_heartbeat_is_answered_as_an_event() {
        let mut beat = Vec::new();
        append_header(&mut beat, REQUEST | TWO_WAY | EVENT | HESSIAN2, 0, 42);
        append_body(&mut beat, b"N");
        assert_eq!(
            answer(&beat),
            b"\xda\xbb\x22\x14\0\0\0\0\0\0\0\x2a\0\0\0\x01N"
        );
    }
}
