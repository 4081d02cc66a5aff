//! A client that writes and reads RESP by hand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::wait::PATIENCE;

/// One connection.
pub struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("somebody listens")
    }

    /// A connection, where somebody listens.
    #[must_use]
    pub fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(Self::on(stream))
    }

    /// Speaks on a connection that is there.
    #[must_use]
    pub fn on(stream: TcpStream) -> Self {
        Self {
            reader: BufReader::new(stream),
        }
    }

    /// Writes bytes as they are.
    ///
    /// # Panics
    /// When the peer is gone.
    pub fn send(&mut self, bytes: &[u8]) {
        self.reader
            .get_mut()
            .write_all(bytes)
            .expect("the peer listens");
    }

    /// Another handle to write with, for a thread of its own.
    ///
    /// # Panics
    /// When the system has no more handles.
    #[must_use]
    pub fn writer(&self) -> TcpStream {
        self.reader
            .get_ref()
            .try_clone()
            .expect("a handle of the same socket")
    }

    /// Writes a command, words separated by spaces.
    pub fn command(&mut self, words: &str) {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        self.send(&encode(&words));
    }

    /// Writes a command and reads its reply.
    pub fn call(&mut self, words: &str) -> String {
        self.command(words);
        self.reply()
    }

    /// Writes a command and reads its reply; none where the connection ends first.
    pub fn try_call(&mut self, words: &str) -> Option<String> {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        self.reader.get_mut().write_all(&encode(&words)).ok()?;
        self.try_reply()
    }

    /// The next line, without its end.
    ///
    /// # Panics
    /// When the connection ends first.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line);
        assert!(
            read.is_ok_and(|read| read > 0),
            "a line before the end of the connection"
        );
        line.trim_end().to_owned()
    }

    /// The next bytes, as many as there is room for.
    ///
    /// # Panics
    /// When the connection ends first.
    pub fn read(&mut self, bytes: &mut [u8]) {
        self.reader
            .read_exact(bytes)
            .expect("bytes before the end of the connection");
    }

    /// The next reply, in the words of redis-cli, nested replies in brackets.
    ///
    /// # Panics
    /// When the connection ends first.
    pub fn reply(&mut self) -> String {
        self.try_reply()
            .expect("a reply before the end of the connection")
    }

    /// The next reply; none where the connection ended.
    pub fn try_reply(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(n) if n > 0 => {}
            _ => return None,
        }
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1)?;
        let count = || rest.parse::<i64>().ok();
        Some(match kind {
            "$" | "=" | "!" => match usize::try_from(count()?) {
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.reader.read_exact(&mut bytes).ok()?;
                    bytes.truncate(length);
                    String::from_utf8_lossy(&bytes).into_owned()
                }
                Err(_) => "(nil)".to_owned(),
            },
            "*" | "~" | ">" => match usize::try_from(count()?) {
                Ok(length) => {
                    let items: Option<Vec<_>> = (0..length).map(|_| self.try_reply()).collect();
                    let open = if kind == ">" { "push[" } else { "[" };
                    format!("{open}{}]", items?.join(" "))
                }
                Err(_) => "(nil)".to_owned(),
            },
            "%" => {
                let items: Option<Vec<_>> = (0..2 * count()?).map(|_| self.try_reply()).collect();
                format!("{{{}}}", items?.join(" "))
            }
            "_" => "(nil)".to_owned(),
            _ => line.to_owned(),
        })
    }
}

/// A command on the wire.
#[must_use]
pub fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
