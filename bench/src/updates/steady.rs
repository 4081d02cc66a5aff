//! Requests at a steady rate, whether answers come or not: a pause shows in every request that falls
//! into it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::net::{AddressFamily, SocketType};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::link::{Inbound, Link, SCRATCH};
use crate::wire::{Answers, Exchange, Request, WrongAnswer};

/// An answer later than this ends the run.
const PATIENCE: Duration = Duration::from_secs(10);
const TIMER: Token = Token(usize::MAX);

/// What is sent how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    /// Each has a loopback address of its own, for proxies that hash it.
    pub(super) connections: u8,
    /// Between two requests, on whatever connection is next.
    pub(super) interval: Duration,
    pub(super) request: Request,
}

/// A request that was answered as it should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) sent: Instant,
    pub(super) latency: Duration,
}

/// Open connections and a clock.
pub(super) struct Steady {
    poll: Poll,
    timer: OwnedFd,
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
    pub(super) fn connect(target: SocketAddr, rhythm: Rhythm) -> Result<Self> {
        let SocketAddr::V4(target) = target else {
            bail!("{target} is not reached from 127.0.0.0/8");
        };
        let poll = Poll::new()?;
        let lanes = (0..rhythm.connections.max(1)).map(|number| {
            let stream = dial(Ipv4Addr::new(127, 0, 1, number), target)?;
            let token = Token(number.into());
            Ok(Lane {
                link: Link::new(TcpStream::from_std(stream), poll.registry(), token)?,
                number: number.into(),
                next_id: 0,
                sent: Vec::new(),
            })
        });
        let lanes = lanes.collect::<io::Result<_>>()?;
        let timer = ticks(rhythm.interval)?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        Ok(Self {
            poll,
            timer,
            lanes,
            exchange: rhythm.request.exchange(),
            turn: 0,
            in_flight: 0,
            answered: Vec::new(),
        })
    }

    /// Sends until `over`, then waits for what is in flight.
    pub(super) fn run(mut self, over: &AtomicBool) -> Result<Vec<Answered>> {
        let mut events = Events::with_capacity(256);
        let mut scratch = vec![0; SCRATCH];
        let mut last = Instant::now();
        loop {
            let is_over = over.load(Ordering::Relaxed);
            if is_over && self.in_flight == 0 {
                return Ok(self.answered);
            }
            match self.poll.poll(&mut events, Some(PATIENCE)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    TIMER => self.tick(is_over)?,
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
        let mut ticks = [0; 8];
        match rustix::io::read(&self.timer, &mut ticks) {
            Err(rustix::io::Errno::AGAIN) => return Ok(()),
            other => other.context("read the timer")?,
        };
        let ticks = match is_over {
            true => 0,
            false => u64::from_ne_bytes(ticks),
        };
        for _ in 0..ticks {
            self.turn = (self.turn + 1) % self.lanes.len();
            if let Some(lane) = self.lanes.get_mut(self.turn) {
                lane.send(self.exchange.as_ref())?;
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
    fn send(&mut self, exchange: &dyn Exchange) -> io::Result<()> {
        exchange.append_request(self.link.out(), self.number, self.next_id);
        self.sent.push((self.next_id, Instant::now()));
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
                let (id, sent) = self.sent.remove(index);
                exchange.check(answer, self.number, id)?;
                answered.push(Answered {
                    sent,
                    latency: now - sent,
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

fn dial(from: Ipv4Addr, to: SocketAddrV4) -> io::Result<std::net::TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(from, 0))?;
    rustix::net::connect(&socket, &to)?;
    let stream = std::net::TcpStream::from(socket);
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// A descriptor that is readable once an interval.
fn ticks(interval: Duration) -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
    let interval = Timespec::try_from(interval).map_err(io::Error::other)?;
    let times = Itimerspec {
        it_interval: interval,
        it_value: interval,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
    Ok(timer)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
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
        let traffic = thread::spawn(move || steady.run(&seen).unwrap());
        thread::sleep(Duration::from_millis(50));
        over.store(true, Ordering::Relaxed);
        let answered = traffic.join().unwrap();
        assert!((3..=started.elapsed().as_millis() as usize).contains(&answered.len()));
    }
}
