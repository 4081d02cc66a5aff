//! A client to try things out with: sends one request and prints the answer.
//!
//! `cargo run --example client -- 127.0.0.1:7070 GET a`

use std::{
    env,
    io::{self, Read, Write},
    net::TcpStream,
};

use myproto::frame::{self, HEADER, Header, Kind};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7070".into());
    let words: Vec<String> = arguments.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    println!("{}", ask(TcpStream::connect(address)?, &words)?);
    Ok(())
}

/// Sends a request, whose words are its method and its body, and waits for the answer.
pub fn ask(mut stream: TcpStream, words: &[&str]) -> io::Result<String> {
    let method = words.first().copied().unwrap_or("GET");
    let body = words.get(1..).unwrap_or_default().join(" ");
    let mut request = Vec::new();
    frame::write(Kind::Request, 0, 1, method, body.as_bytes(), &mut request);
    stream.write_all(&request)?;
    let mut answer = vec![0; HEADER];
    stream.read_exact(&mut answer)?;
    let header = Header::read(&answer).map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut rest = vec![0; header.size() as usize - HEADER];
    stream.read_exact(&mut rest)?;
    let word = match header.status {
        frame::OK => "OK",
        frame::NO => "NO",
        frame::BAD_REQUEST => "BAD",
        frame::BUSY => "BUSY",
        _ => "FAIL",
    };
    Ok(format!("{word} {}", String::from_utf8_lossy(&rest)))
}
