//! RESP, the Redis serialization protocol, versions 2 and 3: scanners that find where a message
//! ends, views that read one that is there, and writers.
//!
//! Scanners take the bytes of a connection in whatever pieces they arrive, look at none twice and
//! keep no bytes. Views borrow.

pub mod arguments;
pub mod inline;
pub mod number;
pub mod reply;
pub mod reply_scan;
pub mod request_scan;
pub mod write;

pub use arguments::Arguments;
pub use reply::{Elements, Reply};
pub use reply_scan::ReplyScan;
pub use request_scan::{ProtocolError, RequestScan};

/// How far a scanner came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// All bytes belong to the message, and more follow.
    More,
    /// The first `n` of these bytes belong to the message, which ends with them.
    End(usize),
}
