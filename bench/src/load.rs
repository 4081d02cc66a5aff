//! The load generator: connections with a fixed number of requests in flight, each answer checked.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Poll, Token};
use thiserror::Error;

use crate::link::{Inbound, Link, SCRATCH};
use crate::wire::{Answers, Exchange};
pub use crate::wire::{Command, Protocol, Request, WrongAnswer};

/// An answer later than this ends the run: a lost request must not hang it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one generator sends.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub connections: u32,
    /// Requests in flight on each connection.
    pub depth: u32,
    pub request: Request,
    /// Whether an answer that overtook an older one is wrong, though its id tells whose it is.
    pub in_order: bool,
}

/// When to stop sending: at the first that comes. Requests in flight are still awaited.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub time: Duration,
    pub requests: u64,
}

/// What one run saw.
#[derive(Clone, Debug)]
pub struct Sample {
    pub requests: u64,
    pub elapsed: Duration,
    /// Nanoseconds from the write of a request to the read of its answer.
    pub latency: Histogram<u64>,
}

#[derive(Debug, Error)]
pub enum LoadError {
    #[error("socket")]
    Io(#[from] io::Error),
    #[error("wrong answer")]
    WrongAnswer(#[from] WrongAnswer),
    #[error("a connection was closed with requests in flight")]
    Closed,
    #[error("no answer for {} s", PATIENCE.as_secs())]
    Stalled,
}

/// Open connections, ready to send.
pub struct Load {
    poll: Poll,
    events: Events,
    lanes: Vec<Lane>,
    exchange: Box<dyn Exchange>,
    scratch: Vec<u8>,
}

struct Lane {
    link: Link,
    number: u32,
    /// The least number without an answer, where answers come in order.
    oldest: u64,
    in_order: bool,
    /// The request in flight in each slot; an id is congruent to its slot modulo the depth.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy)]
struct Slot {
    id: u64,
    /// `None` while nothing is in flight here.
    sent: Option<Instant>,
}

/// The run that is under way.
struct Progress {
    sample: Sample,
    to_send: u64,
    in_flight: u64,
}

impl Load {
    /// Opens the connections, one after the other.
    pub fn connect(target: SocketAddr, work: Work) -> Result<Self, LoadError> {
        let poll = Poll::new()?;
        let depth = work.depth.max(1);
        let lanes = (0..work.connections.max(1))
            .map(|number| {
                let stream = std::net::TcpStream::connect(target)?;
                stream.set_nonblocking(true)?;
                let stream = TcpStream::from_std(stream);
                let link = Link::new(stream, poll.registry(), Token(number as usize))?;
                // Ids start at 0 on every connection, as those of 2.7.23 do in every process: a
                // proxy that shares an upstream connection has to keep them apart.
                let slots = (0..depth)
                    .map(|id| Slot {
                        id: id.into(),
                        sent: None,
                    })
                    .collect();
                Ok(Lane {
                    link,
                    number,
                    oldest: 0,
                    in_order: work.in_order,
                    slots,
                })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            lanes,
            exchange: work.request.exchange(),
            scratch: vec![0; SCRATCH],
        })
    }

    /// Sends for as long as `budget` says, then waits for what is in flight.
    pub fn run(&mut self, budget: Budget) -> Result<Sample, LoadError> {
        let started = Instant::now();
        let deadline = started + budget.time;
        let mut progress = Progress {
            sample: Sample {
                requests: 0,
                elapsed: Duration::ZERO,
                latency: latencies(),
            },
            to_send: budget.requests,
            in_flight: 0,
        };
        let exchange = self.exchange.as_ref();
        for lane in &mut self.lanes {
            lane.fill(exchange, &mut progress);
            lane.link.flush()?;
        }
        while progress.in_flight > 0 {
            match self.poll.poll(&mut self.events, Some(PATIENCE)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            if self.events.is_empty() {
                return Err(LoadError::Stalled);
            }
            if Instant::now() >= deadline {
                progress.to_send = 0;
            }
            for event in &self.events {
                let Token(number) = event.token();
                if let Some(lane) = self.lanes.get_mut(number) {
                    lane.turn(&mut self.scratch, exchange, &mut progress)?;
                }
            }
        }
        progress.sample.elapsed = started.elapsed();
        Ok(progress.sample)
    }
}

/// For nanoseconds.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 100_000_000_000, 3)
        .expect("three digits from 1 ns to 100 s are valid bounds")
}

impl Lane {
    /// Sends a request in each slot, in the order of their numbers.
    fn fill(&mut self, exchange: &dyn Exchange, progress: &mut Progress) {
        let now = Instant::now();
        let depth = self.slots.len();
        let first = (self.oldest % depth as u64) as usize;
        for slot in first..first + depth {
            self.send(slot % depth, now, exchange, progress);
        }
    }

    /// Reads what is there, sends a request for each answer, writes once.
    fn turn(
        &mut self,
        scratch: &mut [u8],
        exchange: &dyn Exchange,
        progress: &mut Progress,
    ) -> Result<(), LoadError> {
        loop {
            let (bytes, more) = match self.link.read(scratch)? {
                Inbound::Closed => return Err(LoadError::Closed),
                Inbound::Quiet => break,
                Inbound::Bytes { bytes, more } => (bytes, more),
            };
            let now = Instant::now();
            let mut rest = &*bytes;
            while let Some((answer, after)) = exchange.split(rest).map_err(io::Error::other)? {
                rest = after;
                let id = match exchange.answers(answer)? {
                    Answers::Nothing => continue,
                    Answers::Id(id) => id,
                    Answers::Oldest => self.oldest,
                };
                if self.in_order && id != self.oldest {
                    return Err(WrongAnswer::OutOfOrder(id).into());
                }
                let slot = self.settle(id, now, progress)?;
                exchange.check(answer, self.number, id)?;
                self.send(slot, now, exchange, progress);
            }
            let left = rest.len();
            self.link.keep(bytes, left);
            if !more {
                break;
            }
        }
        self.link.flush()?;
        Ok(())
    }

    /// Takes request `id` for answered, and gives its slot.
    fn settle(
        &mut self,
        id: u64,
        now: Instant,
        progress: &mut Progress,
    ) -> Result<usize, WrongAnswer> {
        let depth = self.slots.len() as u64;
        let index = (id % depth) as usize;
        let unknown = WrongAnswer::UnknownId(id);
        let slot = self
            .slots
            .get_mut(index)
            .filter(|slot| slot.id == id)
            .ok_or(unknown)?;
        let sent = slot.sent.take().ok_or(WrongAnswer::UnknownId(id))?;
        slot.id = id.wrapping_add(depth);
        self.oldest += 1;
        let nanoseconds = u64::try_from((now - sent).as_nanos()).unwrap_or(u64::MAX);
        progress.sample.latency.saturating_record(nanoseconds);
        progress.sample.requests += 1;
        progress.in_flight -= 1;
        Ok(index)
    }

    fn send(
        &mut self,
        index: usize,
        now: Instant,
        exchange: &dyn Exchange,
        progress: &mut Progress,
    ) {
        let Some(slot) = self.slots.get_mut(index).filter(|_| progress.to_send > 0) else {
            return;
        };
        exchange.append_request(self.link.out(), self.number, slot.id);
        slot.sent = Some(now);
        progress.to_send -= 1;
        progress.in_flight += 1;
    }
}
