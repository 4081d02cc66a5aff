//! The leg to the client: the proxy is its memcached.

use std::borrow::Cow;

use meltemi_codec::{
    AttributeKey, Constraint, Decoded, Downstream, Frame, FromClient, Limits, LocalReply,
    Malformed, Memo, Message, Request, Role, Size, Status,
};

use crate::{
    command::{Class, Command, Front, hidden},
    reply::{self, CLIENT_ERROR, SERVER_ERROR},
};

/// What a client is told at most of why its request was not served.
const LONGEST_MESSAGE: usize = 512;

pub(crate) struct Client {
    pub(crate) limits: Limits,
}

impl Downstream for Client {
    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        let front = Command::front(input).inspect_err(|malformed| {
            say(out, "CLIENT_ERROR", malformed.reason);
        })?;
        let command = match front {
            Front::Incomplete => {
                return Ok(Decoded::Incomplete {
                    need: input.len() + 1,
                });
            }
            Front::Wrong(len, _) | Front::NoOp(len) | Front::Quit(len)
                if len as u64 > self.limits.frame =>
            {
                return Err(Malformed {
                    reason: "line too long",
                });
            }
            Front::Wrong(len, answer) => {
                out.extend_from_slice(answer.as_bytes());
                return Ok(message(len as u64, FromClient::Answered));
            }
            Front::NoOp(len) => {
                out.extend_from_slice(b"MN\r\n");
                return Ok(message(len as u64, FromClient::Answered));
            }
            Front::Quit(len) => return Ok(message(len as u64, FromClient::Goodbye)),
            Front::WrongWithData(command) => {
                let event = refused(&command, Status::Malformed, "bad command line format");
                return Ok(message(command.size(), event));
            }
            Front::Command(command) => command,
        };
        let size = command.size();
        if size > self.limits.frame {
            let event = refused(&command, Status::TooLarge, "object too large for cache");
            return Ok(message(size, event));
        }
        let need = self.limits.needed(command.len, size);
        if input.len() < need {
            return Ok(Decoded::Incomplete { need });
        }
        let event = match command.class {
            Class::Operator => refused(
                &command,
                Status::Unsupported,
                "this command is for the operator of one server, who can ask that server",
            ),
            _ => FromClient::Request(request(&command)),
        };
        Ok(message(size, event))
    }

    fn attribute<'a>(&self, request: Frame<'a>, key: &AttributeKey) -> Option<Cow<'a, [u8]>> {
        let Ok(Front::Command(command)) = Command::front(request.bytes) else {
            return None;
        };
        match key {
            AttributeKey::Known(0) => Some(Cow::Borrowed(command.name())),
            AttributeKey::Known(1) => command.key(),
            AttributeKey::Known(_) | AttributeKey::Other(_) => None,
        }
    }

    fn constraint(&self, request: Frame<'_>) -> Option<Constraint> {
        let Ok(Front::Command(command)) = Command::front(request.bytes) else {
            return None;
        };
        command.hash().map(shard)
    }

    fn respond(&mut self, _id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        let [hidden, ..] = response.memo.words;
        if hidden & (hidden::ALL | reply::part(response.bytes)) == 0 {
            out.extend_from_slice(response.bytes);
        }
    }

    fn local_reply(
        &mut self,
        _id: u64,
        memo: &Memo,
        reply: LocalReply<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        let (word, code) = match reply.status {
            Status::Malformed | Status::TooLarge | Status::Unsupported | Status::Denied => {
                ("CLIENT_ERROR", CLIENT_ERROR)
            }
            _ => ("SERVER_ERROR", SERVER_ERROR),
        };
        if memo.words[0] & hidden::ALL == 0 {
            say(out, word, reply.message);
        }
        Some(code)
    }
}

/// An error, in one line whatever its message is.
fn say(out: &mut Vec<u8>, word: &str, message: &str) {
    let plain = |char: char| if char.is_control() { ' ' } else { char };
    let text: String = message.chars().take(LONGEST_MESSAGE).map(plain).collect();
    out.extend_from_slice(format!("{word} {text}\r\n").as_bytes());
}

fn message(size: u64, event: FromClient) -> Decoded<FromClient> {
    Decoded::Message(Message {
        size: Size::Known(size),
        event,
    })
}

fn refused(command: &Command<'_>, status: Status, message: &'static str) -> FromClient {
    FromClient::Refused {
        request: request(command),
        status,
        message,
    }
}

/// What the core has to know of a command. The memo is what of its answer stays here, and which
/// bytes of its line.
fn request(command: &Command<'_>) -> Request {
    let (at, len) = command.quiet;
    let word = |n: usize| u32::try_from(n).unwrap_or(0);
    let memo = Memo {
        words: [command.hidden, word(at), word(len), 0],
        data: None,
    };
    Request {
        idempotent: command.class.is_idempotent(),
        constraint: constraint(command),
        ..Request::unary(0, memo)
    }
}

fn constraint(command: &Command<'_>) -> Constraint {
    match command.class {
        Class::Get | Class::GetAndTouch if command.keys().nth(1).is_some() => Constraint::Planned,
        Class::FlushAll | Class::Stats => Constraint::Planned,
        _ if command.keys().next().is_some() => Constraint::Key,
        _ => Constraint::None,
    }
}

/// Where a key lives. memcached has no slots of its own and no replicas.
pub(crate) fn shard(hash: u64) -> Constraint {
    Constraint::Shard {
        slot: 0,
        hash,
        role: Role::Primary,
    }
}
