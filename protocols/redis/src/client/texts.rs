//! What a server would say, in its words (Redis 7.0), and what only a proxy has to say.

use crate::resp::write;

/// Codes of errors that the proxy takes a server's part with: `Plan::Refuse` says them.
const CODES: [&str; 3] = ["ERR ", "CROSSSLOT ", "CLUSTERDOWN "];

/// Writes an error of the proxy's own.
pub(super) fn write_local(message: &str, out: &mut Vec<u8>) {
    match CODES.iter().any(|code| message.starts_with(code)) {
        true => write::error(message.as_bytes(), out),
        false => write::error(format!("ERR proxy: {message}").as_bytes(), out),
    }
}

/// Of a RESP2 client that is subscribed.
pub(super) fn subscribed(command: &str) -> String {
    format!(
        "ERR Can't execute '{command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
         are allowed in this context"
    )
}

pub(super) const NO_AUTH: &[u8] = b"NOAUTH Authentication required.";
pub(super) const HELLO_NO_AUTH: &[u8] = b"NOAUTH HELLO must be called with the client already \
    authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to \
    authenticate the client and select the RESP protocol version at the same time";
pub(super) const WRONG_PASS: &[u8] =
    b"WRONGPASS invalid username-password pair or user is disabled.";
pub(super) const SYNTAX: &[u8] = b"ERR syntax error";
pub(super) const ABORTED: &[u8] = b"EXECABORT Transaction discarded because of previous errors.";
pub(super) const NAME: &[u8] =
    b"ERR Client names cannot contain spaces, newlines or special characters.";
pub(super) const NO_ANSWER: &[u8] = b"ERR proxy: the server gave no answer";
pub(super) const SHUTDOWN: &str = "SHUTDOWN is not for clients of a proxy: \
    it would stop the server for all of them; send it to the server itself";
pub(super) const REPLY_QUEUED: &str = "CLIENT REPLY within a transaction is not supported";
pub(super) const NO_PROTO: &[u8] = b"NOPROTO unsupported protocol version";
pub(super) const VERSION: &[u8] = b"ERR Protocol version is not an integer or out of range";
pub(super) const LOST: &[u8] = b"ERR proxy: the connection of the transaction was lost";
pub(super) const LOGIN_QUEUED: &str = "AUTH and HELLO within a transaction are not supported";
