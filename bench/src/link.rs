//! A non-blocking connection: whole frames in, buffered bytes out.

use std::io::{self, Read, Write};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// Bytes read from one connection at once.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// What one read found.
pub(crate) enum Inbound<'s> {
    /// The peer closed its side.
    Closed,
    /// Nothing to read.
    Quiet,
    Bytes {
        bytes: &'s [u8],
        /// The buffer was filled, so the socket may hold more. After a short read it does not:
        /// with edge-triggered epoll a short read has emptied the socket (epoll(7)).
        more: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    /// The start of a frame whose end has not come. Empty between frames.
    partial: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
    /// Set while the link waits in its loop's list of links to flush.
    pub(crate) queued: bool,
}

impl Link {
    /// Takes over `stream` and registers it for both directions, edge-triggered.
    pub(crate) fn new(
        mut stream: TcpStream,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            partial: Vec::new(),
            out: Vec::new(),
            sent: 0,
            queued: false,
        })
    }

    /// Reads once, after the bytes that [`Self::keep`] left.
    pub(crate) fn read<'s>(&mut self, scratch: &'s mut [u8]) -> io::Result<Inbound<'s>> {
        let kept = self.partial.len();
        let (front, free) = scratch.split_at_mut(kept);
        let read = loop {
            match self.stream.read(free) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Inbound::Quiet);
                }
                other => break other?,
            }
        };
        if read == 0 {
            return Ok(Inbound::Closed);
        }
        let more = read == free.len();
        front.copy_from_slice(&self.partial);
        self.partial.clear();
        let bytes = scratch.split_at(kept + read).0;
        Ok(Inbound::Bytes { bytes, more })
    }

    /// Keeps the incomplete frame at the end of what [`Self::read`] gave.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.partial.extend_from_slice(rest);
    }

    /// Bytes to send at the next [`Self::flush`].
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Writes what an earlier turn could not, but not what this turn has added: that leaves at
    /// its end, in one write.
    pub(crate) fn resume(&mut self) -> io::Result<()> {
        if self.queued { Ok(()) } else { self.flush() }
    }

    /// Writes what the socket takes; the rest waits for it to become writable.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while let Some(unsent) = self
            .out
            .get(self.sent..)
            .filter(|unsent| !unsent.is_empty())
        {
            match self.stream.write(unsent) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }
}
