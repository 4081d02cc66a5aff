//! The codec of a connection to a server.

use crate::{
    edit::{Edit, EditRefused},
    message::{Body, Decoded, Frame, Malformed, Memo, Request},
    session::Open,
    topology::Node,
};

/// Writes requests to a server and reads its answers.
pub trait Upstream {
    /// Writes what a new connection has to say first.
    fn open(&mut self, _out: &mut Vec<u8>) -> Open {
        Open::Ready
    }

    /// Writes a request, or its head, under the id of this attempt. No other unanswered request of
    /// this connection has that id; where the protocol is in order it is only a name for it
    /// ([`Expected::id`]), of any width.
    fn forward(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>);

    /// Writes a request that another endpoint sent to this one for once
    /// ([`Outcome::Redirect`]), with what must precede it in the same write (`ASKING`).
    fn forward_once(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        self.forward(id, request, out);
    }

    /// Looks at the front of the unconsumed bytes. `expected` gives the unanswered requests where
    /// the protocol is in order. `out` takes what the codec answers itself.
    ///
    /// An answer to something that the codec wrote of its own accord (a handshake, `ASKING`, a
    /// heartbeat) is [`FromServer::Answered`].
    ///
    /// A message of at most [`crate::Limits::whole`] bytes is returned only when `input` holds all
    /// of it. State may change when a message is returned, not when more input is asked for.
    ///
    /// # Errors
    /// [`Malformed`] when no further message boundary can be found: the answers that were due are
    /// errors, the connection is closed. Before [`FromServer::Ready`] it is a failed connection
    /// attempt.
    fn decode(
        &mut self,
        input: &[u8],
        expected: &dyn Expected,
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed>;

    /// The next piece of a message of [`crate::Size::Streamed`].
    ///
    /// # Errors
    /// [`Malformed`] when the piece breaks the protocol: both connections are closed.
    fn body(&mut self, _input: &[u8]) -> Result<Body, Malformed> {
        Err(Malformed {
            reason: "this protocol knows the size of its messages",
        })
    }

    /// What an answer says of the request that it answers.
    fn outcome(&self, response: Frame<'_>) -> Outcome;

    /// Writes all that there is of `response` with `edits` applied to `out`. The rest of a message
    /// of which only the head was kept follows unchanged.
    ///
    /// # Errors
    /// [`EditRefused`]: nothing was written, and the answer goes on unchanged.
    fn edit(
        &self,
        _response: Frame<'_>,
        _edits: &[Edit],
        _out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        Err(EditRefused::NoPlace)
    }

    /// Answers a request of the server's that no client can be asked ([`FromServer::Call`] on a
    /// connection that is pinned to nobody).
    fn refuse(&mut self, _request: &Request, _out: &mut Vec<u8>) {}

    /// Writes a client's answer to a request of the server's, under the id and with the memo that
    /// [`FromServer::Call`] had.
    fn respond(&mut self, _id: u64, _response: Frame<'_>, _out: &mut Vec<u8>) {}

    /// Writes a client's message on the stream that the attempt `id` opened, with the memo of the
    /// opening request. Windows are the peers' own: their messages pass like any other.
    fn stream(&mut self, _id: u64, message: Frame<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(message.bytes);
    }

    /// Tells the server that nobody waits for the attempt `id` any more. Writing nothing leaves
    /// it at that: what it still answers is swallowed.
    fn cancel(&mut self, _id: u64, _out: &mut Vec<u8>) {}

    /// Writes a heartbeat, under an id that no request uses. False where the protocol has none.
    /// Where the protocol is in order the core asks only while no request is unanswered on this
    /// connection, so that the next answers are the codec's own.
    fn heartbeat(&mut self, _id: u64, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Writes what a health check asks, under an id that is not reserved: a request that changes
    /// nothing and that any server which can serve answers. False where there is none: a server that
    /// accepts connections, and ends the handshake, is healthy. Unless a protocol has something that
    /// says more, it is the heartbeat.
    ///
    /// The answer is [`FromServer::Answered`] with nothing written to `out`, or a
    /// [`FromServer::Response`], and is judged by [`Upstream::outcome`], with an empty memo: a server
    /// is unhealthy that answers [`Outcome::SystemError`], [`Outcome::TryLater`] or
    /// [`Outcome::Redirect`]. Its connection serves no requests.
    fn health_check(&mut self, id: u64, out: &mut Vec<u8>) -> bool {
        self.heartbeat(id, out)
    }
}

/// The unanswered requests of an in-order connection, oldest first.
pub trait Expected {
    /// The memo of the request that is `n` places behind the oldest.
    fn memo(&self, n: usize) -> Option<&Memo>;

    /// The id that [`Upstream::forward`] was given for it.
    fn id(&self, n: usize) -> Option<u64>;
}

impl Expected for () {
    fn memo(&self, _n: usize) -> Option<&Memo> {
        None
    }

    fn id(&self, _n: usize) -> Option<u64> {
        None
    }
}

/// What a server sent.
#[derive(Debug, PartialEq)]
pub enum FromServer {
    /// An answer.
    Response(Response),
    /// Something that ends at this leg; where `out` was written to, that is its answer.
    Answered,
    /// The handshake is done: requests may follow.
    Ready,
    /// Instead of [`FromServer::Ready`]: the server refuses what the handshake asks for (a
    /// password, a database), and says so with this message. It becomes the answer of each request
    /// that waits for this connection, which then closes; no other endpoint is asked, and none is
    /// to blame. The memos of [`Expected`] are those of the requests that wait.
    Refused,
    /// The server wants no new requests: on this connection, or at all.
    GoAway {
        /// All of this endpoint, not this connection alone.
        host: bool,
    },
    /// The server takes a [`FromServer::GoAway`] back.
    ComeBack,
    /// A message that answers nobody, for the client of a pinned connection.
    Push,
    /// A request of the server's for the client of a pinned connection.
    Call(Box<Request>),
}

/// An answer, as far as the core has to know it before it has found the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// Which request it answers.
    pub at: At,
    /// Whether it is the last one, where the request has [`crate::Answers::UntilEnd`].
    pub last: bool,
}

/// How an answer names its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// By the id that [`Upstream::forward`] was given.
    Id(u64),
    /// By order: the oldest unanswered request.
    InOrder,
}

/// What an answer says of its request, and so whose fault it is if it was not served. A `code` is
/// the protocol's own, for metrics and logs; 0 where the protocol has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was served.
    Ok {
        /// The protocol's status code.
        code: u32,
    },
    /// It was served, and the application says no. Never the endpoint's fault.
    ApplicationError {
        /// The protocol's status code.
        code: u32,
    },
    /// No endpoint would serve it: an unknown service or method, arguments that cannot be read.
    /// The fault of who asked, never the endpoint's.
    RequestError {
        /// The protocol's status code.
        code: u32,
    },
    /// The endpoint could not serve it. It counts against the endpoint.
    SystemError {
        /// The protocol's status code.
        code: u32,
    },
    /// The endpoint refused before it did anything; another one, or another time, may serve it.
    TryLater {
        /// The protocol's status code.
        code: u32,
    },
    /// Another endpoint owns what it asks for. Followed where the request may move; on a pinned
    /// connection the answer goes to the client as it is.
    Redirect {
        /// Which.
        to: Node,
        /// Only this request, not the shard (`ASK`): written by [`Upstream::forward_once`].
        once: bool,
    },
}

impl Outcome {
    /// The protocol's own code of it; 0 where there is none.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Ok { code }
            | Self::ApplicationError { code }
            | Self::RequestError { code }
            | Self::SystemError { code }
            | Self::TryLater { code } => *code,
            Self::Redirect { .. } => 0,
        }
    }
}
