//! Whose fault an answer is.

use meltemi_codec::{Node, Outcome};

use crate::resp::reply;

/// Redis has no numbers for its errors.
const CODE: u32 = 0;

/// What an answer says of its request.
pub(crate) fn of(response: &[u8], follows: bool) -> Outcome {
    let Some(error) = reply::error(response) else {
        return Outcome::Ok { code: CODE };
    };
    let mut words = error.split(|byte| *byte == b' ');
    let code = words.next().unwrap_or_default();
    match code {
        b"MOVED" | b"ASK" if follows => {
            // `MOVED 3999 127.0.0.1:6381`
            match words.nth(1).and_then(node) {
                Some(to) => Outcome::Redirect {
                    to,
                    once: code == b"ASK",
                },
                None => Outcome::ApplicationError { code: CODE },
            }
        }
        // Refused before anything was done: the slot is on its way, the data are not there yet,
        // nobody owns the slot, the primary is away, a script keeps the server, a replica is asked
        // to write, too few replicas listen.
        b"TRYAGAIN" | b"LOADING" | b"CLUSTERDOWN" | b"MASTERDOWN" | b"BUSY" | b"READONLY"
        | b"NOREPLICAS" => Outcome::TryLater { code: CODE },
        // This server cannot write its data down.
        b"MISCONF" => Outcome::SystemError { code: CODE },
        // Nobody would serve it: an unknown command, wrong arguments, no permission. A script's own
        // errors begin so too.
        b"ERR" | b"NOAUTH" | b"WRONGPASS" | b"NOPERM" | b"NOPROTO" | b"CROSSSLOT" => {
            Outcome::RequestError { code: CODE }
        }
        // It was served, and the data say no (`WRONGTYPE`, `NOSCRIPT`, `EXECABORT`, `OOM`, …, and
        // whatever a script or module calls its errors). Memory is a limit that somebody set: to
        // send a full cache's keys elsewhere loses them.
        _ => Outcome::ApplicationError { code: CODE },
    }
}

/// `host:port`; IPv6 has colons too, without brackets. No host: the one that says so.
fn node(text: &[u8]) -> Option<Node> {
    let (host, port) = str::from_utf8(text).ok()?.rsplit_once(':')?;
    Some(Node {
        host: host.into(),
        port: port.parse().ok()?,
    })
}
