//! The floor: a relay that gives each answer to whom it belongs and does nothing else.
//!
//! It is the ruler for a proxy that reads, decides and writes, so it does only what no such proxy
//! can leave out: find messages, share an upstream connection, and tell whose an answer is. Where
//! messages carry ids it gives each request one of its own and the answer its old one back
//! ([`ById`]); where answers come in order it remembers the order ([`InOrder`]). One thread; at most
//! 64 KiB are read at once; what one turn of the reactor produced for a connection leaves in one
//! write. A large message is not kept: each piece is written from where it was read ([`Passing`]), on
//! an upstream connection that carries nothing else meanwhile.

mod by_id;
mod in_order;
mod side;

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use self::by_id::ById;
use self::in_order::InOrder;
use self::side::{Downstream, Message, Passing, Upstreams, next_message};
use crate::link::{Inbound, Link, SCRATCH};
use crate::wire::{Protocol, Redis, Thrift, Wire};

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

    /// Appends a request of `client`, or the start of one, to `out`, the bytes for upstream connection
    /// `upstream`.
    fn forward(&mut self, out: &mut Vec<u8>, request: &[u8], upstream: usize, client: Client);

    /// Whose answer, or start of one, arrived on `upstream`, and the id that it is to have; `None` if nobody asked.
    fn settle(&mut self, answer: &[u8], upstream: usize) -> Option<(Client, u64)>;

    /// Appends `answer`, or its start, to `out`, the bytes for its client.
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
                relay.on_client(token - relay.first_client, &mut scratch)?;
            }
        }
        relay.flush()?;
    }
}

struct Relay<M> {
    poll: Poll,
    listener: TcpListener,
    clients: Slab<Downstream>,
    accepted: u64,
    first_client: usize,
    upstreams: Upstreams,
    matching: M,
    touched_clients: Vec<usize>,
}

impl<M: Matching> Relay<M> {
    fn new(listener: std::net::TcpListener, upstreams: &[SocketAddr]) -> io::Result<Self> {
        let poll = Poll::new()?;
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let first_client = FIRST_UPSTREAM + upstreams.len();
        let links = upstreams.iter().enumerate().map(|(index, upstream)| {
            let stream = std::net::TcpStream::connect(upstream)?;
            stream.set_nonblocking(true)?;
            let token = Token(FIRST_UPSTREAM + index);
            Link::new(TcpStream::from_std(stream), poll.registry(), token)
        });
        let upstreams = Upstreams::new(links.collect::<io::Result<_>>()?);
        Ok(Self {
            poll,
            listener,
            clients: Slab::new(),
            accepted: 0,
            first_client,
            upstreams,
            matching: M::default(),
            touched_clients: Vec::new(),
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
            entry.insert(Downstream::new(link, self.accepted));
            self.accepted += 1;
        }
    }

    fn on_client(&mut self, key: usize, scratch: &mut [u8]) -> io::Result<()> {
        let open = self.forward_requests(key, scratch).unwrap_or(false);
        if !open {
            if let Some(gone) = self.clients.try_remove(key)
                && gone.passing.is_some()
            {
                return Err(io::Error::other("a client left within a large request"));
            }
            return Ok(());
        }
        match self.clients.get_mut(key).and_then(Downstream::unblocked) {
            Some(upstream) => self.on_upstream(upstream, scratch),
            None => Ok(()),
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
            if let Some(passing) = &downstream.passing
                && self.upstreams.is_stalled(passing.to, key)
            {
                return Ok(true);
            }
            let (bytes, more) = match downstream.link.read(scratch)? {
                Inbound::Closed => return Ok(false),
                Inbound::Quiet => return Ok(true),
                Inbound::Bytes { bytes, more } => (bytes, more),
            };
            let mut rest = &*bytes;
            if let Some(passing) = &mut downstream.passing {
                let (piece, after) = passing.take(rest);
                self.upstreams.pass(passing.to, piece, passing.is_over())?;
                rest = after;
                downstream.passing.take_if(|passing| passing.is_over());
            }
            while let Some((message, after)) = next_message::<M::Wire>(rest)? {
                rest = after;
                if !M::KEEPS_ORDER || downstream.owed == 0 {
                    downstream.upstream = self.upstreams.next()?;
                }
                downstream.owed += 1;
                let index = downstream.upstream;
                let upstream = self.upstreams.touch(index)?;
                let start = message.start();
                self.matching.forward(upstream.out(), start, index, client);
                if let Message::Large { piece, left, .. } = message {
                    self.upstreams.begin(index, key, piece)?;
                    downstream.passing = Some(Passing { to: index, left });
                }
            }
            let left = rest.len();
            downstream.link.keep(bytes, left);
            if !more {
                return Ok(true);
            }
        }
    }

    fn on_upstream(&mut self, index: usize, scratch: &mut [u8]) -> io::Result<()> {
        self.deliver_answers(index, scratch)?;
        match self.upstreams.unblocked(index) {
            Some(client) => self.on_client(client, scratch),
            None => Ok(()),
        }
    }

    /// Gives what one upstream connection answers to whom it belongs.
    fn deliver_answers(&mut self, index: usize, scratch: &mut [u8]) -> io::Result<()> {
        let upstream = self.upstreams.get(index)?;
        upstream.link.resume()?;
        loop {
            if let Some(passing) = &upstream.passing
                && let Some(downstream) = receiver(&mut self.clients, passing.to)
                && downstream.is_stalled(index)
            {
                return Ok(());
            }
            let (bytes, more) = match upstream.link.read(scratch)? {
                Inbound::Closed => return Err(io::ErrorKind::UnexpectedEof.into()),
                Inbound::Quiet => return Ok(()),
                Inbound::Bytes { bytes, more } => (bytes, more),
            };
            let mut rest = &*bytes;
            if let Some(passing) = &mut upstream.passing {
                let (piece, after) = passing.take(rest);
                if let Some(downstream) = receiver(&mut self.clients, passing.to) {
                    downstream.pass(piece, passing.is_over());
                }
                rest = after;
                upstream.passing.take_if(|passing| passing.is_over());
            }
            while let Some((message, after)) = next_message::<M::Wire>(rest)? {
                rest = after;
                let settled = self.matching.settle(message.start(), index);
                let client = settled.map(|(client, _)| client);
                if let Some((client, id)) = settled
                    && let Some(downstream) = receiver(&mut self.clients, client)
                {
                    downstream.expect_free()?;
                    downstream.owed = downstream.owed.saturating_sub(1);
                    M::deliver(downstream.link.out(), message.start(), id);
                    if !std::mem::replace(&mut downstream.link.queued, true) {
                        self.touched_clients.push(client.key);
                    }
                    if let Message::Large { piece, .. } = message {
                        downstream.begin(index, piece);
                    }
                }
                if let Message::Large { left, .. } = message {
                    let to = client.unwrap_or(NOBODY);
                    upstream.passing = Some(Passing { to, left });
                }
            }
            let left = rest.len();
            upstream.link.keep(bytes, left);
            if !more {
                return Ok(());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.upstreams.flush()?;
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

/// Whose answers are swallowed.
const NOBODY: Client = Client {
    key: usize::MAX,
    serial: u64::MAX,
};

/// The client if it is still there.
fn receiver(clients: &mut Slab<Downstream>, client: Client) -> Option<&mut Downstream> {
    let downstream = clients.get_mut(client.key)?;
    (downstream.serial == client.serial).then_some(downstream)
}
