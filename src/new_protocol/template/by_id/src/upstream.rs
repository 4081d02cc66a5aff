//! The leg to the server: Meltemi is its client.

use meltemi_codec::{
    At, Decoded, Expected, Frame, FromServer, Limits, Malformed, Message, Outcome, Response, Size,
    Upstream,
};

use crate::{
    downstream::narrow,
    frame::{self, BAD_REQUEST, BUSY, Header, Kind, NO, NoHeader, OK},
};

/// The codec of one connection to a server, which serves requests of many clients.
pub(crate) struct Server {
    pub(crate) limits: Limits,
}

impl Upstream for Server {
    /// Writes a request under the id that the core has chosen for it on this connection.
    /// `request.bytes` may be the head of a large message: the rest follows unseen.
    fn forward(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        frame::write_under(narrow(id), request.bytes, out);
    }

    /// Looks at the front of what the server has sent, as `Downstream::decode` does.
    /// `_expected` has the memos of unanswered requests where answers come in order.
    fn decode(
        &mut self,
        input: &[u8],
        _expected: &dyn Expected,
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        let header = match Header::read(input) {
            Ok(header) => header,
            Err(NoHeader::TooShort) => {
                return Ok(Decoded::Incomplete {
                    need: frame::HEADER,
                });
            }
            Err(NoHeader::NotOurs(reason)) => return Err(Malformed { reason }),
        };
        if header.size() > self.limits.frame {
            return Err(Malformed {
                reason: "an answer is larger than the frame limit",
            });
        }
        let need = self.limits.needed(header.head(), header.size());
        if input.len() < need {
            return Ok(Decoded::Incomplete { need });
        }
        let event = match header.kind {
            Kind::Answer => FromServer::Response(Response {
                at: At::Id(header.id.into()),
                last: true,
            }),
            Kind::Ping => {
                frame::write(Kind::Pong, 0, header.id, "", b"", out);
                FromServer::Answered
            }
            // The answer to `heartbeat`.
            Kind::Pong => FromServer::Answered,
            Kind::Request | Kind::OneWay => {
                return Err(Malformed {
                    reason: "a server sent a request",
                });
            }
        };
        Ok(Decoded::Message(Message {
            size: Size::Known(header.size()),
            event,
        }))
    }

    /// Whose fault an answer is. It decides which server is left out for a while (`SystemError`)
    /// and which request may be sent to another one (`TryLater`).
    fn outcome(&self, response: Frame<'_>) -> Outcome {
        let Ok(header) = Header::read(response.bytes) else {
            return Outcome::SystemError { code: 0 };
        };
        let code = header.status.into();
        match header.status {
            OK => Outcome::Ok { code },
            NO => Outcome::ApplicationError { code },
            BAD_REQUEST => Outcome::RequestError { code },
            BUSY => Outcome::TryLater { code },
            _ => Outcome::SystemError { code },
        }
    }

    /// Asks the server whether it lives, under an id that no request has. The other leg's `decode`
    /// must be able to answer it: two Meltemis may follow each other.
    fn heartbeat(&mut self, id: u64, out: &mut Vec<u8>) -> bool {
        frame::write(Kind::Ping, 0, narrow(id), "", b"", out);
        true
    }

    // What else there is, with defaults that fit this protocol:
    //
    // open          what a new connection says first (a login); `Await` holds requests back
    // forward_once  a request that another server redirected for once
    // body          more of a message whose size its head does not tell (`Size::Streamed`)
    // edit          changes headers of an answer
    // refuse        answers a request of the server's that no client can be asked
    // respond       gives the server a client's answer to such a request
    // stream        writes more of a stream that a request opened
    // cancel        tells the server that nobody waits any more
    // health_check  asks whether it can serve, where that is not what `heartbeat` asks
}
