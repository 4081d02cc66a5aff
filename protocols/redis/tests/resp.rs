//! Scanners and views of RESP, over arbitrary messages and arbitrary cuts.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "resp/value.rs"]
mod value;

use meltemi_redis::resp::{
    Arguments, ProtocolError, Reply, ReplyScan, RequestScan, Scanned, inline, reply_scan, write,
};
use proptest::{collection::vec, prelude::*};
use value::{seen, value};

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    vec(any::<prop::sample::Index>(), 0..6)
}

/// The pieces of `bytes`.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for end in ends {
        pieces.push(&bytes[start..end]);
        start = end;
    }
    pieces
}

/// Feeds a whole message, and checks what the scanner says of it on the way.
macro_rules! scanned {
    ($scan:expr, $bytes:expr, $cuts:expr) => {{
        let (mut scan, len) = ($scan, $bytes.len());
        let mut fed = 0;
        for piece in pieces($bytes, $cuts) {
            match scan.feed(piece).unwrap() {
                Scanned::More => {
                    fed += piece.len();
                    assert!(fed < len, "not over at its end");
                    assert!(scan.at_least() > fed as u64, "it wants nothing more");
                    assert!(scan.at_least() <= len as u64, "it wants more than there is");
                    assert!(scan.size().is_none_or(|size| size == len as u64));
                }
                Scanned::End(n) => {
                    fed += n;
                    assert_eq!((fed, scan.size()), (len, Some(len as u64)));
                }
            }
            assert_eq!(scan.taken(), fed as u64);
            if fed == len {
                break;
            }
        }
        assert_eq!(fed, len);
    }};
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_reply_ends_where_it_ends(value in value(), cuts in cuts()) {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        scanned!(ReplyScan::default(), &bytes, &cuts);
        let scan = ReplyScan::default().feed(&[bytes.as_slice(), b"+next\r\n"].concat());
        prop_assert_eq!(scan, Ok(Scanned::End(bytes.len())));
    }

    #[test]
    fn a_reply_is_read_as_it_was_written(value in value(), next in text()) {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        bytes.extend_from_slice(&next);
        let reply = Reply::parse(&bytes).unwrap();
        prop_assert_eq!(seen(reply), value.plain());
    }

    #[test]
    fn the_head_of_a_reply_does_no_harm(value in value(), cut in any::<prop::sample::Index>()) {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        bytes.truncate(cut.index(bytes.len()));
        if let Some(Reply::Array(fields) | Reply::Map(fields) | Reply::Push(fields)) =
            Reply::parse(&bytes)
        {
            let whole: usize = fields.map(<[u8]>::len).sum();
            prop_assert!(whole <= bytes.len());
        }
    }

    #[test]
    fn an_array_of_arguments_is_read_as_it_was_written(words in vec(text(), 1..8), cuts in cuts()) {
        let mut bytes = Vec::new();
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        write::command(&words, &mut bytes);
        scanned!(RequestScan::new(u64::MAX, false), &bytes, &cuts);
        let arguments = Arguments::new(&bytes).unwrap();
        prop_assert_eq!(arguments.len(), words.len());
        for (n, word) in words.iter().enumerate().rev() {
            prop_assert_eq!(arguments.text(n), Some(*word));
            let mut element = Vec::new();
            write::bulk(word, &mut element);
            prop_assert_eq!(&bytes[arguments.element(n).unwrap()], &element[..]);
        }
        prop_assert_eq!(arguments.get(words.len()), None);
    }

    #[test]
    fn a_line_is_read_as_the_array_that_it_means(words in vec(text(), 1..6), cuts in cuts()) {
        let quoted = |word: &Vec<u8>| {
            let hex: String = word.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("\"{hex}\"")
        };
        let line = words.iter().map(quoted).collect::<Vec<_>>().join(" ") + "\r\n";
        scanned!(RequestScan::new(u64::MAX, false), line.as_bytes(), &cuts);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let mut array = Vec::new();
        write::command(&words, &mut array);
        prop_assert_eq!(inline::to_array(line.as_bytes()), Some(array));
    }

    #[test]
    fn anything_is_a_request_an_error_or_a_beginning(bytes in vec(any::<u8>(), 0..200), cuts in cuts()) {
        let whole = RequestScan::new(1000, true).feed(&bytes);
        let mut scan = RequestScan::new(1000, true);
        let mut fed = 0;
        let mut in_pieces = Ok(Scanned::More);
        for piece in pieces(&bytes, &cuts) {
            in_pieces = scan.feed(piece).map(|scanned| match scanned {
                Scanned::End(n) => Scanned::End(fed + n),
                more => more,
            });
            fed += piece.len();
            if in_pieces != Ok(Scanned::More) {
                break;
            }
        }
        prop_assert_eq!(whole, in_pieces);
    }
}

#[test]
fn nesting_has_a_limit_and_costs_no_stack() {
    let deep = |levels: usize| [b"*1\r\n".repeat(levels), b":1\r\n".to_vec()].concat();
    let bytes = deep(reply_scan::DEPTH);
    let scanned = ReplyScan::default().feed(&bytes).unwrap();
    assert_eq!(scanned, Scanned::End(bytes.len()));
    let reason = ReplyScan::default()
        .feed(&deep(reply_scan::DEPTH + 1))
        .unwrap_err()
        .reason;
    assert!(reason.contains("deeper"), "{reason}");
    assert!(
        ReplyScan::default()
            .feed(&b"|1\r\n".repeat(1_000_000))
            .is_err()
    );
}

#[test]
fn what_is_no_reply_is_malformed() {
    for bytes in [
        "x",
        "\r\n",
        "$-2\r\n",
        "$1x\r\n",
        "*-2\r\n",
        "*1a\r\n",
        "$3\r\nabcd\r\n",
        "$3\r\nabc\n\r",
        ":1\r\n.",
        ".\r\n",
        "*?\r\n.x\r\n",
        "$?\r\n$1\r\n",
        "~-1\r\n",
        "%x\r\n",
        "*1\n1\r\n",
        "$99999999999999999999999\r\n",
        "$?\r\n;x\r\n",
    ] {
        let scanned = ReplyScan::default().feed(bytes.as_bytes());
        let over = matches!(scanned, Ok(Scanned::End(n)) if n < bytes.len());
        let next = || ReplyScan::default().feed(&bytes.as_bytes()[4..]);
        assert!(
            scanned.is_err() || over && next().is_err(),
            "{bytes:?}: {scanned:?}"
        );
    }
}

#[test]
fn a_request_that_redis_refuses_is_refused_in_its_words() {
    let long = |start: &str| format!("{start}{}", "1".repeat(70 * 1024));
    let cases = [
        (long(""), false, "too big inline request"),
        (long("*"), false, "too big mbulk count string"),
        (long("*1\r\n$"), false, "too big bulk count string"),
        ("*x\r\n".into(), false, "invalid multibulk length"),
        ("*2147483648\r\n".into(), false, "invalid multibulk length"),
        ("*01\r\n".into(), false, "invalid multibulk length"),
        ("*11\r\n".into(), true, "unauthenticated multibulk length"),
        ("*1\r\nfoo\r\n".into(), false, "expected '$', got 'f'"),
        ("*1\r\n\r\n".into(), false, "expected '$', got '\r'"),
        ("*1\r\n$-1\r\n".into(), false, "invalid bulk length"),
        ("*1\r\n$536870913\r\n".into(), false, "invalid bulk length"),
        (
            "*1\r\n$16385\r\n".into(),
            true,
            "unauthenticated bulk length",
        ),
    ];
    for (bytes, locked, error) in cases {
        let found = RequestScan::new(u64::MAX, locked).feed(bytes.as_bytes());
        assert_eq!(found.unwrap_err().to_string(), error);
    }
    for (bytes, locked) in [
        ("*2147483647\r\n", false),
        ("*10\r\n", true),
        ("*1\r\n$536870912\r\n", false),
        ("*1\r\n$16384\r\n", true),
    ] {
        let found = RequestScan::new(u64::MAX, locked).feed(bytes.as_bytes());
        assert_eq!(found, Ok(Scanned::More), "{bytes}");
    }
}

#[test]
fn the_limit_of_a_request_is_known_at_its_last_length() {
    let feed = |frame: u64, bytes: &str| {
        let mut scan = RequestScan::new(frame, false);
        let fed = scan.feed(bytes.as_bytes());
        (fed, scan.too_large(), scan.size())
    };
    let last = "*2\r\n$3\r\nGET\r\n$100\r\n";
    assert_eq!(feed(121, last), (Ok(Scanned::More), false, Some(121)));
    assert_eq!(feed(120, last), (Ok(Scanned::More), true, Some(121)));
    let middle = "*3\r\n$3\r\nSET\r\n$100\r\n";
    assert_eq!(feed(127, middle).0, Ok(Scanned::More));
    assert_eq!(feed(126, middle).0, Err(ProtocolError::TooLarge));
    assert_eq!(feed(4, "PING\r\n").0, Err(ProtocolError::TooLarge));
}

/// As Redis 7.0 answers `EXEC` to a client that has published to itself.
#[test]
fn a_message_between_elements_is_none_of_them() {
    let message = b"*3\r\n+OK\r\n>3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nm\r\n:1\r\n$1\r\n1\r\n";
    let confirmation = b"*2\r\n>3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n$1\r\n1\r\n";
    for answer in [&message[..], confirmation] {
        for cut in 0..answer.len() {
            let (head, rest) = answer.split_at(cut);
            let mut scan = ReplyScan::default();
            assert_eq!(scan.feed(head), Ok(Scanned::More));
            let behind = [rest, b"+PONG\r\n"].concat();
            assert_eq!(scan.feed(&behind), Ok(Scanned::End(rest.len())), "{cut}");
        }
    }
}
