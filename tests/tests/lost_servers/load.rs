//! Clients that keep so many calls on their way each.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use meltemi_tests::thrift::wire::connect;

use super::protocols::{Answer, Protocol};

pub(crate) const CLIENTS: usize = 6;
pub(crate) const DEPTH: usize = 8;

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    /// Of each answer who gave it.
    labels: Vec<String>,
    errors: Vec<String>,
    of_clients: [usize; CLIENTS],
}

pub(crate) struct Load {
    seen: Arc<Mutex<Seen>>,
    stopped: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Each client has so many calls on their way.
    pub(crate) fn start(
        protocol: &'static dyn Protocol,
        address: SocketAddr,
        depth: usize,
    ) -> Self {
        let (seen, stopped) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let client = |number| {
            let stream = connect(address).expect("the proxy listens");
            let (seen, stopped) = (Arc::clone(&seen), Arc::clone(&stopped));
            thread::spawn(move || {
                call((protocol, depth), stream, &stopped, |answer| {
                    let mut seen = lock(&seen);
                    seen.of_clients[number] += 1;
                    match answer {
                        Ok(label) => seen.labels.push(label),
                        Err(told) => seen.errors.push(told),
                    }
                })
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self {
            seen,
            stopped,
            clients,
        }
    }

    pub(crate) fn answered(&self, label: &str) -> usize {
        let seen = lock(&self.seen);
        seen.labels.iter().filter(|it| *it == label).count()
    }

    /// How many answers each client has.
    pub(crate) fn of_clients(&self) -> [usize; CLIENTS] {
        lock(&self.seen).of_clients
    }

    /// Ends it when each call has its answer; the errors that callers were told.
    pub(crate) fn stop(&self) -> Vec<String> {
        self.stopped.store(true, Ordering::Relaxed);
        let all = || {
            self.clients
                .iter()
                .all(JoinHandle::is_finished)
                .then_some(())
        };
        meltemi_tests::until("each call has its answer", all);
        std::mem::take(&mut lock(&self.seen).errors)
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each answer must be the one that is owed: in its turn, or by its number.
fn call(
    (protocol, depth): (&dyn Protocol, usize),
    mut stream: TcpStream,
    stopped: &AtomicBool,
    mut see: impl FnMut(Result<String, String>),
) {
    let mut owed: VecDeque<u32> = (1..).take(depth).collect();
    let calls: Vec<u8> = owed.iter().flat_map(|n| protocol.call(*n)).collect();
    stream.write_all(&calls).expect("the proxy reads");
    let mut next = u32::try_from(depth).expect("a number") + 1;
    while !owed.is_empty() {
        let Answer { to, said } = protocol.answer(&mut stream).expect("an answer");
        let place = to.map_or(Some(0), |to| owed.iter().position(|owed| *owed == to));
        owed.remove(place.expect("an answer that is owed"));
        see(said);
        if !stopped.load(Ordering::Relaxed) {
            stream
                .write_all(&protocol.call(next))
                .expect("the proxy reads");
            owed.push_back(next);
            next += 1;
        }
    }
}
