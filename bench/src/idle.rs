//! Connections that were used once and then stay silent.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::load::LoadError;
use crate::wire::{Answers, Exchange, Request};

/// Open connections. Dropping them resets each, so that none waits a minute in TIME_WAIT and
/// takes a local port from the next contender.
pub(crate) struct Idle {
    connections: Vec<TcpStream>,
}

impl Idle {
    /// Opens `count` connections and makes one checked call on each: a proxy allocates at the
    /// first request what it would not at the accept.
    pub(crate) fn open(
        target: SocketAddr,
        request: Request,
        count: u32,
    ) -> Result<Self, LoadError> {
        let exchange = request.exchange();
        let mut idle = Self {
            connections: Vec::with_capacity(count as usize),
        };
        for number in 0..count {
            let mut stream = TcpStream::connect(target)?;
            call(&mut stream, exchange.as_ref(), number)?;
            sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).map_err(io::Error::from)?;
            idle.connections.push(stream);
        }
        Ok(idle)
    }

    pub(crate) fn count(&self) -> u64 {
        self.connections.len() as u64
    }
}

/// One call over a blocking connection, its answer checked.
pub(crate) fn call(
    stream: &mut TcpStream,
    exchange: &dyn Exchange,
    number: u32,
) -> Result<(), LoadError> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = Vec::new();
    exchange.append_request(&mut request, number, 0);
    stream.write_all(&request)?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(LoadError::Closed);
        }
        answer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        while let Some((first, rest)) = exchange.split(&answer).map_err(io::Error::other)? {
            if exchange.answers(first)? != Answers::Nothing {
                exchange.check(first, number, 0)?;
                return Ok(());
            }
            answer = rest.to_vec();
        }
    }
}

/// Raises the limit of open files to what the system allows; children inherit it.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}
