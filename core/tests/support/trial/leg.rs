//! A peer's ear: the other side's codec reads what the engine wrote.

use std::collections::VecDeque;

use meltemi_codec::{
    Body, Decoded, Downstream, Expected, Frame, FromClient, FromServer, Malformed, Memo, Outcome,
    Size, Upstream,
};

/// A codec on either leg.
pub(crate) trait Codec {
    type Event;

    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<Self::Event>, Malformed>;
    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed>;

    /// Whether this message, which is whole, says that a request was served.
    fn is_ok(&self, _message: &[u8]) -> bool {
        false
    }
}

/// Reads what a client says.
pub(crate) struct OfClient(pub(crate) Box<dyn Downstream>);

impl Codec for OfClient {
    type Event = FromClient;

    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        self.0.decode(input, out)
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        self.0.body(input)
    }
}

/// Reads what a server says.
pub(crate) struct OfServer {
    pub(crate) codec: Box<dyn Upstream>,
    pub(crate) expected: VecDeque<Owed>,
}

/// A request that waits for so many answers.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) id: u64,
    pub(crate) memo: Memo,
    pub(crate) left: u32,
    pub(crate) mark: Option<super::Mark>,
    /// The mark may have come behind the head.
    pub(crate) cut: bool,
}

struct Queue<'a>(&'a VecDeque<Owed>);

impl Expected for Queue<'_> {
    fn memo(&self, n: usize) -> Option<&Memo> {
        self.0.get(n).map(|owed| &owed.memo)
    }

    fn id(&self, n: usize) -> Option<u64> {
        self.0.get(n).map(|owed| owed.id)
    }
}

impl Codec for OfServer {
    type Event = FromServer;

    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        self.codec.decode(input, &Queue(&self.expected), out)
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        self.codec.body(input)
    }

    fn is_ok(&self, message: &[u8]) -> bool {
        let frame = Frame {
            bytes: message,
            whole: true,
            memo: &Memo::default(),
        };
        matches!(self.codec.outcome(frame), Outcome::Ok { .. })
    }
}

/// A codec and what it has not consumed.
pub(crate) struct Ear<C> {
    pub(crate) codec: C,
    inbox: Vec<u8>,
    inside: Inside,
}

#[derive(Clone, Copy)]
enum Inside {
    Message,
    Rest(u64),
    Body,
}

/// A message, or the head of a large one.
pub(crate) struct Heard<Event> {
    /// `None`: bytes that mean nothing.
    pub(crate) event: Option<Event>,
    pub(crate) mark: Option<super::Mark>,
    /// What the codec answered.
    pub(crate) reply: Vec<u8>,
    /// There is more of it.
    pub(crate) cut: bool,
    /// It is whole, and says that a request was served.
    pub(crate) ok: bool,
}

impl<C: Codec> Ear<C> {
    pub(crate) fn new(codec: C) -> Self {
        Self {
            codec,
            inbox: Vec::new(),
            inside: Inside::Message,
        }
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// The next message, if there is one.
    pub(crate) fn next(&mut self) -> Result<Option<Heard<C::Event>>, Malformed> {
        while !self.inbox.is_empty() {
            match self.inside {
                Inside::Message => return self.message(),
                Inside::Rest(left) => {
                    let taken = usize::try_from(left)
                        .map_or(self.inbox.len(), |left| left.min(self.inbox.len()));
                    self.inbox.drain(..taken);
                    self.inside = match left - taken as u64 {
                        0 => Inside::Message,
                        left => Inside::Rest(left),
                    };
                }
                Inside::Body => match self.codec.body(&self.inbox)? {
                    Body::More(0) => return Ok(None),
                    Body::More(taken) => drop(self.inbox.drain(..taken)),
                    Body::End(taken) => {
                        self.inbox.drain(..taken);
                        self.inside = Inside::Message;
                    }
                },
            }
        }
        Ok(None)
    }

    fn message(&mut self) -> Result<Option<Heard<C::Event>>, Malformed> {
        let mut out = Vec::new();
        let (len, event) = match self.codec.decode(&self.inbox, &mut out)? {
            Decoded::Incomplete { .. } => return Ok(None),
            Decoded::Skip { len } => (len, None),
            Decoded::Message(message) => {
                let here = self.inbox.len();
                let len = match message.size {
                    Size::Streamed => {
                        self.inside = Inside::Body;
                        here
                    }
                    Size::Known(size) => {
                        let left = size.saturating_sub(here as u64);
                        if left > 0 {
                            self.inside = Inside::Rest(left);
                        }
                        usize::try_from(size).map_or(here, |size| size.min(here))
                    }
                };
                (len, Some(message.event))
            }
        };
        let message = self.inbox.get(..len).unwrap_or_default();
        let cut = !matches!(self.inside, Inside::Message);
        let heard = Heard {
            event,
            mark: super::Mark::find(message),
            reply: out,
            cut,
            ok: !cut && self.codec.is_ok(message),
        };
        self.inbox.drain(..len);
        Ok(Some(heard))
    }
}
