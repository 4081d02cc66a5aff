//! The codec of a client's connection.

use std::{borrow::Cow, time::Duration};

use crate::{
    attribute::AttributeKey,
    edit::{Edit, EditRefused},
    message::{Body, Constraint, Decoded, Frame, Malformed, Memo, OwnRequest, Request},
    reply::{LocalReply, Status},
};

/// Reads a client's messages and writes its answers.
pub trait Downstream {
    /// Looks at the front of the unconsumed bytes. `out` takes what the codec answers itself (a
    /// heartbeat); the core sends it in its turn where the protocol is in order.
    ///
    /// A message of at most [`crate::Limits::whole`] bytes is returned only when `input` holds all
    /// of it. State may change when a message is returned, not when more input is asked for.
    ///
    /// # Errors
    /// [`Malformed`] when no further message boundary can be found: `out` is sent, the connection
    /// closed.
    fn decode(&mut self, input: &[u8], out: &mut Vec<u8>)
    -> Result<Decoded<FromClient>, Malformed>;

    /// The next piece of a message of [`crate::Size::Streamed`].
    ///
    /// # Errors
    /// [`Malformed`] when the piece breaks the protocol: both connections are closed.
    fn body(&mut self, _input: &[u8]) -> Result<Body, Malformed> {
        Err(Malformed {
            reason: "this protocol knows the size of its messages",
        })
    }

    /// The value of an attribute of a request, if it has it. Called only for attributes that a
    /// rule, a limit or a label names.
    fn attribute<'a>(&self, request: Frame<'a>, key: &AttributeKey) -> Option<Cow<'a, [u8]>>;

    /// Writes all that there is of `request` with `edits` applied to `out`. The rest of a message
    /// of which only the head was kept follows unchanged.
    ///
    /// # Errors
    /// [`EditRefused`]: nothing was written, and the request goes on unchanged.
    fn edit(
        &self,
        _request: Frame<'_>,
        _edits: &[Edit],
        _out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        Err(EditRefused::NoPlace)
    }

    /// Writes all that there is of `request`, which says a [`Request::deadline`] of its own, to `out`,
    /// with `left` in the place of that: so long is its client still going to wait. Called only
    /// where it is less, and in whole milliseconds.
    ///
    /// # Errors
    /// [`EditRefused`]: nothing was written, and the request goes on as it is.
    fn pass_deadline(
        &self,
        _request: Frame<'_>,
        _left: Duration,
        _out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        Err(EditRefused::NoPlace)
    }

    /// The shard of a request's key: of one with [`Constraint::Key`] whose cluster divides its keys,
    /// and of one that [`Downstream::edit`] has changed, which may belong elsewhere now. `None`: its
    /// constraint stays as it is.
    fn constraint(&self, _request: Frame<'_>) -> Option<Constraint> {
        None
    }

    /// Writes a server's answer, or its head, to the request that had `id` on this connection.
    /// Writing nothing suppresses it (`CLIENT REPLY OFF`).
    fn respond(&mut self, id: u64, response: Frame<'_>, out: &mut Vec<u8>);

    /// Writes an answer of the proxy's own to the request that had `id` and `memo`. The core asks
    /// for it only where the request is owed an answer. Writing nothing suppresses it, as in
    /// [`Downstream::respond`].
    ///
    /// Returns the protocol's own code of what the client is told, 0 where it has none. `None`
    /// where the client's dialect has no words for it (a Kafka answer that repeats its request):
    /// the core closes the client's connection rather than leave the client waiting.
    fn local_reply(
        &mut self,
        id: u64,
        memo: &Memo,
        reply: LocalReply<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u32>;

    /// The answer to [`FromClient::Ask`], or `None` where there was none. The codec must be able
    /// to go on with either.
    fn learn(&mut self, _answer: Option<Frame<'_>>) {}

    /// Writes a request that the server of a pinned connection made of this client
    /// ([`crate::FromServer::Call`]), under an id of the core's choice.
    fn call(&mut self, _id: u64, _request: Frame<'_>, _out: &mut Vec<u8>) {}

    /// Writes a message that answers nobody ([`crate::FromServer::Push`]).
    fn push(&mut self, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(message);
    }

    /// Tells the client in the protocol's own words to go elsewhere with its next requests.
    fn drain(&mut self, _out: &mut Vec<u8>) -> Drain {
        Drain::WhenIdle
    }

    /// Writes a heartbeat. False where the protocol has none for this direction.
    fn heartbeat(&mut self, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Whether a client that has closed its sending side still wants its answers.
    fn end_of_file(&self) -> EndOfFile {
        EndOfFile::Finish
    }
}

/// What a client sent.
#[derive(Debug, PartialEq)]
pub enum FromClient {
    /// A request.
    Request(Request),
    /// A request whose end is known and that cannot be served: it is skipped, and answered with
    /// this status if it is owed an answer.
    Refused {
        /// What could be read of it.
        request: Request,
        /// Why.
        status: Status,
        /// Why, in words for the client.
        message: &'static str,
    },
    /// Something that ends at this leg; where `out` was written to, that is its answer.
    Answered,
    /// The client wants to leave once it has its answers (`QUIT`).
    Goodbye,
    /// The client's answer to a request of the server's that was written by [`Downstream::call`].
    Response {
        /// The id that [`Downstream::call`] was given.
        id: u64,
    },
    /// More of a stream that a request with [`crate::Answers::UntilEnd`] opened.
    StreamData {
        /// The opening request's id.
        id: u64,
        /// Whether the client's side ends with it.
        end: bool,
    },
    /// The client gives a request or stream up; its answers are swallowed.
    Cancel {
        /// The request's id.
        id: u64,
    },
    /// The codec cannot go on before it has asked the server something of its own
    /// (`COMMAND GETKEYS`). Nothing is consumed: the size of this message is zero. The core routes
    /// the question by its own attributes, holds this client's bytes back, hands the answer to
    /// [`Downstream::learn`] instead of the client, and calls [`Downstream::decode`] on the same
    /// bytes again.
    Ask(Box<OwnRequest>),
}

/// How a client was told that this proxy is about to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// In the protocol's own words: the client goes elsewhere, its answers still arrive.
    Announced,
    /// The protocol has no such words: the connection closes when nothing is in flight.
    WhenIdle,
}

/// What the end of a client's bytes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfFile {
    /// It still wants the answers that it is owed.
    Finish,
    /// It is gone: what it waits for ([`crate::Request::waits`]) is given up at once, and nothing behind
    /// that is looked at. Other answers that it is owed it still gets.
    Abandon,
}
