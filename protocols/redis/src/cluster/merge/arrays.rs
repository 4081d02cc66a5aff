//! Arrays, maps and sets, whose elements pass as the bytes that they are.

use std::collections::HashSet;

use crate::resp::{Elements, Reply, write};

/// All elements, under a head like the first one's. False where one is no aggregate.
pub(super) fn concat(replies: &[Reply<'_>], out: &mut Vec<u8>) -> bool {
    let elements: Option<Vec<Elements<'_>>> = replies.iter().map(Reply::elements).collect();
    let Some(elements) = elements else {
        return false;
    };
    write_all(replies, elements.into_iter().flatten().collect(), out)
}

/// All elements, each once.
pub(super) fn union(replies: &[Reply<'_>], out: &mut Vec<u8>) -> bool {
    let elements: Option<Vec<Elements<'_>>> = replies.iter().map(Reply::elements).collect();
    let Some(elements) = elements else {
        return false;
    };
    let mut seen = HashSet::new();
    let all = elements.into_iter().flatten();
    let new = all.filter(|element| seen.insert(*element)).collect();
    write_all(replies, new, out)
}

/// Names and numbers in turn, which all shards give in the same order (`PUBSUB NUMSUB`): each
/// number is the sum. False where they differ in a name.
pub(super) fn counts(replies: &[Reply<'_>], out: &mut Vec<u8>) -> bool {
    let rows: Option<Vec<Vec<&[u8]>>> = replies
        .iter()
        .map(|reply| Some(reply.elements()?.collect()))
        .collect();
    let Some((first, others)) = rows.as_deref().and_then(<[_]>::split_first) else {
        return false;
    };
    let mut merged = Vec::with_capacity(first.len());
    for (index, name) in first.iter().enumerate().step_by(2) {
        let number = |row: &Vec<&[u8]>| {
            let named = row.get(index) == Some(name) && row.len() == first.len();
            let count = row.get(index + 1).filter(|_| named)?;
            Reply::parse(count)?.number()
        };
        let counts: Option<Vec<i64>> = others.iter().chain([first]).map(number).collect();
        let Some(counts) = counts else {
            return false;
        };
        let mut sum = Vec::new();
        write::integer(counts.into_iter().fold(0, i64::saturating_add), &mut sum);
        merged.push(name.to_vec());
        merged.push(sum);
    }
    write_all(replies, merged, out)
}

/// The elements in the order of the keys, of which `owners` says whose answer has each. False where
/// an answer has more or fewer than it should.
pub(super) fn keyed(replies: &[Reply<'_>], owners: &[u32], out: &mut Vec<u8>) -> bool {
    let elements: Option<Vec<Elements<'_>>> = replies.iter().map(Reply::elements).collect();
    let Some(mut elements) = elements else {
        return false;
    };
    write::array(owners.len(), out);
    for owner in owners {
        let owner = usize::try_from(*owner).ok();
        let element = owner.and_then(|owner| elements.get_mut(owner)?.next());
        let Some(element) = element else {
            return false;
        };
        out.extend_from_slice(element);
    }
    elements.iter_mut().all(|rest| rest.next().is_none())
}

fn write_all<T: AsRef<[u8]>>(replies: &[Reply<'_>], elements: Vec<T>, out: &mut Vec<u8>) -> bool {
    let (kind, each) = match replies.first() {
        Some(Reply::Array(_)) => (b'*', 1),
        Some(Reply::Map(_)) => (b'%', 2),
        Some(Reply::Set(_)) => (b'~', 1),
        _ => return false,
    };
    write::head(kind, elements.len() / each, out);
    for element in &elements {
        out.extend_from_slice(element.as_ref());
    }
    elements.len().is_multiple_of(each)
}
