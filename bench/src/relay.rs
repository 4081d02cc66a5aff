//! The floor: a relay that gives each answer to whom it belongs and does nothing else.
//!
//! It is the ruler for a proxy that reads, decides and writes, so it does only what no such proxy
//! can leave out: find messages, share an upstream connection, and tell whose an answer is. Where
//! messages carry ids it gives each request one of its own and the answer its old one back
//! ([`ById`]); where answers come in order it remembers the order ([`InOrder`]). One thread; at most
//! 64 KiB are read at once; what one turn of the reactor produced for a connection leaves in one
//! write.

mod by_id;
mod in_order;

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use self::by_id::ById;
use self::in_order::InOrder;
use crate::link::{Inbound, Link, SCRATCH};
use crate::wire::{Protocol, Redis, Thrift, Wire, split};

const LISTENER: Token = Token(0);
const FIRST_UPSTREAM: usize = 1;

/// Relays between `listener` and `each` connections to every one of `upstreams`, until an upstream
/// connection ends.
pub fn run(
    protocol: Protocol,
    listener: std::net::TcpListener,
    upstreams: &[SocketAddr],
    each: usize,
) -> io::Result<()> {
    let upstreams: Vec<_> = upstreams.repeat(each.max(1));
    match protocol {
        Protocol::Dubbo => relay::<ById>(listener, &upstreams),
        Protocol::Redis => relay::<InOrder<Redis>>(listener, &upstreams),
        Protocol::Thrift => relay::<InOrder<Thrift>>(listener, &upstreams),
    }
}

/// How the relay knows whose an answer is.
trait Matching: Default {
    type Wire: Wire;

    /// Whether a client's requests stay on one upstream connection while it is owed answers: else
    /// these could overtake each other.
    const KEEPS_ORDER: bool;

    /// Appends a request of `client` to `out`, the bytes for upstream connection `upstream`.
    fn forward(&mut self, out: &mut Vec<u8>, request: &[u8], upstream: usize, client: Client);

    /// Whose answer arrived on `upstream`, and the id that it is to have; `None` if nobody asked.
    fn settle(&mut self, answer: &[u8], upstream: usize) -> Option<(Client, u64)>;

    /// Appends `answer` to `out`, the bytes for its client.
    fn deliver(out: &mut Vec<u8>, answer: &[u8], id: u64);
}

/// One accepted connection. `serial` tells it from an earlier one that had the same key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Client {
    key: usize,
    serial: u64,
}

fn relay<M: Matching>(listener: std::net::TcpListener, upstreams: &[SocketAddr]) -> io::Result<()> {
    let mut relay = Relay::<M>::new(listener, upstreams)?;
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; SCRATCH];
    loop {
        match relay.poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let Token(token) = event.token();
            if event.token() == LISTENER {
                relay.accept()?;
            } else if token < relay.first_client {
                relay.on_upstream(token - FIRST_UPSTREAM, &mut scratch)?;
            } else {
                relay.on_client(token - relay.first_client, &mut scratch);
            }
        }
        relay.flush()?;
    }
}

struct Downstream {
    link: Link,
    serial: u64,
    /// The upstream connection that its last request took.
    upstream: usize,
    /// Requests without an answer.
    owed: usize,
}

struct Relay<M> {
    poll: Poll,
    listener: TcpListener,
    clients: Slab<Downstream>,
    accepted: u64,
    first_client: usize,
    upstreams: Vec<Link>,
    /// The upstream connection whose turn it is.
    turn: usize,
    matching: M,
    touched_clients: Vec<usize>,
    touched_upstreams: Vec<usize>,
}

impl<M: Matching> Relay<M> {
    fn new(listener: std::net::TcpListener, upstreams: &[SocketAddr]) -> io::Result<Self> {
        let poll = Poll::new()?;
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let upstreams: Vec<_> = upstreams
            .iter()
            .enumerate()
            .map(|(index, upstream)| {
                let stream = std::net::TcpStream::connect(upstream)?;
                stream.set_nonblocking(true)?;
                let token = Token(FIRST_UPSTREAM + index);
                Link::new(TcpStream::from_std(stream), poll.registry(), token)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            poll,
            listener,
            clients: Slab::new(),
            accepted: 0,
            first_client: FIRST_UPSTREAM + upstreams.len(),
            upstreams,
            turn: 0,
            matching: M::default(),
            touched_clients: Vec::new(),
            touched_upstreams: Vec::new(),
        })
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let entry = self.clients.vacant_entry();
            let token = Token(self.first_client + entry.key());
            let link = Link::new(stream, self.poll.registry(), token)?;
            entry.insert(Downstream {
                link,
                serial: self.accepted,
                upstream: 0,
                owed: 0,
            });
            self.accepted += 1;
        }
    }

    fn on_client(&mut self, key: usize, scratch: &mut [u8]) {
        let open = self.forward_requests(key, scratch).unwrap_or(false);
        if !open {
            self.clients.try_remove(key);
        }
    }

    /// Sends the requests of one client on; `false` when it is gone. Its answers still to come
    /// find no client and end there.
    fn forward_requests(&mut self, key: usize, scratch: &mut [u8]) -> io::Result<bool> {
        let Some(downstream) = self.clients.get_mut(key) else {
            return Ok(true);
        };
        downstream.link.resume()?;
        let client = Client {
            key,
            serial: downstream.serial,
        };
        loop {
            let (bytes, more) = match downstream.link.read(scratch)? {
                Inbound::Closed => return Ok(false),
                Inbound::Quiet => return Ok(true),
                Inbound::Bytes { bytes, more } => (bytes, more),
            };
            let mut rest = bytes;
            while let Some((request, after)) = split::<M::Wire>(rest).map_err(io::Error::other)? {
                if !M::KEEPS_ORDER || downstream.owed == 0 {
                    downstream.upstream = self.turn;
                    self.turn = (self.turn + 1) % self.upstreams.len();
                }
                downstream.owed += 1;
                let index = downstream.upstream;
                let upstream = &mut self.upstreams[index];
                self.matching
                    .forward(upstream.out(), request, index, client);
                if !std::mem::replace(&mut upstream.queued, true) {
                    self.touched_upstreams.push(index);
                }
                rest = after;
            }
            downstream.link.keep(rest);
            if !more {
                return Ok(true);
            }
        }
    }

    fn on_upstream(&mut self, index: usize, scratch: &mut [u8]) -> io::Result<()> {
        let upstream = &mut self.upstreams[index];
        upstream.resume()?;
        loop {
            let (bytes, more) = match upstream.read(scratch)? {
                Inbound::Closed => return Err(io::ErrorKind::UnexpectedEof.into()),
                Inbound::Quiet => return Ok(()),
                Inbound::Bytes { bytes, more } => (bytes, more),
            };
            let mut rest = bytes;
            while let Some((answer, after)) = split::<M::Wire>(rest).map_err(io::Error::other)? {
                rest = after;
                let Some((client, id)) = self.matching.settle(answer, index) else {
                    continue;
                };
                let Some(downstream) = self.clients.get_mut(client.key) else {
                    continue;
                };
                if downstream.serial != client.serial {
                    continue;
                }
                downstream.owed = downstream.owed.saturating_sub(1);
                M::deliver(downstream.link.out(), answer, id);
                if !std::mem::replace(&mut downstream.link.queued, true) {
                    self.touched_clients.push(client.key);
                }
            }
            upstream.keep(rest);
            if !more {
                return Ok(());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        for index in self.touched_upstreams.drain(..) {
            let upstream = &mut self.upstreams[index];
            upstream.queued = false;
            upstream.flush()?;
        }
        for key in self.touched_clients.drain(..) {
            let Some(downstream) = self.clients.get_mut(key) else {
                continue;
            };
            downstream.link.queued = false;
            if downstream.link.flush().is_err() {
                self.clients.remove(key);
            }
        }
        Ok(())
    }
}
