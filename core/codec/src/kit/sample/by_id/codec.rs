//! The two codecs of the protocol by id: the proxy is the server of one leg, the client of the other.

use std::{borrow::Cow, str, time::Duration};

use super::{APPLICATION_ERROR, ById, HEADER, Header, Kind, MAGIC, TRY_LATER, control, frame};
use crate::{
    attribute::AttributeKey,
    downstream::{Downstream, Drain, FromClient},
    edit::{Edit, EditRefused},
    message::{
        Alike, Answers, Decoded, Frame, Limits, Malformed, Memo, Message, Pin, Request, Size,
    },
    protocol::Protocol,
    reply::{LocalReply, Status},
    upstream::{At, Expected, FromServer, Outcome, Response, Upstream},
};

/// Where the id is.
const ID: usize = 4;

pub(super) struct Server {
    pub(super) limits: Limits,
    /// Of the request before, its attributes.
    pub(super) before: Option<Vec<u8>>,
}

impl Server {
    /// Whether a request has the attributes of the one before it.
    fn alike(&mut self, header: Header, input: &[u8]) -> Alike {
        let whole = header.size() <= self.limits.whole as u64;
        let attributes = input
            .get(HEADER..HEADER + usize::from(header.attributes))
            .filter(|_| whole);
        let same = attributes.is_some() && attributes == self.before.as_deref();
        if same {
            return Alike::All;
        }
        self.before = attributes.map(<[u8]>::to_vec);
        Alike::No
    }
}

impl Downstream for Server {
    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        let header = match read(input)? {
            Ok(header) => header,
            Err(need) => return Ok(Decoded::Incomplete { need }),
        };
        let too_large = header.size() > self.limits.frame;
        if let Some(need) = missing(input, header, self.limits).filter(|_| !too_large) {
            return Ok(Decoded::Incomplete { need });
        }
        let event = match header.kind {
            Kind::Request | Kind::OneWay if too_large => FromClient::Refused {
                request: request(header),
                status: Status::TooLarge,
                message: "the request is larger than the frame limit",
            },
            _ if too_large => {
                return Err(Malformed {
                    reason: "a frame is larger than the limit",
                });
            }
            Kind::Request | Kind::OneWay => FromClient::Request(Request {
                alike: self.alike(header, input),
                ..request(header)
            }),
            Kind::Ping => {
                out.extend_from_slice(&control(Kind::Pong, header.id));
                FromClient::Answered
            }
            Kind::Pong => FromClient::Answered,
            Kind::GoAway => FromClient::Goodbye,
            Kind::Cancel => FromClient::Cancel { id: header.id },
            Kind::Response => FromClient::Response { id: header.id },
            Kind::GoAwayHost | Kind::ComeBack => {
                return Err(Malformed {
                    reason: "a client sent what only a server sends",
                });
            }
        };
        Ok(Decoded::Message(Message {
            size: Size::Known(header.size()),
            event,
        }))
    }

    fn attribute<'a>(&self, request: Frame<'a>, key: &AttributeKey) -> Option<Cow<'a, [u8]>> {
        let name = match key {
            AttributeKey::Known(index) => ById.attributes().get(usize::from(*index))?.name,
            AttributeKey::Other(name) => name,
        };
        let (_, attributes, _) = parts(request.bytes)?;
        lines(attributes)
            .find(|(found, _)| *found == name)
            .map(|(_, value)| Cow::Borrowed(value.as_bytes()))
    }

    fn edit(
        &self,
        request: Frame<'_>,
        edits: &[Edit],
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        splice(request, edits, out)
    }

    fn pass_deadline(
        &self,
        request: Frame<'_>,
        left: Duration,
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        let header = Header::read(request.bytes).ok_or(EditRefused::Unreadable)?;
        let detail = u32::try_from(left.as_millis()).map_err(|_| EditRefused::Unwritable)?;
        Header { detail, ..header }.write(out);
        out.extend_from_slice(request.bytes.get(HEADER..).unwrap_or_default());
        Ok(())
    }

    fn respond(&mut self, id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        under(id, response.bytes, out);
    }

    fn local_reply(
        &mut self,
        id: u64,
        memo: &Memo,
        reply: LocalReply<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        let code = code(reply.status);
        let header = Header {
            dialect: memo.words[0] as u8,
            detail: code,
            ..Header::new(Kind::Response, id)
        };
        out.extend_from_slice(&frame(header, &[], reply.message.as_bytes()));
        Some(code)
    }

    fn call(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        under(id, request.bytes, out);
    }

    fn drain(&mut self, out: &mut Vec<u8>) -> Drain {
        out.extend_from_slice(&control(Kind::GoAway, 0));
        Drain::Announced
    }

    fn heartbeat(&mut self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(&control(Kind::Ping, 0));
        true
    }
}

pub(super) struct Client {
    pub(super) limits: Limits,
}

impl Upstream for Client {
    fn forward(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        under(id, request.bytes, out);
    }

    fn decode(
        &mut self,
        input: &[u8],
        _expected: &dyn Expected,
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        let header = match read(input)? {
            Ok(header) => header,
            Err(need) => return Ok(Decoded::Incomplete { need }),
        };
        if header.size() > self.limits.frame {
            return Err(Malformed {
                reason: "an answer is larger than the frame limit",
            });
        }
        if let Some(need) = missing(input, header, self.limits) {
            return Ok(Decoded::Incomplete { need });
        }
        let event = match header.kind {
            Kind::Response => FromServer::Response(Response {
                at: At::Id(header.id),
                last: true,
            }),
            Kind::Ping => {
                out.extend_from_slice(&control(Kind::Pong, header.id));
                FromServer::Answered
            }
            Kind::Pong => FromServer::Answered,
            Kind::GoAway => FromServer::GoAway { host: false },
            Kind::GoAwayHost => FromServer::GoAway { host: true },
            Kind::ComeBack => FromServer::ComeBack,
            Kind::Request | Kind::OneWay => FromServer::Call(Box::new(request(header))),
            Kind::Cancel => {
                return Err(Malformed {
                    reason: "a server sent what only a client sends",
                });
            }
        };
        Ok(Decoded::Message(Message {
            size: Size::Known(header.size()),
            event,
        }))
    }

    fn outcome(&self, response: Frame<'_>) -> Outcome {
        match Header::read(response.bytes).map(|header| header.detail) {
            Some(code @ 0) => Outcome::Ok { code },
            Some(code @ APPLICATION_ERROR) => Outcome::ApplicationError { code },
            Some(code) if (TRY_LATER..200).contains(&code) => Outcome::TryLater { code },
            code => Outcome::SystemError {
                code: code.unwrap_or_default(),
            },
        }
    }

    fn edit(
        &self,
        response: Frame<'_>,
        edits: &[Edit],
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        splice(response, edits, out)
    }

    fn refuse(&mut self, request: &Request, out: &mut Vec<u8>) {
        let header = Header {
            dialect: request.memo.words[0] as u8,
            detail: code(Status::Unsupported),
            ..Header::new(Kind::Response, request.id)
        };
        out.extend_from_slice(&frame(header, &[], b"nobody can be asked"));
    }

    fn respond(&mut self, id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        under(id, response.bytes, out);
    }

    fn cancel(&mut self, id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&control(Kind::Cancel, id));
    }

    fn heartbeat(&mut self, id: u64, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(&control(Kind::Ping, id));
        true
    }
}

/// The header, or how many bytes it takes to read one.
fn read(input: &[u8]) -> Result<Result<Header, usize>, Malformed> {
    if !MAGIC.iter().zip(input).all(|(want, is)| want == is) {
        return Err(Malformed {
            reason: "a frame does not begin with \"Mb\"",
        });
    }
    if input.len() < HEADER {
        return Ok(Err(HEADER));
    }
    Header::read(input).map(Ok).ok_or(Malformed {
        reason: "a frame is of no known kind",
    })
}

/// How long the input must become before the message may be returned, if it is too short.
fn missing(input: &[u8], header: Header, limits: Limits) -> Option<usize> {
    let need = limits.needed(header.head(), header.size());
    (input.len() < need).then_some(need)
}

fn request(header: Header) -> Request {
    let memo = Memo {
        words: [u32::from(header.dialect), 0, 0, 0],
        data: None,
    };
    Request {
        answers: match header.kind {
            Kind::OneWay => Answers::None,
            _ => Answers::One,
        },
        deadline: (header.detail > 0).then(|| Duration::from_millis(header.detail.into())),
        idempotent: header.idempotent,
        pin: if header.pinned {
            Pin::UntilClose
        } else {
            Pin::None
        },
        ..Request::unary(header.id, memo)
    }
}

/// The bytes under another id.
fn under(id: u64, bytes: &[u8], out: &mut Vec<u8>) {
    let (before, rest) = bytes.split_at_checked(ID).unwrap_or((bytes, &[]));
    let (_, after) = rest.split_at_checked(size_of::<u64>()).unwrap_or_default();
    out.extend_from_slice(before);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(after);
}

/// Header, attributes, and the body or what there is of it.
fn parts(bytes: &[u8]) -> Option<(Header, &str, &[u8])> {
    let header = Header::read(bytes)?;
    let (attributes, body) = bytes
        .get(HEADER..)?
        .split_at_checked(usize::from(header.attributes))?;
    Some((header, str::from_utf8(attributes).ok()?, body))
}

fn lines(attributes: &str) -> impl Iterator<Item = (&str, &str)> {
    attributes
        .lines()
        .filter_map(|attribute| attribute.split_once('='))
}

fn splice(message: Frame<'_>, edits: &[Edit], out: &mut Vec<u8>) -> Result<(), EditRefused> {
    let (header, attributes, body) = parts(message.bytes).ok_or(EditRefused::Unreadable)?;
    let mut attributes: Vec<(&str, &str)> = lines(attributes).collect();
    for edit in edits {
        let (Edit::Set { name, .. } | Edit::Remove { name }) = edit else {
            return Err(EditRefused::NoPlace);
        };
        attributes.retain(|(found, _)| *found != &**name);
        if let Edit::Set { name, value } = edit {
            if name.contains(['=', '\n']) || value.contains(['\r', '\n']) {
                return Err(EditRefused::Unwritable);
            }
            attributes.push((name, value));
        }
    }
    let size: usize = attributes
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2)
        .sum();
    let header = Header {
        attributes: u16::try_from(size).map_err(|_| EditRefused::Unwritable)?,
        ..header
    };
    header.write(out);
    for (name, value) in attributes {
        for piece in [name, "=", value, "\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }
    out.extend_from_slice(body);
    Ok(())
}

fn code(status: Status) -> u32 {
    match status {
        Status::NoRoute => 10,
        Status::NoHealthyUpstream => 11,
        Status::ConnectFailure => 12,
        Status::UpstreamReset => 13,
        Status::UpstreamMalformed => 14,
        Status::Timeout => 15,
        Status::Denied => 16,
        Status::Malformed => 17,
        Status::TooLarge => 18,
        Status::Unsupported => 19,
        Status::ShuttingDown => 20,
        Status::FaultInjected => 21,
        Status::RateLimited => TRY_LATER + 1,
        Status::Overloaded => TRY_LATER + 2,
    }
}
