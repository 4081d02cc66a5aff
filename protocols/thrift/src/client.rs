//! The codec of a client's connection.

mod plain;

use std::{borrow::Cow, sync::Arc, time::Duration};

use meltemi_codec::{
    Answers, AttributeKey, Body, Decoded, Downstream, Edit, EditRefused, Frame, FromClient, Limits,
    LocalReply, Malformed, Memo, Message, Request, Session, Size, Status,
};

use self::plain::Plain;
use crate::{
    attribute::{self, TIMEOUT},
    call::{CallMemo, Names, renumber},
    dialect::{Dialect, Transport},
    exception::{self, code},
    frame::{Expect, Front, Layout},
    head::{self, Kind},
    header::edit::edit,
    settings::Settings,
    stream::{Reach, Unframed},
};

/// The method by which a Finagle client asks whether the server takes its upgrade, which puts a
/// struct before every message. A server that knows no such method makes it do without.
const UPGRADE: &[u8] = b"__can__finagle__trace__v3__";
/// The most that such a call may have, in bytes: it holds next to nothing.
const LONGEST_UPGRADE: usize = 4096;

const TOO_LARGE: &str = "the message is larger than the frame limit";
const NO_CALL: &str = "a client sends calls, and this is an answer";

/// Reads a client's calls, and answers them as a server would.
#[derive(Debug)]
pub(crate) struct Client {
    limits: Limits,
    settings: Arc<Settings>,
    /// Since the first message.
    transport: Option<Transport>,
    unframed: Unframed,
    names: Names,
    /// Of the newest call: most connections speak one way.
    session: Option<(Dialect, Session)>,
    /// The newest call, if it was plain.
    plain: Option<Plain>,
}

impl Client {
    pub(crate) fn new(limits: Limits, settings: Arc<Settings>) -> Self {
        Self {
            limits,
            settings,
            transport: None,
            unframed: Unframed::default(),
            names: Names::default(),
            session: None,
            plain: None,
        }
    }

    /// How far a message without a frame reaches. What is wrong with it is told the client, if it
    /// waits for an answer: this message has no end that another could follow.
    fn reach(
        &mut self,
        call: &Arrived<'_>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Reach, Malformed> {
        let limits = match call.is_upgrade() {
            true => Limits {
                whole: LONGEST_UPGRADE,
                frame: LONGEST_UPGRADE as u64,
            },
            false => self.limits,
        };
        let layout = call.layout;
        let at = (layout.dialect.encoding, layout.front());
        let reach = match call.kind {
            Kind::Call | Kind::Oneway => self.unframed.reach(input, at, 0, limits),
            Kind::Reply | Kind::Exception => Err(Malformed { reason: NO_CALL }),
        };
        reach.inspect_err(|malformed| {
            let (code, reason) = match call.kind {
                Kind::Call => exception::of(Status::Malformed),
                Kind::Reply | Kind::Exception => exception::of(Status::Unsupported),
                Kind::Oneway => return,
            };
            if !self.is_oneway(call) {
                let memo = CallMemo::of(layout, false);
                let said = (code, reason);
                exception::write(&memo, call.method, said, malformed.reason, out);
            }
        })
    }

    fn is_oneway(&self, call: &Arrived<'_>) -> bool {
        call.kind == Kind::Oneway || self.settings.is_oneway(call.name, call.method)
    }

    fn event(&mut self, call: &Arrived<'_>, size: u64, out: &mut Vec<u8>) -> FromClient {
        let oneway = self.is_oneway(call);
        let memo = CallMemo::of(call.layout, oneway);
        if call.is_upgrade() && size <= self.limits.frame {
            let said = (code::UNKNOWN_METHOD, "unsupported");
            let message = "Finagle's upgrade is not supported";
            exception::write(&memo, call.method, said, message, out);
            return FromClient::Answered;
        }
        let mut request = Request::unary(memo.seq.into(), self.names.note(call.method, memo));
        if oneway {
            request.answers = Answers::None;
        }
        request.deadline = call.deadline;
        let refused = match call.kind {
            _ if size > self.limits.frame => Some((Status::TooLarge, TOO_LARGE)),
            Kind::Reply | Kind::Exception => Some((Status::Unsupported, NO_CALL)),
            Kind::Call | Kind::Oneway => None,
        };
        if let Some((status, message)) = refused {
            return FromClient::Refused {
                request,
                status,
                message,
            };
        }
        request.session = Some(self.session(memo.dialect));
        FromClient::Request(request)
    }

    /// Servers find out a connection's transport and protocol by its first bytes, so one connection
    /// has one of each.
    fn session(&mut self, dialect: Dialect) -> Session {
        match &self.session {
            Some((known, session)) if *known == dialect => session.clone(),
            _ => {
                let session = Session([dialect.pack()].into());
                self.session = Some((dialect, session.clone()));
                session
            }
        }
    }
}

/// A message, with what its front says.
struct Arrived<'a> {
    layout: &'a Layout,
    /// What cannot be looked into is taken for a call: it may be one.
    kind: Kind,
    /// As it is on the wire.
    name: &'a [u8],
    method: &'a [u8],
    deadline: Option<Duration>,
}

impl<'a> Arrived<'a> {
    fn new(layout: &'a Layout, input: &'a [u8]) -> Self {
        let head = layout.head.as_ref();
        let name = head.and_then(|head| input.get(head.name.clone()));
        let name = name.unwrap_or_default();
        let (_, method) = head::split(name);
        Self {
            layout,
            kind: head.map_or(Kind::Call, |head| head.kind),
            name,
            method,
            deadline: attribute::deadline(layout, input),
        }
    }

    fn is_upgrade(&self) -> bool {
        self.kind == Kind::Call && self.name == UPGRADE
    }
}

impl Downstream for Client {
    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        if let Some(plain) = &self.plain
            && let Some(call) = plain.again(input, self.limits)
        {
            return Ok(call);
        }
        let expect = Expect {
            transport: self.transport.or(self.settings.expect.transport),
            ..self.settings.expect
        };
        let layout = match Front::of(input, expect, self.limits)? {
            Front::Short { need } => return Ok(Decoded::Incomplete { need }),
            Front::Empty { len } => return Ok(Decoded::Skip { len }),
            Front::Unreadable {
                dialect,
                size,
                reason,
            } => {
                self.transport = Some(dialect.transport);
                let event = unreadable(dialect, reason);
                let size = Size::Known(size);
                return Ok(Decoded::Message(Message { size, event }));
            }
            Front::Message(layout) => layout,
        };
        let call = Arrived::new(&layout, input);
        let size = match layout.size {
            Some(size) => Size::Known(size),
            None => match self.reach(&call, input, out)? {
                Reach::Short { need } => return Ok(Decoded::Incomplete { need }),
                Reach::Whole(len) => Size::Known(len as u64),
                Reach::Streamed => Size::Streamed,
            },
        };
        self.transport = Some(layout.dialect.transport);
        let known = match size {
            Size::Known(size) => size,
            Size::Streamed => 0,
        };
        let event = self.event(&call, known, out);
        if let FromClient::Request(request) = &event {
            self.plain = Plain::of(input, request);
        }
        Ok(Decoded::Message(Message { size, event }))
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        self.unframed.body(input)
    }

    fn attribute<'a>(&self, request: Frame<'a>, key: &AttributeKey) -> Option<Cow<'a, [u8]>> {
        let service = self.settings.service.as_deref().map(str::as_bytes);
        attribute::value(request, key, service)
    }

    fn edit(
        &self,
        request: Frame<'_>,
        edits: &[Edit],
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        let memo = CallMemo::unpack(request.memo).ok_or(EditRefused::NoPlace)?;
        let transport = memo.dialect.transport;
        match transport.has_header() {
            true => edit(transport, request.bytes, edits, out),
            false => Err(EditRefused::NoPlace),
        }
    }

    fn pass_deadline(
        &self,
        request: Frame<'_>,
        left: Duration,
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        let set = Edit::Set {
            name: format!("#{TIMEOUT}").into(),
            value: left.as_millis().to_string().into(),
        };
        self.edit(request, &[set], out)
    }

    fn respond(&mut self, id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        let bytes = response.bytes;
        if !self.settings.by_id {
            out.extend_from_slice(bytes);
            return;
        }
        let memo = CallMemo::unpack(response.memo);
        let Some(layout) = Layout::again(bytes, Expect::of(memo)) else {
            out.extend_from_slice(bytes);
            return;
        };
        let id = id as u32;
        // Where the message hides its own number, the header's is the call's name.
        let header_seq = match layout.head {
            Some(_) => memo.map(|memo| memo.header_seq),
            None => Some(id),
        };
        renumber(bytes, &layout, id, header_seq, out);
    }

    fn local_reply(
        &mut self,
        _id: u64,
        memo: &Memo,
        reply: LocalReply<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        let call = CallMemo::unpack(memo)?;
        let said = exception::of(reply.status);
        exception::write(&call, self.names.of(memo), said, reply.message, out);
        Some(said.0)
    }
}

/// A message whose front cannot be read, and whose end can: it costs only itself.
fn unreadable(dialect: Dialect, message: &'static str) -> FromClient {
    FromClient::Refused {
        request: Request::unary(0, CallMemo::unreadable(dialect).pack()),
        status: Status::Malformed,
        message,
    }
}
