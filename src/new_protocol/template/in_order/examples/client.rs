//! A client to try things out with: sends one request and prints the answer.
//!
//! `cargo run --example client -- 127.0.0.1:7070 GET a`

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7070".into());
    let words: Vec<String> = arguments.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    println!("{}", ask(TcpStream::connect(address)?, &words)?);
    Ok(())
}

/// Sends a request of these words, and waits for the answer.
pub fn ask(mut stream: TcpStream, words: &[&str]) -> io::Result<String> {
    let words = if words.is_empty() {
        &["GET", "a"]
    } else {
        words
    };
    writeln!(stream, "{}", words.join(" "))?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}
