//! Regular expressions that say no more than "one of these": a set of values, looked up.
//!
//! The route's wire type has exact values, prefixes and regular expressions. A set of values is
//! written as an alternation, `a\.B|a\.C`, which every proxy understands; here it is recognized, and
//! never compiled, so that thousands of names cost no more than one and meet no size limit.

use std::collections::HashSet;

/// The regular expression of these values.
pub(super) fn pattern<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let escaped: Vec<_> = values.into_iter().map(escaped).collect();
    escaped.join("|")
}

fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        escaped.extend(SPECIAL.contains(c).then_some('\\'));
        escaped.push(c);
    }
    escaped
}

/// The values of an alternation of at least two texts; none where the pattern says anything else.
pub(super) fn values(pattern: &str) -> Option<HashSet<Box<[u8]>>> {
    let mut values = HashSet::new();
    let mut value = String::new();
    let mut alternatives = 1;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => value.push(rest.next().filter(|c| SPECIAL.contains(*c))?),
            '|' => {
                alternatives += 1;
                values.insert(std::mem::take(&mut value).into_bytes().into());
            }
            c if SPECIAL.contains(c) && !PLAIN_BY_ITSELF.contains(c) => return None,
            c => value.push(c),
        }
    }
    values.insert(value.into_bytes().into());
    (alternatives > 1).then_some(values)
}

/// What has a meaning of its own, and a backslash takes it away.
const SPECIAL: &str = r"\.+*?()|[]{}^$#&-~";
/// Of these, what means itself outside of classes.
const PLAIN_BY_ITSELF: &str = "#&-~";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_alternation_of_texts_is_a_set() {
        let rows: [(&str, Option<&[&str]>); 11] = [
            ("a|b", Some(&["a", "b"])),
            (r"a\.B|a-b|#", Some(&["a.B", "a-b", "#"])),
            ("a||a", Some(&["", "a"])),
            ("é|ü x", Some(&["é", "ü x"])),
            ("a", None),
            ("a.B|b", None),
            ("(a|b)", None),
            ("(?i)a|b", None),
            (r"\d|b", None),
            (r"a|b\", None),
            ("^a|b$", None),
        ];
        for (pattern, expected) in rows {
            let expected = expected.map(|e| e.iter().map(|v| v.as_bytes().into()).collect());
            assert_eq!(values(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_of_values_gives_the_values_back() {
        let names = ["a.B$C", "x|y", r"\", "(?x) # c", "a-b~c&d"];
        let expected = names.iter().map(|n| n.as_bytes().into()).collect();
        assert_eq!(values(&pattern(names)), Some(expected));
    }
}
