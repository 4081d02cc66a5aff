//! A client that writes bytes and reads bytes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use crate::peers::PATIENCE;

/// Sends `bytes` on a new connection and closes its sending side: all that comes back.
#[allow(dead_code)]
pub fn conversation(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut reader = stream.try_clone().expect("a second handle");
    let reader = std::thread::spawn(move || {
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).expect("an end in time");
        answer
    });
    stream.write_all(bytes).expect("sent");
    stream.shutdown(Shutdown::Write).expect("half closed");
    reader.join().expect("an answer")
}

/// The same, one piece after the other on one connection, each answered before the next is sent.
/// The end of a piece's answer is known by that of `mn`, which is sent behind it.
pub fn dialogue(address: SocketAddr, pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    const DONE: &[u8] = b"MN\r\n";
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let one = |piece: &Vec<u8>| {
        stream.write_all(piece).expect("sent");
        stream.write_all(b"mn\r\n").expect("sent");
        let mut answer = Vec::new();
        let mut buffer = [0; 65536];
        while !answer.ends_with(DONE) {
            let n = match stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.expect("an answer in time"),
            };
            assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..n]);
        }
        answer.truncate(answer.len() - DONE.len());
        answer
    };
    pieces.iter().map(one).collect()
}
