//! Messages made for a test.

/// What a message is framed and written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speech {
    pub transport: &'static str,
    pub protocol: &'static str,
}

pub const fn speech(transport: &'static str, protocol: &'static str) -> Speech {
    Speech {
        transport,
        protocol,
    }
}

/// All that is supported.
pub const ALL: [Speech; 12] = [
    speech("framed", "binary"),
    speech("framed", "lax"),
    speech("framed", "compact"),
    speech("framed", "json"),
    speech("buffered", "binary"),
    speech("buffered", "lax"),
    speech("buffered", "compact"),
    speech("header", "binary"),
    speech("header", "compact"),
    speech("header", "json"),
    speech("ttheader", "binary"),
    speech("ttheader", "compact"),
];

pub const CALL: u8 = 1;
pub const REPLY: u8 = 2;
pub const EXCEPTION: u8 = 3;
pub const ONEWAY: u8 = 4;

impl Speech {
    /// A message of `kind`.
    pub fn message(self, kind: u8, name: &str, seq: i32, body: &[u8]) -> Vec<u8> {
        self.with_headers(&[], &bare(self.protocol, kind, name, seq, body), seq)
    }

    pub fn call(self, name: &str, seq: i32) -> Vec<u8> {
        self.message(CALL, name, seq, &self.text(1, "an argument"))
    }

    /// A struct with a string field, as a body. Ids up to 15.
    pub fn text(self, id: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        match self.protocol {
            "json" => format!(",{{\"{id}\":{{\"str\":\"{text}\"}}}}]").into_bytes(),
            "compact" => {
                let mut out = match id {
                    0 => vec![0x08, 0],
                    id => vec![id << 4 | 8],
                };
                varint(length, &mut out);
                out.extend_from_slice(text.as_bytes());
                out.push(0);
                out
            }
            _ => [
                &[0x0b, 0, id],
                &length.to_be_bytes()[..],
                text.as_bytes(),
                &[0],
            ]
            .concat(),
        }
    }

    /// A TApplicationException, as a body.
    pub fn exception(self, text: &str, kind: u8) -> Vec<u8> {
        let mut out = self.text(1, text);
        match self.protocol {
            "json" => {
                out.truncate(out.len() - 2);
                out.extend_from_slice(format!(",\"2\":{{\"i32\":{kind}}}}}]").as_bytes());
            }
            "compact" => {
                out.pop();
                out.extend_from_slice(&[0x15, kind << 1, 0]);
            }
            _ => {
                out.pop();
                out.extend_from_slice(&[8, 0, 2, 0, 0, 0, kind, 0]);
            }
        }
        out
    }

    /// An empty struct, as a body.
    pub fn nothing(self) -> &'static [u8] {
        match self.protocol {
            "json" => b",{}]",
            _ => &[0],
        }
    }

    /// What is around `message` in this transport, with these key-values where it has a place.
    pub fn with_headers(self, pairs: &[(&str, &str)], message: &[u8], seq: i32) -> Vec<u8> {
        let mut infos = Vec::new();
        let words = match self.transport {
            "buffered" => return message.to_vec(),
            "framed" => return framed(message),
            "header" => {
                if !pairs.is_empty() {
                    infos.push(1);
                    varint(u32::try_from(pairs.len()).unwrap(), &mut infos);
                }
                for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
                    varint(u32::try_from(text.len()).unwrap(), &mut infos);
                    infos.extend_from_slice(text.as_bytes());
                }
                [&[self.number(), 0], &infos[..]].concat()
            }
            _ => {
                let texts = pairs.iter().filter(|(key, _)| !key.starts_with('#'));
                infos.extend(section(1, texts, long));
                let numbers = pairs.iter().filter(|(key, _)| key.starts_with('#'));
                infos.extend(section(0x10, numbers, |key| {
                    key[1..].parse::<u16>().unwrap().to_be_bytes().to_vec()
                }));
                [&[self.number(), 0], &infos[..]].concat()
            }
        };
        let magic: u16 = match self.transport {
            "header" => 0x0fff,
            _ => 0x1000,
        };
        headed(magic, seq, words, message)
    }

    fn number(self) -> u8 {
        match self.protocol {
            "compact" => 2,
            "json" => 1,
            _ => 0,
        }
    }
}

/// A frame with a header of these bytes, which are padded.
pub fn headed(magic: u16, seq: i32, mut words: Vec<u8>, message: &[u8]) -> Vec<u8> {
    words.resize(words.len().next_multiple_of(4), 0);
    let count = u16::try_from(words.len() / 4).unwrap();
    framed(
        &[
            &magic.to_be_bytes(),
            &[0, 0],
            &seq.to_be_bytes()[..],
            &count.to_be_bytes(),
            &words,
            message,
        ]
        .concat(),
    )
}

pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&length.to_be_bytes(), message].concat()
}

/// A message with nothing around it.
pub fn bare(protocol: &str, kind: u8, name: &str, seq: i32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap();
    let mut out = Vec::new();
    match protocol {
        "json" => out.extend_from_slice(format!("[1,\"{name}\",{kind},{seq}").as_bytes()),
        "compact" => {
            out.extend_from_slice(&[0x82, kind << 5 | 1]);
            varint(seq.cast_unsigned(), &mut out);
            varint(length, &mut out);
            out.extend_from_slice(name.as_bytes());
        }
        _ => {
            if protocol == "binary" {
                out.extend_from_slice(&[0x80, 1, 0, kind]);
            }
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(name.as_bytes());
            if protocol == "lax" {
                out.push(kind);
            }
            out.extend_from_slice(&seq.to_be_bytes());
        }
    }
    out.extend_from_slice(body);
    out
}

fn section<'a>(
    id: u8,
    pairs: impl Iterator<Item = &'a (&'a str, &'a str)>,
    key_bytes: impl Fn(&str) -> Vec<u8>,
) -> Vec<u8> {
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() {
        return Vec::new();
    }
    let mut out = vec![id];
    out.extend_from_slice(&u16::try_from(pairs.len()).unwrap().to_be_bytes());
    for (key, value) in pairs {
        out.extend(key_bytes(key));
        out.extend(long(value));
    }
    out
}

fn long(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

pub fn varint(mut value: u32, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
