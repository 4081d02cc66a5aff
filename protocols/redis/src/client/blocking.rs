//! Commands that may keep their connection waiting.

use std::time::Duration;

use meltemi_codec::{FromClient, Pin};

use super::{Client, asked::Asked};
use crate::{memo, resp::number};

/// How much later than its own timeout a server may answer: it looks at its clients ten times a
/// second, and may be at work.
const SLACK: Duration = Duration::from_secs(5);

impl Client {
    pub(super) fn blocking(&mut self, asked: &Asked<'_>) -> FromClient {
        let mut draft = self.draft(asked);
        let Some(timeout) = timeout(asked) else {
            return FromClient::Request(draft.finish());
        };
        draft.request.deadline = timeout.map(|timeout| timeout.saturating_add(SLACK));
        if !self.state.pinned() {
            draft.request.pin = Pin::UntilReply;
        } else if self.state.aside() {
            // Pushes come to a client that waits, too.
            draft.request.pin = Pin::None;
        }
        draft.request.waits = true;
        draft.tag.set(memo::BLOCKING);
        self.state.blocked += 1;
        FromClient::Request(draft.finish())
    }
}

/// How long it may block; `Some(None)`: without end, or nobody knows. `None`: it does not block.
fn timeout(asked: &Asked<'_>) -> Option<Option<Duration>> {
    let last = asked.arguments.len() - 1;
    // The one that is younger than the table.
    Some(
        match asked.command.map_or("waitaof", |command| command.name) {
            "blmpop" | "bzmpop" => seconds(asked.argument(1)),
            "wait" => milliseconds(asked.argument(2)),
            "waitaof" => milliseconds(asked.argument(3)),
            "xread" | "xreadgroup" => milliseconds(Some(block(asked)?)),
            _ => seconds(asked.argument(last)),
        },
    )
}

/// The argument of `BLOCK`, which stands before `STREAMS`.
fn block<'a>(asked: &Asked<'a>) -> Option<&'a [u8]> {
    let mut n = 1;
    // `GROUP group consumer` and `COUNT n` may hold any word.
    while let Some(word) = asked.argument(n) {
        let is = |option: &[u8]| word.eq_ignore_ascii_case(option);
        match () {
            () if is(b"BLOCK") => return asked.argument(n + 1),
            () if is(b"STREAMS") => return None,
            () if is(b"GROUP") => n += 3,
            () if is(b"COUNT") => n += 2,
            () => n += 1,
        }
    }
    None
}

fn seconds(text: Option<&[u8]>) -> Option<Duration> {
    let seconds: f64 = str::from_utf8(text?).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|timeout| !timeout.is_zero())
}

fn milliseconds(text: Option<&[u8]>) -> Option<Duration> {
    let milliseconds = u64::try_from(number::integer(text?)?).ok()?;
    Some(Duration::from_millis(milliseconds)).filter(|timeout| !timeout.is_zero())
}
