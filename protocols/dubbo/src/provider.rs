//! The codec of a connection to a provider.

use dubbo_rs_codec::{Header, Kind, SerializationId, Status, reply};
use meltemi_codec::{
    At, Decoded, Edit, EditRefused, Expected, Frame, FromServer, Limits, Malformed, Outcome,
    Request, Response, Upstream,
};

use crate::{
    before::Before,
    call::{Call, CallMemo, Unreadable},
    edit,
    frame::{Front, answer_event, message, spoken, under},
    status,
};

/// Why a provider's call goes to nobody.
const NOT_PINNED: &str = "the consumer of this callback cannot be reached: \
                          the connection is shared, or the call is too large";

/// Sends a provider its calls, and reads what it sends, as a consumer would.
#[derive(Debug)]
pub(crate) struct Provider {
    limits: Limits,
    /// Of the newest call.
    serialization: SerializationId,
    /// Its own newest one.
    before: Before,
}

impl Provider {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            serialization: SerializationId::HESSIAN2,
            before: Before::default(),
        }
    }
}

impl Upstream for Provider {
    fn forward(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        self.serialization = spoken(CallMemo::unpack(request.memo).serialization);
        under(id, request.bytes, out);
    }

    fn decode(
        &mut self,
        input: &[u8],
        _expected: &dyn Expected,
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        let arrived = match Front::of(input, self.limits)? {
            Front::Short { need } => return Ok(Decoded::Incomplete { need }),
            Front::TooLarge(_) => {
                return Err(Malformed {
                    reason: "a frame of the provider's is larger than the payload limit",
                });
            }
            Front::Frame(arrived) => arrived,
        };
        let header = arrived.header;
        let event = match header.kind {
            Kind::Response => FromServer::Response(Response {
                at: At::Id(header.id),
                last: true,
            }),
            Kind::Request | Kind::Oneway => match Call::read(&arrived, 0, &mut self.before) {
                Ok(call) => FromServer::Call(Box::new(call.request)),
                Err(Unreadable::HeadCut { need }) => return Ok(Decoded::Incomplete { need }),
                // The consumer that it is for may judge it.
                Err(Unreadable::Broken(_)) => {
                    FromServer::Call(Box::new(Call::of_header(&header, 0).request))
                }
            },
            Kind::Event { .. } => match answer_event(&arrived, out) {
                reply::Event::Readonly => FromServer::GoAway { host: true },
                reply::Event::Writable => FromServer::ComeBack,
                reply::Event::Heartbeat | reply::Event::Other => FromServer::Answered,
            },
            Kind::EventAnswer => FromServer::Answered,
        };
        Ok(Decoded::Message(message(&header, event)))
    }

    fn outcome(&self, response: Frame<'_>) -> Outcome {
        status::outcome(response.bytes)
    }

    fn edit(
        &self,
        response: Frame<'_>,
        edits: &[Edit],
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        edit::edit(response, edits, out)
    }

    fn refuse(&mut self, request: &Request, out: &mut Vec<u8>) {
        let header = Header {
            kind: Kind::Request,
            serialization: CallMemo::unpack(&request.memo).serialization,
            status: Status::NONE,
            id: request.id,
            body_len: 0,
        };
        reply::write_error(&header, Status::SERVICE_NOT_FOUND, NOT_PINNED, out);
    }

    fn respond(&mut self, id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        under(id, response.bytes, out);
    }

    fn heartbeat(&mut self, id: u64, out: &mut Vec<u8>) -> bool {
        reply::write_heartbeat(self.serialization, id, out);
        true
    }
}
