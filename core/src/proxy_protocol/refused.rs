//! Why a connection is closed before anything is served on it.

use super::HeaderError;

/// Why a connection whose header says where it was going is not served, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// It does not begin with a header.
    Missing,
    /// Its header says what none may say.
    Malformed,
    /// Its header is longer than any.
    TooLong,
    /// It ended within its header.
    Incomplete,
    /// Its header was not whole in time.
    Timeout,
    /// Its sender is not on this machine, and could be anybody.
    NotLocal,
    /// No service is known by its destination, nor was one in time.
    UnknownDestination,
    /// It comes from this proxy itself.
    Loop,
    /// Too many connections wait, or are there.
    Overflow,
    /// This proxy cannot serve the service.
    Unserved,
}

impl Refused {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Missing,
        Self::Malformed,
        Self::TooLong,
        Self::Incomplete,
        Self::Timeout,
        Self::NotLocal,
        Self::UnknownDestination,
        Self::Loop,
        Self::Overflow,
        Self::Unserved,
    ];

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Incomplete => "incomplete",
            Self::Timeout => "timeout",
            Self::NotLocal => "not_local",
            Self::UnknownDestination => "unknown_destination",
            Self::Loop => "loop",
            Self::Overflow => "overflow",
            Self::Unserved => "unserved",
        }
    }

    /// What to do about it, for people.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Missing => {
                "only senders of the PROXY protocol, version 2, are served here, as an Istio ztunnel is of a \
                 waypoint that is bound as PROXY; connect to the service instead"
            }
            Self::Malformed | Self::TooLong => {
                "the sender does not follow the PROXY protocol, version 2, over TCP: see what it is"
            }
            Self::Incomplete | Self::Timeout => {
                "the sender is slow, overloaded, or not one of the PROXY protocol"
            }
            Self::NotLocal => {
                "connect from this machine, where the sender of the header is believed"
            }
            Self::UnknownDestination => {
                "no service has this address and port, and no endpoint: see whether the control plane \
                 gives this proxy the service (/config_dump)"
            }
            Self::Loop => {
                "an endpoint is dialled by an address that leads back here: endpoints have to be pods, and \
                 not a service's address"
            }
            Self::Overflow => "add replicas, or see why so many destinations are unknown",
            Self::Unserved => {
                "this proxy has no plugin for the service's protocol, or refused its settings: see its log \
                 of the last configuration"
            }
        }
    }
}

impl From<&HeaderError> for Refused {
    fn from(error: &HeaderError) -> Self {
        match error {
            HeaderError::Missing => Self::Missing,
            HeaderError::TooLong(_) => Self::TooLong,
            HeaderError::Malformed(_) => Self::Malformed,
        }
    }
}
