//! How many allocations a small message costs.

use super::{broken::Broken, corpus::Corpus, leg::Waiting, rules::Subject};
use crate::{
    downstream::FromClient,
    message::{Decoded, Frame, Memo},
    protocol::Protocol,
    session::Opening,
};

/// Samples up to this size are counted.
const SMALL: usize = 1024;

/// Counts the allocations that a request (decode, forward) and an answer (decode, outcome, respond)
/// of at most 1 KiB take on a warm connection, and fails where one takes more than `allowed`.
///
/// `count` reads how many allocations this process made so far. A test binary gets that from a
/// counting global allocator (the crate `stats_alloc`), and has `harness = false`: what other
/// threads allocate would be counted too.
///
/// # Errors
/// [`Broken`] names the first sample that takes more.
pub fn allocations(
    protocol: &dyn Protocol,
    corpus: &Corpus,
    allowed: usize,
    count: &dyn Fn() -> usize,
) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let checked = |place: String, taken: usize| {
        if taken <= allowed {
            return Ok(());
        }
        let found = format!("{taken} allocations");
        Err(Broken::new(place, found, "kit::allocations, Memo::words")
            .expected(format!("at most {allowed}, on a warm connection"))
            .by("allocations"))
    };
    for asked in subject.asked()? {
        if asked.sample.bytes.len() <= SMALL {
            checked(asked.place(), request(&subject, &asked.sample.bytes, count))
                .map_err(|broken| broken.shows(&asked.sample.bytes, 0))?;
        }
    }
    for (sample, _, memo) in subject.answered()? {
        if sample.bytes.len() <= SMALL && sample.to.is_some() {
            let place = format!("response `{}`", sample.name);
            checked(place, response(&subject, &sample.bytes, &memo, count))
                .map_err(|broken| broken.shows(&sample.bytes, 0))?;
        }
    }
    Ok(())
}

/// Allocations of the second request of a connection.
fn request(subject: &Subject<'_>, bytes: &[u8], count: &dyn Fn() -> usize) -> usize {
    let mut down = subject.protocol.downstream(subject.limits());
    let mut up = subject
        .protocol
        .upstream(subject.limits(), &Opening::default());
    let mut out = Vec::with_capacity(64 * SMALL);
    let mut pass = || {
        out.clear();
        let before = count();
        if let Ok(Decoded::Message(message)) = down.decode(bytes, &mut out)
            && let FromClient::Request(request) = message.event
        {
            let frame = Frame {
                bytes,
                whole: true,
                memo: &request.memo,
            };
            up.forward(1, frame, &mut out);
        }
        count() - before
    };
    pass();
    pass()
}

/// Allocations of the second answer of a connection.
fn response(subject: &Subject<'_>, bytes: &[u8], memo: &Memo, count: &dyn Fn() -> usize) -> usize {
    let mut down = subject.protocol.downstream(subject.limits());
    let mut up = subject
        .protocol
        .upstream(subject.limits(), &Opening::default());
    let waiting = Waiting([(memo.clone(), 1)].into());
    let mut out = Vec::with_capacity(64 * SMALL);
    let mut pass = || {
        out.clear();
        let before = count();
        if up.decode(bytes, &waiting, &mut out).is_ok() {
            let frame = Frame {
                bytes,
                whole: true,
                memo,
            };
            up.outcome(frame);
            down.respond(1, frame, &mut out);
        }
        count() - before
    };
    pass();
    pass()
}
