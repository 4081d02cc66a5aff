//! Where messages begin and end, however the network cuts them.

use std::fmt::Debug;

use super::subject::{Asked, Subject};
use crate::{
    kit::{
        broken::Broken,
        corpus::{Corpus, Sample, find, place, stream},
        feed::{SENT_BEFORE, Seen, Transcript, feed},
        leg::{Client, Leg, Server},
    },
    message::{Decoded, Size},
    protocol::{Protocol, Sniff},
};

/// Each sample is one message, no more and no less.
pub fn samples_are_messages(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("samples_are_messages");
    let requests = subject.requests(subject.limits()).map_err(rule)?;
    boundaries("request", &corpus.requests, &requests).map_err(rule)?;
    let responses = subject.responses_cut(subject.limits(), []).map_err(rule)?;
    boundaries("response", &corpus.responses, &responses).map_err(rule)
}

fn boundaries<Event: Debug>(
    direction: &str,
    samples: &[Sample],
    transcript: &Transcript<Event>,
) -> Result<(), Broken> {
    const READ: &str = "kit::Sample::bytes, Size::Known";
    let broken = |at: usize, found: String| {
        Err(Broken::new("", found, READ)
            .in_stream(at)
            .in_samples(direction, samples))
    };
    let mut start = 0;
    let mut seen = transcript.seen.iter();
    for sample in samples {
        let len = sample.bytes.len();
        match (seen.next(), transcript.malformed) {
            (Some(seen), _) if (seen.at, seen.len) == (start, len) => {}
            (Some(seen), _) => {
                let found = format!(
                    "the codec takes {} of its {len} bytes, for {:?}",
                    seen.len, seen.event
                );
                return broken(start, found);
            }
            (None, Some((at, reason))) => {
                return broken(at, format!("the codec calls it malformed: {reason}"));
            }
            (None, None) => return broken(start, "the codec waits for more".to_owned()),
        }
        start += len;
    }
    Ok(())
}

/// Each attribute that a sample is said to know is found, with its value.
pub fn attributes_are_found(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("attributes_are_found");
    let asked = subject.asked().map_err(rule)?;
    for sample in &corpus.requests {
        let broken = |found: String| {
            let place = format!("request `{}`", sample.name);
            let read = "Downstream::attribute, Protocol::attributes";
            rule(Broken::new(place, found, read).shows(&sample.bytes, 0))
        };
        let Some(asked) = asked.iter().find(|asked| asked.sample.name == sample.name) else {
            if sample.attributes.is_empty() {
                continue;
            }
            return Err(broken(
                "it has attributes, but the codec does not take it for a request".into(),
            ));
        };
        found(&subject, asked).map_err(broken)?;
    }
    Ok(())
}

fn found(subject: &Subject<'_>, asked: &Asked<'_>) -> Result<(), String> {
    let schema = subject.protocol.attributes();
    let attributes = subject.attributes(asked.sample, asked.frame());
    for (name, value) in &asked.sample.attributes {
        let known = schema.iter().any(|def| def.name == name);
        if !known && !subject.protocol.open_attributes() {
            return Err(format!(
                "attribute `{name}` is not in the schema, and `open_attributes` says that there are no others"
            ));
        }
        let found = attributes.iter().find(|(found, _)| found == name);
        let found = found.and_then(|(_, value)| value.as_deref());
        if found != Some(value.as_bytes()) {
            let found = found.map(String::from_utf8_lossy);
            return Err(format!(
                "attribute `{name}` is {found:?}, the sample says {value:?}"
            ));
        }
    }
    Ok(())
}

/// A message that arrives in two pieces is the message that arrives in one, wherever it is cut.
pub fn every_split_gives_the_same(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("every_split_gives_the_same");
    let whole = subject.requests(subject.limits()).map_err(rule)?;
    for cuts in passes(&corpus.requests) {
        let cut = subject
            .requests_cut(subject.limits(), cuts.iter().copied())
            .map_err(rule)?;
        same("request", &corpus.requests, &whole, &cut, &cuts).map_err(rule)?;
    }
    let whole = subject.responses_cut(subject.limits(), []).map_err(rule)?;
    for cuts in passes(&corpus.responses) {
        let cut = subject
            .responses_cut(subject.limits(), cuts.iter().copied())
            .map_err(rule)?;
        same("response", &corpus.responses, &whole, &cut, &cuts).map_err(rule)?;
    }
    Ok(())
}

/// A stream that arrives byte by byte is the stream that arrives at once.
pub fn byte_by_byte_gives_the_same(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("byte_by_byte_gives_the_same");
    let every = 1..stream(&corpus.requests).len();
    let whole = subject.requests(subject.limits()).map_err(rule)?;
    let bytes = subject
        .requests_cut(subject.limits(), every)
        .map_err(rule)?;
    same("request", &corpus.requests, &whole, &bytes, &[]).map_err(rule)?;
    let every = 1..stream(&corpus.responses).len();
    let whole = subject.responses_cut(subject.limits(), []).map_err(rule)?;
    let bytes = subject
        .responses_cut(subject.limits(), every)
        .map_err(rule)?;
    same("response", &corpus.responses, &whole, &bytes, &[]).map_err(rule)
}

/// Where a message is cut: everywhere if it is small, else at its head, its end and between.
pub(super) fn positions(len: usize) -> Vec<usize> {
    if len <= 1024 {
        return (1..len).collect();
    }
    let between = (512..len - 64).step_by((len / 64).max(1));
    (1..512).chain(between).chain(len - 64..len).collect()
}

/// Cuts of the whole stream: in each pass one in each sample, until every sample was cut everywhere.
fn passes(samples: &[Sample]) -> Vec<Vec<usize>> {
    let positions: Vec<Vec<usize>> = samples
        .iter()
        .map(|sample| positions(sample.bytes.len()))
        .collect();
    let passes = positions.iter().map(Vec::len).max().unwrap_or(0);
    let cuts = |pass: usize| {
        let mut start = 0;
        let mut cuts = Vec::new();
        for (sample, positions) in samples.iter().zip(&positions) {
            let at = pass
                .checked_rem(positions.len())
                .and_then(|n| positions.get(n));
            cuts.extend(at.map(|at| start + at));
            start += sample.bytes.len();
        }
        cuts
    };
    (0..passes).map(cuts).collect()
}

pub(super) fn same<Event: Debug + PartialEq>(
    direction: &str,
    samples: &[Sample],
    whole: &Transcript<Event>,
    cut: &Transcript<Event>,
    cuts: &[usize],
) -> Result<(), Broken> {
    if whole == cut {
        return Ok(());
    }
    let differs = whole
        .seen
        .iter()
        .zip(&cut.seen)
        .position(|(whole, cut)| whole != cut);
    let index = differs.unwrap_or(whole.seen.len().min(cut.seen.len()));
    let (one, other) = (whole.seen.get(index), cut.seen.get(index));
    let end = |transcript: &Transcript<Event>| transcript.malformed.map(|(at, _)| at);
    let at = one.or(other).map(|seen| seen.at);
    let at = at.or(end(whole)).or(end(cut)).unwrap_or(usize::MAX);
    let within = cuts.iter().find(|cut| **cut > at);
    let place = match within {
        Some(cut) => format!(
            "{}, which arrives in two pieces, cut at {}",
            place(direction, samples, at),
            place(direction, samples, *cut)
        ),
        None => format!(
            "{}, which arrives byte by byte",
            place(direction, samples, at)
        ),
    };
    let (shown, mark) = find(samples, within.map_or(at, |cut| *cut))
        .map_or((&[][..], 0), |(sample, offset)| (&*sample.bytes, offset));
    let read = "Downstream::decode, Upstream::decode, Decoded::Incomplete";
    Err(Broken::new(place, seen(other, cut), read)
        .expected(format!("as in one piece, {}", seen(one, whole)))
        .shows(shown, mark))
}

/// What a codec made of the bytes at a place, in words.
pub(in crate::kit) fn seen<Event: Debug>(
    message: Option<&Seen<Event>>,
    transcript: &Transcript<Event>,
) -> String {
    match (message, transcript.malformed) {
        (Some(seen), _) => format!(
            "{} bytes for {:?}, answered with {} bytes",
            seen.len,
            seen.event,
            seen.out.len()
        ),
        (None, Some((_, reason))) => format!("an error: {reason}"),
        (None, None) => "nothing: the codec waits for more".to_owned(),
    }
}

/// A message that is not all there is never a message nor an error: more is asked for, no more
/// than there will be.
pub fn truncation_asks_for_more(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("truncation_asks_for_more");
    let limits = subject.limits();
    let mut leg = Client::new(protocol, limits);
    truncated(&mut leg, "request", &corpus.requests).map_err(rule)?;
    let waiting = subject.waiting(&corpus.responses).map_err(rule)?;
    let mut leg = Server::new(protocol, limits, waiting);
    truncated(&mut leg, "response", &corpus.responses).map_err(rule)
}

fn truncated<L: Leg>(leg: &mut L, direction: &str, samples: &[Sample]) -> Result<(), Broken> {
    for sample in samples {
        let len = sample.bytes.len();
        if len <= leg.limits().whole {
            for cut in positions(len) {
                let place = || {
                    format!(
                        "{direction} `{}`, its first {cut} bytes of {len}",
                        sample.name
                    )
                };
                let prefix = sample.bytes.get(..cut).unwrap_or_default();
                more(leg, prefix, len).map_err(|found| {
                    Broken::new(place(), found, "Decoded::Incomplete, Limits::whole")
                        .expected(format!(
                            "`Decoded::Incomplete` with a `need` of {} to {len}",
                            cut + 1
                        ))
                        .shows(&sample.bytes, cut)
                })?;
            }
        }
        feed(leg, &sample.bytes, [])?;
    }
    Ok(())
}

fn more<L: Leg>(leg: &mut L, prefix: &[u8], len: usize) -> Result<(), String> {
    let mut out = SENT_BEFORE.to_vec();
    let finding = match leg.decode(prefix, &mut out) {
        Ok(Decoded::Incomplete { need }) if need <= prefix.len() => {
            format!(
                "the codec has {} bytes and says it needs {need}",
                prefix.len()
            )
        }
        Ok(Decoded::Incomplete { need }) if need > len => {
            format!(
                "the codec wants {need} bytes before it looks again, but the message ends before: it would wait for ever"
            )
        }
        Ok(Decoded::Incomplete { .. }) if out != SENT_BEFORE => {
            "the codec wrote to `out` though it asks for more: it would write again".to_owned()
        }
        Ok(Decoded::Message(message))
            if message.size == Size::Streamed || L::refuses(&message.event) =>
        {
            return Ok(());
        }
        Ok(Decoded::Incomplete { .. }) => return Ok(()),
        Ok(other) => format!("the codec returns {other:?}"),
        Err(malformed) => format!("the codec calls it malformed: {}", malformed.reason),
    };
    Err(finding)
}

/// The first bytes of a connection are recognised, and no beginning of them is turned away.
pub fn sniffing_knows_its_own(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let Some(first) = corpus.requests.first() else {
        return Ok(());
    };
    let len = first.bytes.len();
    for cut in positions(len).into_iter().chain([len]) {
        let head = first.bytes.get(..cut).unwrap_or_default();
        let finding = match protocol.sniff(head) {
            Sniff::Yes => continue,
            Sniff::Need(need) if need > cut && (cut < len || protocol.traits().server_first) => {
                continue;
            }
            other => format!("it is {other:?}"),
        };
        let place = format!("request `{}`, its first {cut} bytes of {len}", first.name);
        return Err(Broken::new(place, finding, "Protocol::sniff, Sniff")
            .shows(&first.bytes, cut)
            .by("sniffing_knows_its_own"));
    }
    Ok(())
}
