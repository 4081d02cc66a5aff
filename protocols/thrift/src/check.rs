//! The call of a health check.

use crate::{
    call::set,
    dialect::{Dialect, Encoding, Transport},
    head::{self, Kind},
    header,
};

/// The key-value that tells such calls apart where the transport has a header.
const MARK: (&[u8], &[u8]) = (b"x-meltemi-check", b"health");

/// Appends a call of `method` without arguments.
pub(crate) fn write(dialect: Dialect, method: &[u8], seq: u32, out: &mut Vec<u8>) {
    let Dialect {
        transport,
        encoding,
    } = dialect;
    let frame = out.len();
    match transport {
        Transport::Buffered => {}
        Transport::Framed => out.extend_from_slice(&[0; 4]),
        Transport::Header | Transport::TtHeader => {
            header::write(transport, encoding, seq, MARK, out);
        }
    }
    head::write(encoding, Kind::Call, method, seq, out);
    match encoding {
        Encoding::Json => out.extend_from_slice(b",{}]"),
        Encoding::Binary | Encoding::Lax | Encoding::Compact => out.push(0),
        Encoding::Opaque => {}
    }
    if transport != Transport::Buffered {
        let length = u32::try_from(out.len() - frame - 4).unwrap_or(u32::MAX);
        set(out, frame, |_| length);
    }
}
