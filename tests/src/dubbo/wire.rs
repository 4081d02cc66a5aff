//! Dubbo2 frames by hand: what no library would send, and a provider that needs no library.

use std::io::{Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::wait::PATIENCE;

/// Magic number, flags, status, id and body length, as every frame begins.
const HEADER: usize = 16;
const MAGIC: [u8; 2] = [0xda, 0xbb];
const REQUEST: u8 = 0x80;
const TWO_WAY: u8 = 0x40;
const EVENT: u8 = 0x20;
const HESSIAN2: u8 = 2;
const OK: u8 = 20;
/// Hessian's 1, by which the body of an answer says that a value follows.
const HESSIAN_VALUE: u8 = 0x91;

/// A frame as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub flags: u8,
    pub status: u8,
    pub id: u64,
    pub body: Vec<u8>,
}

impl Frame {
    /// A two-way call of `method` of the interface, with one text argument and no attachments.
    pub fn request(id: u64, interface: &str, method: &str, argument: &str) -> Self {
        Self::call(
            id,
            [interface, "0.0.0", method, "Ljava/lang/String;"],
            &[argument],
        )
    }

    /// [`Self::request`] without an argument.
    pub fn question(id: u64, interface: &str, method: &str) -> Self {
        Self::call(id, [interface, "0.0.0", method, ""], &[])
    }

    fn call(id: u64, of: [&str; 4], arguments: &[&str]) -> Self {
        let mut body = Vec::new();
        for text in ["2.0.2"].iter().chain(&of).chain(arguments) {
            push_text(&mut body, text);
        }
        body.extend(b"HZ");
        Self {
            flags: REQUEST | TWO_WAY | HESSIAN2,
            status: 0,
            id,
            body,
        }
    }

    /// The short text that an answer with a value is.
    pub fn text(&self) -> Option<&str> {
        let (length, rest) = self.body.get(1..)?.split_first()?;
        let text = rest.get(..usize::from(*length))?;
        std::str::from_utf8(text).ok().filter(|_| self.status == OK)
    }

    pub fn is_event(&self) -> bool {
        self.flags & EVENT != 0
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.body.len()).expect("a body of a test is short");
        let mut bytes = header(self.flags, self.status, self.id, length);
        bytes.extend(&self.body);
        bytes
    }

    /// # Errors
    /// When the connection ends, or gives nothing for [`PATIENCE`].
    pub fn read(stream: &mut TcpStream) -> Result<Self> {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header)?;
        assert_eq!(header[..2], MAGIC, "not a Dubbo frame: {header:x?}");
        let id = u64::from_be_bytes(header[4..12].try_into().expect("eight bytes"));
        let length = u32::from_be_bytes(header[12..].try_into().expect("four bytes"));
        let mut body = vec![0; length as usize];
        stream.read_exact(&mut body)?;
        Ok(Self {
            flags: header[2],
            status: header[3],
            id,
            body,
        })
    }

    /// The answer of [`Echo`]: a value, and in it the call's own body.
    pub fn echo(&self) -> Self {
        let mut body = vec![HESSIAN_VALUE];
        body.extend(&self.body);
        Self {
            flags: self.flags & !(REQUEST | TWO_WAY),
            status: OK,
            id: self.id,
            body,
        }
    }
}

/// A header alone, of a frame whose body is of `length` bytes.
pub fn header(flags: u8, status: u8, id: u64, length: u32) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend([flags, status]);
    bytes.extend(id.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

fn push_text(body: &mut Vec<u8>, text: &str) {
    // Hessian's short form: one byte of length, below 32, then ASCII.
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 32);
    body.push(length.expect("texts of these tests are short"));
    body.extend(text.as_bytes());
}

/// A connection to a proxy or provider; reads give up after [`PATIENCE`].
///
/// # Errors
/// When nobody listens.
pub fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A provider that answers each two-way frame with [`Frame::echo`], so that a
/// caller knows its answer again.
pub struct Echo {
    address: SocketAddr,
}

impl Echo {
    /// # Panics
    /// When no port can be opened.
    pub fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// # Panics
    /// When it cannot be opened.
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("an address that is free");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || serve(stream));
            }
        });
        Self { address }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

fn serve(mut stream: TcpStream) -> Result<()> {
    loop {
        let frame = Frame::read(&mut stream)?;
        if frame.flags & (REQUEST | TWO_WAY) == REQUEST | TWO_WAY {
            stream.write_all(&frame.echo().bytes())?;
        }
    }
}
