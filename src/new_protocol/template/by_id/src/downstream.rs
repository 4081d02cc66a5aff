//! The leg to the client: Meltemi is its server.

use std::borrow::Cow;

use meltemi_codec::{
    Answers, AttributeKey, Decoded, Downstream, Frame, FromClient, Limits, LocalReply, Malformed,
    Memo, Message, Request, Size, Status,
};

use crate::frame::{self, BAD_REQUEST, BUSY, FAILED, Header, Kind, NoHeader};

/// The codec of one client's connection. It keeps no table of requests: what it has to remember
/// of one goes into the request's memo.
pub(crate) struct Client {
    pub(crate) limits: Limits,
}

impl Downstream for Client {
    /// Looks at the front of what the client has sent and nothing else. It is called again with
    /// the same bytes and more until it returns a message, so it must not change `self` before.
    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        let header = match Header::read(input) {
            Ok(header) => header,
            Err(NoHeader::TooShort) => {
                return Ok(Decoded::Incomplete {
                    need: frame::HEADER,
                });
            }
            // No boundary can be found any more: the connection is closed.
            Err(NoHeader::NotOurs(reason)) => return Err(Malformed { reason }),
        };
        // A message whose end is known and that cannot be served costs only itself.
        let too_large = header.size() > self.limits.frame;
        // Up to `limits.whole` bytes all of it has to be here, above that its head.
        let need = self.limits.needed(header.head(), header.size());
        if input.len() < need && !too_large {
            return Ok(Decoded::Incomplete { need });
        }
        let event = match header.kind {
            Kind::Request | Kind::OneWay if too_large => FromClient::Refused {
                request: request(header),
                status: Status::TooLarge,
                message: "the request is larger than the frame limit",
            },
            Kind::Request | Kind::OneWay => FromClient::Request(request(header)),
            _ if too_large => {
                return Err(Malformed {
                    reason: "a message is larger than the frame limit",
                });
            }
            // What this leg can answer alone it writes to `out`.
            Kind::Ping => {
                frame::write(Kind::Pong, 0, header.id, "", b"", out);
                FromClient::Answered
            }
            Kind::Pong => FromClient::Answered,
            Kind::Answer => {
                return Err(Malformed {
                    reason: "a client sent an answer",
                });
            }
        };
        Ok(Decoded::Message(Message {
            size: Size::Known(header.size()),
            event,
        }))
    }

    /// Called for an attribute only where a rule names it. `request.bytes` may be the head of a
    /// message that is too large to be kept: what is not there is `None`.
    fn attribute<'a>(&self, request: Frame<'a>, key: &AttributeKey) -> Option<Cow<'a, [u8]>> {
        match key {
            // The first of `Protocol::attributes`.
            AttributeKey::Known(0) => frame::method(request.bytes).map(Cow::Borrowed),
            AttributeKey::Known(_) | AttributeKey::Other(_) => None,
        }
    }

    /// Gives the client a server's answer, under the id that the client knows.
    fn respond(&mut self, id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        frame::write_under(narrow(id), response.bytes, out);
    }

    /// Answers in the server's place, in words that the client's library understands: there is no
    /// route, no server, no time left. Returns the status that it wrote, for metrics; `None`
    /// would close the connection, for protocols that have no words for it.
    fn local_reply(
        &mut self,
        id: u64,
        _memo: &Memo,
        reply: LocalReply<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        let status = match reply.status {
            Status::Malformed | Status::TooLarge | Status::Unsupported | Status::Denied => {
                BAD_REQUEST
            }
            Status::RateLimited | Status::Overloaded | Status::ShuttingDown => BUSY,
            _ => FAILED,
        };
        let id = narrow(id);
        frame::write(Kind::Answer, status, id, "", reply.message.as_bytes(), out);
        Some(status.into())
    }

    // What else there is, with defaults that fit this protocol:
    //
    // body         more of a message whose size its head does not tell (`Size::Streamed`)
    // edit         changes headers of a request; this format has none, which the default says
    // learn        the answer to a question of the codec's own (`FromClient::Ask`)
    // call         writes a request of the server's to the client (`FromServer::Call`)
    // push         writes a message of the server's that answers nobody (`FromServer::Push`)
    // drain        tells the client to go elsewhere; by default it is let go when it is idle
    // heartbeat    asks the client whether it lives, if clients answer such
    // end_of_file  whether a client that closed its sending side still reads; by default it does
}

/// What the core has to know of a request.
fn request(header: Header) -> Request {
    Request {
        answers: match header.kind {
            Kind::OneWay => Answers::None,
            _ => Answers::One,
        },
        // `deadline` if the message carries one, `idempotent` if repeating it does no harm,
        // `pin` if it needs a connection of its own, `constraint` if a key decides the server.
        ..Request::unary(header.id.into(), Memo::default())
    }
}

/// Ids are of the width that `Traits::correlation` says.
pub(crate) fn narrow(id: u64) -> u32 {
    id as u32
}
