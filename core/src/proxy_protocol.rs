//! The header of the PROXY protocol, version 2, that a connection begins with: who the client is, and
//! where it was going.
//!
//! The protocol is HAProxy's (`doc/proxy-protocol.txt`); of its extensions one is read, in which
//! Istio's ztunnel gives the identity of the client (`PROXY_PROTOCOL_AUTHORITY_TLV` in its
//! `src/proxy.rs`). Whoever can connect can say anything here, so that it is for listeners that
//! only those reach who are believed.

mod refused;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

pub use refused::Refused;

/// A header's first bytes. They are no text, so that nothing else begins with them by chance.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family, and the length of the rest.
const FIXED: usize = 16;
/// What may follow these. Addresses take 36 bytes, a SPIFFE id 2 KiB; haproxy writes 4 KiB at most.
pub const MOST: u16 = 4096;
/// The type of the extension that holds the client's SPIFFE id.
const IDENTITY: u8 = 0xD0;

/// How far a header has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes are needed in all, and none behind the header.
    Needs(usize),
    /// It is whole, and takes so many bytes.
    Whole(Header, usize),
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// The sender speaks for itself: it looks whether somebody is there.
    Local,
    /// The connection is somebody else's.
    Proxied(Proxied),
}

/// Whose connection it is. IPv4 addresses in the form of IPv6 are IPv4 addresses here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    pub source: SocketAddr,
    /// Where the client meant to connect to.
    pub destination: SocketAddr,
    /// The client's SPIFFE id with `spiffe://`, where it has proven one.
    pub identity: Option<Arc<str>>,
}

/// What is no header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The connection begins with something else.
    #[error("it does not begin with a header of the PROXY protocol, version 2")]
    Missing,
    /// More than [`MOST`] bytes are announced behind the fixed ones.
    #[error("the header announces {0} bytes, above {MOST}")]
    TooLong(u16),
    /// It is a header, and says what none may say.
    #[error("the header is malformed: {0}")]
    Malformed(#[from] Malformed),
}

/// What is wrong with a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("its version is {0}, not 2")]
    Version(u8),
    #[error("its command is {0}, neither LOCAL (0) nor PROXY (1)")]
    Command(u8),
    #[error(
        "its family and protocol are {0:#04x}, neither TCP over IPv4 (0x11) nor over IPv6 (0x21)"
    )]
    Family(u8),
    #[error("it ends within its addresses")]
    Addresses,
    #[error("it ends within an extension")]
    Extension,
    #[error("the client's identity is there twice")]
    IdentityTwice,
    #[error("the client's identity is no SPIFFE id")]
    Identity,
}

/// Reads what is there of a connection's first bytes. It is an error as soon as they show it.
///
/// # Errors
/// They are no header that can be served.
pub fn parse(bytes: &[u8]) -> Result<Progress, HeaderError> {
    if bytes
        .iter()
        .zip(&SIGNATURE)
        .any(|(is, wanted)| is != wanted)
    {
        return Err(HeaderError::Missing);
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(Progress::Needs(FIXED));
    };
    let [.., what, family, high, low] = *fixed;
    let command = command(what)?;
    let length = u16::from_be_bytes([high, low]);
    if length > MOST {
        return Err(HeaderError::TooLong(length));
    }
    let size = FIXED + usize::from(length);
    let Some(rest) = rest.get(..usize::from(length)) else {
        return Ok(Progress::Needs(size));
    };
    let header = match command {
        // What it says besides is to be skipped.
        Command::Local => Header::Local,
        Command::Proxy => Header::Proxied(proxied(family, rest)?),
    };
    Ok(Progress::Whole(header, size))
}

enum Command {
    Local,
    Proxy,
}

fn command(byte: u8) -> Result<Command, Malformed> {
    match (byte >> 4, byte & 0xF) {
        (2, 0) => Ok(Command::Local),
        (2, 1) => Ok(Command::Proxy),
        (2, command) => Err(Malformed::Command(command)),
        (version, _) => Err(Malformed::Version(version)),
    }
}

fn proxied(family: u8, bytes: &[u8]) -> Result<Proxied, Malformed> {
    let (source, destination, bytes) = match family {
        0x11 => addresses::<Ipv4Addr, 4>(bytes)?,
        0x21 => addresses::<Ipv6Addr, 16>(bytes)?,
        other => return Err(Malformed::Family(other)),
    };
    Ok(Proxied {
        source,
        destination,
        identity: identity(bytes)?,
    })
}

/// Both addresses, then both ports; and what follows.
fn addresses<A: From<[u8; N]> + Into<IpAddr>, const N: usize>(
    bytes: &[u8],
) -> Result<(SocketAddr, SocketAddr, &[u8]), Malformed> {
    let split = || {
        let (source, bytes) = bytes.split_first_chunk::<N>()?;
        let (destination, bytes) = bytes.split_first_chunk::<N>()?;
        let (source_port, bytes) = bytes.split_first_chunk::<2>()?;
        let (destination_port, bytes) = bytes.split_first_chunk::<2>()?;
        let address = |ip: [u8; N], port: [u8; 2]| {
            let ip: IpAddr = A::from(ip).into();
            SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(port))
        };
        Some((
            address(*source, *source_port),
            address(*destination, *destination_port),
            bytes,
        ))
    };
    split().ok_or(Malformed::Addresses)
}

/// The client's identity among the extensions, each of which is a type, a length, and so many bytes.
fn identity(mut bytes: &[u8]) -> Result<Option<Arc<str>>, Malformed> {
    let mut found = None;
    while !bytes.is_empty() {
        let (kind, value, rest) = extension(bytes).ok_or(Malformed::Extension)?;
        if kind == IDENTITY && found.replace(spiffe_id(value)?).is_some() {
            return Err(Malformed::IdentityTwice);
        }
        bytes = rest;
    }
    Ok(found)
}

fn extension(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, high, low], bytes) = bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (value, rest) = bytes.split_at_checked(length)?;
    Some((kind, value, rest))
}

/// Its trust domain may be empty: that of a ztunnel without an authority is.
fn spiffe_id(value: &[u8]) -> Result<Arc<str>, Malformed> {
    let text = str::from_utf8(value).ok();
    let is_id = |text: &&str| {
        text.strip_prefix("spiffe://")
            .is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic()))
    };
    text.filter(is_id).map(Arc::from).ok_or(Malformed::Identity)
}

#[cfg(test)]
mod tests;
