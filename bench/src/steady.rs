//! Requests at a steady rate, whether answers come or not: a pause shows in every request that falls
//! into it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mio::{Events, Poll, Token};

use crate::link::{Inbound, Link, SCRATCH};
use crate::pace::{Pace, dial};
use crate::wire::{Answers, Exchange, Request, WrongAnswer};

/// An answer later than this ends the run.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is sent how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    /// Each has a loopback address of its own, for proxies that hash it.
    pub(crate) connections: u8,
    /// Between two requests, on whatever connection is next.
    pub(crate) interval: Duration,
    pub(crate) request: Request,
}

/// A request that was answered as it should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    /// When it was due, whether it could be sent then or not.
    pub(crate) due: Instant,
    pub(crate) latency: Duration,
}

/// Open connections and a clock.
pub(crate) struct Steady {
    poll: Poll,
    pace: Pace,
    lanes: Vec<Lane>,
    exchange: Box<dyn Exchange>,
    /// Which lane is next.
    turn: usize,
    in_flight: usize,
    answered: Vec<Answered>,
}

struct Lane {
    link: Link,
    number: u32,
    next_id: u64,
    /// Without an answer, the oldest first.
    sent: Vec<(u64, Instant)>,
}

impl Steady {
    pub(crate) fn connect(target: SocketAddr, rhythm: Rhythm) -> Result<Self> {
        let poll = Poll::new()?;
        let lanes = (0..rhythm.connections.max(1)).map(|number| {
            let stream = dial(Ipv4Addr::new(127, 0, 1, number), target)?;
            let token = Token(number.into());
            Ok(Lane {
                link: Link::new(stream, poll.registry(), token)?,
                number: number.into(),
                next_id: 0,
                sent: Vec::new(),
            })
        });
        let lanes = lanes.collect::<io::Result<_>>()?;
        let pace = Pace::start(rhythm.interval, poll.registry())?;
        Ok(Self {
            poll,
            pace,
            lanes,
            exchange: rhythm.request.exchange(),
            turn: 0,
            in_flight: 0,
            answered: Vec::new(),
        })
    }

    /// Sends until `over`, then waits for what is in flight.
    pub(crate) fn run(mut self, over: impl Fn() -> bool) -> Result<Vec<Answered>> {
        let mut events = Events::with_capacity(256);
        let mut scratch = vec![0; SCRATCH];
        let mut last = Instant::now();
        loop {
            let is_over = over();
            if is_over && self.in_flight == 0 {
                return Ok(self.answered);
            }
            match self.poll.poll(&mut events, Some(PATIENCE)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    Pace::TOKEN => self.tick(is_over)?,
                    Token(number) => {
                        self.receive(number, &mut scratch)?;
                        last = Instant::now();
                    }
                }
            }
            if self.in_flight > 0 && last.elapsed() > PATIENCE {
                bail!("no answer for {} s", PATIENCE.as_secs());
            }
        }
    }

    fn tick(&mut self, is_over: bool) -> Result<()> {
        for due in self.pace.due()? {
            if is_over {
                break;
            }
            self.turn = (self.turn + 1) % self.lanes.len();
            if let Some(lane) = self.lanes.get_mut(self.turn) {
                lane.send(self.exchange.as_ref(), due)?;
                self.in_flight += 1;
            }
        }
        Ok(())
    }

    fn receive(&mut self, number: usize, scratch: &mut [u8]) -> Result<()> {
        let Some(lane) = self.lanes.get_mut(number) else {
            return Ok(());
        };
        let before = self.answered.len();
        lane.receive(scratch, self.exchange.as_ref(), &mut self.answered)?;
        self.in_flight -= self.answered.len() - before;
        Ok(())
    }
}

impl Lane {
    fn send(&mut self, exchange: &dyn Exchange, due: Instant) -> io::Result<()> {
        exchange.append_request(self.link.out(), self.number, self.next_id);
        self.sent.push((self.next_id, due));
        self.next_id += 1;
        self.link.flush()
    }

    fn receive(
        &mut self,
        scratch: &mut [u8],
        exchange: &dyn Exchange,
        answered: &mut Vec<Answered>,
    ) -> Result<()> {
        loop {
            let (bytes, more) = match self.link.read(scratch)? {
                Inbound::Closed => bail!("a connection was closed"),
                Inbound::Quiet => break,
                Inbound::Bytes { bytes, more } => (bytes, more),
            };
            let now = Instant::now();
            let mut rest = &*bytes;
            while let Some((answer, after)) = exchange.split(rest)? {
                rest = after;
                let index = match exchange.answers(answer)? {
                    Answers::Nothing => continue,
                    Answers::Oldest => 0,
                    Answers::Id(id) => self
                        .sent
                        .iter()
                        .position(|(sent, _)| *sent == id)
                        .ok_or(WrongAnswer::UnknownId(id))?,
                };
                if index >= self.sent.len() {
                    bail!("an answer that nobody asked for");
                }
                let (id, due) = self.sent.remove(index);
                exchange.check(answer, self.number, id)?;
                answered.push(Answered {
                    due,
                    latency: now.saturating_duration_since(due),
                });
            }
            let left = rest.len();
            self.link.keep(bytes, left);
            if !more {
                break;
            }
        }
        // What the socket did not take before.
        Ok(self.link.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;
    use crate::echo;
    use crate::wire::Protocol;

    #[test]
    fn every_request_is_answered_once() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = listener.local_addr().unwrap();
        thread::spawn(move || echo::run(Protocol::Dubbo, listener));
        let rhythm = Rhythm {
            connections: 3,
            interval: Duration::from_millis(1),
            request: Request::Dubbo { argument: 128 },
        };
        let steady = Steady::connect(target, rhythm).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let started = Instant::now();
        let traffic = thread::spawn(move || steady.run(|| seen.load(Ordering::Relaxed)).unwrap());
        thread::sleep(Duration::from_millis(50));
        over.store(true, Ordering::Relaxed);
        let answered = traffic.join().unwrap();
        assert!((3..=started.elapsed().as_millis() as usize).contains(&answered.len()));
    }
}
