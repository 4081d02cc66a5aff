//! Changes to the key-values of a header, by splicing the infos. What is not understood is copied.

use std::borrow::Cow;

use meltemi_codec::{Edit, EditRefused};

use super::{
    Header, Info, Infos, Key, LONGEST, NUMBERED_PAIRS, PAIRS, pad, set_words, write_section,
    write_text,
};
use crate::{attribute::wire_key, dialect::Transport};

/// A part of the infos that is written again.
enum Part<'a> {
    Pairs(u8, Vec<(Key<'a>, Cow<'a, [u8]>)>),
    Token(&'a [u8]),
}

/// Appends the frame `bytes`, or the head that it is, with `edits` applied.
pub(crate) fn edit(
    transport: Transport,
    bytes: &[u8],
    edits: &[Edit],
    out: &mut Vec<u8>,
) -> Result<(), EditRefused> {
    let header = Header::read(transport, bytes).map_err(|_| EditRefused::Unreadable)?;
    let (mut parts, rest) = parts(transport, &header, bytes)?;
    let mut changed = false;
    for edit in edits {
        changed |= apply(transport, edit, &mut parts)?;
    }
    if !changed {
        out.extend_from_slice(bytes);
        return Ok(());
    }
    let mut header_bytes = bytes
        .get(Transport::HEADER_AT..header.infos)
        .unwrap_or_default()
        .to_vec();
    for part in &parts {
        write_part(transport, part, &mut header_bytes);
    }
    header_bytes.extend_from_slice(rest);
    pad(0, &mut header_bytes);
    if header_bytes.len() > LONGEST {
        return Err(EditRefused::Unwritable);
    }
    splice(&header, bytes, &header_bytes, out)
}

fn splice(
    header: &Header,
    bytes: &[u8],
    header_bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EditRefused> {
    let (length, rest) = bytes.split_first_chunk().ok_or(EditRefused::Unreadable)?;
    let before = header.end - Transport::HEADER_AT;
    let length = (u32::from_be_bytes(*length) as usize + header_bytes.len()).checked_sub(before);
    let length = length.and_then(|length| u32::try_from(length).ok());
    let frame = out.len();
    out.extend_from_slice(&length.ok_or(EditRefused::Unwritable)?.to_be_bytes());
    out.extend_from_slice(rest.get(..Transport::HEADER_AT - 4).unwrap_or_default());
    let start = out.len();
    out.extend_from_slice(header_bytes);
    set_words(frame, start, out);
    out.extend_from_slice(bytes.get(header.end..).unwrap_or_default());
    Ok(())
}

/// What the infos hold, and what of them cannot be read: nothing, if it is only padding.
fn parts<'a>(
    transport: Transport,
    header: &Header,
    bytes: &'a [u8],
) -> Result<(Vec<Part<'a>>, &'a [u8]), EditRefused> {
    let mut parts = Vec::new();
    let mut rest: &[u8] = &[];
    for info in Infos::of(transport, header, bytes) {
        match info.map_err(|_| EditRefused::Unreadable)? {
            Info::Section(section) => parts.push(Part::Pairs(section, Vec::new())),
            Info::Pair(key, value) => {
                if let Some(Part::Pairs(_, pairs)) = parts.last_mut() {
                    pairs.push((key, Cow::Borrowed(value)));
                }
            }
            Info::Token(token) => parts.push(Part::Token(token)),
            Info::Rest(unread) if unread.iter().any(|byte| *byte != 0) => rest = unread,
            Info::Rest(_) => {}
        }
    }
    Ok((parts, rest))
}

/// Whether anything is another now.
fn apply<'a>(
    transport: Transport,
    edit: &'a Edit,
    parts: &mut Vec<Part<'a>>,
) -> Result<bool, EditRefused> {
    let (Edit::Set { name, .. } | Edit::Remove { name }) = edit else {
        return Err(EditRefused::NoPlace);
    };
    let key = wire_key(transport, name);
    let fits = |length: usize| match transport {
        Transport::TtHeader => u16::try_from(length).is_ok(),
        _ => length <= LONGEST,
    };
    if matches!(key, Key::Name(name) if name.is_empty() || !fits(name.len())) {
        return Err(EditRefused::Unwritable);
    }
    match edit {
        Edit::Set { value, .. } if !fits(value.len()) => Err(EditRefused::Unwritable),
        Edit::Set { value, .. } => Ok(set(key, value.as_bytes(), parts)),
        Edit::Remove { .. } | Edit::StripPrefix { .. } => Ok(remove(key, parts)),
    }
}

fn set<'a>(key: Key<'a>, value: &'a [u8], parts: &mut Vec<Part<'a>>) -> bool {
    // The last one counts, where a key is there twice.
    for part in parts.iter_mut().rev() {
        let Part::Pairs(_, pairs) = part else {
            continue;
        };
        let mut pairs = pairs.iter_mut().rev();
        if let Some((_, found)) = pairs.find(|(found, _)| *found == key) {
            let changed = **found != *value;
            *found = Cow::Borrowed(value);
            return changed;
        }
    }
    let wanted = match key {
        Key::Name(_) => PAIRS,
        Key::Number(_) => NUMBERED_PAIRS,
    };
    let pair = (key, Cow::Borrowed(value));
    // Behind all that is there, so that nothing moves but the padding. Readers take a second section
    // of a kind as they take the first.
    if let Some(Part::Pairs(section, pairs)) = parts.last_mut()
        && *section == wanted
    {
        pairs.push(pair);
        return true;
    }
    parts.push(Part::Pairs(wanted, vec![pair]));
    true
}

fn remove(key: Key<'_>, parts: &mut Vec<Part<'_>>) -> bool {
    let mut changed = false;
    parts.retain_mut(|part| {
        let Part::Pairs(_, pairs) = part else {
            return true;
        };
        let before = pairs.len();
        pairs.retain(|(found, _)| *found != key);
        changed |= pairs.len() != before;
        pairs.len() == before || !pairs.is_empty()
    });
    changed
}

fn write_part(transport: Transport, part: &Part<'_>, out: &mut Vec<u8>) {
    match part {
        Part::Pairs(section, pairs) => {
            write_section(transport, *section, pairs.len(), out);
            for (key, value) in pairs {
                match key {
                    Key::Name(name) => write_text(transport, name, out),
                    Key::Number(number) => out.extend_from_slice(&number.to_be_bytes()),
                }
                write_text(transport, value, out);
            }
        }
        Part::Token(token) => {
            out.push(super::TOKEN);
            write_text(transport, token, out);
        }
    }
}
