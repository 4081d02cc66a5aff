//! Calls without pause, each on a connection of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use meltemi_tests::dubbo::wire::{Frame, connect};
use meltemi_tests::until;

use super::lab::VIRTUAL_ADDRESS;

/// Calls that are made, and what became of them.
pub(super) struct Load {
    made: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Load {
    pub(super) fn start() -> Self {
        let (made, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, end) = (Arc::clone(&made), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut failed = vec![];
            while !end.load(Ordering::Relaxed) {
                let number = count.load(Ordering::Relaxed);
                if let Err(error) = call(number) {
                    failed.push(format!("call {number}: {error}"));
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            failed
        });
        Self {
            made,
            is_over,
            thread: Some(thread),
        }
    }

    /// Waits for some more.
    pub(super) fn goes_on(&self) {
        let before = self.made.load(Ordering::Relaxed);
        until("calls are made", || {
            (self.made.load(Ordering::Relaxed) > before + 20).then_some(())
        });
    }

    /// # Panics
    /// With what failed, if anything has.
    pub(super) fn ends_well(mut self) {
        self.goes_on();
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it ends once");
        let failed = thread.join().expect("it does not panic");
        assert!(failed.is_empty(), "{failed:#?}");
    }
}

/// One call, of a client with a sidecar.
pub(super) fn call(number: u64) -> Result<(), String> {
    let address = SocketAddr::from((VIRTUAL_ADDRESS, 20880));
    let mut stream = connect(address).map_err(|it| it.to_string())?;
    let asked = Frame::question(number, "meltemi.peer.Probe", "who");
    let written = stream.write_all(&asked.bytes());
    written.map_err(|it| it.to_string())?;
    loop {
        let answer = Frame::read(&mut stream).map_err(|it| it.to_string())?;
        match answer.text() {
            // READONLY, or a heartbeat.
            _ if answer.is_event() => {}
            Some("one") if answer.id == number => return Ok(()),
            _ => {
                let said = String::from_utf8_lossy(&answer.body);
                return Err(format!("{said:?}, status {}", answer.status));
            }
        }
    }
}
