//! The leg to the client: Meltemi is its server.

use std::borrow::Cow;

use meltemi_codec::{
    Answers, AttributeKey, Decoded, Downstream, Frame, FromClient, Limits, LocalReply, Malformed,
    Memo, Message, Request, Size, Status,
};

use crate::line::{Front, LONGEST, Line};

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
        let line = match Line::front(input, self.limits)? {
            Front::Incomplete(need) => return Ok(Decoded::Incomplete { need }),
            // A message whose end is known and that cannot be served costs only itself.
            Front::TooLarge(line) => {
                let event = FromClient::Refused {
                    request: request(&line),
                    status: Status::TooLarge,
                    message: "the request is larger than the frame limit",
                };
                return Ok(message(&line, event));
            }
            Front::Message(line) => line,
        };
        // Bytes that mean nothing to anybody, here an empty line.
        if line.text.is_empty() && line.size == line.len as u64 {
            return Ok(Decoded::Skip { len: line.len });
        }
        let event = match line.text {
            // What this leg can answer alone it writes to `out`; the core sends it when it is
            // this answer's turn.
            "PING" => {
                out.extend_from_slice(b"OK\n");
                FromClient::Answered
            }
            _ => FromClient::Request(request(&line)),
        };
        Ok(message(&line, event))
    }

    /// Called for an attribute only where a rule names it. `request.bytes` may be the head of a
    /// message that is too large to be kept: what is not there is `None`.
    fn attribute<'a>(&self, request: Frame<'a>, key: &AttributeKey) -> Option<Cow<'a, [u8]>> {
        let line = Line::read(request.bytes).ok()??;
        let word = match key {
            // Positions in `Protocol::attributes`.
            AttributeKey::Known(0) => line.word(0),
            AttributeKey::Known(1) => line.word(1),
            AttributeKey::Known(_) | AttributeKey::Other(_) => None,
        };
        word.map(|word| Cow::Borrowed(word.as_bytes()))
    }

    /// Gives the client a server's answer. Answers come here in the order of the requests.
    fn respond(&mut self, _id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(response.bytes);
    }

    /// Answers in the server's place, in words that the client's library understands: there is no
    /// route, no server, no time left. Returns the protocol's own code for it, for metrics (0:
    /// this one has none); `None` would close the connection, for protocols that have no words.
    fn local_reply(
        &mut self,
        _id: u64,
        _memo: &Memo,
        reply: LocalReply<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        let word = match reply.status {
            Status::Malformed | Status::TooLarge | Status::Unsupported | Status::Denied => "BAD",
            Status::RateLimited | Status::Overloaded | Status::ShuttingDown => "BUSY",
            _ => "FAIL",
        };
        // The message may have any characters; an end of line would end the answer, and a `*`
        // announce bytes that do not follow.
        let special = |char: char| char.is_control() || char == '*';
        let plain = reply.message.chars().take(LONGEST / 8);
        let text: String = plain.map(|c| if special(c) { ' ' } else { c }).collect();
        out.extend_from_slice(format!("{word} {text}\n").as_bytes());
        Some(0)
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

fn message(line: &Line<'_>, event: FromClient) -> Decoded<FromClient> {
    Decoded::Message(Message {
        size: Size::Known(line.size),
        event,
    })
}

/// What the core has to know of a request.
fn request(line: &Line<'_>) -> Request {
    Request {
        answers: match line.word(0) {
            Some("TELL") => Answers::None,
            _ => Answers::One,
        },
        // Repeating it does no harm.
        idempotent: line.word(0) == Some("GET"),
        // `deadline` if the message carries one, `pin` if it needs a connection of its own,
        // `constraint` if a key decides the server, the memo for what `Upstream::decode` or
        // `respond` must know of the request to understand its answer.
        ..Request::unary(0, Memo::default())
    }
}
