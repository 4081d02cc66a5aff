//! Sizes: what is too large is refused before it is there, what is large passes by its head.

use super::subject::{Asked, Subject, of_response};
use crate::{
    downstream::FromClient,
    edit::Edit,
    kit::{
        broken::Broken,
        corpus::{Corpus, Sample},
        feed::{SENT_BEFORE, added, check_need},
        leg::{Client, Leg, Server},
    },
    message::{Body, Decoded, Frame, Limits, Malformed, Memo, Size},
    protocol::Protocol,
    reply::Status,
    session::Opening,
    upstream::FromServer,
};

/// Questions that a codec may ask about one message.
const QUESTIONS: u32 = 3;

/// A message of one byte more than the limit is refused as soon as its head says so; one of
/// exactly the limit is not.
pub fn too_large_is_refused_at_its_head(
    protocol: &dyn Protocol,
    corpus: &Corpus,
) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("too_large_is_refused_at_its_head");
    for asked in subject.asked().map_err(rule)? {
        let bytes = &asked.sample.bytes;
        let leg = |limits| Client::new(protocol, limits);
        let refused = |decoded: &Decoded<FromClient>| {
            matches!(decoded, Decoded::Message(message)
                if message.size == Size::Known(bytes.len() as u64)
                    && matches!(message.event, FromClient::Refused { status: Status::TooLarge, .. }))
        };
        bounded(leg, subject.limits(), bytes, refused).map_err(|b| rule(asked.has(b)))?;
    }
    for (sample, event, _) in subject.answered().map_err(rule)? {
        if !matches!(event, FromServer::Response(_)) {
            continue;
        }
        let waiting = || subject.waiting(std::slice::from_ref(sample));
        let mut waits = waiting();
        let leg = |limits| {
            let waiting = std::mem::replace(&mut waits, waiting()).unwrap_or_default();
            Server::new(protocol, limits, waiting)
        };
        bounded(leg, subject.limits(), &sample.bytes, |_| false)
            .map_err(|b| rule(of_response(sample)(b)))?;
    }
    Ok(())
}

/// `leg` makes a codec on a new connection; `refused` knows the only message that may be returned
/// instead of an error.
fn bounded<L: Leg>(
    mut leg: impl FnMut(Limits) -> L,
    limits: Limits,
    bytes: &[u8],
    refused: impl Fn(&Decoded<L::Event>) -> bool,
) -> Result<(), Broken> {
    let len = bytes.len() as u64;
    let broken =
        |found| Err(Broken::new("", found, "Limits::frame, FromClient::Refused").shows(bytes, 0));
    let (head, size) = head(&mut leg(nothing_whole(limits)), bytes);
    let just = Limits {
        frame: len,
        ..limits
    };
    match decode(&mut leg(just), bytes) {
        Ok(decoded) if !refused(&decoded) => {}
        other => {
            return broken(format!(
                "with a limit of its {len} bytes it is not accepted: {other:?}"
            ));
        }
    }
    // Where the head does not tell the size, the limit ends it when it is reached.
    let head = match size {
        Some(Size::Streamed) => bytes.len(),
        _ => head,
    };
    let less = Limits {
        frame: len - 1,
        ..limits
    };
    let mut leg = leg(less);
    for cut in 1..=head {
        let (input, rest) = bytes.split_at(cut);
        match decode(&mut leg, input) {
            Ok(Decoded::Incomplete { .. }) => {}
            Ok(Decoded::Message(message)) if message.size == Size::Streamed => {
                return match leg.body(rest) {
                    Err(_) => Ok(()),
                    Ok(body) => broken(format!(
                        "with a limit of {} bytes its {len} pass through `body`: {body:?}",
                        len - 1
                    )),
                };
            }
            Ok(decoded) if !refused(&decoded) => {
                return broken(format!(
                    "with a limit of {} bytes its {len} are accepted, or refused in other words than `TooLarge` and its size: {decoded:?}",
                    len - 1
                ));
            }
            Ok(_) | Err(_) => return Ok(()),
        }
    }
    broken(format!(
        "with a limit of {} bytes its {len} are not refused when {head} of them are there, which tell",
        len - 1
    ))
}

/// What a codec returns of `input` once its questions were not answered.
fn decode<L: Leg>(leg: &mut L, input: &[u8]) -> Result<Decoded<L::Event>, Malformed> {
    let mut left = QUESTIONS;
    loop {
        let decoded = leg.decode(input, &mut Vec::new())?;
        match &decoded {
            Decoded::Message(message) if left > 0 && leg.follow(&message.event) => left -= 1,
            _ => return Ok(decoded),
        }
    }
}

/// How many bytes of a message a codec wants to see before it returns it, and with which size.
fn head<L: Leg>(leg: &mut L, bytes: &[u8]) -> (usize, Option<Size>) {
    for cut in 1..=bytes.len() {
        match decode(leg, bytes.get(..cut).unwrap_or_default()) {
            Ok(Decoded::Incomplete { .. }) => {}
            Ok(Decoded::Message(message)) => return (cut, Some(message.size)),
            _ => return (cut, None),
        }
    }
    (bytes.len(), None)
}

/// A message that is larger than what is kept as a whole is returned when its head is there, and
/// forwarded, answered and edited by its head alone with the same result.
pub fn large_messages_pass_by_their_head(
    protocol: &dyn Protocol,
    corpus: &Corpus,
) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("large_messages_pass_by_their_head");
    for asked in subject.asked().map_err(rule)? {
        request_by_head(&subject, &asked).map_err(|b| rule(asked.has(b)))?;
    }
    for (sample, event, memo) in subject.answered().map_err(rule)? {
        if matches!(event, FromServer::Response(_)) {
            response_by_head(&subject, sample, &event, &memo)
                .map_err(|b| rule(of_response(sample)(b)))?;
        }
    }
    Ok(())
}

const READ: &str = "Size::Known, Frame::whole, Limits::whole";

/// Limits under which every message is too large to be kept as a whole.
fn nothing_whole(limits: Limits) -> Limits {
    Limits { whole: 0, ..limits }
}

/// What is returned of a message as soon as possible: how much it took, and what it is.
fn by_head<L: Leg>(leg: &mut L, bytes: &[u8]) -> Result<(usize, L::Event), Broken> {
    for cut in 1..=bytes.len() {
        match decode(leg, bytes.get(..cut).unwrap_or_default()) {
            Ok(Decoded::Incomplete { need }) => check_need(need, cut, leg.limits())?,
            Ok(Decoded::Message(message)) => {
                let finding = match message.size {
                    Size::Known(size) if size != bytes.len() as u64 => {
                        format!(
                            "by its first {cut} bytes its size is {size}, it is {}",
                            bytes.len()
                        )
                    }
                    Size::Streamed => match leg.body(bytes.get(cut..).unwrap_or_default()) {
                        Ok(Body::End(n)) if n == bytes.len() - cut => {
                            return Ok((cut, message.event));
                        }
                        other => format!("after its first {cut} bytes `body` says {other:?}"),
                    },
                    Size::Known(_) => return Ok((cut, message.event)),
                };
                return Err(Broken::new("", finding, READ));
            }
            other => {
                return Err(Broken::new(
                    "",
                    format!("by its first {cut} bytes it is {other:?}"),
                    READ,
                ));
            }
        }
    }
    Err(Broken::new("", "it is not returned", READ))
}

fn request_by_head(subject: &Subject<'_>, asked: &Asked<'_>) -> Result<(), Broken> {
    let bytes = &asked.sample.bytes;
    let limits = nothing_whole(subject.limits());
    let (cut, event) = by_head(&mut Client::new(subject.protocol, limits), bytes)?;
    let FromClient::Request(request) = event else {
        return Err(Broken::new(
            "",
            format!("by its first {cut} bytes it is {event:?}"),
            READ,
        ));
    };
    let (head, rest) = bytes.split_at(cut);
    let place = format!("by its first {cut} bytes");
    if (request.id, request.answers, request.pin)
        != (asked.request.id, asked.request.answers, asked.request.pin)
    {
        return Err(Broken::new(place, format!("it is {request:?}"), READ)
            .expected(format!("id, answers and pin of {:?}", asked.request))
            .shows(bytes, cut));
    }
    let frame = Frame {
        bytes: head,
        whole: rest.is_empty(),
        memo: &request.memo,
    };
    let known = subject.attributes(asked.sample, frame);
    let attributes = subject.attributes(asked.sample, asked.frame());
    for ((name, known), (_, value)) in known.iter().zip(&attributes) {
        if known.is_some() && known != value {
            return Err(
                Broken::new(place, format!("attribute `{name}` is {known:?}"), READ)
                    .expected(format!("{value:?}, as by all of it, or `None`"))
                    .shows(bytes, cut),
            );
        }
    }
    let id = subject.ids().first().copied().unwrap_or(1);
    let forward = |frame| {
        let mut out = SENT_BEFORE.to_vec();
        subject
            .protocol
            .upstream(limits, &Opening::default())
            .forward(id, frame, &mut out);
        added(&out).map(<[u8]>::to_vec)
    };
    equal(forward(frame)?, rest, &forward(asked.frame())?)
        .map_err(|b| b.within(format!("{place}, forwarded")))?;
    edited_by_head(subject, (frame, rest), asked.frame())
        .map_err(|b| b.within(format!("{place}, edited")))
}

fn edited_by_head(
    subject: &Subject<'_>,
    (head, rest): (Frame<'_>, &[u8]),
    whole: Frame<'_>,
) -> Result<(), Broken> {
    let edit = |frame| {
        let edit = Edit::Set {
            name: "conformance-kit".into(),
            value: "v".into(),
        };
        let mut out = Vec::new();
        let codec = subject.protocol.downstream(nothing_whole(subject.limits()));
        codec.edit(frame, &[edit], &mut out).map(|()| out)
    };
    match (edit(head), edit(whole)) {
        (Ok(head), Ok(whole)) => equal(head, rest, &whole),
        _ => Ok(()),
    }
}

fn response_by_head(
    subject: &Subject<'_>,
    sample: &Sample,
    event: &FromServer,
    memo: &Memo,
) -> Result<(), Broken> {
    let limits = nothing_whole(subject.limits());
    let waiting = subject.waiting(std::slice::from_ref(sample))?;
    let (cut, found) = by_head(
        &mut Server::new(subject.protocol, limits, waiting),
        &sample.bytes,
    )?;
    let place = format!("by its first {cut} bytes");
    if found != *event {
        return Err(Broken::new(place, format!("it is {found:?}"), READ)
            .expected(format!("{event:?}, as by all of it"))
            .shows(&sample.bytes, cut));
    }
    let (head, rest) = sample.bytes.split_at(cut);
    let whole = Frame {
        bytes: &sample.bytes,
        whole: true,
        memo,
    };
    let frame = Frame {
        bytes: head,
        whole: rest.is_empty(),
        memo,
    };
    let codec = subject.protocol.upstream(limits, &Opening::default());
    if codec.outcome(frame) != codec.outcome(whole) {
        let found = format!("the outcome {:?}", codec.outcome(frame));
        return Err(Broken::new(place, found, "Upstream::outcome, Frame::whole")
            .expected(format!(
                "{:?}, as by all of it: `decode` returns no head that the outcome cannot be read from",
                codec.outcome(whole)
            ))
            .shows(&sample.bytes, cut));
    }
    let id = subject.ids().first().copied().unwrap_or(1);
    let respond = |frame| {
        let mut out = SENT_BEFORE.to_vec();
        subject
            .protocol
            .downstream(limits)
            .respond(id, frame, &mut out);
        added(&out).map(<[u8]>::to_vec)
    };
    equal(respond(frame)?, rest, &respond(whole)?)
        .map_err(|b| b.within(format!("{place}, given back")))
}

fn equal(mut head: Vec<u8>, rest: &[u8], whole: &[u8]) -> Result<(), Broken> {
    head.extend_from_slice(rest);
    if head == whole {
        return Ok(());
    }
    let at = head.iter().zip(whole).position(|(one, other)| one != other);
    let at = at.unwrap_or(head.len().min(whole.len()));
    let found = format!(
        "the head as the codec writes it and then the rest, {} bytes, another from byte {at} on",
        head.len()
    );
    Err(Broken::new("", found, READ)
        .expected(format!(
            "what the codec writes of the whole message, {} bytes",
            whole.len()
        ))
        .shows(&head, at))
}
