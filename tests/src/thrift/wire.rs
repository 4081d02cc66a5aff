//! Thrift in the binary protocol by hand, for what no library sends.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::wait::PATIENCE;

pub const CALL: u8 = 1;
pub const REPLY: u8 = 2;
pub const EXCEPTION: u8 = 3;
pub const ONEWAY: u8 = 4;

/// As Thrift's libraries have it (bytes; `TConfiguration`).
const LONGEST_FRAME: u32 = 16_384_000;

/// A message; what is between its head and its end is `body`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: u8,
    pub name: String,
    pub seq: i32,
    pub body: Vec<u8>,
}

impl Message {
    pub fn call(name: &str, seq: i32, body: Vec<u8>) -> Self {
        Self {
            kind: CALL,
            name: name.to_owned(),
            seq,
            body,
        }
    }

    /// A reply to it with a string.
    pub fn reply(&self, text: &str) -> Self {
        Self {
            kind: REPLY,
            body: text_field(0, text),
            ..self.clone()
        }
    }

    /// Without a frame.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x80, 1, 0, self.kind];
        bytes.extend(length(self.name.len()));
        bytes.extend(self.name.as_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(&self.body);
        bytes
    }

    pub fn framed(&self) -> Vec<u8> {
        let bytes = self.bytes();
        let mut framed = length(bytes.len()).to_vec();
        framed.extend(bytes);
        framed
    }

    /// The message of the next frame.
    ///
    /// # Errors
    /// The end of the connection, or what is not a message.
    pub fn read(stream: &mut impl Read) -> io::Result<Self> {
        let mut word = [0; 4];
        stream.read_exact(&mut word)?;
        let length = u32::from_be_bytes(word);
        if length > LONGEST_FRAME {
            return Err(io::Error::other(format!("a frame of {length} bytes")));
        }
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame)?;
        Self::parse(&frame).ok_or_else(|| io::Error::other(format!("not a message: {frame:x?}")))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<4>()?;
        let [0x80, 1, _, kind] = *version else {
            return None;
        };
        let (size, rest) = rest.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(u32::from_be_bytes(*size) as usize)?;
        let (seq, body) = rest.split_first_chunk()?;
        Some(Self {
            kind,
            name: String::from_utf8(name.to_vec()).ok()?,
            seq: i32::from_be_bytes(*seq),
            body: body.to_vec(),
        })
    }

    /// The string of the field `id`, where that comes first.
    pub fn text(&self, id: u8) -> Option<&str> {
        let rest = self.body.strip_prefix(&[11, 0, id])?;
        let (size, rest) = rest.split_first_chunk()?;
        std::str::from_utf8(rest.get(..u32::from_be_bytes(*size) as usize)?).ok()
    }

    /// The type and the message of a TApplicationException.
    pub fn exception(&self) -> Option<(i32, &str)> {
        let text = self.text(1).filter(|_| self.kind == EXCEPTION)?;
        let rest = self.body.get(7 + text.len()..)?.strip_prefix(&[8, 0, 2])?;
        Some((i32::from_be_bytes(*rest.first_chunk()?), text))
    }
}

/// A struct with one string.
pub fn text_field(id: u8, text: &str) -> Vec<u8> {
    let mut body = vec![11, 0, id];
    body.extend(length(text.len()));
    body.extend(text.as_bytes());
    body.push(0);
    body
}

/// A struct with one i32.
pub fn number_field(id: u8, number: i32) -> Vec<u8> {
    let mut body = vec![8, 0, id];
    body.extend(number.to_be_bytes());
    body.push(0);
    body
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length)
        .expect("a test's message is small")
        .to_be_bytes()
}

/// A message in Apache's THeader, in binary, without transforms.
///
/// # Panics
/// When something of it is long.
pub fn header_frame(pairs: &[(&[u8], &[u8])], message: &[u8]) -> Vec<u8> {
    let byte = |length: usize| u8::try_from(length).expect("a short one");
    let mut header = vec![0, 0, 1, byte(pairs.len())];
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        header.push(byte(text.len()));
        header.extend(*text);
    }
    header.resize(header.len().next_multiple_of(4), 0);
    let mut frame = vec![0x0f, 0xff, 0, 0, 0, 0, 0, 9, 0, byte(header.len() / 4)];
    frame.extend(header);
    frame.extend(message);
    let mut framed = u32::try_from(frame.len())
        .expect("small")
        .to_be_bytes()
        .to_vec();
    framed.extend(frame);
    framed
}

/// What is in the next frame.
///
/// # Errors
/// The end of the connection.
pub fn read_frame(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

/// A connection that gives up in the end rather than hang.
///
/// # Errors
/// Those of connecting.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Whatever comes until the connection ends, in order or by a reset.
pub fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        rest.extend(&chunk[..read]);
    }
    rest
}

/// A server of this process. It ends with the test.
pub struct Scripted {
    port: u16,
    accepted: Arc<AtomicU64>,
}

impl Scripted {
    /// Does this with each connection, in a thread of its own.
    ///
    /// # Panics
    /// When there is no port on loopback.
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
        let port = listener.local_addr().expect("a bound socket").port();
        let accepted = Arc::new(AtomicU64::new(0));
        let (counter, serve) = (Arc::clone(&accepted), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counter.fetch_add(1, Ordering::Relaxed);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { port, accepted }
    }

    /// Answers each framed call with the string in its first field.
    pub fn echo() -> Self {
        Self::start(|mut stream| {
            while let Ok(call) = Message::read(&mut stream) {
                let reply = call.reply(call.text(1).unwrap_or_default());
                if call.kind == CALL && stream.write_all(&reply.framed()).is_err() {
                    return;
                }
            }
        })
    }

    /// Answers each connection's first call with these bytes, whatever they are, and closes.
    pub fn saying(bytes: Vec<u8>) -> Self {
        Self::start(move |mut stream| {
            if Message::read(&mut stream).is_ok() {
                let _ = stream.write_all(&bytes);
            }
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections it ever had.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}
