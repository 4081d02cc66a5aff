//! A server to try things out with: answers every request with its own name and the request.
//!
//! `cargo run --example server -- 127.0.0.1:7071 one`

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use myproto::line::Line;

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7071".into());
    let name = arguments.next().unwrap_or_else(|| "one".into());
    let listener = TcpListener::bind(address)?;
    println!("{name} listens on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, name) = (stream?, name.clone());
        thread::spawn(move || serve(stream, &name));
    }
    Ok(())
}

/// Answers one client, until it leaves.
pub fn serve(mut stream: TcpStream, name: &str) -> io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    loop {
        let mut bytes = Vec::new();
        if input.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        let line = Line::read(&bytes).map_err(io::Error::other)?;
        let line = line.ok_or(io::ErrorKind::UnexpectedEof)?;
        let payload = line.size - line.len as u64;
        io::copy(&mut (&mut input).take(payload), &mut io::sink())?;
        match line.word(0) {
            None | Some("TELL") => {}
            Some("PING") => stream.write_all(b"OK\n")?,
            Some(_) => writeln!(stream, "OK {name} does {}", line.text)?,
        }
    }
}
