//! Numbers, and arrays of them: `agg_sum` and its like.

use crate::resp::{Reply, write};

/// Combines the numbers, or the numbers at each place of the arrays (`SCRIPT EXISTS`). False where
/// they are neither, or not of one length.
pub(super) fn fold(
    replies: &[Reply<'_>],
    combine: impl Fn(i64, i64) -> i64,
    out: &mut Vec<u8>,
) -> bool {
    let numbers: Option<Vec<i64>> = replies.iter().map(integer).collect();
    if let Some(number) = numbers.and_then(|all| all.into_iter().reduce(&combine)) {
        write::integer(number, out);
        return true;
    }
    let columns = |row: Vec<i64>, next: Vec<i64>| {
        let combined = row.iter().zip(&next).map(|(a, b)| combine(*a, *b));
        (row.len() == next.len()).then(|| combined.collect::<Vec<_>>())
    };
    let mut rows = replies.iter().map(row);
    let Some(Some(first)) = rows.next() else {
        return false;
    };
    let row = rows.try_fold(first, |row, next| columns(row, next?));
    if let Some(row) = &row {
        write::array(row.len(), out);
        for number in row {
            write::integer(*number, out);
        }
    }
    row.is_some()
}

fn integer(reply: &Reply<'_>) -> Option<i64> {
    match reply {
        Reply::Integer(number) => Some(*number),
        _ => None,
    }
}

fn row(reply: &Reply<'_>) -> Option<Vec<i64>> {
    let elements = reply.elements()?;
    elements
        .map(|element| integer(&Reply::parse(element)?))
        .collect()
}
