//! The upstream: answers every request with its own argument, or what its keys call for.

use std::io;
use std::net::TcpListener;

use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::link::{Inbound, Link, SCRATCH};
use crate::wire::{Dubbo, Protocol, Redis, Thrift, Wire, split};

const LISTENER: Token = Token(usize::MAX);

/// Serves `listener` on this thread for as long as the process lives.
pub fn run(protocol: Protocol, listener: TcpListener) -> io::Result<()> {
    match protocol {
        Protocol::Dubbo => serve::<Dubbo>(listener),
        Protocol::Redis => serve::<Redis>(listener),
        Protocol::Thrift => serve::<Thrift>(listener),
    }
}

fn serve<W: Wire>(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = mio::net::TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut clients = Slab::new();
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; SCRATCH];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&listener, &mut clients, &poll)?,
                Token(key) => {
                    let Some(link) = clients.get_mut(key) else {
                        continue;
                    };
                    if !answer::<W>(link, &mut scratch).unwrap_or(false) {
                        clients.remove(key);
                    }
                }
            }
        }
    }
}

fn accept(
    listener: &mio::net::TcpListener,
    clients: &mut Slab<Link>,
    poll: &Poll,
) -> io::Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let entry = clients.vacant_entry();
        let token = Token(entry.key());
        entry.insert(Link::new(stream, poll.registry(), token)?);
    }
}

/// Answers all that arrived; `false` when the peer is gone.
fn answer<W: Wire>(link: &mut Link, scratch: &mut [u8]) -> io::Result<bool> {
    loop {
        let (bytes, more) = match link.read(scratch)? {
            Inbound::Closed => return Ok(false),
            Inbound::Quiet => break,
            Inbound::Bytes { bytes, more } => (bytes, more),
        };
        let mut rest = &*bytes;
        while let Some((request, after)) = split::<W>(rest).map_err(io::Error::other)? {
            W::append_answer(link.out(), request).map_err(io::Error::other)?;
            rest = after;
        }
        let left = rest.len();
        link.keep(bytes, left);
        if !more {
            break;
        }
    }
    link.flush()?;
    Ok(true)
}
