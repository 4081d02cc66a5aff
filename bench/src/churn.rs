//! Connections that come, make one checked call and go, so many a second, whether the ones before
//! are done or not.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use slab::Slab;

use crate::link::{Inbound, Link, SCRATCH};
use crate::load::{Budget, LoadError, Sample, latencies};
use crate::pace::{Pace, dial};
use crate::wire::{Answers, Exchange, Request};

/// A connection that is open longer ends the run.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients that are told apart; keys of more are not known upstream.
const CLIENTS: u32 = 20_000;
/// Addresses that connections come from in turn: a port that was used waits for a minute.
const ADDRESSES: u32 = 200;

struct Churn {
    poll: Poll,
    target: SocketAddr,
    exchange: Box<dyn Exchange>,
    calls: Slab<Call>,
    /// Connections so far.
    opened: u32,
    to_open: u64,
    sample: Sample,
}

/// A connection with its call.
struct Call {
    link: Link,
    client: u32,
    due: Instant,
}

/// Opens connections until `budget` is used up, then waits for those that are open. Latency runs from
/// the moment when a connection was due to the answer.
pub(crate) fn run(
    target: SocketAddr,
    request: Request,
    rate: u32,
    budget: Budget,
) -> Result<Sample, LoadError> {
    let poll = Poll::new()?;
    let mut pace = Pace::start(Duration::from_secs(1) / rate.max(1), poll.registry())?;
    let mut churn = Churn {
        poll,
        target,
        exchange: request.exchange(),
        calls: Slab::new(),
        opened: 0,
        to_open: budget.requests,
        sample: Sample {
            requests: 0,
            elapsed: Duration::ZERO,
            latency: latencies(),
        },
    };
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; SCRATCH];
    let started = Instant::now();
    let mut last = started;
    while churn.to_open > 0 || !churn.calls.is_empty() {
        match churn.poll.poll(&mut events, Some(PATIENCE)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        if started.elapsed() >= budget.time {
            churn.to_open = 0;
        }
        for event in &events {
            if event.token() == Pace::TOKEN {
                for due in pace.due()? {
                    churn.open(due)?;
                }
            } else if churn.receive(event.token(), &mut scratch)? {
                last = Instant::now();
            }
        }
        if !churn.calls.is_empty() && last.elapsed() > PATIENCE {
            return Err(LoadError::Stalled);
        }
    }
    churn.sample.elapsed = started.elapsed();
    Ok(churn.sample)
}

impl Churn {
    fn open(&mut self, due: Instant) -> io::Result<()> {
        if self.to_open == 0 {
            return Ok(());
        }
        self.to_open -= 1;
        let client = self.opened % CLIENTS;
        let from = Ipv4Addr::new(127, 0, 2, (self.opened % ADDRESSES) as u8 + 1);
        self.opened += 1;
        let entry = self.calls.vacant_entry();
        let stream = dial(from, self.target)?;
        let mut link = Link::new(stream, self.poll.registry(), Token(entry.key()))?;
        self.exchange.append_request(link.out(), client, 0);
        link.flush()?;
        entry.insert(Call { link, client, due });
        Ok(())
    }

    /// Whether a connection is done: it is closed then.
    fn receive(&mut self, Token(key): Token, scratch: &mut [u8]) -> Result<bool, LoadError> {
        let Some(call) = self.calls.get_mut(key) else {
            return Ok(false);
        };
        call.link.flush()?;
        let bytes = match call.link.read(scratch)? {
            Inbound::Closed => return Err(LoadError::Closed),
            Inbound::Quiet => return Ok(false),
            Inbound::Bytes { bytes, .. } => bytes,
        };
        let mut rest = &*bytes;
        while let Some((answer, after)) = self.exchange.split(rest).map_err(io::Error::other)? {
            rest = after;
            if self.exchange.answers(answer)? == Answers::Nothing {
                continue;
            }
            self.exchange.check(answer, call.client, 0)?;
            let latency = call.due.elapsed().as_nanos();
            let latency = u64::try_from(latency).unwrap_or(u64::MAX);
            self.sample.latency.saturating_record(latency);
            self.sample.requests += 1;
            self.calls.remove(key);
            return Ok(true);
        }
        let left = rest.len();
        call.link.keep(bytes, left);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::echo;
    use crate::wire::{Command, Protocol};

    #[test]
    fn each_connection_is_answered_once() {
        for request in [
            Request::Dubbo { argument: 128 },
            Request::Redis(Command::Get),
        ] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let target = listener.local_addr().unwrap();
            let protocol: Protocol = request.protocol();
            thread::spawn(move || echo::run(protocol, listener));
            let budget = Budget {
                time: Duration::from_secs(60),
                requests: 300,
            };
            let sample = run(target, request, 5_000, budget).unwrap();
            assert_eq!((sample.requests, sample.latency.len()), (300, 300));
        }
    }
}
