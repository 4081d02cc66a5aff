//! One connection, from its first byte to the end of its header, and for as long as it waits then.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::Registry;

use super::super::link::Load;
use super::super::stream::Stream;
use super::hello::Greeting;
use crate::proxy_protocol::{Header, HeaderError, Progress, Proxied, parse};

/// A client's connection that the engine knows nothing of.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) stream: Stream,
    pub(super) listener: Arc<str>,
    pub(super) load: Load,
    pub(super) stage: Stage,
    /// Who has connected.
    pub(super) peer: Option<SocketAddr>,
    pub(super) since: Instant,
    /// When it is closed, as far as it is then.
    pub(super) until: Instant,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// What was read of its first message, which says whom it asks for.
    Hello(Box<Greeting>),
    /// What was read of its header.
    Header(Vec<u8>),
    /// Its destination is not known yet. What it sends stays with the system.
    Parked(Proxied),
}

/// Why there will be no header.
#[derive(Debug)]
pub(super) enum NoHeader {
    /// What is there is none.
    Invalid(HeaderError),
    /// It ended before it was whole.
    Incomplete,
    /// It ended without a word, as those do that only look whether a port is open.
    Nothing,
}

impl Arrival {
    /// Reads on, never beyond the header, so that what follows is left for the engine. `None`: the poll
    /// tells when there is more.
    pub(super) fn read(&mut self) -> Result<Option<Header>, NoHeader> {
        let Stage::Header(bytes) = &mut self.stage else {
            return Ok(None);
        };
        loop {
            let all = match parse(bytes).map_err(NoHeader::Invalid)? {
                Progress::Whole(header, _) => return Ok(Some(header)),
                Progress::Needs(all) => all,
            };
            let before = bytes.len();
            bytes.resize(all, 0);
            let read = self
                .stream
                .read(bytes.get_mut(before..).unwrap_or_default());
            let got = read.as_ref().map_or(0, |got| got.bytes);
            bytes.truncate(before + got);
            match read {
                Ok(_) if got > 0 => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // It has ended, or it broke.
                Ok(_) | Err(_) if bytes.is_empty() => return Err(NoHeader::Nothing),
                Ok(_) | Err(_) => return Err(NoHeader::Incomplete),
            }
        }
    }

    /// Whose it is, and where it was going, where that is not known yet.
    pub(super) fn parked(&self) -> Option<&Proxied> {
        match &self.stage {
            Stage::Parked(client) => Some(client),
            Stage::Header(_) | Stage::Hello(_) => None,
        }
    }

    /// Its socket, of which the poll tells nothing until it is given a name again.
    pub(super) fn released(mut self, registry: &Registry) -> io::Result<(Stream, Load)> {
        self.stream.deregister(registry)?;
        Ok((self.stream, self.load))
    }
}
