//! Whether the first bytes of a connection are Redis.

use meltemi_codec::Sniff;

use crate::command;

/// No command's name is longer.
const WORD: usize = 32;
/// How much of a line that begins as HTTP does is looked at, in bytes.
const LINE: usize = 8 * 1024;

/// An array, or a line that begins with a command.
pub(crate) fn sniff(head: &[u8]) -> Sniff {
    match head {
        [] => Sniff::Need(1),
        [b'*'] => Sniff::Need(2),
        [b'*', b'0'..=b'9', ..] => Sniff::Yes,
        [b'*', ..] => Sniff::No,
        _ => inline(head),
    }
}

fn inline(head: &[u8]) -> Sniff {
    let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let end = head.iter().position(|byte| !in_word(byte));
    let Some((word, rest)) = head.split_at_checked(end.unwrap_or(head.len())) else {
        return Sniff::No;
    };
    if word.is_empty() || word.len() > WORD {
        return Sniff::No;
    }
    match rest.first() {
        None => Sniff::Need(head.len() + 1),
        Some(b' ' | b'\t' | b'\r' | b'\n') if command::find(word, None).is_some() => {
            match word.eq_ignore_ascii_case(b"GET") {
                true => get(head),
                false => Sniff::Yes,
            }
        }
        Some(_) => Sniff::No,
    }
}

/// The one word that HTTP's requests begin with too: they end their first line with a version.
fn get(head: &[u8]) -> Sniff {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let http = line.windows(6).any(|part| part == b" HTTP/");
    match line.len() < head.len() {
        _ if http => Sniff::No,
        true => Sniff::Yes,
        false if line.len() < LINE => Sniff::Need(head.len() + 1),
        false => Sniff::No,
    }
}
