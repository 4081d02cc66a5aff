//! A steady rate, kept whether what it drives keeps up or not.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A clock that says what is due.
pub(crate) struct Pace {
    timer: OwnedFd,
    interval: Duration,
    /// When the next is due.
    next: Instant,
}

impl Pace {
    pub(crate) const TOKEN: Token = Token(usize::MAX);

    /// Once an interval from now on; readable under [`Self::TOKEN`].
    pub(crate) fn start(interval: Duration, registry: &Registry) -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        let time = Timespec::try_from(interval).map_err(io::Error::other)?;
        let times = Itimerspec {
            it_interval: time,
            it_value: time,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        let mut source = SourceFd(&timer.as_raw_fd());
        registry.register(&mut source, Self::TOKEN, Interest::READABLE)?;
        Ok(Self {
            timer,
            interval,
            next: Instant::now() + interval,
        })
    }

    /// The moments that have come since the last time. Latency counts from these: whoever was kept from
    /// sending then waited, too.
    pub(crate) fn due(&mut self) -> io::Result<impl Iterator<Item = Instant>> {
        let mut ticks = [0; 8];
        let ticks = match rustix::io::read(&self.timer, &mut ticks) {
            Err(Errno::AGAIN) => 0,
            read => read.map(|_| u64::from_ne_bytes(ticks))?,
        };
        let (first, interval) = (self.next, self.interval);
        self.next = first + interval.saturating_mul(ticks as u32);
        Ok((0..ticks).map(move |tick| first + interval.saturating_mul(tick as u32)))
    }
}

/// A connection from an address of its own, so that no address runs out of ports. It may not be open yet.
pub(crate) fn dial(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let SocketAddr::V4(to) = to else {
        let reason = format!("{to} is not reached from 127.0.0.0/8");
        return Err(io::Error::other(reason));
    };
    let (family, flags) = (
        AddressFamily::INET,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
    );
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(from, 0))?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(TcpStream::from_std(socket.into()))
}
