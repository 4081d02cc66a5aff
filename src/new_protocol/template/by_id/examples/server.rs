//! A server to try things out with: answers every request with its own name and the method.
//!
//! `cargo run --example server -- 127.0.0.1:7071 one`

use std::{
    env,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use myproto::frame::{self, HEADER, Header, Kind};

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
    loop {
        let mut message = vec![0; HEADER];
        stream.read_exact(&mut message)?;
        let header =
            Header::read(&message).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let rest = header.size() as usize - HEADER;
        message.resize(HEADER + rest, 0);
        stream.read_exact(&mut message[HEADER..])?;
        let method = String::from_utf8_lossy(frame::method(&message).unwrap_or_default());
        let asked = String::from_utf8_lossy(&message[header.head()..]);
        let mut answer = Vec::new();
        match header.kind {
            Kind::Request => {
                let body = format!("{name} does {method} {asked}");
                frame::write(Kind::Answer, 0, header.id, "", body.as_bytes(), &mut answer);
            }
            Kind::Ping => frame::write(Kind::Pong, 0, header.id, "", b"", &mut answer),
            Kind::OneWay | Kind::Answer | Kind::Pong => continue,
        }
        stream.write_all(&answer)?;
    }
}
