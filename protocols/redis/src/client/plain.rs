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

/// Requests that may go this way: with this command and so many arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    command: &'static Command,
    /// Which argument is its key.
    key: u32,
    /// How many arguments there are behind the command's name.
    arguments: usize,
    /// How these requests begin: their first line, and the command's name.
    front: [u8; FRONT],
    length: usize,
}

/// Room for a first line of two digits and a name of twenty letters: what begins with more goes the long
/// way.
const FRONT: usize = 32;

impl Plain {
    /// `None` where it may not.
    fn of(input: &[u8], whole: &Whole) -> Option<Self> {
        let command = command::find(input.get(whole.name.clone())?, None)?;
        let key = command.only_key().filter(|key| *key < whole.count)?;
        let begins = input.get(..whole.name.end + 2)?;
        let mut front = [0; FRONT];
        front.get_mut(..begins.len())?.copy_from_slice(begins);
        command.takes(whole.count).then_some(Self {
            command,
            key: u32::try_from(key).ok()?,
            arguments: whole.count - 1,
            front,
            length: begins.len(),
        })
    }

    fn begins(&self, input: &[u8]) -> bool {
        let front = self.front.get(..self.length).unwrap_or_default();
        input.starts_with(front)
    }
}

impl Client {
    /// The request at the front of `input`, as the long way would have it. `None`: it has to go that
    /// way, and nothing has changed.
    pub(super) fn plain(&mut self, input: &[u8]) -> Option<Decoded<FromClient>> {
        if !self.state.is_plain() || self.question.is_some() || self.scan.taken() > 0 {
            return None;
        }
        let (plain, end) = match &self.last {
            Some(last) if last.begins(input) => {
                let end = Whole::behind(input, last.length, last.arguments)?;
                (last, end)
            }
            _ => {
                let whole = Whole::at(input, self.limits.frame)?;
                let plain = Plain::of(input, &whole)?;
                (&*self.last.insert(plain), whole.end)
            }
        };
        if end as u64 > self.limits.frame {
            return None;
        }
        let mut tag = Tag::of(Kind::Plain);
        tag.key = plain.key;
        Some(Decoded::Message(Message {
            size: Size::Known(end as u64),
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
