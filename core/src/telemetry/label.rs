//! What an exchange ended with, as labels.

use std::fmt;

use meltemi_codec::{Outcome, Status};

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutcomeLabel {
    /// Served.
    Ok,
    /// Served; the application said no.
    ApplicationError,
    /// No endpoint would serve it, by the fault of who asked.
    RequestError,
    /// The endpoint could not serve it.
    SystemError,
    /// The endpoint refused before it did anything.
    TryLater,
    /// Answered, or given up, by this proxy.
    Local,
}

impl OutcomeLabel {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::Ok,
        Self::ApplicationError,
        Self::RequestError,
        Self::SystemError,
        Self::TryLater,
        Self::Local,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ApplicationError => "application_error",
            Self::RequestError => "request_error",
            Self::SystemError => "system_error",
            Self::TryLater => "try_later",
            Self::Local => "local",
        }
    }
}

impl OutcomeLabel {
    /// Whether it speaks for the endpoint (`true`) or against it; `None` where it says neither:
    /// one that is busy, or that is not the one to ask, is neither well nor broken.
    pub(crate) fn credits_endpoint(self) -> Option<bool> {
        match self {
            Self::Ok | Self::ApplicationError | Self::RequestError => Some(true),
            Self::SystemError => Some(false),
            Self::TryLater | Self::Local => None,
        }
    }
}

impl From<&Outcome> for OutcomeLabel {
    /// A redirect that reaches the client counts as the endpoint's refusal.
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Ok { .. } => Self::Ok,
            Outcome::ApplicationError { .. } => Self::ApplicationError,
            Outcome::RequestError { .. } => Self::RequestError,
            Outcome::SystemError { .. } => Self::SystemError,
            Outcome::TryLater { .. } | Outcome::Redirect { .. } => Self::TryLater,
        }
    }
}

/// Why an exchange ended as it did. The short names are Envoy's response flags where it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResponseFlag {
    /// Nothing out of the ordinary.
    #[default]
    None,
    /// No route matched, or its destination is unknown.
    NoRoute,
    /// The cluster has no endpoint that may be asked.
    NoHealthyUpstream,
    /// No connection to the endpoint could be made.
    ConnectFailure,
    /// The endpoint closed the connection before it had answered.
    UpstreamReset,
    /// The deadline passed.
    Timeout,
    /// A limit of this proxy on requests, connections or bytes was reached.
    Overload,
    /// The client sent what cannot be read.
    DownstreamDecodeError,
    /// The endpoint sent what cannot be read.
    UpstreamDecodeError,
    /// The client left before it had its answer.
    ClientDisconnected,
    /// A rate limit was reached.
    RateLimited,
    /// A rate limit service did not decide.
    RateLimitServiceError,
    /// The connection or the proxy was draining.
    Drain,
    /// The message is larger than allowed.
    TooLarge,
    /// The client may not do this.
    Denied,
    /// What the request asks for is not supported through a proxy.
    Unsupported,
    /// A fault was injected on purpose.
    FaultInjected,
    /// Nothing moved on the connection for as long as it may be silent.
    IdleTimeout,
    /// The connection lasted as long as it may.
    DurationTimeout,
    /// The client's connection was refused before it could be served: its handshake, or what has to come
    /// before it, went wrong.
    DownstreamTransportFailure,
}

impl ResponseFlag {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::None,
        Self::NoRoute,
        Self::NoHealthyUpstream,
        Self::ConnectFailure,
        Self::UpstreamReset,
        Self::Timeout,
        Self::Overload,
        Self::DownstreamDecodeError,
        Self::UpstreamDecodeError,
        Self::ClientDisconnected,
        Self::RateLimited,
        Self::RateLimitServiceError,
        Self::Drain,
        Self::TooLarge,
        Self::Denied,
        Self::Unsupported,
        Self::FaultInjected,
        Self::IdleTimeout,
        Self::DurationTimeout,
        Self::DownstreamTransportFailure,
    ];

    /// The short name, as Envoy's operators know it; `-` for none.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::NoRoute => "NR",
            Self::NoHealthyUpstream => "UH",
            Self::ConnectFailure => "UF",
            Self::UpstreamReset => "UC",
            Self::Timeout => "UT",
            Self::Overload => "UO",
            Self::DownstreamDecodeError => "DPE",
            Self::UpstreamDecodeError => "UPE",
            Self::ClientDisconnected => "DC",
            Self::RateLimited => "RL",
            Self::RateLimitServiceError => "RLSE",
            Self::Drain => "DI",
            Self::TooLarge => "TL",
            Self::Denied => "UAEX",
            Self::Unsupported => "UNS",
            Self::FaultInjected => "FI",
            Self::IdleTimeout => "SI",
            Self::DurationTimeout => "DT",
            Self::DownstreamTransportFailure => "DTF",
        }
    }

    /// The same in words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NoRoute => "no_route",
            Self::NoHealthyUpstream => "no_healthy_upstream",
            Self::ConnectFailure => "connect_failure",
            Self::UpstreamReset => "upstream_reset",
            Self::Timeout => "timeout",
            Self::Overload => "overload",
            Self::DownstreamDecodeError => "downstream_decode_error",
            Self::UpstreamDecodeError => "upstream_decode_error",
            Self::ClientDisconnected => "client_disconnected",
            Self::RateLimited => "rate_limited",
            Self::RateLimitServiceError => "rate_limit_service_error",
            Self::Drain => "drain",
            Self::TooLarge => "too_large",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::FaultInjected => "fault_injected",
            Self::IdleTimeout => "idle_timeout",
            Self::DurationTimeout => "duration_timeout",
            Self::DownstreamTransportFailure => "downstream_transport_failure",
        }
    }
}

impl From<Status> for ResponseFlag {
    fn from(status: Status) -> Self {
        match status {
            Status::NoRoute => Self::NoRoute,
            Status::NoHealthyUpstream => Self::NoHealthyUpstream,
            Status::ConnectFailure => Self::ConnectFailure,
            Status::UpstreamReset => Self::UpstreamReset,
            Status::UpstreamMalformed => Self::UpstreamDecodeError,
            Status::Timeout => Self::Timeout,
            Status::RateLimited => Self::RateLimited,
            Status::Overloaded => Self::Overload,
            Status::Denied => Self::Denied,
            Status::Malformed => Self::DownstreamDecodeError,
            Status::TooLarge => Self::TooLarge,
            Status::Unsupported => Self::Unsupported,
            Status::FaultInjected => Self::FaultInjected,
            Status::ShuttingDown => Self::Drain,
        }
    }
}

impl fmt::Display for ResponseFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for OutcomeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
