//! What the core has to know of a call: the answers it is owed, its deadline, what it pins.

use std::time::Duration;

use dubbo_rs_codec::{
    BodyFormat, HEADER_LEN, Header, Kind, ReadError, Request as CallBody, RequestError,
    RequestLayout, SerializationId, Timeouts, request::may_have_callback_arguments,
};
use meltemi_codec::{Alike, Answers, Memo, Pin, Request};

use crate::{
    before::Before,
    frame::{Arrived, LONG_HEAD},
};

/// Bodies up to this size (bytes) have their attachments read when they arrive. In larger ones
/// they are looked for when something asks, since all arguments have to be skipped first.
const EAGER: usize = 16 * 1024;

const CALLBACK_ARGUMENT: &str = "sys_callback_arg-";

/// A call, and where the parts of its body lie.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    /// `None` where only the header can be read.
    pub(crate) layout: Option<RequestLayout>,
}

/// A call whose serialization is known and whose body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The five strings may be whole once `need` bytes of the frame are there.
    HeadCut {
        /// Bytes of the frame.
        need: usize,
    },
    /// They never will be.
    Broken(&'static str),
}

/// What is kept of a call in its [`Memo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallMemo {
    pub(crate) serialization: SerializationId,
    /// Whether the attachments, which were read, name no other interface than the path.
    pub(crate) interface_is_path: bool,
    /// The call's number on its connection.
    pub(crate) sequence: u64,
}

impl CallMemo {
    const INTERFACE_IS_PATH: u32 = 1 << 8;

    pub(crate) fn pack(self) -> Memo {
        let [high, low] = [(self.sequence >> 32) as u32, self.sequence as u32];
        let flag = if self.interface_is_path {
            Self::INTERFACE_IS_PATH
        } else {
            0
        };
        Memo {
            words: [u32::from(self.serialization.0) | flag, high, low, 0],
            data: None,
        }
    }

    pub(crate) fn unpack(memo: &Memo) -> Self {
        let [facts, high, low, _] = memo.words;
        Self {
            serialization: SerializationId(facts as u8),
            interface_is_path: facts & Self::INTERFACE_IS_PATH != 0,
            sequence: u64::from(high) << 32 | u64::from(low),
        }
    }
}

impl Call {
    /// Reads a call, which is the connection's `sequence`th, as far as its size allows. `before` is
    /// the one before it, and this one afterwards.
    pub(crate) fn read(
        arrived: &Arrived<'_>,
        sequence: u64,
        before: &mut Before,
    ) -> Result<Self, Unreadable> {
        let Arrived {
            header,
            body,
            whole,
        } = *arrived;
        let memo = CallMemo {
            serialization: header.serialization,
            interface_is_path: false,
            sequence,
        };
        if BodyFormat::of(header.serialization).is_none() {
            before.forget();
            let mut call = Self::of(&header, memo, None);
            call.request.pin = pin(whole && may_have_callback_arguments(body));
            return Ok(call);
        }
        if whole && body.len() <= EAGER {
            return Self::read_all((&header, body), memo, before);
        }
        // How much more has arrived must not decide what is read.
        let head = match body.get(..LONG_HEAD - HEADER_LEN) {
            Some(head) if !whole => head,
            _ => body,
        };
        let view = match CallBody::parse(header.serialization, head) {
            Ok(view) => view,
            Err(RequestError::Head(ReadError::Truncated { .. }))
                if !whole && body.len() < LONG_HEAD - HEADER_LEN =>
            {
                let need = header.frame_len().min(LONG_HEAD);
                return Err(Unreadable::HeadCut { need });
            }
            Err(error) => return Err(broken(error)),
        };
        before.forget();
        let mut call = Self::of(&header, memo, Some(view.layout()));
        // Attachments that cannot be read may hold one all the same.
        let named = whole && may_have_callback_arguments(body);
        call.request.pin = pin(named && names_callback(&view).unwrap_or(true));
        Ok(call)
    }

    /// A call that is like the one before, but for its id and its arguments.
    #[inline]
    pub(crate) fn again(arrived: &Arrived<'_>, sequence: u64, before: &Before) -> Option<Request> {
        let Arrived {
            header,
            body,
            whole,
        } = arrived;
        if !whole || body.len() > EAGER || header.kind != Kind::Request {
            return None;
        }
        let (found, alike) = before.again(header.serialization, body)?;
        let memo = CallMemo {
            serialization: header.serialization,
            interface_is_path: found.interface_is_path,
            sequence,
        };
        Some(Request {
            deadline: found.deadline,
            pin: pin(found.callback),
            alike,
            ..Request::unary(header.id, memo.pack())
        })
    }

    /// Reads a call with all that its body says beside the arguments.
    fn read_all(
        (header, body): (&Header, &[u8]),
        mut memo: CallMemo,
        before: &mut Before,
    ) -> Result<Self, Unreadable> {
        let known = before.begins(header.serialization, body);
        let begins_alike = known.is_some();
        let view = known.map_or_else(|| CallBody::parse(header.serialization, body), Ok);
        let mut view = view.map_err(broken)?;
        let strings = (header.serialization, view.layout());
        let at = view.locate_attachments().map_err(|_| UNREADABLE_REST)?;
        let stands_alone = begins_alike && view.attachments_stand_alone();
        let known = before.ends(body.get(at..).unwrap_or_default());
        let (found, alike) = match known.filter(|_| stands_alone) {
            Some(known) => known,
            None => {
                let found = attachments(&view).map_err(|_| UNREADABLE_REST)?;
                before.keep(strings, (body, &view), found);
                (found, Alike::No)
            }
        };
        memo.interface_is_path = found.interface_is_path;
        let mut call = Self::of(header, memo, Some(view.layout()));
        call.request.deadline = found.deadline;
        call.request.pin = pin(found.callback);
        call.request.alike = alike;
        Ok(call)
    }

    /// A call of which only the header is known.
    pub(crate) fn of_header(header: &Header, sequence: u64) -> Self {
        let memo = CallMemo {
            serialization: header.serialization,
            interface_is_path: false,
            sequence,
        };
        Self::of(header, memo, None)
    }

    fn of(header: &Header, memo: CallMemo, layout: Option<RequestLayout>) -> Self {
        let answers = match header.kind {
            Kind::Oneway => Answers::None,
            _ => Answers::One,
        };
        let request = Request {
            answers,
            ..Request::unary(header.id, memo.pack())
        };
        Self { request, layout }
    }
}

/// A provider calls an argument of its consumer back on the connection that brought it (rule 7).
fn pin(callback: bool) -> Pin {
    if callback { Pin::UntilClose } else { Pin::None }
}

const UNREADABLE_REST: Unreadable =
    Unreadable::Broken("the arguments or attachments cannot be read");

/// Why the strings before the arguments cannot be read.
fn broken(error: RequestError) -> Unreadable {
    Unreadable::Broken(match error {
        RequestError::Descriptor(_) => "the parameter types cannot be read",
        _ => "the head of the body cannot be read",
    })
}

/// What the attachments of a call say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    deadline: Option<Duration>,
    callback: bool,
    interface_is_path: bool,
}

/// One look at the attachments (rule 9).
fn attachments(view: &CallBody<'_>) -> Result<Found, ReadError> {
    let mut timeouts = Timeouts::default();
    let (mut interface, mut callback) = (None, false);
    view.attachments()?.visit(|key, value| match key {
        b"timeout" => timeouts.timeout = value.number(),
        b"_TO" => timeouts.countdown = value.number(),
        b"interface" => interface = value.text(),
        _ => callback |= key.starts_with(CALLBACK_ARGUMENT.as_bytes()),
    })?;
    let interface = interface.filter(|text| !text.is_empty());
    let path = view.path();
    let interface_is_path = interface.is_none_or(|text| match (text.ascii(), path.ascii()) {
        (Some(one), Some(other)) => one == other,
        _ => text.decode() == path.decode(),
    });
    Ok(Found {
        deadline: timeouts.deadline_millis().map(Duration::from_millis),
        callback,
        interface_is_path,
    })
}

fn names_callback(view: &CallBody<'_>) -> Result<bool, ReadError> {
    let mut named = false;
    view.attachments()?
        .visit(|key, _| named |= key.starts_with(CALLBACK_ARGUMENT.as_bytes()))?;
    Ok(named)
}
