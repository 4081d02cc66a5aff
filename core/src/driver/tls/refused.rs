//! Clients that come to nothing by their first message: what is told of them, and to them.

use std::io::{self, Write};
use std::net::IpAddr;

use rustls::server::AcceptedAlert;

use super::super::stream::Stream;
use super::{Peer, Wire};
use crate::tls::{Failure, Failures, Unavailable};

/// A client that is refused by its first message.
pub(in crate::driver) struct Refused {
    /// `None`: the error says it.
    failure: Option<Failure>,
    error: io::Error,
    alert: Option<Alert>,
}

enum Alert {
    Made(AcceptedAlert),
    /// For which `rustls` has no word.
    Written(&'static [u8]),
}

/// A record with a fatal alert `unrecognized_name` (RFC 6066, section 3).
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];

impl Refused {
    /// What is needed is missing or broken.
    pub(super) fn unavailable(reason: Unavailable) -> Self {
        Self {
            failure: Some(Failure::Unavailable),
            error: io::Error::other(reason),
            alert: None,
        }
    }

    /// Nobody is for who asks for this name, or for none.
    pub(in crate::driver) fn unknown_name(asked: Option<&str>) -> Self {
        let why = match asked {
            Some(name) => format!("no listener here is for {name:?}"),
            None => "the client names no server, and no listener here is for such".to_owned(),
        };
        Self {
            failure: Some(Failure::UnknownName),
            error: io::Error::other(why),
            alert: Some(Alert::Written(UNRECOGNIZED_NAME)),
        }
    }

    /// Counts it, and tells people. Returns what it tells.
    pub(in crate::driver) fn tell(&self, failures: &Failures, client: Option<IpAddr>) -> String {
        let failure = self.failure.or_else(|| Failure::of(&self.error));
        let failure = failure.unwrap_or_else(|| Failure::of_handshake(&self.error));
        failures.tell(&Peer::of_client(client).to_string(), (failure, &self.error))
    }

    /// Tells the client. Nothing hangs on that it hears it.
    pub(in crate::driver) fn answer(self, stream: &mut Stream) {
        let mut wire = Wire(stream);
        let _ = match self.alert {
            Some(Alert::Made(mut alert)) => alert.write(&mut wire),
            Some(Alert::Written(record)) => wire.write(record),
            None => Ok(0),
        };
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self {
            failure: None,
            error,
            alert: None,
        }
    }
}

impl From<(rustls::Error, AcceptedAlert)> for Refused {
    fn from((error, alert): (rustls::Error, AcceptedAlert)) -> Self {
        Self {
            failure: None,
            error: io::Error::new(io::ErrorKind::InvalidData, error),
            alert: Some(Alert::Made(alert)),
        }
    }
}
