//! Endpoints that say which they are, and clients that hear it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// An endpoint for each index, on an address of loopback of its own. They end with the runtime.
pub(crate) async fn endpoints(count: usize) -> Vec<SocketAddr> {
    let mut addresses = vec![];
    for index in 0..count {
        let ip = Ipv4Addr::new(127, 1, 0, 1 + u8::try_from(index).expect("few"));
        let listener = TcpListener::bind((ip, 0)).await.expect("a port");
        addresses.push(listener.local_addr().expect("it is bound"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, format!("+{index}\r\n")));
            }
        });
    }
    addresses
}

/// To every command the same answer.
async fn answer(mut stream: TcpStream, reply: String) {
    let mut bytes = [0; 1024];
    let mut lines = 0;
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        lines += bytes[..read].iter().filter(|byte| **byte == b'\n').count();
        while lines >= LINES {
            lines -= LINES;
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Of a command.
const LINES: usize = 5;

/// A client at an address of loopback; none: at whichever.
pub(crate) async fn connect(to: SocketAddr, from: Option<Ipv4Addr>) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    if let Some(from) = from {
        socket
            .bind((IpAddr::from(from), 0).into())
            .expect("loopback");
    }
    socket.connect(to).await.expect("the proxy listens")
}

/// Who answers a command; none where nobody does.
pub(crate) async fn ask(stream: &mut TcpStream) -> Option<usize> {
    ask_for(stream, "k").await
}

/// Who answers a command about a key.
pub(crate) async fn ask_for(stream: &mut TcpStream, key: &str) -> Option<usize> {
    let command = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
    stream.write_all(command.as_bytes()).await.ok()?;
    let mut reply = vec![];
    while !reply.ends_with(b"\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(1) => reply.push(byte[0]),
            _ => return None,
        }
    }
    let text = String::from_utf8_lossy(&reply);
    text.trim_end().strip_prefix('+')?.parse().ok()
}
