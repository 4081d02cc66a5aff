//! The leg to the server: the proxy is its client.

use meltemi_codec::{
    At, Body, Decoded, Expected, Frame, FromServer, Limits, Malformed, Message, Outcome, Response,
    Size, Upstream,
};

use crate::reply::{self, Extent, List};

const FORGETFUL: &[u8] = b"SERVER_ERROR out of memory writing get response";

pub(crate) struct Server {
    limits: Limits,
    /// Heartbeats that are unanswered. They are sent only while nothing else is, so the next
    /// answers are theirs.
    heartbeats: u32,
    /// The list at the front, as far as it was read: so many bytes of what there was. Large lists
    /// arrive in many pieces, and each byte is looked at once.
    list: Option<(List, usize)>,
}

impl Server {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            heartbeats: 0,
            list: None,
        }
    }

    /// How far a list reaches, or how much of it has to be there.
    fn list(&mut self, input: &[u8]) -> Result<Result<Size, usize>, Malformed> {
        let (mut list, read) = self.list.take().unwrap_or_default();
        let fresh = input.get(read..).unwrap_or_default();
        if let Some(end) = list.read(fresh, self.limits.frame)? {
            return Ok(Ok(Size::Known((read + end) as u64)));
        }
        if input.len() >= self.limits.whole {
            self.list = Some((list, input.len()));
            return Ok(Ok(Size::Streamed));
        }
        let need = input.len().saturating_add(list.least());
        self.list = Some((list, input.len()));
        Ok(Err(need.min(self.limits.whole)))
    }
}

impl Upstream for Server {
    /// Leaves out what asks the server to be silent: see the crate's documentation.
    fn forward(&mut self, _id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        let [_, at, len, _] = request.memo.words;
        let (at, len) = (at as usize, len as usize);
        let (before, rest) = request.bytes.split_at_checked(at).unwrap_or_default();
        out.extend_from_slice(before);
        out.extend_from_slice(rest.get(len..).unwrap_or_default());
    }

    fn decode(
        &mut self,
        input: &[u8],
        _expected: &dyn Expected,
        _out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        let size = match reply::extent(input, self.limits)? {
            Extent::Incomplete(need) => return Ok(Decoded::Incomplete { need }),
            Extent::Known(need, _) if input.len() < need => {
                return Ok(Decoded::Incomplete { need });
            }
            // With this answer a server forgets all others that it owed (`process_get_command`):
            // the next one would be taken for theirs.
            Extent::Known(..) if input.starts_with(FORGETFUL) => {
                return Err(Malformed {
                    reason: "the server was out of memory and has forgotten answers",
                });
            }
            Extent::Known(_, size) => Size::Known(size),
            Extent::List => match self.list(input)? {
                Ok(size) => size,
                Err(need) => return Ok(Decoded::Incomplete { need }),
            },
        };
        let event = if self.heartbeats > 0 {
            self.heartbeats -= 1;
            FromServer::Answered
        } else {
            FromServer::Response(Response {
                at: At::InOrder,
                last: true,
            })
        };
        Ok(Decoded::Message(Message { size, event }))
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        let Some((list, _)) = &mut self.list else {
            return Err(Malformed {
                reason: "no list is open",
            });
        };
        let end = list.read(input, self.limits.frame)?;
        Ok(match end {
            Some(end) => {
                self.list = None;
                Body::End(end)
            }
            None => Body::More(input.len()),
        })
    }

    fn outcome(&self, response: Frame<'_>) -> Outcome {
        reply::outcome(response.bytes)
    }

    /// `mn` asks for nothing but an answer. A server that is too old to know it says `ERROR`,
    /// which is one too.
    fn heartbeat(&mut self, _id: u64, out: &mut Vec<u8>) -> bool {
        self.heartbeats += 1;
        out.extend_from_slice(b"mn\r\n");
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_has_forgotten_answers_is_left() {
        let limits = Limits {
            whole: Limits::WHOLE,
            frame: 1 << 30,
        };
        let mut server = Server::new(limits);
        let forgetful = [FORGETFUL, b"\r\n"].concat();
        assert!(server.decode(&forgetful, &(), &mut Vec::new()).is_err());
        let other = b"SERVER_ERROR out of memory storing object\r\n";
        assert!(server.decode(other, &(), &mut Vec::new()).is_ok());
    }
}
