//! Changes to keys.

use meltemi_codec::{Edit, EditRefused, Frame};

use crate::{
    command::{self, KeySpec, keys},
    lessons::Lessons,
    memo::{self, Tag},
    resp::{Arguments, inline, write},
};

/// Appends a request with the prefixes of its keys removed: the only thing of a command that has a
/// name and may change. Of a command that the table does not know, `lessons` tell where they are.
pub(super) fn edit(
    request: Frame<'_>,
    edits: &[Edit],
    lessons: &Lessons,
    out: &mut Vec<u8>,
) -> Result<(), EditRefused> {
    let mut prefixes = Vec::new();
    for edit in edits {
        match edit {
            Edit::StripPrefix {
                name,
                prefix,
                ignore_case,
            } if &**name == "key" => prefixes.push((prefix.as_bytes(), *ignore_case)),
            _ => return Err(EditRefused::NoPlace),
        }
    }
    if prefixes.is_empty() {
        out.extend_from_slice(request.bytes);
        return Ok(());
    }
    let tag = Tag::unpack(request.memo);
    if tag.has(memo::LEARNED) {
        return Err(EditRefused::Unreadable);
    }
    let array;
    let bytes = match request.bytes.first() {
        Some(b'*') => request.bytes,
        _ => {
            array = inline::to_array(request.bytes).ok_or(EditRefused::Unreadable)?;
            &array
        }
    };
    let arguments = Arguments::new(bytes).ok_or(EditRefused::Unreadable)?;
    let name = arguments.text(0).ok_or(EditRefused::Unreadable)?;
    let sub = arguments.text(1);
    if let Some(command) = command::find(name, sub) {
        let keys = indexes(command.keys, &arguments);
        return strip((bytes, request.whole), &keys, &prefixes, out);
    }
    let learned = lessons.get(name).flatten();
    let learned = learned.as_ref().map(|learned| learned.within(sub));
    let learned = learned.filter(|learned| learned.complete);
    let keys = indexes(&learned.ok_or(EditRefused::Unreadable)?.keys, &arguments);
    strip((bytes, request.whole), &keys, &prefixes, out)
}

/// Where the keys are, each once.
fn indexes(specs: &[KeySpec], arguments: &Arguments<'_>) -> Vec<usize> {
    let mut found: Vec<usize> = specs
        .iter()
        .filter(|spec| !spec.not_key)
        .flat_map(|spec| {
            keys(std::slice::from_ref(spec), arguments.len(), |n| {
                arguments.text(n)
            })
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn strip(
    (bytes, whole): (&[u8], bool),
    keys: &[usize],
    prefixes: &[(&[u8], bool)],
    out: &mut Vec<u8>,
) -> Result<(), EditRefused> {
    let arguments = Arguments::new(bytes).ok_or(EditRefused::Unreadable)?;
    let start = out.len();
    let mut copied = 0;
    for &index in keys {
        let (Some(key), Some(element)) = (arguments.text(index), arguments.element(index)) else {
            // The rest of the request passes unchanged.
            out.truncate(start);
            return Err(if whole {
                EditRefused::Unreadable
            } else {
                EditRefused::TooLarge
            });
        };
        let Some(stripped) = prefixes.iter().find_map(|prefix| stripped(key, *prefix)) else {
            continue;
        };
        if element.end > bytes.len() {
            out.truncate(start);
            return Err(EditRefused::TooLarge);
        }
        out.extend_from_slice(bytes.get(copied..element.start).unwrap_or_default());
        write::bulk(stripped, out);
        copied = element.end;
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    Ok(())
}

fn stripped<'k>(key: &'k [u8], (prefix, ignore_case): (&[u8], bool)) -> Option<&'k [u8]> {
    let (head, rest) = key.split_at_checked(prefix.len())?;
    let same = match ignore_case {
        true => head.eq_ignore_ascii_case(prefix),
        false => head == prefix,
    };
    same.then_some(rest)
}
