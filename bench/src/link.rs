//! A non-blocking connection: whole frames in, buffered bytes out.

use std::io::{self, IoSlice, Read, Write};
use std::ops::Deref;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::buffer::spare_capacity;

/// Bytes read from one connection at once.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// A kept start that is longer grows where it lies, else each read would copy it again.
const GROWS: usize = SCRATCH / 2;

/// What one read found.
pub(crate) enum Inbound<'s> {
    /// The peer closed its side.
    Closed,
    /// Nothing to read.
    Quiet,
    Bytes {
        bytes: Bytes<'s>,
        /// The buffer was filled, so the socket may hold more. After a short read it does not:
        /// with edge-triggered epoll a short read has emptied the socket (epoll(7)).
        more: bool,
    },
}

/// What has come and was not handled yet.
pub(crate) enum Bytes<'s> {
    Scratch(&'s [u8]),
    /// A large message, or the start of one.
    Own(Vec<u8>),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Scratch(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }
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
        if kept >= GROWS {
            return self.grow();
        }
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
        let bytes = Bytes::Scratch(scratch.split_at(kept + read).0);
        Ok(Inbound::Bytes { bytes, more })
    }

    /// Reads once, behind what was kept.
    fn grow<'s>(&mut self) -> io::Result<Inbound<'s>> {
        self.partial.reserve(SCRATCH);
        let free = self.partial.capacity() - self.partial.len();
        let read = loop {
            match rustix::io::read(&self.stream, spare_capacity(&mut self.partial)) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(Inbound::Quiet),
                other => break other?,
            }
        };
        if read == 0 {
            return Ok(Inbound::Closed);
        }
        Ok(Inbound::Bytes {
            bytes: Bytes::Own(std::mem::take(&mut self.partial)),
            more: read == free,
        })
    }

    /// Keeps the incomplete frame of so many bytes at the end of what [`Self::read`] gave.
    pub(crate) fn keep(&mut self, bytes: Bytes<'_>, rest: usize) {
        let handled = bytes.len().saturating_sub(rest);
        match bytes {
            Bytes::Own(bytes) if handled == 0 => self.partial = bytes,
            bytes => self
                .partial
                .extend_from_slice(bytes.get(handled..).unwrap_or_default()),
        }
    }

    /// Bytes to send at the next [`Self::flush`].
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Writes what is buffered, then `bytes` from where they lie; only what the socket does not take
    /// is copied. Whether it took all.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        loop {
            let unsent = self.out.get(self.sent..).unwrap_or_default();
            if unsent.is_empty() && bytes.is_empty() {
                break;
            }
            let slices = [IoSlice::new(unsent), IoSlice::new(bytes)];
            match self.stream.write_vectored(&slices) {
                Ok(written) => {
                    let buffered = written.min(unsent.len());
                    self.sent += buffered;
                    bytes = bytes.get(written - buffered..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        self.out.extend_from_slice(bytes);
        Ok(self.out.is_empty())
    }

    /// Whether bytes wait for the socket.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.out.is_empty()
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
