//! One check of one endpoint, on a connection of its own that is kept for the next.

use std::fmt::{Display, Formatter};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use meltemi_codec::{
    Correlation, Decoded, Frame, FromServer, Limits, Memo, Message, Open, Opening, Outcome,
    Protocol, Size, Upstream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::Address;
use crate::dial::{Socket, dial};
use crate::health_check::Verdict;
use crate::tls::Tls;

/// Why a check did not pass.
#[derive(Debug)]
pub(super) enum Reason {
    Timeout(Duration),
    Connection(io::Error),
    Malformed(&'static str),
    /// What the endpoint answered.
    Answer(Outcome),
}

impl Reason {
    /// As Envoy: what is not heard of may be heard of next time; a "no" is one.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Timeout(_) | Self::Connection(_) => Verdict::Lost,
            Self::Malformed(_) | Self::Answer(_) => Verdict::Refused,
        }
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout(limit) => write!(f, "no answer within {limit:?}"),
            Self::Connection(error) => write!(f, "{error}"),
            Self::Malformed(reason) => f.write_str(reason),
            Self::Answer(outcome) => write!(f, "it answers {outcome:?}"),
        }
    }
}

impl From<io::Error> for Reason {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// A check, before it runs.
pub(super) struct Probe {
    pub(super) protocol: Option<Arc<dyn Protocol>>,
    /// As for requests: an endpoint with TLS is never asked in plaintext.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) timeout: Duration,
    pub(super) kept: Option<Kept>,
}

impl Probe {
    /// Gives the connection back where it is of further use.
    pub(super) async fn run(self, address: &Address) -> (Result<(), Reason>, Option<Kept>) {
        let limit = self.timeout;
        match tokio::time::timeout(limit, self.ask(address)).await {
            Ok(Ok(kept)) => (Ok(()), kept),
            Ok(Err(reason)) => (Err(reason), None),
            Err(_) => (Err(Reason::Timeout(limit)), None),
        }
    }

    async fn ask(self, address: &Address) -> Result<Option<Kept>, Reason> {
        let Some(protocol) = self.protocol else {
            dial(address, self.tls.as_deref(), &[]).await?;
            return Ok(None);
        };
        let mut kept = match self.kept.and_then(Kept::if_open) {
            Some(kept) => kept,
            None => Kept::new(dial(address, self.tls.as_deref(), &[]).await?, &*protocol),
        };
        if !kept.is_ready && !kept.shake_hands().await? {
            // That it refuses us is an answer: nobody else would serve what is asked so.
            return Ok(None);
        }
        match kept.inquire(id(&*protocol)).await? {
            None => Ok(None),
            Some(
                Outcome::Ok { .. }
                | Outcome::ApplicationError { .. }
                | Outcome::RequestError { .. },
            ) => Ok(Some(kept)),
            Some(outcome) => Err(Reason::Answer(outcome)),
        }
    }
}

/// One that is not reserved.
fn id(protocol: &dyn Protocol) -> u64 {
    let reserved = match protocol.traits().correlation {
        Correlation::ById { reserved, .. } => reserved,
        Correlation::InOrder | Correlation::InOrderWithPush => &[],
    };
    (1..).find(|id| !reserved.contains(id)).unwrap_or(1)
}

/// A connection between two checks.
pub(super) struct Kept {
    socket: Box<dyn Socket>,
    codec: Box<dyn Upstream>,
    input: Vec<u8>,
    output: Vec<u8>,
    is_ready: bool,
}

impl Kept {
    fn new(socket: Box<dyn Socket>, protocol: &dyn Protocol) -> Self {
        let limits = Limits {
            whole: Limits::WHOLE,
            frame: protocol.traits().frame_limit,
        };
        let mut codec = protocol.upstream(limits, &Opening::default());
        let mut output = Vec::new();
        let is_ready = codec.open(&mut output) == Open::Ready;
        Self {
            socket,
            codec,
            input: Vec::new(),
            output,
            is_ready,
        }
    }

    /// Itself, unless the endpoint has closed it in the meantime.
    fn if_open(mut self) -> Option<Self> {
        let is_open = match self.socket.read_buf(&mut self.input).now_or_never() {
            Some(Ok(read)) => read > 0,
            Some(Err(_)) => false,
            None => true,
        };
        is_open.then_some(self)
    }

    /// False: the endpoint refuses what the protocol says first.
    async fn shake_hands(&mut self) -> Result<bool, Reason> {
        loop {
            match self.next().await?.0 {
                FromServer::Ready => {
                    self.is_ready = true;
                    return Ok(true);
                }
                FromServer::Refused => return Ok(false),
                _ => {}
            }
        }
    }

    /// What the endpoint answers; `None` where the protocol has no question.
    async fn inquire(&mut self, id: u64) -> Result<Option<Outcome>, Reason> {
        // What the endpoint said in the meantime answers nothing.
        while self.decode()?.is_some() {}
        if !self.codec.health_check(id, &mut self.output) {
            self.flush().await?;
            return Ok(None);
        }
        loop {
            let (event, message, answered) = self.next().await?;
            // An answer of ours to something that the endpoint asked is not one to us.
            let is_answer = match event {
                FromServer::Response(_) => true,
                FromServer::Answered => !answered,
                _ => false,
            };
            if is_answer {
                let memo = Memo::default();
                let answer = Frame {
                    bytes: &message,
                    whole: true,
                    memo: &memo,
                };
                return Ok(Some(self.codec.outcome(answer)));
            }
        }
    }

    /// The next message, and whether the codec answered it itself.
    async fn next(&mut self) -> Result<(FromServer, Vec<u8>, bool), Reason> {
        loop {
            self.flush().await?;
            if let Some(next) = self.decode()? {
                return Ok(next);
            }
            if self.socket.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        let output = std::mem::take(&mut self.output);
        self.socket.write_all(&output).await
    }

    /// The message at the front of what was read, if it is there.
    fn decode(&mut self) -> Result<Option<(FromServer, Vec<u8>, bool)>, Reason> {
        while !self.input.is_empty() {
            let before = self.output.len();
            let decoded = self.codec.decode(&self.input, &(), &mut self.output);
            match decoded.map_err(|malformed| Reason::Malformed(malformed.reason))? {
                Decoded::Incomplete { .. } => return Ok(None),
                Decoded::Skip { len } => drop(self.input.drain(..len.min(self.input.len()))),
                Decoded::Message(Message { size, event }) => {
                    let length = match size {
                        Size::Known(size) => usize::try_from(size).unwrap_or(usize::MAX),
                        Size::Streamed => usize::MAX,
                    };
                    if length > self.input.len() {
                        return Err(Reason::Malformed("its answer is too large for a check"));
                    }
                    let message = self.input.drain(..length).collect();
                    let answered = self.output.len() > before;
                    if let FromServer::Call(call) = &event {
                        self.codec.refuse(call, &mut self.output);
                    }
                    return Ok(Some((event, message, answered)));
                }
            }
        }
        Ok(None)
    }
}
