//! Redis, spoken: commands that go on shared connections, on ones of their own, and in between.

use meltemi_codec::Protocol;

use crate::support::trial::{PLAIN, Say, Speech};

/// Where redirects are followed, requests are kept until they are answered.
pub(crate) fn speech(follows: bool) -> Speech {
    let follows = if follows { "true" } else { "false" };
    let protocol = meltemi_redis::protocol().configure(&[("enableRedirection", follows)]);
    Speech {
        protocol: protocol.expect("the setting is right"),
        client: command,
        server: reply,
    }
}

fn array(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// What asks the server something of the codec's own is left out: whoever listens along could not
/// know the answer.
fn command(say: Say<'_>) -> Vec<u8> {
    let (mark, pad) = (say.mark.as_bytes(), ".".repeat(say.size));
    match say.kind % 16 {
        PLAIN => array(&[b"SET", mark, pad.as_bytes()]),
        1 | 2 => array(&[b"GET", mark]),
        3 => array(&[b"WATCH", mark]),
        4 => array(&[b"UNWATCH"]),
        5 => array(&[b"BLPOP", mark, b"0"]),
        6 => array(&[b"PING", mark]),
        7 => b"\r\n".to_vec(),
        8 => format!("GET {}\r\n", say.mark).into_bytes(),
        9 => array(&[b"MGET", mark, b"other"]),
        10 => array(&[b"EVAL", b"return KEYS[1]", b"1", mark]),
        11 if say.kind > 200 => array(&[b"QUIT"]),
        12 => b"*0\r\n".to_vec(),
        13 => array(&[b"CLIENT", b"GETNAME"]),
        _ => array(&[b"APPEND", mark, pad.as_bytes()]),
    }
}

fn reply(say: Say<'_>) -> Vec<u8> {
    let text = format!("{}{}", say.mark, ".".repeat(say.size));
    match say.kind {
        PLAIN => format!("${}\r\n{text}\r\n", text.len()).into_bytes(),
        1 => format!("-ERR {}\r\n", say.mark).into_bytes(),
        2 => array(&[text.as_bytes(), b"and more"]),
        // Nobody is subscribed: it is for nobody.
        _ => format!(">2\r\n$7\r\nmessage\r\n${}\r\n{text}\r\n", text.len()).into_bytes(),
    }
}
