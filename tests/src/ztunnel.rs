//! What stands where ztunnel does on a waypoint's node: it hands connections over on loopback, each behind a header of
//! the PROXY protocol.
//!
//! As a real one it names the destination that its peer has asked for, whatever that is, the connection that
//! several clients share as the source, and who they are, where that is known.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::relay::both;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
/// ztunnel's own: the SPIFFE id of the source.
const IDENTITY: u8 = 0xd0;

/// Takes the connections of clients until the process ends.
#[derive(Clone, Debug)]
pub struct Ztunnel {
    address: SocketAddr,
}

impl Ztunnel {
    /// Before a waypoint: whoever connects to it was on the way to this destination.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(waypoint: SocketAddr, destination: SocketAddr, identity: Option<&str>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
        let address = listener.local_addr().expect("it listens");
        let header = header(destination, identity);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let header = header.clone();
                thread::spawn(move || hand_over(&client, waypoint, &header));
            }
        });
        Self { address }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Of a connection from a pod of the same family as the destination.
#[must_use]
pub fn header(destination: SocketAddr, identity: Option<&str>) -> Vec<u8> {
    let (family, source): (u8, IpAddr) = match destination {
        SocketAddr::V4(_) => (0x11, Ipv4Addr::new(10, 99, 0, 2).into()),
        SocketAddr::V6(_) => (0x21, "fd00::99:2".parse().expect("an address")),
    };
    let mut body = vec![];
    for address in [source, destination.ip()] {
        match address {
            IpAddr::V4(address) => body.extend(address.octets()),
            IpAddr::V6(address) => body.extend(address.octets()),
        }
    }
    body.extend(38058_u16.to_be_bytes());
    body.extend(destination.port().to_be_bytes());
    if let Some(identity) = identity {
        body.push(IDENTITY);
        body.extend(length(identity.as_bytes()));
        body.extend(identity.as_bytes());
    }
    [SIGNATURE, &[PROXY, family], &length(&body), &body].concat()
}

fn length(bytes: &[u8]) -> [u8; 2] {
    let length = u16::try_from(bytes.len()).expect("a header is short");
    length.to_be_bytes()
}

fn hand_over(client: &TcpStream, waypoint: SocketAddr, header: &[u8]) {
    let Ok(mut to) = TcpStream::connect(waypoint) else {
        return;
    };
    if to.write_all(header).is_ok() {
        both(client, &to);
    }
}
