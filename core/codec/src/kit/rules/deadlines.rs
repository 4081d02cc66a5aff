//! Deadlines: what a message says of its own can be made shorter.

use std::time::Duration;

use super::{ids::facts, subject::Subject};
use crate::{
    downstream::FromClient,
    kit::{broken::Broken, corpus::Corpus, feed::SENT_BEFORE, feed::added},
    message::Request,
    protocol::Protocol,
};

const READ: &str = "Downstream::pass_deadline, Request::deadline";

/// A request that says how long its client waits says less where less is left, and is the same
/// request otherwise; where the codec refuses, it has written nothing.
pub fn deadlines_are_passed_on(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("deadlines_are_passed_on");
    for asked in subject.asked().map_err(rule)? {
        let Some(deadline) = asked.request.deadline else {
            continue;
        };
        let millis = u64::try_from(deadline.as_millis() / 2).unwrap_or(u64::MAX);
        let left = Duration::from_millis(millis.max(1));
        if left >= deadline {
            continue;
        }
        let codec = protocol.downstream(subject.limits());
        let mut out = SENT_BEFORE.to_vec();
        let done = codec.pass_deadline(asked.frame(), left, &mut out);
        let passed = added(&out).and_then(|bytes| match done {
            Err(_) if bytes.is_empty() => Ok(()),
            Err(refused) => {
                let found = format!("it refuses ({refused}) and has written {bytes:?}");
                Err(Broken::new("", found, READ).expected("nothing written where it refuses"))
            }
            Ok(()) => shortened(&subject, &asked.request, (left, bytes)),
        });
        let place = format!("{left:?} left of {deadline:?}");
        passed.map_err(|broken| rule(asked.has(broken.within(&place))))?;
    }
    Ok(())
}

fn shortened(
    subject: &Subject<'_>,
    before: &Request,
    (left, bytes): (Duration, &[u8]),
) -> Result<(), Broken> {
    let expected = Request {
        deadline: Some(left),
        ..before.clone()
    };
    let read = subject.read_request(bytes, READ)?;
    match &read {
        FromClient::Request(after) if facts(after) == facts(&expected) => Ok(()),
        other => Err(Broken::new("", format!("it is read as {other:?}"), READ)
            .expected(format!("but for the memo, {expected:?}"))
            .shows(bytes, 0)),
    }
}
