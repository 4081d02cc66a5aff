//! Calls that begin like the one before: nearly all of a busy connection.

use meltemi_codec::{Alike, Answers, Decoded, FromClient, Limits, Message, Request, Session, Size};

use crate::{call::CallMemo, dialect::Dialect};

/// The newest plain call of a connection: of the strict binary protocol in a frame, of a known
/// method, and waiting for an answer.
#[derive(Debug)]
pub(super) struct Plain {
    /// Its version, type and name, as they are on the wire.
    front: [u8; FRONT],
    length: usize,
    memo: CallMemo,
    session: Session,
}

/// Room for a name of forty bytes: a call of a longer one is read step by step.
const FRONT: usize = 48;
/// The bytes before them: the length of the frame.
const LENGTH: usize = 4;

impl Plain {
    /// `None`: it is not plain.
    pub(super) fn of(input: &[u8], request: &Request) -> Option<Self> {
        let memo = CallMemo::unpack(&request.memo)?;
        let is_plain = memo.dialect == Dialect::STRICT && request.answers == Answers::One;
        let (_, rest) = input.split_at_checked(LENGTH)?;
        let (name, _) = rest.get(4..)?.split_first_chunk()?;
        let length = 8 + usize::try_from(u32::from_be_bytes(*name)).ok()?;
        let mut front = [0; FRONT];
        front
            .get_mut(..length)?
            .copy_from_slice(rest.get(..length)?);
        let session = request.session.clone()?;
        (is_plain && memo.name != 0).then_some(Self {
            front,
            length,
            memo,
            session,
        })
    }

    /// The call at the front of `input`, if it begins like this one and is there as a whole.
    #[inline]
    pub(super) fn again(&self, input: &[u8], limits: Limits) -> Option<Decoded<FromClient>> {
        let (length, rest) = input.split_first_chunk::<LENGTH>()?;
        let front = self.front.get(..self.length)?;
        let (seq, _) = rest.strip_prefix(front)?.split_first_chunk::<4>()?;
        let size = u64::from(u32::from_be_bytes(*length)) + LENGTH as u64;
        let least = LENGTH + self.length + seq.len();
        if size > limits.frame || size > input.len() as u64 || size < least as u64 {
            return None;
        }
        let seq = u32::from_be_bytes(*seq);
        let memo = CallMemo { seq, ..self.memo }.pack();
        let request = Request {
            session: Some(self.session.clone()),
            // Arguments are attributes, too.
            alike: Alike::Named,
            ..Request::unary(seq.into(), memo)
        };
        Some(Decoded::Message(Message {
            size: Size::Known(size),
            event: FromClient::Request(request),
        }))
    }
}
