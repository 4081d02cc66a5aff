//! Requests whose attributes are said to be those of the request before.

use super::subject::Subject;
use crate::{
    attribute::AttributeKey,
    downstream::FromClient,
    kit::{
        broken::Broken,
        corpus::Corpus,
        feed::{Seen, feed},
        leg::Client,
    },
    message::{Alike, Frame, Limits, Request},
    protocol::Protocol,
};

const READ: &str = "Request::alike, Downstream::attribute";

/// Where a request says that its attributes are those of the request before it, they are: of each two
/// samples, one behind the other and behind itself.
pub fn alike_requests_are_alike(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("alike_requests_are_alike");
    let asked = subject.asked().map_err(rule)?;
    for first in &asked {
        for second in &asked {
            let [one, other] = [&first.sample.bytes, &second.sample.bytes];
            let stream = [&one[..], &one[..], &other[..], &other[..]].concat();
            let named = first
                .sample
                .attributes
                .iter()
                .chain(&second.sample.attributes);
            let named: Vec<_> = named.map(|(name, _)| name.as_str()).collect();
            let both = format!("`{}` before `{}`", first.sample.name, second.sample.name);
            feed(&mut Client::new(protocol, subject.limits()), &stream, [])
                .and_then(|fed| alike_as_said(protocol, (&stream, &fed.seen), &named))
                .map_err(|broken| rule(broken.within(both)))?;
        }
    }
    Ok(())
}

/// The same of whatever was seen in a stream. `named` are attributes besides those of the schema.
pub(in crate::kit) fn alike_as_said(
    protocol: &dyn Protocol,
    (stream, seen): (&[u8], &[Seen<FromClient>]),
    named: &[&str],
) -> Result<(), Broken> {
    let requests = seen.iter().filter_map(|seen| match &seen.event {
        Some(FromClient::Request(request)) => Some((seen, request)),
        _ => None,
    });
    let mut before = None;
    for (seen, request) in requests {
        let is_same = request.alike != Alike::No;
        let named = match request.alike {
            Alike::All => named,
            Alike::Named | Alike::No => &[],
        };
        let bytes = stream.get(seen.at..seen.at + seen.head).unwrap_or_default();
        match before {
            Some(before) if is_same => {
                let attributes = |(bytes, request)| attributes(protocol, bytes, request, named);
                let (known, found) = (attributes(before), attributes((bytes, request)));
                if known != found {
                    return Err(Broken::new("", format!("attributes {found:?}"), READ)
                        .expected(format!("as of the request before, {known:?}"))
                        .shows(stream, seen.at));
                }
            }
            None if is_same => {
                let found = "the first request says that its attributes are those of one before";
                return Err(Broken::new("", found, READ)
                    .expected("`Alike::No`")
                    .shows(stream, seen.at));
            }
            _ => {}
        }
        before = Some((bytes, request));
    }
    Ok(())
}

/// As a codec finds them that has seen nothing else.
fn attributes(
    protocol: &dyn Protocol,
    bytes: &[u8],
    request: &Request,
    named: &[&str],
) -> Vec<Option<Vec<u8>>> {
    let codec = protocol.downstream(Limits {
        whole: Limits::WHOLE,
        frame: protocol.traits().frame_limit,
    });
    let frame = Frame {
        bytes,
        whole: true,
        memo: &request.memo,
    };
    let schema = protocol.attributes();
    let known = schema.iter().map(|def| def.name);
    let values = known.chain(named.iter().copied()).map(|name| {
        let value = codec.attribute(frame, &AttributeKey::resolve(schema, name));
        value.map(std::borrow::Cow::into_owned)
    });
    values.collect()
}
