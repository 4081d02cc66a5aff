//! The codec of a connection to a server.

use std::sync::Arc;

use meltemi_codec::{
    At, Body, Decoded, Edit, EditRefused, Expected, Frame, FromServer, Limits, Malformed, Message,
    Outcome, Response, Session, Size, Upstream,
};

use crate::{
    call::{CallMemo, renumber},
    check,
    dialect::{Dialect, Encoding, Transport},
    frame::{Expect, Front, Layout},
    head::Kind,
    header::edit::edit,
    outcome,
    settings::Settings,
    stream::{Reach, Unframed},
};

/// Sends a server its calls, and reads its answers as a client would.
#[derive(Debug)]
pub(crate) struct Server {
    limits: Limits,
    settings: Arc<Settings>,
    /// Of the connection's clients, which have one in common; else of the first answer.
    transport: Option<Transport>,
    unframed: Unframed,
}

impl Server {
    pub(crate) fn new(limits: Limits, settings: Arc<Settings>, session: Option<&Session>) -> Self {
        let session = session.and_then(|session| Dialect::unpack(*session.0.first()?));
        Self {
            limits,
            transport: session.map(|dialect| dialect.transport),
            settings,
            unframed: Unframed::default(),
        }
    }

    fn size(&mut self, layout: &Layout, input: &[u8]) -> Result<Reached, Malformed> {
        // An outcome is read from what is there when the answer is returned.
        let head = outcome::needed(layout);
        let Some(size) = layout.size else {
            let at = (layout.dialect.encoding, layout.front());
            return Ok(match self.unframed.reach(input, at, head, self.limits)? {
                Reach::Short { need } => Err(need),
                Reach::Whole(len) => Ok(Size::Known(len as u64)),
                Reach::Streamed => Ok(Size::Streamed),
            });
        };
        if size > self.limits.frame {
            return Err(Malformed {
                reason: "an answer is larger than the frame limit",
            });
        }
        let head = usize::try_from(size).map_or(head, |size| size.min(head));
        Ok(match input.len() < head {
            true => Err(head),
            false => Ok(Size::Known(size)),
        })
    }

    /// Where the answer belongs.
    fn at(&self, layout: &Layout, call: Option<CallMemo>) -> Result<At, Malformed> {
        if self.settings.by_id {
            return Ok(At::Id(layout.seq().into()));
        }
        let Some(call) = call else {
            return Ok(At::InOrder);
        };
        if !call.dialect.encoding.reads(layout.dialect.encoding) {
            return Err(Malformed {
                reason: "an answer is in another protocol than its call",
            });
        }
        if !call.is_answered_by(layout) {
            return Err(Malformed {
                reason: "an answer has another sequence number than the oldest call: the connection \
                         is out of step (for servers that answer out of order there is the setting \
                         `correlation: id`)",
            });
        }
        Ok(At::InOrder)
    }
}

/// How large an answer is, or how many bytes have to be there before it can be returned.
type Reached = Result<Size, usize>;

impl Upstream for Server {
    fn forward(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        let bytes = request.bytes;
        if self.transport.is_none() {
            self.transport = Expect::of(CallMemo::unpack(request.memo)).transport;
        }
        if !self.settings.by_id {
            out.extend_from_slice(bytes);
            return;
        }
        let memo = CallMemo::unpack(request.memo);
        let Some(layout) = Layout::again(bytes, Expect::of(memo)) else {
            out.extend_from_slice(bytes);
            return;
        };
        let id = id as u32;
        // Both numbers name the call, where both did.
        let header_seq = memo.filter(|memo| memo.header_seq == memo.seq).map(|_| id);
        renumber(bytes, &layout, id, header_seq, out);
    }

    fn decode(
        &mut self,
        input: &[u8],
        expected: &dyn Expected,
        _out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        let call = expected.memo(0).and_then(CallMemo::unpack);
        let known = call.map(|call| call.dialect.transport).or(self.transport);
        let expect = Expect {
            transport: known.or(self.settings.expect.transport),
            ..self.settings.expect
        };
        let layout = match Front::of(input, expect, self.limits)? {
            Front::Short { need } => return Ok(Decoded::Incomplete { need }),
            Front::Empty { len } => return Ok(Decoded::Skip { len }),
            Front::Unreadable { reason, .. } => return Err(Malformed { reason }),
            Front::Message(layout) => layout,
        };
        if let Some(Kind::Call | Kind::Oneway) = layout.head.as_ref().map(|head| head.kind) {
            return Err(Malformed {
                reason: "a server sends answers, and this is a call",
            });
        }
        let at = self.at(&layout, call)?;
        let size = match self.size(&layout, input)? {
            Ok(size) => size,
            Err(need) => return Ok(Decoded::Incomplete { need }),
        };
        self.transport = Some(layout.dialect.transport);
        let event = FromServer::Response(Response { at, last: true });
        Ok(Decoded::Message(Message { size, event }))
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        self.unframed.body(input)
    }

    fn outcome(&self, response: Frame<'_>) -> Outcome {
        if self.transport == Some(Transport::Framed)
            && let Some(returned) = outcome::returned(response.bytes)
        {
            return returned;
        }
        match self.layout(response) {
            Some(layout) => outcome::of(response.bytes, &layout),
            None => Outcome::SystemError { code: 0 },
        }
    }

    fn health_check(&mut self, id: u64, out: &mut Vec<u8>) -> bool {
        let Some(method) = &self.settings.check else {
            return false;
        };
        let dialect = Dialect {
            transport: self.settings.expect.transport.unwrap_or(Transport::Framed),
            encoding: self.settings.expect.encoding.unwrap_or(Encoding::Binary),
        };
        self.transport = Some(dialect.transport);
        check::write(dialect, method, id as u32, out);
        true
    }

    fn edit(
        &self,
        response: Frame<'_>,
        edits: &[Edit],
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        let layout = self.layout(response).ok_or(EditRefused::Unreadable)?;
        let transport = layout.dialect.transport;
        match transport.has_header() {
            true => edit(transport, response.bytes, edits, out),
            false => Err(EditRefused::NoPlace),
        }
    }
}

impl Server {
    fn layout(&self, response: Frame<'_>) -> Option<Layout> {
        let mut expect = Expect::of(CallMemo::unpack(response.memo));
        expect.transport = expect.transport.or(self.transport);
        Layout::again(response.bytes, expect)
    }
}
