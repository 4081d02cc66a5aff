//! Ids: a message under another id is the same message otherwise.

use super::subject::{Asked, Subject, of_response};
use crate::{
    downstream::FromClient,
    kit::{
        broken::Broken,
        corpus::{Corpus, Sample},
        feed::{SENT_BEFORE, added},
    },
    message::{Answers, Frame, Memo, Request},
    protocol::Protocol,
    session::Opening,
    upstream::{At, FromServer},
};

/// A request forwarded under another id, and an answer given back under the client's, carry that
/// id and are unchanged otherwise; under the first id they are what they were, byte for byte.
pub fn ids_round_trip(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("ids_round_trip");
    for asked in subject.asked().map_err(rule)? {
        for id in subject.ids() {
            forwarded(&subject, &asked, id)
                .map_err(|b| rule(asked.has(b.within(format!("forwarded under id {id:#x}")))))?;
        }
    }
    for (sample, event, memo) in subject.answered().map_err(rule)? {
        let FromServer::Response(response) = event else {
            continue;
        };
        for id in subject.ids() {
            responded(&subject, (sample, response.at, &memo), id).map_err(|b| {
                rule(of_response(sample)(
                    b.within(format!("given back under id {id:#x}")),
                ))
            })?;
        }
    }
    Ok(())
}

fn forwarded(subject: &Subject<'_>, asked: &Asked<'_>, id: u64) -> Result<(), Broken> {
    const READ: &str = "Upstream::forward";
    let forward = |id, bytes: &[u8]| {
        let mut out = SENT_BEFORE.to_vec();
        let frame = Frame {
            bytes,
            ..asked.frame()
        };
        subject
            .protocol
            .upstream(subject.limits(), &Opening::default())
            .forward(id, frame, &mut out);
        added(&out).map(<[u8]>::to_vec)
    };
    let there = forward(id, &asked.sample.bytes)?;
    if there.is_empty() {
        return Err(Broken::new("", "nothing was written", READ)
            .expected("the request, as the server is to read it"));
    }
    if subject.in_order() {
        return Ok(());
    }
    let request = match subject.read_request(&there, READ)? {
        FromClient::Request(request) => request,
        other => {
            return Err(Broken::new("", format!("it is read as {other:?}"), READ)
                .expected("`FromClient::Request`, by the plugin's own downstream codec")
                .shows(&there, 0));
        }
    };
    if request.id != id {
        let found = format!("it is read with id {:#x}", request.id);
        return Err(Broken::new("", found, READ)
            .expected(format!("the id {id:#x} in what was written"))
            .shows(&there, 0));
    }
    if facts(&request) != facts(&asked.request) {
        return Err(Broken::new("", format!("it is read as {request:?}"), READ)
            .expected(format!("but for id and memo, {:?}", asked.request))
            .shows(&there, 0));
    }
    let frame = Frame {
        bytes: &there,
        whole: true,
        memo: &request.memo,
    };
    let (before, after) = (
        subject.attributes(asked.sample, asked.frame()),
        subject.attributes(asked.sample, frame),
    );
    if before != after {
        return Err(Broken::new("", format!("the attributes {after:?}"), READ)
            .expected(format!("the attributes {before:?}"))
            .shows(&there, 0));
    }
    let (id, bytes) = (asked.request.id, &asked.sample.bytes);
    same(bytes, &forward(id, bytes)?, READ)?;
    same(bytes, &forward(id, &there)?, READ)
}

/// All that must not depend on the id.
pub(super) fn facts(request: &Request) -> impl PartialEq + std::fmt::Debug + use<'_> {
    (
        request.answers,
        request.pin,
        request.deadline,
        request.idempotent,
        &request.constraint,
        &request.session,
    )
}

/// Nothing was written of an answer.
fn suppressed(sample: &Sample) -> Result<(), Broken> {
    const READ: &str = "Downstream::respond, kit::Sample::silent";
    if sample.silent {
        return Ok(());
    }
    let found = "nothing was written: the client would wait for ever";
    Err(Broken::new("", found, READ)
        .expected("the answer; say `Sample::silent` of it if the client asked not to hear it"))
}

fn responded(
    subject: &Subject<'_>,
    (sample, at, memo): (&Sample, At, &Memo),
    id: u64,
) -> Result<(), Broken> {
    const READ: &str = "Downstream::respond";
    let respond = |id, bytes: &[u8]| {
        let mut out = SENT_BEFORE.to_vec();
        let frame = Frame {
            bytes,
            whole: true,
            memo,
        };
        subject
            .protocol
            .downstream(subject.limits())
            .respond(id, frame, &mut out);
        added(&out).map(<[u8]>::to_vec)
    };
    let there = respond(id, &sample.bytes)?;
    if there.is_empty() {
        return suppressed(sample);
    }
    let response = match subject.read_response(&there, (memo, id), READ)? {
        FromServer::Response(response) => response,
        other => {
            return Err(Broken::new("", format!("it is read as {other:?}"), READ)
                .expected("`FromServer::Response`, by the plugin's own upstream codec")
                .shows(&there, 0));
        }
    };
    let codec = subject
        .protocol
        .upstream(subject.limits(), &Opening::default());
    let outcome = |bytes| {
        codec.outcome(Frame {
            bytes,
            whole: true,
            memo,
        })
    };
    if outcome(&there) != outcome(&sample.bytes) {
        return Err(
            Broken::new("", format!("the outcome {:?}", outcome(&there)), READ)
                .expected(format!("the outcome {:?}", outcome(&sample.bytes)))
                .shows(&there, 0),
        );
    }
    let At::Id(before) = at else {
        return Ok(());
    };
    if response.at != At::Id(id) {
        return Err(
            Broken::new("", format!("it is read with {:?}", response.at), READ)
                .expected(format!("the id {id:#x} in what was written"))
                .shows(&there, 0),
        );
    }
    same(&sample.bytes, &respond(before, &sample.bytes)?, READ)?;
    same(&sample.bytes, &respond(before, &there)?, READ)
}

fn same(before: &[u8], after: &[u8], read: &'static str) -> Result<(), Broken> {
    if before == after {
        return Ok(());
    }
    let at = before
        .iter()
        .zip(after)
        .position(|(before, after)| before != after);
    let at = at.unwrap_or(before.len().min(after.len()));
    let byte = |bytes: &[u8]| match bytes.get(at) {
        Some(byte) => format!("{byte:#04x} at byte {at} of {}", bytes.len()),
        None => format!("an end after {at} bytes"),
    };
    Err(Broken::new("under its first id again", byte(after), read)
        .expected(format!("what it was, {}", byte(before)))
        .shows(after, at))
}

/// A request of the server's reaches the client under the core's id, and its answer the server
/// under the server's.
pub fn calls_round_trip(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("calls_round_trip");
    for (sample, event, _) in subject.answered().map_err(rule)? {
        let FromServer::Call(request) = event else {
            continue;
        };
        let place = format!("the server's request `{}`", sample.name);
        for id in subject.ids() {
            called(&subject, sample, &request, id)
                .map_err(|b| rule(b.within(&place).shows(&sample.bytes, 0)))?;
        }
        refused(&subject, &request).map_err(|b| rule(b.within(&place).shows(&sample.bytes, 0)))?;
    }
    let transcript = subject.requests(subject.limits()).map_err(rule)?;
    let bytes = crate::kit::corpus::stream(&corpus.requests);
    for seen in transcript.seen {
        let Some(FromClient::Response { .. }) = seen.event else {
            continue;
        };
        let frame = bytes.get(seen.at..seen.at + seen.len).unwrap_or_default();
        for id in subject.ids() {
            call_answered(&subject, frame, id).map_err(|b| {
                rule(b.within(format!(
                    "the client's answer at byte {} of the stream",
                    seen.at
                )))
            })?;
        }
    }
    Ok(())
}

fn called(
    subject: &Subject<'_>,
    sample: &Sample,
    request: &Request,
    id: u64,
) -> Result<(), Broken> {
    const READ: &str = "Downstream::call";
    let mut out = SENT_BEFORE.to_vec();
    let frame = Frame {
        bytes: &sample.bytes,
        whole: true,
        memo: &request.memo,
    };
    subject
        .protocol
        .downstream(subject.limits())
        .call(id, frame, &mut out);
    let there = added(&out)?;
    match subject.read_response(there, (&Memo::default(), 0), READ)? {
        FromServer::Call(read) if read.id == id && facts(&read) == facts(request) => Ok(()),
        other => Err(Broken::new(
            "",
            format!("under id {id:#x} it is read as {other:?}"),
            READ,
        )
        .expected("the same request under that id, by the plugin's own upstream codec")
        .shows(there, 0)),
    }
}

fn refused(subject: &Subject<'_>, request: &Request) -> Result<(), Broken> {
    const READ: &str = "Upstream::refuse";
    if request.answers == Answers::None {
        return Ok(());
    }
    let mut out = SENT_BEFORE.to_vec();
    subject
        .protocol
        .upstream(subject.limits(), &Opening::default())
        .refuse(request, &mut out);
    match subject.read_request(added(&out)?, READ)? {
        FromClient::Response { id } if id == request.id => Ok(()),
        other => Err(
            Broken::new("", format!("its refusal is read as {other:?}"), READ)
                .expected(format!("an answer under the server's id {:#x}", request.id)),
        ),
    }
}

fn call_answered(subject: &Subject<'_>, bytes: &[u8], id: u64) -> Result<(), Broken> {
    const READ: &str = "Upstream::respond";
    let mut out = SENT_BEFORE.to_vec();
    let frame = Frame {
        bytes,
        whole: true,
        memo: &Memo::default(),
    };
    subject
        .protocol
        .upstream(subject.limits(), &Opening::default())
        .respond(id, frame, &mut out);
    match subject.read_request(added(&out)?, READ)? {
        FromClient::Response { id: read } if read == id => Ok(()),
        other => Err(Broken::new(
            "",
            format!("under id {id:#x} it is read as {other:?}"),
            READ,
        )
        .expected("an answer under that id, by the plugin's own downstream codec")),
    }
}
