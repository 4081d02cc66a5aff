//! Bytes from one connection to another, wherever their ends are.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// Has whoever connects there talk to a port of this machine's loopback, until the process ends.
pub(crate) fn to_loopback(listener: TcpListener, port: u16) {
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let to = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
                to.map(|to| both(&client, &to))
            });
        }
    });
}

/// Passes on what either says, until both have no more to say.
pub fn both(one: &TcpStream, other: &TcpStream) {
    for stream in [one, other] {
        let _ = stream.set_nodelay(true);
    }
    thread::scope(|scope| {
        scope.spawn(|| pass(one, other));
        pass(other, one);
    });
}

/// Until one side has no more to say, which the other is told.
fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) if to.write_all(buffer.get(..n).unwrap_or_default()).is_ok() => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => {
                // One that cannot be written to any more is not read any more, or its peer would write for ever.
                let _ = from.shutdown(Shutdown::Both);
                break;
            }
        }
    }
    // Whoever is gone needs no telling.
    let _ = to.shutdown(Shutdown::Write);
}

/// An address of loopback behind which is a server, whichever it is at the moment. What is said to it and by it can be held
/// up, and goes on later as if nothing had happened.
#[derive(Clone)]
pub struct Gate {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

struct State {
    to: SocketAddr,
    is_held: bool,
    connections: Vec<TcpStream>,
}

impl Gate {
    /// Leads there, until the process ends.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
        let state = State {
            to: server,
            is_held: false,
            connections: vec![],
        };
        let gate = Self {
            address: listener.local_addr().expect("it listens"),
            state: Arc::new((Mutex::new(state), Condvar::new())),
        };
        let passing = gate.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let gate = passing.clone();
                thread::spawn(move || gate.pass_on(&client));
            }
        });
        gate
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing passes any more.
    pub fn hold(&self) {
        self.change(|state| state.is_held = true);
    }

    /// What was held up passes, and what comes after it.
    pub fn release(&self) {
        self.change(|state| state.is_held = false);
    }

    /// Connections break, and new ones lead to another server.
    pub fn leads_to(&self, server: SocketAddr) {
        self.change(|state| {
            state.to = server;
            for connection in state.connections.drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let (state, changed) = &*self.state;
        change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    fn pass_on(&self, client: &TcpStream) -> io::Result<()> {
        let mut to = self.address;
        self.change(|state| to = state.to);
        let server = TcpStream::connect(to)?;
        let ends = [client.try_clone()?, server.try_clone()?];
        self.change(|state| state.connections.extend(ends));
        thread::scope(|scope| {
            scope.spawn(|| self.pass(client, &server));
            self.pass(&server, client);
        });
        Ok(())
    }

    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            self.wait();
            if to.write_all(buffer.get(..n).unwrap_or_default()).is_err() {
                break;
            }
        }
        for end in [from, to] {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn wait(&self) {
        let (state, changed) = &*self.state;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = changed.wait_while(state, |state| state.is_held);
        drop(is_over.unwrap_or_else(PoisonError::into_inner));
    }
}
