//! The leg to the server: Meltemi is its client.

use meltemi_codec::{
    At, Decoded, Expected, Frame, FromServer, Limits, Malformed, Message, Outcome, Response, Size,
    Upstream,
};

use crate::line::{Front, Line};

/// The codec of one connection to a server, which serves requests of many clients.
pub(crate) struct Server {
    pub(crate) limits: Limits,
    /// Heartbeats that are unanswered.
    pub(crate) heartbeats: u32,
}

impl Upstream for Server {
    /// Writes a request. `request.bytes` may be the head of a large one: the rest follows unseen.
    fn forward(&mut self, _id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(request.bytes);
    }

    /// Looks at the front of what the server has sent, as `Downstream::decode` does. `_expected`
    /// has the memos of the unanswered requests, for answers that cannot be read without.
    fn decode(
        &mut self,
        input: &[u8],
        _expected: &dyn Expected,
        _out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        let line = match Line::front(input, self.limits)? {
            Front::Incomplete(need) => return Ok(Decoded::Incomplete { need }),
            Front::TooLarge(_) => {
                return Err(Malformed {
                    reason: "an answer is larger than the frame limit",
                });
            }
            Front::Message(line) => line,
        };
        if !matches!(line.word(0), Some("OK" | "NO" | "BAD" | "FAIL" | "BUSY")) {
            return Err(Malformed {
                reason: "an answer begins with none of OK, NO, BAD, FAIL and BUSY",
            });
        }
        // Heartbeats are sent only while no request is unanswered, so the next answers are theirs.
        let event = if self.heartbeats > 0 {
            self.heartbeats -= 1;
            FromServer::Answered
        } else {
            FromServer::Response(Response {
                at: At::InOrder,
                last: true,
            })
        };
        Ok(Decoded::Message(Message {
            size: Size::Known(line.size),
            event,
        }))
    }

    /// Whose fault an answer is. It decides which server is left out for a while (`SystemError`)
    /// and which request may be sent to another one (`TryLater`).
    fn outcome(&self, response: Frame<'_>) -> Outcome {
        let line = Line::read(response.bytes).ok().flatten();
        let code = 0;
        match line.and_then(|line| line.word(0)) {
            Some("OK") => Outcome::Ok { code },
            Some("NO") => Outcome::ApplicationError { code },
            Some("BAD") => Outcome::RequestError { code },
            Some("BUSY") => Outcome::TryLater { code },
            _ => Outcome::SystemError { code },
        }
    }

    /// Asks the server whether it lives. The other leg's `decode` must be able to answer it: two
    /// Meltemis may follow each other.
    fn heartbeat(&mut self, _id: u64, out: &mut Vec<u8>) -> bool {
        self.heartbeats += 1;
        out.extend_from_slice(b"PING\n");
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
