//! The two codecs of the protocol in order: the proxy is the server of one leg, the client of the other.

use std::{borrow::Cow, time::Duration};

use super::{
    line::{Extent, Front, Line, parse},
    payload::{Payload, Pieces},
};
use crate::{
    attribute::AttributeKey,
    downstream::{Downstream, Drain, FromClient},
    edit::{Edit, EditRefused},
    message::{
        Answers, Body, Decoded, Frame, Limits, Malformed, Memo, Message, Pin, Request, Size,
    },
    reply::{LocalReply, Status},
    upstream::{At, Expected, FromServer, Outcome, Response, Upstream},
};

/// What `words[0]` of a request's memo says when its answer announces a payload that does not follow.
const SIZE_ONLY: u32 = 1;

pub(super) struct Server {
    limits: Limits,
    /// The rest of a message that was returned by its head.
    pieces: Option<Pieces>,
}

impl Server {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            pieces: None,
        }
    }
}

impl Downstream for Server {
    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        let line = match Line::front(input)? {
            Front::Incomplete(need) => return Ok(Decoded::Incomplete { need }),
            Front::Empty(len) => return Ok(Decoded::Skip { len }),
            Front::Line(line) => line,
        };
        let size = match line.extent(input, self.limits)? {
            Extent::Missing(need) => return Ok(Decoded::Incomplete { need }),
            Extent::TooLarge(size) => {
                let event = FromClient::Refused {
                    request: request(&line),
                    status: Status::TooLarge,
                    message: "the request is larger than the frame limit",
                };
                let size = Size::Known(size);
                return Ok(Decoded::Message(Message { size, event }));
            }
            Extent::Whole(size) => Size::Known(size),
            Extent::Streamed(pieces) => {
                self.pieces = Some(pieces);
                Size::Streamed
            }
        };
        let event = match verb(&line) {
            "PING" => {
                out.extend_from_slice(b"+PONG\n");
                FromClient::Answered
            }
            "QUIT" => {
                out.extend_from_slice(b"+BYE\n");
                FromClient::Goodbye
            }
            _ => FromClient::Request(request(&line)),
        };
        Ok(Decoded::Message(Message { size, event }))
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        body(&mut self.pieces, input)
    }

    fn attribute<'a>(&self, request: Frame<'a>, key: &AttributeKey) -> Option<Cow<'a, [u8]>> {
        let (line, _) = parse(request.bytes)?;
        let value = match key {
            AttributeKey::Known(0) => verb(&line),
            AttributeKey::Known(_) => line.text.split(' ').nth(1).filter(|key| !key.is_empty())?,
            AttributeKey::Other(name) => line.attributes().find(|(found, _)| *found == &**name)?.1,
        };
        Some(Cow::Borrowed(value.as_bytes()))
    }

    fn edit(
        &self,
        request: Frame<'_>,
        edits: &[Edit],
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        let (line, payload) = parse(request.bytes).ok_or(EditRefused::Unreadable)?;
        let mut words: Vec<Cow<'_, str>> = line.text.split(' ').map(Cow::Borrowed).collect();
        for edit in edits {
            let (Edit::Set { name, .. } | Edit::Remove { name }) = edit else {
                return Err(EditRefused::NoPlace);
            };
            if matches!(&**name, "" | "verb" | "key") || name.contains([' ', '\n', '=', '*']) {
                return Err(EditRefused::Unwritable);
            }
            words.retain(|word| {
                word.split_once('=')
                    .is_none_or(|(found, _)| found != &**name)
            });
            if let Edit::Set { name, value } = edit {
                if value.contains([' ', '\n']) {
                    return Err(EditRefused::Unwritable);
                }
                words.push(Cow::Owned(format!("{name}={value}")));
            }
        }
        let text = format!("{}{}", words.join(" "), line.payload);
        if text.len() >= super::LINE {
            return Err(EditRefused::Unwritable);
        }
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(payload);
        Ok(())
    }

    fn respond(&mut self, _id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(response.bytes);
    }

    fn local_reply(
        &mut self,
        _id: u64,
        _memo: &Memo,
        reply: LocalReply<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        let (mark, code) = code(reply.status);
        // A `*` could announce a payload, and an end of line would end the answer.
        let text: String = reply
            .message
            .chars()
            .map(|char| {
                if char.is_control() || char == '*' {
                    ' '
                } else {
                    char
                }
            })
            .take(super::LINE / 8)
            .collect();
        out.extend_from_slice(format!("{mark}{code} {text}\n").as_bytes());
        Some(code)
    }

    fn drain(&mut self, out: &mut Vec<u8>) -> Drain {
        out.extend_from_slice(b".bye\n");
        Drain::Announced
    }
}

pub(super) struct Client {
    limits: Limits,
    /// Heartbeats that are not answered yet. They are sent only when nothing else is unanswered,
    /// so the next answers are theirs.
    own: u32,
    /// The rest of a message that was returned by its head.
    pieces: Option<Pieces>,
}

impl Client {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            own: 0,
            pieces: None,
        }
    }
}

impl Upstream for Client {
    fn forward(&mut self, _id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(request.bytes);
    }

    fn decode(
        &mut self,
        input: &[u8],
        expected: &dyn Expected,
        _out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        let line = match Line::front(input)? {
            Front::Incomplete(need) => return Ok(Decoded::Incomplete { need }),
            Front::Empty(len) => return Ok(Decoded::Skip { len }),
            Front::Line(line) => line,
        };
        let size_only = self.own == 0
            && expected
                .memo(0)
                .is_some_and(|memo| memo.words[0] == SIZE_ONLY);
        let is_answer = line.text.starts_with(['+', '-', '!', '?']);
        let line = if is_answer && size_only {
            Line {
                payload: Payload::Nothing,
                ..line
            }
        } else {
            line
        };
        let size = match line.extent(input, self.limits)? {
            Extent::Missing(need) => return Ok(Decoded::Incomplete { need }),
            Extent::TooLarge(_) => {
                return Err(Malformed {
                    reason: "an answer is larger than the frame limit",
                });
            }
            Extent::Whole(size) => Size::Known(size),
            Extent::Streamed(pieces) => {
                self.pieces = Some(pieces);
                Size::Streamed
            }
        };
        let event = match line.text {
            ".bye" => FromServer::GoAway { host: false },
            ".bye host" => FromServer::GoAway { host: true },
            ".back" => FromServer::ComeBack,
            text if text.starts_with('>') => FromServer::Push,
            _ if is_answer && self.own > 0 => {
                self.own -= 1;
                FromServer::Answered
            }
            _ if is_answer => FromServer::Response(Response {
                at: At::InOrder,
                last: true,
            }),
            _ => {
                return Err(Malformed {
                    reason: "an answer begins with none of + - ! ? > .",
                });
            }
        };
        Ok(Decoded::Message(Message { size, event }))
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        body(&mut self.pieces, input)
    }

    fn outcome(&self, response: Frame<'_>) -> Outcome {
        let Some((&mark, text)) = response.bytes.split_first() else {
            return Outcome::SystemError { code: 0 };
        };
        let code = text
            .iter()
            .map_while(|byte| char::from(*byte).to_digit(10))
            .fold(0_u32, |code, digit| {
                code.saturating_mul(10).saturating_add(digit)
            });
        match mark {
            b'+' => Outcome::Ok { code: 0 },
            b'-' => Outcome::ApplicationError { code },
            b'?' => Outcome::TryLater { code },
            _ => Outcome::SystemError { code },
        }
    }

    fn heartbeat(&mut self, _id: u64, out: &mut Vec<u8>) -> bool {
        self.own += 1;
        out.extend_from_slice(b"PING\n");
        true
    }
}

/// The next piece of a message that was returned by its head.
fn body(pieces: &mut Option<Pieces>, input: &[u8]) -> Result<Body, Malformed> {
    let Some(reading) = pieces else {
        return Err(Malformed {
            reason: "no message is open",
        });
    };
    let body = reading.read(input)?;
    if let Body::End(_) = body {
        *pieces = None;
    }
    Ok(body)
}

fn verb<'a>(line: &Line<'a>) -> &'a str {
    line.text.split(' ').next().unwrap_or_default()
}

fn request(line: &Line<'_>) -> Request {
    let verb = verb(line);
    let size_only = if verb == "SIZE" { SIZE_ONLY } else { 0 };
    let count = line.text.split(' ').nth(1).and_then(|n| n.parse().ok());
    let memo = Memo {
        words: [size_only, 0, 0, 0],
        data: None,
    };
    Request {
        answers: match verb {
            "NOTE" => Answers::None,
            "SUB" => Answers::Counted(count.unwrap_or(1)),
            _ => Answers::One,
        },
        pin: match verb {
            "HOLD" => Pin::UntilRelease,
            "FREE" => Pin::Release,
            "POP" => Pin::UntilReply,
            _ => Pin::None,
        },
        deadline: line
            .attributes()
            .find(|(name, _)| *name == "deadline")
            .and_then(|(_, value)| value.parse().ok())
            .map(Duration::from_millis),
        waits: verb == "POP",
        idempotent: verb == "GET",
        ..Request::unary(0, memo)
    }
}

fn code(status: Status) -> (char, u32) {
    match status {
        Status::NoRoute => ('!', 10),
        Status::NoHealthyUpstream => ('!', 11),
        Status::ConnectFailure => ('!', 12),
        Status::UpstreamReset => ('!', 13),
        Status::UpstreamMalformed => ('!', 14),
        Status::Timeout => ('!', 15),
        Status::Denied => ('!', 16),
        Status::Malformed => ('!', 17),
        Status::TooLarge => ('!', 18),
        Status::Unsupported => ('!', 19),
        Status::ShuttingDown => ('!', 20),
        Status::FaultInjected => ('!', 21),
        Status::RateLimited => ('?', 101),
        Status::Overloaded => ('?', 102),
    }
}
