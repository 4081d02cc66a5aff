//! Framed binary Thrift: a method that returns its string.

use super::stamp::{self, STAMP};
use super::{Answers, Exchange, Split, Wire, WireError, WrongAnswer, split};

pub(crate) const METHOD: &str = "echo";

/// The version word and message type of the strict binary protocol.
const CALL: [u8; 4] = [0x80, 0x01, 0, 1];
const REPLY: [u8; 4] = [0x80, 0x01, 0, 2];
const STRING: u8 = 11;
/// Field headers: the first argument, and the success value of a result.
const ARGUMENT: [u8; 3] = [STRING, 0, 1];
const SUCCESS: [u8; 3] = [STRING, 0, 0];
const STOP: u8 = 0;
/// The frame's length, the version word, the length of the name and the name.
const SEQ_AT: usize = 4 + 4 + 4 + METHOD.len();
const FIELD_AT: usize = SEQ_AT + 4;
const STRING_AT: usize = FIELD_AT + 3 + 4;

#[derive(Debug)]
pub(crate) struct Thrift;

impl Wire for Thrift {
    fn message_len(bytes: &[u8]) -> Result<Option<usize>, WireError> {
        let Some((len, message)) = bytes.split_first_chunk::<4>() else {
            return Ok(None);
        };
        if message.first().is_some_and(|&first| first != 0x80) {
            return Err(WireError::Foreign("framed binary Thrift"));
        }
        Ok(Some(4 + u32::from_be_bytes(*len) as usize))
    }

    fn append_answer(out: &mut Vec<u8>, request: &[u8]) -> Result<(), WireError> {
        let body = request
            .get(4..)
            .and_then(|message| message.strip_prefix(&CALL));
        let argument = string(request, ARGUMENT).ok_or(WireError::Body)?;
        let (Some(_), Some(seq)) = (body, seq(request)) else {
            return Err(WireError::Body);
        };
        append_message(out, REPLY, seq, SUCCESS, argument);
        Ok(())
    }
}

/// Calls of [`METHOD`]; stamp and sequence id are patched into ready bytes, so that sending costs
/// one copy.
#[derive(Debug)]
pub(super) struct Echo {
    bytes: Vec<u8>,
}

impl Echo {
    /// `argument` is the length of the string argument in bytes, at least [`STAMP`].
    pub(super) fn new(argument: usize) -> Self {
        let mut bytes = Vec::new();
        let value = "x".repeat(argument.max(STAMP));
        append_message(&mut bytes, CALL, [0; 4], ARGUMENT, value.as_bytes());
        Self { bytes }
    }
}

impl Exchange for Echo {
    fn append_request(&self, out: &mut Vec<u8>, connection: u32, id: u64) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let seq_at = start + SEQ_AT;
        if let Some(target) = out.get_mut(seq_at..seq_at + 4) {
            // No stretch of load sends 2^32 calls over one connection.
            target.copy_from_slice(&(id as u32).to_be_bytes());
        }
        stamp::put(out, start + STRING_AT, connection, id);
    }

    fn split<'b>(&self, bytes: &'b [u8]) -> Result<Split<'b>, WireError> {
        split::<Thrift>(bytes)
    }

    fn answers(&self, answer: &[u8]) -> Result<Answers, WrongAnswer> {
        let seq = seq(answer).ok_or_else(|| WrongAnswer::not_a_value(answer))?;
        Ok(Answers::Id(u32::from_be_bytes(seq).into()))
    }

    fn check(&self, answer: &[u8], connection: u32, id: u64) -> Result<(), WrongAnswer> {
        let value = answer
            .get(4..)
            .filter(|message| message.starts_with(&REPLY))
            .and_then(|_| string(answer, SUCCESS))
            .ok_or_else(|| WrongAnswer::not_a_value(answer))?;
        let (_, sent) = self.bytes.split_at(STRING_AT + STAMP);
        stamp::strip(value, connection, id)
            .and_then(|padding| sent.strip_prefix(padding))
            .filter(|end| *end == [STOP])
            .map(|_| ())
            .ok_or(WrongAnswer::OtherPayload(id))
    }
}

fn seq(message: &[u8]) -> Option<[u8; 4]> {
    let named = message.get(8..SEQ_AT)?.strip_prefix(&[0, 0, 0, 4])?;
    let (seq, _) = message.get(SEQ_AT..)?.split_first_chunk()?;
    (named == METHOD.as_bytes()).then_some(*seq)
}

/// The string of a struct whose only field has `header`.
fn string(message: &[u8], header: [u8; 3]) -> Option<&[u8]> {
    let field = message.get(FIELD_AT..)?.strip_prefix(&header)?;
    let (len, rest) = field.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    (rest == [STOP]).then_some(value)
}

fn append_message(out: &mut Vec<u8>, kind: [u8; 4], seq: [u8; 4], field: [u8; 3], value: &[u8]) {
    let total = STRING_AT + value.len() + 1;
    out.extend_from_slice(&((total - 4) as u32).to_be_bytes());
    out.extend_from_slice(&kind);
    out.extend_from_slice(&(METHOD.len() as u32).to_be_bytes());
    out.extend_from_slice(METHOD.as_bytes());
    out.extend_from_slice(&seq);
    out.extend_from_slice(&field);
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    out.extend_from_slice(value);
    out.push(STOP);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(connection: u32, id: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        Echo::new(128).append_request(&mut bytes, connection, id);
        bytes
    }

    fn answer(connection: u32, id: u64) -> Vec<u8> {
        let mut out = Vec::new();
        Thrift::append_answer(&mut out, &request(connection, id)).unwrap();
        out
    }

    #[test]
    fn a_call_is_what_a_thrift_library_writes() {
        let bytes = request(0, 7);
        let expected = [
            b"\0\0\0\x98\x80\x01\0\x01\0\0\0\x04echo\0\0\0\x07\x0b\0\x01\0\0\0\x80".as_slice(),
            b"000000000000000000000007",
            &[b'x'; 104],
            b"\0",
        ]
        .concat();
        assert_eq!(
            bytes.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }

    #[test]
    fn only_its_own_answer_passes() {
        let calls = Echo::new(128);
        let right = answer(3, 5);
        assert_eq!(calls.answers(&right).unwrap(), Answers::Id(5));
        assert!(calls.check(&right, 3, 5).is_ok());
        assert!(calls.check(&right, 4, 5).is_err());
        assert!(calls.check(&right, 3, 6).is_err());
        let mut changed = right.clone();
        let last_x = changed.len() - 2;
        changed[last_x] = b'y';
        assert!(calls.check(&changed, 3, 5).is_err());
        let mut exception = right;
        exception[7] = 3;
        let wrong = calls.check(&exception, 3, 5).unwrap_err();
        assert!(matches!(wrong, WrongAnswer::NotAValue(_)));
    }

    #[test]
    fn a_message_is_whole_only_at_its_last_byte() {
        let bytes = request(0, 1);
        for cut in 0..bytes.len() {
            assert!(split::<Thrift>(&bytes[..cut]).unwrap().is_none());
        }
        let twice = [bytes.clone(), bytes.clone()].concat();
        let (first, rest) = split::<Thrift>(&twice).unwrap().unwrap();
        assert_eq!((first, rest), (&bytes[..], &bytes[..]));
        assert!(split::<Thrift>(b"GET / HTTP/1.1\r\n").is_err());
    }
}
