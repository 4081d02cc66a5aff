//! A protocol with what the samples lack: a handshake, questions, pins and requests for several
//! shards; and variants of it that break one rule each.
//!
//! It is the sample in order, and `ALL a b c` is for the shards of a, b and c; of `NEW a` a server
//! is asked first; `WAIT a` holds a connection until its answer, `AND a` is aside of what `HOLD`
//! holds; and a new connection says `PING` and is ready with its answer.

use std::borrow::Cow;

use meltemi_codec::{
    Answers, AttributeDef, AttributeKey, Constraint, Decoded, Downstream, Expected, Frame,
    FromClient, FromServer, Limits, LocalReply, Malformed, Memo, Merge, Message, Open, Opening,
    Outcome, OwnRequest, Pin, Plan, Protocol, Request, Role, Scatter, ShardMap, Size, Sniff,
    Status, Traits, Upstream,
    kit::{Corpus, Sample, rules, sample::InOrder},
};

use super::broken::told;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Nothing,
    /// A question takes the bytes that it is about.
    AsksForBytes,
    /// A question is never answered.
    AsksInVain,
    /// A question is no message.
    AsksNonsense,
    /// A question is asked again whatever was answered.
    AsksForEver,
    /// The greeting is an answer to somebody.
    GreetsStrangers,
    /// The connection is never ready.
    NeverReady,
    /// Nobody says the first word.
    SaysNothing,
    /// It does not wait for the greeting.
    Hasty,
    /// A one-way request holds a connection until its answer.
    HoldsForEver,
    /// Something is aside of nothing.
    AsideOfNothing,
    /// Nobody has the connection on which a server speaks.
    PinsNothing,
    /// A key has no place.
    KeysAnywhere,
    /// There is no plan.
    NoScatter,
    /// The plan is to make a plan.
    PlansAgain,
    /// The plan has no parts.
    NoParts,
    /// The parts are no messages.
    HalfParts,
    /// The parts go anywhere.
    LostParts,
    /// Nobody's refusal is a refusal.
    AllIsWell,
    /// Each part is an answer.
    TwoAnswers,
    /// What is said of the answer is not what it says.
    Misjudges,
}

pub(crate) struct Wide(pub(crate) Flaw);

impl Protocol for Wide {
    fn id(&self) -> &'static str {
        "wide"
    }

    fn traits(&self) -> Traits {
        InOrder.traits()
    }

    fn attributes(&self) -> &'static [AttributeDef] {
        InOrder.attributes()
    }

    fn open_attributes(&self) -> bool {
        true
    }

    fn sniff(&self, head: &[u8]) -> Sniff {
        InOrder.sniff(head)
    }

    fn downstream(&self, limits: Limits) -> Box<dyn Downstream> {
        Box::new(Client {
            codec: InOrder.downstream(limits),
            flaw: self.0,
            learned: false,
        })
    }

    fn upstream(&self, limits: Limits, opening: &Opening<'_>) -> Box<dyn Upstream> {
        Box::new(Server {
            codec: InOrder.upstream(limits, opening),
            flaw: self.0,
            opening: false,
        })
    }

    fn scatter(&self) -> Option<&dyn Scatter> {
        (self.0 != Flaw::NoScatter).then_some(self)
    }
}

struct Client {
    codec: Box<dyn Downstream>,
    flaw: Flaw,
    learned: bool,
}

impl Client {
    fn question(&self) -> Decoded<FromClient> {
        let bytes: &[u8] = match self.flaw {
            Flaw::AsksInVain => b"NOTE where\n",
            Flaw::AsksNonsense => b"where",
            _ => b"GET where\n",
        };
        Decoded::Message(Message {
            size: Size::Known(if self.flaw == Flaw::AsksForBytes {
                6
            } else {
                0
            }),
            event: FromClient::Ask(Box::new(OwnRequest {
                request: Request::unary(0, Memo::default()),
                bytes: bytes.into(),
            })),
        })
    }
}

impl Downstream for Client {
    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        let mut decoded = self.codec.decode(input, out)?;
        if input.starts_with(b"NEW ")
            && matches!(decoded, Decoded::Message(_))
            && (!self.learned || self.flaw == Flaw::AsksForEver)
        {
            return Ok(self.question());
        }
        if let Decoded::Message(message) = &mut decoded
            && let FromClient::Request(request) = &mut message.event
        {
            let verb = input.split(|byte| *byte == b' ').next();
            match verb.unwrap_or_default() {
                b"ALL" => request.constraint = Constraint::Planned,
                b"GET" if self.flaw == Flaw::KeysAnywhere => request.constraint = Constraint::Key,
                b"WAIT" => request.pin = Pin::UntilReply,
                b"NOTE" if self.flaw == Flaw::HoldsForEver => request.pin = Pin::UntilReply,
                b"GET" if self.flaw == Flaw::AsideOfNothing => request.pin = Pin::Aside,
                b"AND" if self.flaw != Flaw::PinsNothing => request.pin = Pin::Aside,
                b"HOLD" if self.flaw == Flaw::PinsNothing => request.pin = Pin::None,
                _ => {}
            }
        }
        Ok(decoded)
    }

    fn attribute<'a>(&self, request: Frame<'a>, key: &AttributeKey) -> Option<Cow<'a, [u8]>> {
        self.codec.attribute(request, key)
    }

    fn respond(&mut self, id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        self.codec.respond(id, response, out);
    }

    fn local_reply(
        &mut self,
        id: u64,
        memo: &Memo,
        reply: LocalReply<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        self.codec.local_reply(id, memo, reply, out)
    }

    fn learn(&mut self, _answer: Option<Frame<'_>>) {
        self.learned = true;
    }
}

struct Server {
    codec: Box<dyn Upstream>,
    flaw: Flaw,
    opening: bool,
}

impl Upstream for Server {
    fn open(&mut self, out: &mut Vec<u8>) -> Open {
        self.opening = self.flaw != Flaw::GreetsStrangers;
        if self.flaw != Flaw::SaysNothing {
            out.extend_from_slice(b"PING\n");
        }
        match self.flaw {
            Flaw::Hasty => Open::Ready,
            _ => Open::Await,
        }
    }

    fn forward(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        self.codec.forward(id, request, out);
    }

    fn decode(
        &mut self,
        input: &[u8],
        expected: &dyn Expected,
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        let mut decoded = self.codec.decode(input, expected, out)?;
        if let Decoded::Message(message) = &mut decoded
            && self.opening
        {
            let ready = input.starts_with(b"+ready") && self.flaw != Flaw::NeverReady;
            self.opening = !ready;
            message.event = if ready {
                FromServer::Ready
            } else {
                FromServer::Answered
            };
        }
        Ok(decoded)
    }

    fn body(&mut self, input: &[u8]) -> Result<meltemi_codec::Body, Malformed> {
        self.codec.body(input)
    }

    fn outcome(&self, response: Frame<'_>) -> Outcome {
        self.codec.outcome(response)
    }
}

impl Scatter for Wide {
    fn plan(&self, request: Frame<'_>, shards: &dyn ShardMap) -> Plan {
        let line = String::from_utf8_lossy(request.bytes);
        let keys: Vec<&str> = line.trim_end().split(' ').skip(1).collect();
        let hash = |key: &str| {
            key.bytes()
                .fold(7, |hash, byte| hash * 31 + u64::from(byte))
        };
        let end = if self.0 == Flaw::HalfParts { "" } else { "\n" };
        let part = |key: &&str| OwnRequest {
            request: Request {
                constraint: match self.0 {
                    Flaw::LostParts => Constraint::None,
                    _ => Constraint::Shard {
                        slot: 0,
                        hash: hash(key),
                        role: Role::Any,
                    },
                },
                answers: Answers::One,
                ..Request::unary(0, Memo::default())
            },
            bytes: format!("GET {key}{end}").into_bytes().into(),
        };
        match self.0 {
            Flaw::PlansAgain => return Plan::One(Constraint::Planned),
            _ if keys
                .iter()
                .any(|key| shards.place(key.as_bytes(), &|_| (0, hash(key))).is_none()) =>
            {
                return Plan::Refuse {
                    status: Status::NoHealthyUpstream,
                    message: "nobody owns it",
                };
            }
            _ => {}
        }
        let parts = keys.iter().map(part);
        Plan::Many {
            parts: parts.filter(|_| self.0 != Flaw::NoParts).collect(),
            merge: Merge(Box::default()),
        }
    }

    fn merge(&self, _merge: &Merge, parts: &[Frame<'_>], out: &mut Vec<u8>) -> Outcome {
        let codec = InOrder.upstream(
            Limits {
                whole: Limits::WHOLE,
                frame: 1 << 20,
            },
            &Opening::default(),
        );
        let failed = parts
            .iter()
            .find(|part| !matches!(codec.outcome(**part), Outcome::Ok { .. }));
        match (failed, self.0) {
            (_, Flaw::TwoAnswers) => parts
                .iter()
                .for_each(|part| out.extend_from_slice(part.bytes)),
            (Some(part), flaw) if flaw != Flaw::AllIsWell => {
                out.extend_from_slice(part.bytes);
                return codec.outcome(*part);
            }
            _ => out.extend_from_slice(b"+all\n"),
        }
        Outcome::Ok {
            code: u32::from(self.0 == Flaw::Misjudges),
        }
    }
}

pub(crate) fn corpus() -> Corpus {
    let request = |name: &str, text: &str| Sample::new(name, text);
    Corpus::new()
        .greeting(Sample::new("hello", "+hello\n"))
        .greeting(Sample::new("ready", "+ready *2\nok"))
        .request(request("get", "GET a\n"))
        .request(request("new", "NEW a\n").knows("verb", "NEW"))
        .request(request("all", "ALL a b c\n"))
        .request(request("note", "NOTE a\n").one_way())
        .request(request("hold", "HOLD a\n"))
        .request(request("and", "AND a\n"))
        .request(request("free", "FREE a\n"))
        .request(request("wait", "WAIT a\n"))
        .response(Sample::new("got", "+1\n").answers("get"))
        .response(Sample::new("news", ">news\n"))
        .response(Sample::new("gone", "-no\n").answers("all"))
        .response(Sample::new("all", "+all\n").answers("all"))
}

meltemi_codec::conformance!(Wide(Flaw::Nothing), corpus());

/// One test for each rule: each flaw is found, and told in these words.
macro_rules! finds {
    ($($test:ident, $rule:ident: $($flaw:ident $where:literal $found:literal),+;)+) => {
        $(
            #[test]
            fn $test() {
                $(
                    let found = rules::$rule(&Wide(Flaw::$flaw), &corpus());
                    told(stringify!($rule), stringify!($flaw), found, ($where, $found));
                )+
            }
        )+
    };
}

finds! {
    flawed_handshakes, handshakes_end:
        GreetsStrangers "greeting `hello`, byte 0 of 7" "Response",
        NeverReady "greeting `ready`" "Answered",
        SaysNothing "a connection without session" "nothing was written",
        Hasty "a new connection" "Open::Ready";
    flawed_questions, questions_consume_nothing:
        AsksForBytes "request `new`" "takes Known(6)",
        AsksInVain "request `new`, the question" "answers: None",
        AsksNonsense "request `new`, what the codec has written" "waits for more",
        AsksForEver "request `new`" "again and again";
    flawed_pins, pins_end:
        HoldsForEver "request `note`" "UntilReply",
        AsideOfNothing "request `get`" "Pin::Aside",
        PinsNothing "the server's message `news`" "no recorded request pins";
    flawed_plans, scattered_requests_come_together:
        KeysAnywhere "request `get`" "None",
        NoScatter "request `all`" "`Protocol::scatter` is `None`",
        PlansAgain "request `all`, over 1 shards" "Plan::One of `Planned`",
        NoParts "request `all`, over 1 shards" "without parts",
        HalfParts "over 1 shards, part 0" "waits for more than its 5 bytes",
        LostParts "over 1 shards, part 0" "to None",
        AllIsWell "every part refused" "Ok { code: 0 }",
        TwoAnswers "every part refused" "finds 3 messages",
        Misjudges "every part answered with `all`" "`merge` says Ok { code: 1 }";
}
