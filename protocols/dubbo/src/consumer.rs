//! The codec of a consumer's connection.

use std::{borrow::Cow, cell::Cell, time::Duration};

use dubbo_rs_codec::{
    HEADER_LEN, Header, Kind, Request as CallBody, RequestLayout, SerializationId, Status, Text,
    reply,
};
use meltemi_codec::{
    AttributeKey, Decoded, Downstream, Drain, Edit, EditRefused, Frame, FromClient, Limits,
    LocalReply, Malformed, Memo, Status as Reason,
};

use crate::{
    attribute::{self, Named},
    before::Before,
    call::{Call, CallMemo, Unreadable},
    deadline, edit,
    frame::{Arrived, Front, answer_event, message, spoken, under},
    status,
};

/// Reads what a consumer sends, and answers it as a provider would.
#[derive(Debug)]
pub(crate) struct Consumer {
    limits: Limits,
    /// Of the consumer's newest frame.
    serialization: SerializationId,
    /// Calls so far.
    calls: u64,
    before: Before,
    /// Where the parts of the newest call lie: its attributes are asked for one by one, soon after.
    newest: Cell<Option<Newest>>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    sequence: u64,
    /// `None`: as it is kept of the call before, which begins like it.
    layout: Option<RequestLayout>,
}

impl Consumer {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            serialization: SerializationId::HESSIAN2,
            calls: 0,
            before: Before::default(),
            newest: Cell::new(None),
        }
    }

    fn call(&mut self, arrived: &Arrived<'_>) -> Result<FromClient, Unreadable> {
        let sequence = self.calls + 1;
        let is_large = arrived.header.frame_len() > self.limits.whole;
        if !is_large && let Some(request) = Call::again(arrived, sequence, &self.before) {
            self.calls = sequence;
            let layout = None;
            self.newest.set(Some(Newest { sequence, layout }));
            return Ok(FromClient::Request(request));
        }
        let mut apart = Before::default();
        // How much of a large one has arrived must not decide what is said of the next.
        let before = if is_large {
            self.before.forget();
            &mut apart
        } else {
            &mut self.before
        };
        let call = Call::read(arrived, sequence, before)?;
        self.calls = sequence;
        let layout = call.layout;
        let newest = layout.map(|_| Newest { sequence, layout });
        self.newest.set(newest);
        Ok(FromClient::Request(call.request))
    }

    /// The body of a call, parsed again only if another call came since.
    fn view<'a>(&self, memo: CallMemo, request: Frame<'a>) -> Option<CallBody<'a>> {
        let body = request.bytes.get(HEADER_LEN..)?;
        match self.newest.get() {
            Some(newest) if newest.sequence == memo.sequence => {
                let layout = newest.layout.or_else(|| self.before.layout())?;
                Some(CallBody::with_layout(body, layout))
            }
            _ => CallBody::parse(memo.serialization, body).ok(),
        }
    }

    /// A string attachment; none of a call of which only the head was kept.
    fn attachment<'a>(&self, memo: CallMemo, request: Frame<'a>, name: &str) -> Option<Text<'a>> {
        if !request.whole {
            return None;
        }
        let mut view = self.view(memo, request)?;
        view.locate_attachments().ok()?;
        if let Some(newest) = self.newest.get().filter(|it| it.sequence == memo.sequence) {
            let layout = Some(view.layout());
            self.newest.set(Some(Newest { layout, ..newest }));
        }
        attribute::attachment(&view, name)
    }

    fn named<'a>(&self, memo: CallMemo, request: Frame<'a>, name: Named) -> Option<Cow<'a, [u8]>> {
        let text = match name {
            Named::Serialization => return Some(attribute::serialization(memo.serialization)),
            Named::Version => return Some(attribute::version(&self.view(memo, request)?)),
            Named::Interface if memo.interface_is_path => self.view(memo, request)?.path(),
            Named::Interface => self
                .attachment(memo, request, "interface")
                .filter(|interface| !interface.is_empty())
                .or_else(|| Some(self.view(memo, request)?.path()))?,
            Named::Method => self.view(memo, request)?.invoked_method().ok()?,
            Named::Dubbo => self.view(memo, request)?.dubbo_version(),
            Named::Group => self
                .attachment(memo, request, "group")
                .filter(|group| !group.is_empty())?,
            Named::Application => self
                .attachment(memo, request, "remote.application")
                .or_else(|| self.attachment(memo, request, "application"))?,
        };
        Some(attribute::bytes(text))
    }
}

impl Downstream for Consumer {
    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        let arrived = match Front::of(input, self.limits)? {
            Front::Short { need } => return Ok(Decoded::Incomplete { need }),
            Front::TooLarge(header) => {
                let event = too_large(&header)?;
                return Ok(Decoded::Message(message(&header, event)));
            }
            Front::Frame(arrived) => arrived,
        };
        let header = arrived.header;
        let event = match header.kind {
            Kind::Request | Kind::Oneway => match self.call(&arrived) {
                Ok(event) => event,
                Err(Unreadable::HeadCut { need }) => return Ok(Decoded::Incomplete { need }),
                Err(Unreadable::Broken(reason)) => refused(&header, Reason::Malformed, reason),
            },
            Kind::Response => FromClient::Response { id: header.id },
            Kind::Event { .. } => {
                answer_event(&arrived, out);
                FromClient::Answered
            }
            Kind::EventAnswer => FromClient::Answered,
        };
        self.serialization = spoken(header.serialization);
        Ok(Decoded::Message(message(&header, event)))
    }

    fn attribute<'a>(&self, request: Frame<'a>, key: &AttributeKey) -> Option<Cow<'a, [u8]>> {
        let memo = CallMemo::unpack(request.memo);
        match key {
            AttributeKey::Known(index) => {
                self.named(memo, request, *Named::ALL.get(usize::from(*index))?)
            }
            AttributeKey::Other(name) => self.attachment(memo, request, name).map(attribute::bytes),
        }
    }

    fn edit(
        &self,
        request: Frame<'_>,
        edits: &[Edit],
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        edit::edit(request, edits, out)
    }

    fn pass_deadline(
        &self,
        request: Frame<'_>,
        left: Duration,
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        if !request.whole {
            return Err(EditRefused::TooLarge);
        }
        let memo = CallMemo::unpack(request.memo);
        deadline::pass(memo.serialization, request, left, out)
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
        let request = Header {
            kind: Kind::Request,
            serialization: CallMemo::unpack(memo).serialization,
            status: Status::NONE,
            id,
            body_len: 0,
        };
        let status = status::of(reply.status);
        reply::write_error(&request, status, reply.message, out);
        Some(u32::from(status.0))
    }

    fn call(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        under(id, request.bytes, out);
    }

    fn drain(&mut self, out: &mut Vec<u8>) -> Drain {
        reply::write_readonly(self.serialization, 0, out);
        Drain::Announced
    }

    fn heartbeat(&mut self, out: &mut Vec<u8>) -> bool {
        reply::write_heartbeat(self.serialization, 0, out);
        true
    }
}

fn refused(header: &Header, status: Reason, message: &'static str) -> FromClient {
    FromClient::Refused {
        request: Call::of_header(header, 0).request,
        status,
        message,
    }
}

/// A call above the limit is answered and skipped, and costs only itself (rule 6). Nothing else
/// that a consumer sends is ever so large.
fn too_large(header: &Header) -> Result<FromClient, Malformed> {
    match header.kind {
        Kind::Request | Kind::Oneway => Ok(refused(
            header,
            Reason::TooLarge,
            "the request is larger than the payload limit",
        )),
        Kind::Response | Kind::Event { .. } | Kind::EventAnswer => Err(Malformed {
            reason: "a frame that is no call is larger than the payload limit",
        }),
    }
}
