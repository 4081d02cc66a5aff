//! Edits: what was set is found, the rest is as it was, and a refusal writes nothing.

use super::{
    ids::facts,
    subject::{Asked, Subject, of_response},
};
use crate::{
    attribute::AttributeKey,
    downstream::FromClient,
    edit::{Edit, EditRefused},
    kit::{
        broken::Broken,
        corpus::{Corpus, Sample},
        feed::{SENT_BEFORE, added},
    },
    message::{Frame, Memo, Request},
    protocol::Protocol,
    session::Opening,
    upstream::FromServer,
};

const READ: &str = "Downstream::edit, Upstream::edit, Edit";
const NAME: &str = "conformance-kit";

/// An attribute that was set is found with its value, one that was removed is not, the others are
/// as they were; and where the codec refuses, it has written nothing.
pub fn edits_round_trip(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("edits_round_trip");
    for asked in subject.asked().map_err(rule)? {
        edited(&subject, &asked).map_err(|b| rule(asked.has(b)))?;
    }
    for (sample, event, memo) in subject.answered().map_err(rule)? {
        if matches!(event, FromServer::Response(_)) {
            answer_edited(&subject, sample, &event, &memo)
                .map_err(|b| rule(of_response(sample)(b)))?;
        }
    }
    Ok(())
}

fn set(value: &str) -> Edit {
    Edit::Set {
        name: NAME.into(),
        value: value.into(),
    }
}

fn remove() -> Edit {
    Edit::Remove { name: NAME.into() }
}

fn edited(subject: &Subject<'_>, asked: &Asked<'_>) -> Result<(), Broken> {
    let bytes = &asked.sample.bytes;
    let long = "v".repeat(300);
    let nothing: [&[Edit]; 2] = [&[], &[remove()]];
    for edits in nothing {
        let place = format!("edits {edits:?} that change nothing");
        if let Some(out) = apply(subject, asked.frame(), edits).map_err(|b| b.within(&place))?
            && out != *bytes
        {
            return Err(Broken::new(
                place,
                "the message is not the same, byte for byte",
                READ,
            ));
        }
    }
    for value in ["a value", "a-value", "", "größer ✓ 𝄞", &long] {
        let place = format!("`{NAME}` set to {value:?}");
        let Some(out) =
            apply(subject, asked.frame(), &[set(value)]).map_err(|b| b.within(&place))?
        else {
            continue;
        };
        let request = unchanged(subject, asked, &out).map_err(|b| b.within(&place))?;
        let frame = Frame {
            bytes: &out,
            whole: true,
            memo: &request.memo,
        };
        holds(subject, frame, Some(value)).map_err(|b| b.within(&place))?;
        spliced(bytes, &out).map_err(|b| b.within(&place))?;
        stable(subject, frame, value).map_err(|b| b.within(&place))?;
        let place = format!("{place}, then removed");
        let Some(again) = apply(subject, frame, &[remove()]).map_err(|b| b.within(&place))? else {
            return Err(Broken::new(
                place,
                "the codec refuses to remove what it has set",
                READ,
            ));
        };
        let request = unchanged(subject, asked, &again).map_err(|b| b.within(&place))?;
        let frame = Frame {
            bytes: &again,
            whole: true,
            memo: &request.memo,
        };
        holds(subject, frame, None).map_err(|b| b.within(&place))?;
    }
    Ok(())
}

/// Bytes that may have another value after an attribute was added: lengths, mostly.
const LENGTHS: usize = 16;

/// Something was inserted at one place, and next to nothing changed elsewhere.
fn spliced(before: &[u8], after: &[u8]) -> Result<(), Broken> {
    let (old, new) = (before.iter().rev(), after.iter().rev());
    let suffix = old.zip(new).take_while(|(old, new)| old == new).count();
    let prefix = before.len() - suffix;
    let changed = before
        .iter()
        .zip(after)
        .take(prefix)
        .filter(|(old, new)| old != new);
    let changed = changed.count() + prefix.saturating_sub(after.len());
    if changed <= LENGTHS {
        return Ok(());
    }
    let found = format!(
        "{changed} bytes elsewhere are not what they were: it was encoded again, not spliced"
    );
    let at = before.iter().zip(after).position(|(old, new)| old != new);
    Err(Broken::new("what the codec has written", found, READ)
        .expected(format!(
            "the bytes of the message, one insertion, and at most {LENGTHS} bytes of lengths changed"
        ))
        .shows(after, at.unwrap_or(0)))
}

/// Set to another value and back, the message is the same.
fn stable(subject: &Subject<'_>, frame: Frame<'_>, value: &str) -> Result<(), Broken> {
    let Some(other) = apply(subject, frame, &[set("another")])? else {
        return Ok(());
    };
    let other = Frame {
        bytes: &other,
        ..frame
    };
    if apply(subject, other, &[set(value)])?.is_some_and(|back| back != frame.bytes) {
        let finding = "set to another value and back, the message is not the same, byte for byte";
        return Err(Broken::new("", finding, READ));
    }
    Ok(())
}

/// What the codec makes of `edits`, or `None` where it refuses them.
fn apply(
    subject: &Subject<'_>,
    frame: Frame<'_>,
    edits: &[Edit],
) -> Result<Option<Vec<u8>>, Broken> {
    let mut out = SENT_BEFORE.to_vec();
    let done = subject
        .protocol
        .downstream(subject.limits())
        .edit(frame, edits, &mut out);
    written(done, &out)
}

fn written(done: Result<(), EditRefused>, out: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
    let out = added(out)?;
    match done {
        Ok(()) => Ok(Some(out.to_vec())),
        Err(_) if out.is_empty() => Ok(None),
        Err(refused) => {
            let found = format!(
                "the codec refuses ({refused}) and has written {} bytes",
                out.len()
            );
            Err(Broken::new("", found, READ).expected("nothing written where it refuses"))
        }
    }
}

fn unchanged(subject: &Subject<'_>, asked: &Asked<'_>, bytes: &[u8]) -> Result<Request, Broken> {
    let request = match subject.read_request(bytes, READ)? {
        FromClient::Request(request) => request,
        other => {
            return Err(Broken::new("", format!("it is read as {other:?}"), READ)
                .expected("`FromClient::Request`, as before")
                .shows(bytes, 0));
        }
    };
    let same_id = subject.in_order() || request.id == asked.request.id;
    if !same_id || facts(&request) != facts(&asked.request) {
        return Err(Broken::new("", format!("it is read as {request:?}"), READ)
            .expected(format!("but for the memo, {:?}", asked.request))
            .shows(bytes, 0));
    }
    let frame = Frame {
        bytes,
        whole: true,
        memo: &request.memo,
    };
    let before = subject.attributes(asked.sample, asked.frame());
    let after = subject.attributes(asked.sample, frame);
    if before != after {
        return Err(
            Broken::new("", format!("the other attributes {after:?}"), READ)
                .expected(format!("the other attributes {before:?}"))
                .shows(bytes, 0),
        );
    }
    Ok(request)
}

fn holds(subject: &Subject<'_>, frame: Frame<'_>, value: Option<&str>) -> Result<(), Broken> {
    let codec = subject.protocol.downstream(subject.limits());
    let found = codec.attribute(frame, &AttributeKey::Other(NAME.into()));
    if found.as_deref() == value.map(str::as_bytes) {
        return Ok(());
    }
    let found = found.as_deref().map(String::from_utf8_lossy);
    Err(
        Broken::new("", format!("afterwards `{NAME}` is {found:?}"), READ)
            .expected(format!("{value:?}"))
            .shows(frame.bytes, 0),
    )
}

fn answer_edited(
    subject: &Subject<'_>,
    sample: &Sample,
    event: &FromServer,
    memo: &Memo,
) -> Result<(), Broken> {
    let codec = subject
        .protocol
        .upstream(subject.limits(), &Opening::default());
    for edits in [vec![], vec![set("a-value")], vec![set("a-value"), remove()]] {
        let mut out = SENT_BEFORE.to_vec();
        let done = codec.edit(whole(&sample.bytes, memo), &edits, &mut out);
        let place = format!("edits {edits:?}");
        let Some(bytes) = written(done, &out).map_err(|b| b.within(&place))? else {
            continue;
        };
        let read = subject
            .read_response(&bytes, (memo, 1), READ)
            .map_err(|b| b.within(&place))?;
        if read != *event {
            return Err(Broken::new(
                place,
                format!("it is read as {read:?}, but was {event:?}"),
                READ,
            ));
        }
        if codec.outcome(whole(&bytes, memo)) != codec.outcome(whole(&sample.bytes, memo)) {
            return Err(Broken::new(place, "its outcome is another", READ));
        }
        if edits.is_empty() && bytes != sample.bytes {
            return Err(Broken::new(
                place,
                "the message is not the same, byte for byte",
                READ,
            ));
        }
    }
    Ok(())
}

fn whole<'a>(bytes: &'a [u8], memo: &'a Memo) -> Frame<'a> {
    Frame {
        bytes,
        whole: true,
        memo,
    }
}
