//! Bytes from one connection to another, wherever their ends are.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
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
