//! What the simulated peers say, in either sample protocol.

use meltemi_codec::kit::sample::by_id::{self, Header, Kind};

const KEYS: u64 = 4;

/// Which sample protocol a schedule speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    ById,
    InOrder,
}

/// A message, as a peer reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A request; `id` is 0 where the protocol is in order.
    Request { id: u64, nonce: u64, one_way: bool },
    /// An answer that carries a request's nonce, or the proxy's own (`None`).
    Answer { id: u64, nonce: Option<u64> },
    /// A question whether this peer lives.
    Ping { id: u64 },
    /// Something that needs no answer.
    Aside,
}

impl Dialect {
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::ById => "sample-by-id",
            Self::InOrder => "sample-in-order",
        }
    }

    /// An attribute that every request has.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::ById => "method",
            Self::InOrder => "verb",
        }
    }

    pub(crate) fn request(self, id: u64, nonce: u64, one_way: bool, padding: usize) -> Vec<u8> {
        match self {
            Self::ById => {
                let kind = if one_way { Kind::OneWay } else { Kind::Request };
                let text = nonce.to_string();
                by_id::frame(
                    Header::new(kind, id),
                    &[
                        ("service", "echo"),
                        ("method", "m"),
                        ("nonce", &text),
                        ("key", &key_of(nonce)),
                    ],
                    &vec![b'.'; padding],
                )
            }
            Self::InOrder => {
                let verb = if one_way { "NOTE" } else { "PUT" };
                let line = format!("{verb} {} nonce={nonce}", key_of(nonce));
                with_payload(&line, padding)
            }
        }
    }

    /// `status`: 0 is ok, see the sample protocols.
    pub(crate) fn answer(self, id: u64, nonce: u64, status: u32, padding: usize) -> Vec<u8> {
        match self {
            Self::ById => {
                let mut body = format!("{nonce};").into_bytes();
                body.resize(body.len() + padding, b'.');
                by_id::response(id, 0, status, &body)
            }
            Self::InOrder if status == 0 => with_payload(&format!("+{nonce};"), padding),
            Self::InOrder if status == by_id::APPLICATION_ERROR => {
                format!("-{nonce};\n").into_bytes()
            }
            Self::InOrder => format!("!{status} {nonce};\n").into_bytes(),
        }
    }

    pub(crate) fn go_away(self, host: bool) -> Vec<u8> {
        match (self, host) {
            (Self::ById, false) => by_id::control(Kind::GoAway, 0),
            (Self::ById, true) => by_id::control(Kind::GoAwayHost, 0),
            (Self::InOrder, false) => b".bye\n".to_vec(),
            (Self::InOrder, true) => b".bye host\n".to_vec(),
        }
    }

    pub(crate) fn pong(self, id: u64) -> Vec<u8> {
        match self {
            Self::ById => by_id::control(Kind::Pong, id),
            Self::InOrder => b"+pong\n".to_vec(),
        }
    }

    /// The first whole message of `input` and its length.
    pub(crate) fn read(self, input: &[u8]) -> Option<(Seen, usize)> {
        match self {
            Self::ById => read_by_id(input),
            Self::InOrder => read_in_order(input),
        }
    }
}

/// What a request is about, which some others are, too.
pub(crate) fn key_of(nonce: u64) -> String {
    format!("k{}", nonce % KEYS)
}

fn with_payload(line: &str, padding: usize) -> Vec<u8> {
    if padding == 0 {
        return format!("{line}\n").into_bytes();
    }
    let mut out = format!("{line} *{padding}\n").into_bytes();
    out.resize(out.len() + padding, b'.');
    out
}

fn read_by_id(input: &[u8]) -> Option<(Seen, usize)> {
    if input.len() < by_id::HEADER {
        return None;
    }
    let header = Header::read(input).expect("what the engine writes is of the protocol");
    let size = usize::try_from(header.size()).unwrap();
    let frame = input.get(..size)?;
    let attributes = std::str::from_utf8(&frame[by_id::HEADER..header.head()]).unwrap();
    let body = &frame[header.head()..];
    let id = header.id;
    let seen = match header.kind {
        Kind::Request | Kind::OneWay => Seen::Request {
            id,
            nonce: attributes
                .lines()
                .find_map(|line| line.strip_prefix("nonce="))
                .and_then(|nonce| nonce.parse().ok())
                .expect("each request has a nonce"),
            one_way: header.kind == Kind::OneWay,
        },
        Kind::Response => Seen::Answer {
            id,
            nonce: nonce_of(body),
        },
        Kind::Ping => Seen::Ping { id },
        _ => Seen::Aside,
    };
    Some((seen, size))
}

fn read_in_order(input: &[u8]) -> Option<(Seen, usize)> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&input[..end]).expect("what the engine writes is text");
    let payload: usize = line
        .rsplit_once(" *")
        .map_or(0, |(_, digits)| digits.parse().expect("a size"));
    let size = end + 1 + payload;
    if input.len() < size {
        return None;
    }
    let seen = if line.starts_with(['+', '-', '!', '?']) {
        let text = line.trim_start_matches(['+', '-', '!', '?']);
        let text = text
            .rsplit(' ')
            .find(|word| word.contains(';'))
            .unwrap_or(text);
        Seen::Answer {
            id: 0,
            nonce: nonce_of(text.as_bytes()),
        }
    } else if line.starts_with(['.', '>']) {
        Seen::Aside
    } else if line.starts_with("PING") {
        Seen::Ping { id: 0 }
    } else {
        let nonce = line
            .split_once("nonce=")
            .expect("each request has a nonce")
            .1;
        let nonce = nonce.split(' ').next().unwrap();
        Seen::Request {
            id: 0,
            nonce: nonce.parse().unwrap(),
            one_way: line.starts_with("NOTE"),
        }
    };
    Some((seen, size))
}

/// An answer of a simulated server starts with `nonce;`, one of the proxy's does not.
fn nonce_of(body: &[u8]) -> Option<u64> {
    let end = body.iter().position(|byte| *byte == b';')?;
    std::str::from_utf8(&body[..end]).ok()?.parse().ok()
}
