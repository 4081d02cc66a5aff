//! As much of an HTTP client as the admin address needs.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::wait::PATIENCE;

/// An answer of the admin address.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

/// `GET path`.
pub fn get(address: SocketAddr, path: &str) -> Result<Response> {
    get_within(address, path, PATIENCE)
}

/// The same, given up after so long without a byte.
pub(crate) fn get_within(address: SocketAddr, path: &str, patience: Duration) -> Result<Response> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    ask(stream, address, &format!("GET {path}"), "")
}

/// `POST path` with a body.
pub(crate) fn post(address: SocketAddr, path: &str, body: &str) -> Result<Response> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ask(stream, address, &format!("POST {path}"), body)
}

/// The answer ends where the connection does.
fn ask(mut stream: TcpStream, address: SocketAddr, what: &str, body: &str) -> Result<Response> {
    let length = body.len();
    let head = format!("host: {address}\r\nconnection: close\r\ncontent-length: {length}");
    write!(stream, "{what} HTTP/1.1\r\n{head}\r\n\r\n{body}")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .context("an answer without an end of its head")?;
    let status = head
        .split(' ')
        .nth(1)
        .context("an answer without a status")?;
    Ok(Response {
        status: status.parse()?,
        body: match head.to_lowercase().contains("transfer-encoding: chunked") {
            true => whole(body).context("an answer in bad chunks")?,
            false => body.to_owned(),
        },
    })
}

/// A body that came in chunks.
fn whole(mut chunks: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (length, rest) = chunks.split_once("\r\n")?;
        let (chunk, rest) = rest.split_at_checked(usize::from_str_radix(length, 16).ok()?)?;
        if chunk.is_empty() {
            return Some(whole);
        }
        whole.push_str(chunk);
        chunks = rest.strip_prefix("\r\n")?;
    }
}
