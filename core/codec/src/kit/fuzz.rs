//! What a fuzz target calls.

use super::{
    broken::Broken,
    feed::{Seen, Transcript, feed},
    leg::{Client, Server, Waiting},
    rules::{alike_as_said, seen},
};
use crate::{
    attribute::AttributeKey,
    downstream::FromClient,
    edit::Edit,
    message::{Frame, Limits, Memo},
    protocol::{Correlation, Protocol},
    reply::{LocalReply, Status},
    session::Opening,
    upstream::FromServer,
};

/// Feeds `data` to the codec of a client's connection, whole and in pieces, and what it finds to
/// every hook that a request meets. The first two bytes choose limits and pieces.
///
/// # Panics
/// Where the codec does, or breaks the contract; the message says how.
pub fn fuzz_downstream(protocol: &dyn Protocol, data: &[u8]) {
    if let Err(broken) = downstream(protocol, data) {
        panic!(
            "protocol `{}`: {}",
            protocol.id(),
            broken.by("fuzz_downstream")
        );
    }
}

/// Feeds `data` to the codec of a connection to a server, as [`fuzz_downstream`] does.
///
/// # Panics
/// Where the codec does, or breaks the contract; the message says how.
pub fn fuzz_upstream(protocol: &dyn Protocol, data: &[u8]) {
    if let Err(broken) = upstream(protocol, data) {
        panic!(
            "protocol `{}`: {}",
            protocol.id(),
            broken.by("fuzz_upstream")
        );
    }
}

pub(super) fn downstream(protocol: &dyn Protocol, data: &[u8]) -> Result<(), Broken> {
    let (limits, cuts, stream) = plan(protocol, data);
    protocol.sniff(stream);
    let whole = feed(&mut Client::new(protocol, limits), stream, [])?;
    let cut = feed(&mut Client::new(protocol, limits), stream, cuts)?;
    same(&whole, &cut, (stream, limits))?;
    alike_as_said(protocol, (stream, &whole.seen), &["name"])?;
    let mut codec = protocol.downstream(limits);
    let mut out = Vec::new();
    for seen in &whole.seen {
        let bytes = stream.get(seen.at..seen.at + seen.head).unwrap_or_default();
        let (Some(FromClient::Request(request)) | Some(FromClient::Refused { request, .. })) =
            &seen.event
        else {
            continue;
        };
        let frame = Frame {
            bytes,
            whole: seen.whole,
            memo: &request.memo,
        };
        for index in 0..protocol.attributes().len() {
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            codec.attribute(frame, &AttributeKey::Known(index));
        }
        codec.attribute(frame, &AttributeKey::Other("name".into()));
        let _refused = codec.edit(frame, &edits(), &mut out);
        let reply = LocalReply {
            status: Status::Timeout,
            message: "timeout",
        };
        codec.local_reply(request.id, &request.memo, reply, &mut out);
        protocol
            .upstream(limits, &Opening::default())
            .forward(1, frame, &mut out);
        out.clear();
    }
    Ok(())
}

pub(super) fn upstream(protocol: &dyn Protocol, data: &[u8]) -> Result<(), Broken> {
    let (limits, cuts, stream) = plan(protocol, data);
    let waiting = || match protocol.traits().correlation {
        Correlation::ById { .. } => Waiting::default(),
        _ => Waiting((1..=8).map(|id| (Memo::default(), id)).collect()),
    };
    let whole = feed(&mut Server::new(protocol, limits, waiting()), stream, [])?;
    let cut = feed(&mut Server::new(protocol, limits, waiting()), stream, cuts)?;
    same(&whole, &cut, (stream, limits))?;
    let mut codec = protocol.upstream(limits, &Opening::default());
    let mut client = protocol.downstream(limits);
    let mut out = Vec::new();
    let memo = Memo::default();
    for seen in &whole.seen {
        let bytes = stream.get(seen.at..seen.at + seen.head).unwrap_or_default();
        let frame = Frame {
            bytes,
            whole: seen.whole,
            memo: &memo,
        };
        match &seen.event {
            Some(FromServer::Response(_)) => {
                codec.outcome(frame);
                let _refused = codec.edit(frame, &edits(), &mut out);
                client.respond(1, frame, &mut out);
            }
            Some(FromServer::Call(request)) => {
                client.call(1, frame, &mut out);
                codec.refuse(request, &mut out);
            }
            Some(FromServer::Push) => client.push(bytes, &mut out),
            _ => {}
        }
        out.clear();
    }
    Ok(())
}

fn edits() -> [Edit; 2] {
    let set = Edit::Set {
        name: "name".into(),
        value: "value".into(),
    };
    [
        set,
        Edit::Remove {
            name: "other".into(),
        },
    ]
}

/// Limits, where the stream is cut, and the stream.
fn plan<'a>(
    protocol: &dyn Protocol,
    data: &'a [u8],
) -> (Limits, impl Iterator<Item = usize>, &'a [u8]) {
    let (&[limits, cuts], stream) = data.split_first_chunk().unwrap_or((&[0, 0], &[]));
    let limits = Limits {
        whole: [Limits::WHOLE, 1024, 64, 0]
            .get(usize::from(limits) & 3)
            .copied()
            .unwrap_or(0),
        frame: match limits >> 2 & 3 {
            0..=2 => protocol.traits().frame_limit,
            _ => 256,
        },
    };
    let piece = usize::from(cuts % 31) + 1;
    (
        limits,
        (usize::from(cuts) % piece..stream.len()).step_by(piece),
        stream,
    )
}

/// How a stream is cut makes no difference, but to how much of a large message its event is made
/// of, and to whether an end that is not a whole message is found wrong or waited for.
fn same<Event: PartialEq + std::fmt::Debug>(
    whole: &Transcript<Event>,
    cut: &Transcript<Event>,
    (stream, limits): (&[u8], Limits),
) -> Result<(), Broken> {
    let same = |(one, other): (&Seen<Event>, &Seen<Event>)| {
        let large = one.len > limits.whole || !one.whole || !other.whole;
        (one.at, one.len, &one.out) == (other.at, other.len, &other.out)
            && (large || one.event == other.event)
    };
    // The head of a large message is known as such by what there is of it. Where a codec has asked for more
    // before, and the stream ends, it is waited for.
    let complete = |it: &Transcript<Event>| it.seen.len() - usize::from(it.ends_within);
    let ends_alike = match whole.ends_within == cut.ends_within {
        true => whole.seen.len() == cut.seen.len(),
        false => complete(whole) == complete(cut),
    };
    let all = ends_alike && whole.seen.iter().zip(&cut.seen).all(same);
    let ends = match (whole.malformed, cut.malformed) {
        (Some((one, _)), Some((other, _))) => one == other,
        _ => true,
    };
    if all && ends {
        return Ok(());
    }
    let mut both = whole.seen.iter().zip(&cut.seen);
    let first = both.position(|both| !same(both));
    let index = first.unwrap_or(whole.seen.len().min(cut.seen.len()));
    let (one, other) = (whole.seen.get(index), cut.seen.get(index));
    let at = one.or(other).map(|seen| seen.at);
    let at = at.or(whole.malformed.or(cut.malformed).map(|(at, _)| at));
    let at = at.unwrap_or(stream.len());
    let place = format!("byte {at} of the stream, which arrives in pieces");
    Err(Broken::new(
        place,
        seen(other, cut),
        "Downstream::decode, Upstream::decode",
    )
    .expected(format!("as in one piece, {}", seen(one, whole)))
    .shows(stream, at))
}
