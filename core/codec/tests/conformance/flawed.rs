//! The sample protocols with one flaw each.

use meltemi_codec::{
    Alike, AttributeDef, AttributeKey, Body, Decoded, Downstream, Drain, Edit, EditRefused,
    Expected, Frame, FromClient, FromServer, Limits, LocalReply, Malformed, Memo, Opening, Outcome,
    Protocol, Request, Size, Sniff, Traits, Upstream,
};
use std::{borrow::Cow, time::Duration};

/// What is wrong with a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A message is returned a byte too early.
    Early,
    /// `need` is what there is.
    NeedsNothing,
    /// `need` is more than the message has.
    NeedsMore,
    /// A short input is an error.
    Impatient,
    /// A short input changes what the next message is.
    Remembers,
    /// Messages are a byte shorter than they are.
    Short,
    /// Nothing is skipped, again and again.
    Stuck,
    /// The same question is asked again and again.
    Curious,
    /// Other people's bytes are thrown away.
    Clears,
    /// An attribute of the schema is not found.
    Blind,
    /// All requests are said to have the attributes of the first.
    Confuses,
    /// The beginning of a connection is turned away.
    Aloof,
    /// The id is not written.
    KeepsId,
    /// A byte of the message changes on its way.
    Garbles,
    /// Nothing is given back.
    Mute,
    /// A large message loses a byte with its head.
    LosesHead,
    /// Requests of the server's keep their id.
    KeepsCallId,
    /// They are not refused.
    IgnoresCall,
    /// Something is written before an edit is refused.
    WritesRefused,
    /// Edits change nothing.
    IgnoresEdits,
    /// Edits encode the message again.
    Reencodes,
    /// The deadline stays what it is.
    KeepsDeadline,
    /// Local replies say that all is well.
    AllIsWell,
    /// They answer another request.
    WrongReply,
    /// They are not written.
    Silent,
    /// They are written, and the codec says that they are not.
    Denies,
    /// They carry the message as it is, whatever is in it.
    RawMessage,
    /// One-way requests are owed an answer.
    AnswersAll,
    /// Heartbeats are not answered.
    Heartless,
    /// The client is not told of what is announced.
    LeavesUnannounced,
    /// A message without a known end does not end.
    NeverEnds,
    /// The head of a large message is written twice when it is edited.
    EditsTwice,
    /// The limit is twice what it is.
    Generous,
    /// What is too large is refused when it is there.
    RefusesLate,
    /// Everything is kept as a whole.
    Hoards,
    /// Some bytes are too much for it.
    Panics,
}

pub(crate) struct Flawed(pub(crate) &'static dyn Protocol, pub(crate) Flaw);

impl Flawed {
    fn limits(&self, limits: Limits) -> Limits {
        match self.1 {
            Flaw::Generous => Limits {
                frame: limits.frame * 2,
                ..limits
            },
            Flaw::Hoards => Limits {
                whole: usize::MAX,
                ..limits
            },
            _ => limits,
        }
    }
}

impl Protocol for Flawed {
    fn id(&self) -> &'static str {
        self.0.id()
    }

    fn traits(&self) -> Traits {
        self.0.traits()
    }

    fn attributes(&self) -> &'static [AttributeDef] {
        self.0.attributes()
    }

    fn open_attributes(&self) -> bool {
        self.0.open_attributes()
    }

    fn sniff(&self, head: &[u8]) -> Sniff {
        match self.1 {
            Flaw::Aloof if head.len() < 4 => Sniff::No,
            _ => self.0.sniff(head),
        }
    }

    fn downstream(&self, limits: Limits) -> Box<dyn Downstream> {
        Box::new(FlawedDownstream {
            codec: self.0.downstream(self.limits(limits)),
            flaw: self.1,
            hungry: 0,
            requests: 0,
        })
    }

    fn upstream(&self, limits: Limits, opening: &Opening<'_>) -> Box<dyn Upstream> {
        Box::new(FlawedUpstream {
            codec: self.0.upstream(self.limits(limits), opening),
            flaw: self.1,
        })
    }
}

struct FlawedDownstream {
    codec: Box<dyn Downstream>,
    flaw: Flaw,
    /// How often more input was asked for.
    hungry: u32,
    requests: u32,
}

impl FlawedDownstream {
    fn incomplete(&mut self, need: usize, input: &[u8]) -> Result<Decoded<FromClient>, Malformed> {
        self.hungry += 1;
        let need = match self.flaw {
            Flaw::NeedsNothing => input.len(),
            Flaw::NeedsMore => need + 1,
            Flaw::Impatient => {
                return Err(Malformed {
                    reason: "too short",
                });
            }
            Flaw::Early if need == input.len() + 1 => {
                let padded = [input, b"\n"].concat();
                return self.codec.decode(&padded, &mut Vec::new());
            }
            _ => need,
        };
        Ok(Decoded::Incomplete { need })
    }

    fn request(&mut self, request: &mut Request) {
        match self.flaw {
            Flaw::AnswersAll => request.answers = meltemi_codec::Answers::One,
            Flaw::Confuses => {
                if self.requests > 0 {
                    request.alike = Alike::Named;
                }
                self.requests += 1;
            }
            Flaw::Remembers => request.memo.words[3] = self.hungry,
            _ => {}
        }
    }
}

impl Downstream for FlawedDownstream {
    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        match self.flaw {
            Flaw::Clears => out.clear(),
            Flaw::Stuck => return Ok(Decoded::Skip { len: 0 }),
            Flaw::Panics => assert!(!input.starts_with(&[0xff]), "no magic"),
            _ => {}
        }
        let kept = out.len();
        let mut message = match self.codec.decode(input, out)? {
            Decoded::Incomplete { need } => return self.incomplete(need, input),
            Decoded::Message(message) => message,
            skip @ Decoded::Skip { .. } => return Ok(skip),
        };
        match (&mut message.event, &mut message.size, self.flaw) {
            (_, Size::Known(size), Flaw::Short) => *size -= 1,
            (_, _, Flaw::Heartless) => out.truncate(kept),
            (FromClient::Refused { .. }, Size::Known(size), Flaw::RefusesLate)
                if (input.len() as u64) < *size =>
            {
                let need = input.len() + 1;
                return Ok(Decoded::Incomplete { need });
            }
            (event @ FromClient::Request(_), Size::Known(size), Flaw::Curious) => {
                *size = 0;
                let request = Request::unary(0, Memo::default());
                let bytes = Box::default();
                *event = FromClient::Ask(Box::new(meltemi_codec::OwnRequest { request, bytes }));
            }
            (FromClient::Request(request) | FromClient::Refused { request, .. }, _, _) => {
                self.request(request);
            }
            _ => {}
        }
        Ok(Decoded::Message(message))
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        match self.codec.body(input)? {
            Body::End(n) if self.flaw == Flaw::NeverEnds => Ok(Body::More(n)),
            body => Ok(body),
        }
    }

    fn attribute<'a>(&self, request: Frame<'a>, key: &AttributeKey) -> Option<Cow<'a, [u8]>> {
        if self.flaw == Flaw::Blind && *key == AttributeKey::Known(1) {
            return None;
        }
        self.codec.attribute(request, key)
    }

    fn edit(
        &self,
        request: Frame<'_>,
        edits: &[Edit],
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        match self.flaw {
            Flaw::WritesRefused => {
                out.push(0);
                return Err(EditRefused::NoPlace);
            }
            Flaw::EditsTwice if !request.whole => {
                out.extend_from_slice(request.bytes);
                out.extend_from_slice(request.bytes);
                return Ok(());
            }
            Flaw::IgnoresEdits => {
                out.extend_from_slice(request.bytes);
                return Ok(());
            }
            _ => {}
        }
        let edited = self.codec.edit(request, edits, out);
        if self.flaw == Flaw::Reencodes
            && !edits.is_empty()
            && let Some(last) = out.last_mut()
        {
            *last ^= 1;
        }
        edited
    }

    fn pass_deadline(
        &self,
        request: Frame<'_>,
        left: Duration,
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        if self.flaw == Flaw::KeepsDeadline {
            out.extend_from_slice(request.bytes);
            return Ok(());
        }
        self.codec.pass_deadline(request, left, out)
    }

    fn respond(&mut self, id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        if self.flaw != Flaw::Mute {
            self.codec.respond(id, response, out);
        }
    }

    fn local_reply(
        &mut self,
        id: u64,
        memo: &Memo,
        reply: LocalReply<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        match self.flaw {
            Flaw::Silent => Some(1),
            Flaw::WrongReply => self.codec.local_reply(id + 1, memo, reply, out),
            Flaw::Denies => {
                self.codec.local_reply(id, memo, reply, out);
                None
            }
            Flaw::RawMessage => {
                out.extend_from_slice(format!("!1 {}\n", reply.message).as_bytes());
                Some(1)
            }
            _ => self.codec.local_reply(id, memo, reply, out),
        }
    }

    fn call(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        if self.flaw == Flaw::KeepsCallId {
            out.extend_from_slice(request.bytes);
        } else {
            self.codec.call(id, request, out);
        }
    }

    fn drain(&mut self, out: &mut Vec<u8>) -> Drain {
        match self.flaw {
            Flaw::LeavesUnannounced => Drain::Announced,
            _ => self.codec.drain(out),
        }
    }

    fn heartbeat(&mut self, out: &mut Vec<u8>) -> bool {
        self.codec.heartbeat(out)
    }
}

struct FlawedUpstream {
    codec: Box<dyn Upstream>,
    flaw: Flaw,
}

impl Upstream for FlawedUpstream {
    fn forward(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        match self.flaw {
            Flaw::KeepsId => out.extend_from_slice(request.bytes),
            _ => self.codec.forward(id, request, out),
        }
        if self.flaw == Flaw::Garbles
            && let Some(last) = out.last_mut()
        {
            *last ^= 1;
        }
        if self.flaw == Flaw::LosesHead && !request.whole {
            out.pop();
        }
    }

    fn decode(
        &mut self,
        input: &[u8],
        expected: &dyn Expected,
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        self.codec.decode(input, expected, out)
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        self.codec.body(input)
    }

    fn outcome(&self, response: Frame<'_>) -> Outcome {
        match self.flaw {
            Flaw::AllIsWell => Outcome::Ok { code: 0 },
            _ => self.codec.outcome(response),
        }
    }

    fn refuse(&mut self, request: &Request, out: &mut Vec<u8>) {
        if self.flaw != Flaw::IgnoresCall {
            self.codec.refuse(request, out);
        }
    }

    fn respond(&mut self, id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        self.codec.respond(id, response, out);
    }

    fn heartbeat(&mut self, id: u64, out: &mut Vec<u8>) -> bool {
        self.codec.heartbeat(id, out)
    }
}
