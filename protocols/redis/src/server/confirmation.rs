//! What servers say of subscriptions.

use crate::{memo::Kind, resp::Reply};

/// The first word of an aggregate, where that is a string.
pub(super) fn first_word(aggregate: &[u8]) -> Option<&[u8]> {
    let (Reply::Push(mut fields) | Reply::Array(mut fields)) = Reply::parse(aggregate)? else {
        return Some(b"");
    };
    if fields.left() == Some(0) {
        return Some(b"");
    }
    let element = fields.next()?;
    let line = memchr::memchr(b'\r', element)?;
    match element.first()? {
        b'$' if element.get(1..line) != Some(b"?") => element
            .get(line + 2..element.len().saturating_sub(2))
            .or(Some(b"")),
        b'+' => element.get(1..line),
        _ => Some(b""),
    }
}

/// The request that a word confirms.
pub(super) fn confirmed(word: &[u8]) -> Option<Kind> {
    Some(match word {
        b"subscribe" => Kind::Subscribe,
        b"unsubscribe" => Kind::Unsubscribe,
        b"psubscribe" => Kind::Psubscribe,
        b"punsubscribe" => Kind::Punsubscribe,
        b"ssubscribe" => Kind::Ssubscribe,
        b"sunsubscribe" => Kind::Sunsubscribe,
        _ => return None,
    })
}

/// A request whose answers are confirmations.
pub(super) fn confirmation(kind: Kind) -> Option<Kind> {
    let confirms = matches!(
        kind,
        Kind::Subscribe
            | Kind::Unsubscribe
            | Kind::Psubscribe
            | Kind::Punsubscribe
            | Kind::Ssubscribe
            | Kind::Sunsubscribe
    );
    confirms.then_some(kind)
}

pub(super) fn is_message(word: &[u8]) -> bool {
    matches!(word, b"message" | b"pmessage" | b"smessage")
}

/// Whether a confirmation is the only one: there was no channel to leave.
pub(super) fn is_of_nothing(confirmation: &[u8]) -> bool {
    match Reply::parse(confirmation) {
        Some(Reply::Push(mut fields) | Reply::Array(mut fields)) => {
            matches!(fields.nth(1).and_then(Reply::parse), Some(Reply::Null))
        }
        _ => false,
    }
}

/// Whether a confirmation says that a subscription is left: its last field counts them.
pub(super) fn still_subscribed(confirmation: &[u8]) -> bool {
    match Reply::parse(confirmation) {
        Some(Reply::Push(fields) | Reply::Array(fields)) => {
            let count = fields.last().and_then(Reply::parse);
            !matches!(count, Some(Reply::Integer(0)))
        }
        _ => true,
    }
}
