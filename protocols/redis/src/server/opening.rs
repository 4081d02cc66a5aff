//! What a new connection says first.

use crate::{
    resp::write,
    session::{Credentials, Who},
    settings::{Mode, Settings},
};

/// Words that were written, and their answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// Answers that are due.
    pub(super) due: u32,
    /// Whether the last of them may be an error.
    pub(super) lenient: bool,
}

/// Writes what makes a new connection one of this kind.
pub(super) fn words(who: &Who, settings: &Settings, replica: bool, out: &mut Vec<u8>) -> Words {
    let mut words = Words::default();
    let mut say = |command: &[&[u8]]| {
        write::command(command, out);
        words.due += 1;
    };
    match (
        who.resp3,
        who.credentials.as_ref().or(settings.shown.as_ref()),
    ) {
        (true, Some(it)) => say(&[b"HELLO", b"3", b"AUTH", it.user(), &it.password]),
        (true, None) => say(&[b"HELLO", b"3"]),
        (false, Some(Credentials { user, password })) => match user {
            Some(user) => say(&[b"AUTH", user, password]),
            // All that servers before 6.0 know.
            None => say(&[b"AUTH", password]),
        },
        (false, None) => {}
    }
    if who.db != 0 {
        say(&[b"SELECT", who.db.to_string().as_bytes()]);
    }
    // A replica outside of a cluster serves reads as it is, and calls this an error.
    if replica && settings.mode != Mode::Proxy {
        say(&[b"READONLY"]);
        words.lenient = true;
    }
    words
}
