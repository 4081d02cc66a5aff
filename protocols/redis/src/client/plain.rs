//! The way of nearly all requests: there as a whole, of a command with one key, of a client that is
//! in no state that a server would remember.

use meltemi_codec::{Constraint, Decoded, FromClient, Memo, Message, Request, Size};

use super::{
    Client,
    state::{Replies, State, Stream, Transaction},
};
use crate::{
    command::{self, Command},
    memo::{Kind, Tag},
    resp::request_scan::Whole,
};

/// A command that may go this way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    command: &'static Command,
    /// Which argument is its key.
    key: usize,
}

impl Plain {
    /// `None` where it may not.
    fn named(name: &[u8]) -> Option<Self> {
        let command = command::find(name, None)?;
        let key = command.only_key()?;
        Some(Self { command, key })
    }
}

impl Client {
    /// The request at the front of `input`, as the long way would have it. `None`: it has to go that
    /// way, and nothing has changed.
    pub(super) fn plain(&mut self, input: &[u8]) -> Option<Decoded<FromClient>> {
        if !self.state.is_plain() || self.question.is_some() || self.scan.taken() > 0 {
            return None;
        }
        let whole = Whole::at(input, self.limits.frame)?;
        let name = input.get(whole.span(0)?)?;
        let last = self.last.filter(|last| last.command.is_named(name));
        let plain = match last {
            Some(last) => last,
            None => *self.last.insert(Plain::named(name)?),
        };
        if !plain.command.takes(whole.count) {
            return None;
        }
        let mut tag = Tag::of(Kind::Plain);
        tag.key = u32::try_from(plain.key).ok()?;
        Some(Decoded::Message(Message {
            size: Size::Known(whole.end as u64),
            event: FromClient::Request(Request {
                idempotent: plain.command.is_readonly(),
                constraint: Constraint::Key,
                session: self.state.session.clone(),
                ..Request::unary(0, Memo::from(tag))
            }),
        }))
    }
}

impl State {
    /// Whether a request of it is like that of a new client.
    fn is_plain(&self) -> bool {
        let Self {
            authenticated,
            replies: Replies::On,
            transaction: Transaction::None,
            stream: Stream::None,
            watching: false,
            own: false,
            unnamed: false,
            channels,
            ..
        } = self
        else {
            return false;
        };
        *authenticated && !channels.any()
    }
}
