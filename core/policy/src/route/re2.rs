//! RE2's syntax, written as that of the engine which searches here.
//!
//! The two differ in a few places, where a rule that Envoy knows would be refused here, or mean something
//! else: classes such as `\d` are of ASCII in RE2, `[` is a character within a class, `\Q…\E` and octal
//! numbers are read, and a brace that repeats nothing is a brace (<https://github.com/google/re2/wiki/Syntax>).

use std::fmt::Write as _;
use std::str::Chars;

/// The most that RE2 repeats.
const REPEATS_MOST: u32 = 1000;

/// # Errors
///
/// Says what RE2 does not have. All else that is wrong with the expression is in what comes back, too.
pub(super) fn translated(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    // From the repetition on that ends where `rest` begins.
    let mut last: Option<&str> = None;
    while let Some(c) = rest.clone().next() {
        let here = rest.as_str();
        let before = last.take();
        if let Some(length) = repetition(here)? {
            let (operator, after) = here.split_at(length);
            if let Some(first) = before {
                let (stacked, _) = first.split_at(first.len() - after.len());
                return Err(format!("bad repetition operator: {stacked}"));
            }
            out.push_str(operator);
            rest = after.chars();
            last = Some(here);
            continue;
        }
        rest.next();
        match c {
            '\\' => escape(&mut rest, &mut out)?,
            '[' => class(&mut rest, &mut out)?,
            '(' => group(&mut rest, &mut out)?,
            '{' => out.push_str(r"\{"),
            _ => out.push(c),
        }
    }
    Ok(out)
}

/// How long the repetition is that begins here, with the `?` that has it take as little as it can. One
/// that stands behind another is an error in RE2 (`kRegexpRepeatOp`), where Perl has `a++` mean something.
fn repetition(here: &str) -> Result<Option<usize>, String> {
    let length = match here.strip_prefix('{') {
        Some(rest) if repeats(rest)? => here.find('}').map_or(1, |end| end + 1),
        None if here.starts_with(['*', '+', '?']) => 1,
        _ => return Ok(None),
    };
    let (_, after) = here.split_at(length);
    Ok(Some(length + usize::from(after.starts_with('?'))))
}

/// The begin of a group, of which the parenthesis is behind us.
fn group(rest: &mut Chars<'_>, out: &mut String) -> Result<(), String> {
    flags(rest.as_str())?;
    out.push('(');
    if let Some(after) = rest.as_str().strip_prefix('?') {
        out.push('?');
        *rest = after.chars();
    }
    Ok(())
}

/// What a backslash outside of classes means.
fn escape(rest: &mut Chars<'_>, out: &mut String) -> Result<(), String> {
    match rest.clone().next() {
        Some('Q') => {
            rest.next();
            let (text, after) = match rest.as_str().split_once(r"\E") {
                Some(parts) => parts,
                None => (rest.as_str(), ""),
            };
            text.chars().for_each(|c| literal(c, out));
            *rest = after.chars();
        }
        // A byte, whatever it is a part of.
        Some('C') => {
            rest.next();
            out.push_str("(?s-u:.)");
        }
        Some(c @ ('b' | 'B')) => {
            rest.next();
            let _ = write!(out, r"(?-u:\{c})");
        }
        Some(c @ ('A' | 'z')) => {
            rest.next();
            out.extend(['\\', c]);
        }
        _ if set(rest, out) => {}
        _ => match character(rest)? {
            Some(c) => literal(c, out),
            None => out.push('\\'),
        },
    }
    Ok(())
}

/// Classes of one letter (`\d`, `\pN`), within other classes and outside of them.
fn set(rest: &mut Chars<'_>, out: &mut String) -> bool {
    let ascii = match rest.clone().next() {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some('s') => r"[\t\n\f\r ]",
        Some('S') => r"[^\t\n\f\r ]",
        Some(c @ ('p' | 'P')) => {
            rest.next();
            let negated = rest.as_str().strip_prefix("{^");
            let (letter, prefix) = match (negated, c) {
                (Some(after), _) => {
                    *rest = after.chars();
                    (if c == 'p' { 'P' } else { 'p' }, "{")
                }
                (None, _) => (c, ""),
            };
            let _ = write!(out, r"\{letter}{prefix}");
            let name = match rest.as_str().find('}') {
                Some(end) if !prefix.is_empty() || rest.as_str().starts_with('{') => end + 1,
                _ => rest.clone().next().map_or(0, char::len_utf8),
            };
            let (name, after) = rest.as_str().split_at(name);
            out.push_str(name);
            *rest = after.chars();
            return true;
        }
        _ => return false,
    };
    rest.next();
    out.push_str(ascii);
    true
}

/// The character that a backslash and what follows it stand for; none at the end of the expression.
fn character(rest: &mut Chars<'_>) -> Result<Option<char>, String> {
    let Some(c) = rest.next() else {
        return Ok(None);
    };
    let code = match c {
        'a' => 0x07,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'v' => 0x0b,
        '0'..='7' => match octal(c, rest) {
            Some(code) => code,
            None => return Err("backreferences are not supported".to_owned()),
        },
        'x' => hexadecimal(rest).ok_or(r"`\x` takes two hexadecimal digits, or some in braces")?,
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => u32::from(c),
        c => return Err(format!(r"`\{c}` means nothing")),
    };
    let none = || format!("there is no character {code:#x}");
    char::from_u32(code).map(Some).ok_or_else(none)
}

/// Up to three digits. One alone that is not zero would be a reference back.
fn octal(first: char, rest: &mut Chars<'_>) -> Option<u32> {
    let mut code = first.to_digit(8)?;
    let mut digits = 1;
    while let (Some(digit), true) = (rest.clone().next().and_then(|c| c.to_digit(8)), digits < 3) {
        rest.next();
        code = code * 8 + digit;
        digits += 1;
    }
    (digits > 1 || code == 0).then_some(code)
}

fn hexadecimal(rest: &mut Chars<'_>) -> Option<u32> {
    let (digits, after) = match rest.as_str().strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => rest.as_str().split_at_checked(2)?,
    };
    if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    *rest = after.chars();
    u32::from_str_radix(digits, 16).ok()
}

/// A class in brackets, of which the first is behind us.
fn class(rest: &mut Chars<'_>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if rest.as_str().starts_with('^') {
        rest.next();
        out.push('^');
    }
    let mut is_first = true;
    while let Some(c) = rest.clone().next() {
        if c == ']' && !is_first {
            rest.next();
            out.push(']');
            return Ok(());
        }
        is_first = false;
        if let Some(end) = named(rest.as_str())? {
            let (name, after) = rest.as_str().split_at(end);
            out.push_str(name);
            *rest = after.chars();
            continue;
        }
        let mut behind = rest.clone();
        if behind.next() == Some('\\') && set(&mut behind, out) {
            *rest = behind;
            continue;
        }
        let Some(low) = member(rest)? else { break };
        literal(low, out);
        let mut behind = rest.clone();
        if behind.next() == Some('-') && !matches!(behind.clone().next(), None | Some(']')) {
            *rest = behind;
            let Some(high) = member(rest)? else { break };
            out.push('-');
            literal(high, out);
        }
    }
    // Nothing closes it, as the engine will say.
    Ok(())
}

/// A character of a class.
fn member(rest: &mut Chars<'_>) -> Result<Option<char>, String> {
    match rest.next() {
        Some('\\') => character(rest),
        other => Ok(other),
    }
}

/// Where a class by name ends, such as `[:alpha:]`.
fn named(rest: &str) -> Result<Option<usize>, String> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    let Some((name, _)) = rest
        .strip_prefix("[:")
        .and_then(|rest| rest.split_once(":]"))
    else {
        return Ok(None);
    };
    match NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        true => Ok(Some("[::]".len() + name.len())),
        false => Err(format!("there is no class `[:{name}:]`")),
    }
}

/// RE2 has the flags `i`, `m`, `s` and `U`.
fn flags(rest: &str) -> Result<(), String> {
    let Some(group) = rest.strip_prefix('?') else {
        return Ok(());
    };
    let flags = group
        .chars()
        .take_while(|c| c.is_ascii_alphabetic() || *c == '-');
    match flags.into_iter().find(|c| !"imsUP-".contains(*c)) {
        Some(flag) => Err(format!("there is no flag `{flag}`")),
        None => Ok(()),
    }
}

/// Whether a brace, which is behind us, begins `{2}`, `{2,}` or `{2,3}`.
fn repeats(rest: &str) -> Result<bool, String> {
    let Some((counts, _)) = rest.split_once('}') else {
        return Ok(false);
    };
    let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if least.is_empty() || !is_number(least) || !is_number(most) {
        return Ok(false);
    }
    let counts = [least, most].into_iter().filter(|count| !count.is_empty());
    let is_within = |count: &str| count.parse().is_ok_and(|n: u32| n <= REPEATS_MOST);
    match counts.into_iter().all(is_within) {
        true => Ok(true),
        false => Err(format!(
            "nothing is repeated more than {REPEATS_MOST} times"
        )),
    }
}

/// A character that means itself, wherever it stands.
fn literal(c: char, out: &mut String) {
    match c {
        c if c.is_ascii_alphanumeric() || !c.is_ascii() => out.push(c),
        c => {
            let _ = write!(out, r"\x{:02X}", u32::from(c));
        }
    }
}

#[cfg(test)]
mod tests;
