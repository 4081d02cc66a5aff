//! Dubbo's words for what a proxy has to say, and the core's for what a provider said.

use dubbo_rs_codec::{HEADER_LEN, Header, Kind, Response, ResponseError, ResultKind, Status};
use meltemi_codec::{Outcome, Status as Reason};

/// The status of an answer of the proxy's own. A consumer retries any of them (by its `retries`)
/// but the timeout, which it reports as such.
pub(crate) fn of(reason: Reason) -> Status {
    match reason {
        Reason::NoRoute => Status::SERVICE_NOT_FOUND,
        Reason::NoHealthyUpstream => Status::SERVER_ERROR,
        // What a consumer tells itself when the connection to its provider is gone.
        Reason::ConnectFailure | Reason::UpstreamReset | Reason::ShuttingDown => {
            Status::CHANNEL_INACTIVE
        }
        Reason::UpstreamMalformed => Status::BAD_RESPONSE,
        Reason::Timeout => Status::SERVER_TIMEOUT,
        // The one status by which a provider says "not now".
        Reason::RateLimited | Reason::Overloaded => Status::SERVER_THREADPOOL_EXHAUSTED,
        Reason::Denied | Reason::FaultInjected => Status::SERVICE_ERROR,
        Reason::Malformed | Reason::TooLarge | Reason::Unsupported => Status::BAD_REQUEST,
    }
}

/// What the answer at the start of `frame` says of its call.
pub(crate) fn outcome(frame: &[u8]) -> Outcome {
    let Ok(Some(header)) = Header::parse(frame) else {
        return Outcome::SystemError { code: 0 };
    };
    let code = u32::from(header.status.0);
    match header.status {
        Status::OK => {}
        Status::SERVER_THREADPOOL_EXHAUSTED => return Outcome::TryLater { code },
        // Real providers answer an unknown service or method with 40, an unknown group with 70. A
        // consumer that asks for what is not there must not make healthy providers look ill.
        Status::BAD_REQUEST
        | Status::SERVICE_NOT_FOUND
        | Status::SERVICE_ERROR
        | Status::CLIENT_ERROR => return Outcome::RequestError { code },
        _ => return Outcome::SystemError { code },
    }
    // A heartbeat's has nothing to tell beyond that.
    if header.kind == Kind::EventAnswer {
        return Outcome::Ok { code };
    }
    let body = frame.get(HEADER_LEN..).unwrap_or_default();
    if ResultKind::at_a_glance(&header, body).is_some() {
        return Outcome::Ok { code };
    }
    match Response::parse(&header, body) {
        Ok(Response::Result(result)) if result.kind() == ResultKind::Exception => {
            Outcome::ApplicationError { code }
        }
        Ok(_) | Err(ResponseError::Opaque(_)) => Outcome::Ok { code },
        Err(_) => Outcome::SystemError { code },
    }
}
