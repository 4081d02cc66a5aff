//! The codec of a client's connection.

mod asked;
mod attribute;
mod blocking;
mod channels;
mod class;
mod edit;
mod front;
mod local;
mod login;
mod ordinary;
mod plain;
mod state;
mod texts;
mod transaction;
mod unknown;

use std::{borrow::Cow, sync::Arc};

use meltemi_codec::{
    AttributeKey, Body, Constraint, Decoded, Downstream, Edit, EditRefused, EndOfFile, Frame,
    FromClient, Limits, LocalReply, Malformed, Memo,
};

use self::{
    asked::Asked,
    class::Class,
    plain::Plain,
    state::{Replies, State, Stream},
    unknown::Known,
};
use crate::{
    lessons::Lessons,
    memo::{self, Kind, Tag},
    resp::{Arguments, ProtocolError, RequestScan, Scanned, inline, reply, write},
    settings::Settings,
};

pub(crate) use attribute::SCHEMA;

/// Reads what a client sends, and answers it as a server would.
#[derive(Debug)]
pub(crate) struct Client {
    limits: Limits,
    settings: Arc<Settings>,
    lessons: Arc<Lessons>,
    scan: RequestScan,
    state: State,
    /// What the server was asked about the request at hand.
    question: Option<Question>,
    /// What it said; `None` where it said nothing.
    answer: Option<Box<[u8]>>,
    /// What was learned of the command at hand.
    known: Known,
    /// The command of the last request that went the plain way, which is often that of the next.
    last: Option<Plain>,
}

/// What a codec asks a server of its own accord.
#[derive(Clone, Debug)]
enum Question {
    /// Whether a connection can be so.
    Session(Box<state::Login>),
    /// Whether a transaction may begin.
    Multi,
    /// `COMMAND INFO`.
    Info,
    /// `COMMAND GETKEYS`.
    Keys,
}

/// What a request comes to.
enum Turn {
    Event(FromClient),
    Close(&'static str),
}

impl Client {
    pub(crate) fn new(limits: Limits, settings: Arc<Settings>, lessons: Arc<Lessons>) -> Self {
        let locked = settings.asked.is_some();
        Self {
            limits,
            scan: RequestScan::new(limits.frame, locked),
            state: State::new(!locked),
            settings,
            lessons,
            question: None,
            answer: None,
            known: Known::No,
            last: None,
        }
    }

    /// What is done with a request, its answer written to `out` where it ends here.
    fn turn(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> Turn {
        if asked.class == Class::Attack {
            return Turn::Close("a request of HTTP");
        }
        let start = out.len();
        let event = match self.question.take() {
            Some(question) => self.resolve(question, asked, out),
            None => self.dispatch(asked, out),
        };
        if matches!(event, FromClient::Ask(_)) {
            return Turn::Event(event);
        }
        self.known = Known::No;
        Turn::Event(self.heard(event, asked.class, (out, start)))
    }

    /// The event as the client wants to hear of it.
    fn heard(
        &mut self,
        mut event: FromClient,
        class: Class,
        (out, start): (&mut Vec<u8>, usize),
    ) -> FromClient {
        // It has its own way, and is what the next one is measured by.
        if class == Class::ClientReply && event == FromClient::Answered {
            return event;
        }
        if !self.state.replies.take_silent() {
            return event;
        }
        out.truncate(start);
        if let FromClient::Request(request) | FromClient::Refused { request, .. } = &mut event {
            let mut tag = Tag::unpack(&request.memo);
            tag.set(memo::SILENT);
            request.memo = tag.pack(request.memo.data.take());
        }
        event
    }

    fn resolve(&mut self, question: Question, asked: &Asked<'_>, out: &mut Vec<u8>) -> FromClient {
        let answer = self.answer.take();
        match question {
            Question::Session(login) => self.logged_in(*login, answer.as_deref(), out),
            Question::Multi => {
                self.began(answer.as_deref());
                self.dispatch(asked, out)
            }
            Question::Info => {
                self.known = self.informed(asked, answer.as_deref());
                self.dispatch(asked, out)
            }
            Question::Keys => {
                self.known = unknown::located(answer.as_deref());
                self.dispatch(asked, out)
            }
        }
    }

    fn dispatch(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> FromClient {
        if let Some(event) = self.locked_out(asked, out) {
            return event;
        }
        if self.state.stream != Stream::None {
            return self.within_stream(asked, out);
        }
        if let Some(event) = self.within_transaction(asked, out) {
            return event;
        }
        if self.state.restricted() && asked.class != Class::Quit {
            return self.within_subscription(asked, out);
        }
        match asked.class {
            Class::Quit => self.quit(out),
            _ if !asked.takes() => self.ordinary(asked),
            Class::Plain | Class::Attack => self.ordinary(asked),
            Class::Unknown => self.unknown(asked),
            Class::Ping => self.ping(asked, out),
            Class::Auth | Class::Hello | Class::Select | Class::Reset => self.login(asked, out),
            Class::Multi => self.multi(out),
            Class::Exec | Class::Discard => self.ordinary(asked),
            Class::Watch => self.watch(asked),
            Class::Unwatch => self.unwatch(asked),
            Class::Subscribe(kind) => self.subscribe(kind, asked),
            Class::Unsubscribe(kind) => self.unsubscribe(kind, asked),
            Class::Blocking => self.blocking(asked),
            Class::Own => self.own(asked),
            Class::Monitor | Class::Replication | Class::Replconf => self.stream(asked),
            Class::Asking | Class::Readonly | Class::Readwrite | Class::Shutdown => {
                self.node(asked, out)
            }
            Class::ClientReply
            | Class::ClientSetname
            | Class::ClientGetname
            | Class::ClientSetinfo => self.client_command(asked, out),
        }
    }
}

fn malformed(error: ProtocolError, out: &mut Vec<u8>) -> Malformed {
    write::error(format!("ERR Protocol error: {error}").as_bytes(), out);
    Malformed {
        reason: error.reason(),
    }
}

impl Downstream for Client {
    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        if let Some(request) = self.plain(input) {
            return Ok(request);
        }
        let front = self.front(input).map_err(|error| malformed(error, out))?;
        let Some(front) = front else {
            return Ok(self.incomplete(input));
        };
        if self.scan.too_large() {
            let (event, start) = (self.refused(), out.len());
            let event = self.heard(event, Class::Plain, (out, start));
            return Ok(self.message(event));
        }
        let whole = self.scan.is_whole();
        let array;
        let bytes = match front.first() {
            Some(b'*') => front,
            // A line is never so long that its head would have to do.
            _ if !whole => return Ok(self.incomplete(input)),
            _ => {
                array =
                    inline::to_array(front).ok_or_else(|| malformed(ProtocolError::Quotes, out))?;
                &array
            }
        };
        let arguments = Arguments::new(bytes);
        let asked = match arguments {
            None if whole => {
                self.rescan();
                return Ok(Decoded::Skip { len: front.len() });
            }
            None => None,
            Some(arguments) => Asked::new(bytes, arguments, whole),
        };
        let need = input.len() + 1;
        let Some(asked) = asked else {
            if whole || need > self.most() {
                let reason = "a command name that is larger than what is looked at";
                return Err(Malformed { reason });
            }
            return Ok(Decoded::Incomplete { need });
        };
        if !whole && need <= self.most() {
            if self.wants_whole(&asked) {
                return Ok(self.incomplete(input));
            }
            if Self::wants_more(&asked) {
                return Ok(Decoded::Incomplete { need });
            }
        }
        match self.turn(&asked, out) {
            Turn::Event(event) => Ok(self.message(event)),
            Turn::Close(reason) => Err(Malformed { reason }),
        }
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        let scanned = self.scan.feed(input).map_err(|error| Malformed {
            reason: error.reason(),
        })?;
        Ok(match scanned {
            Scanned::More => Body::More(input.len()),
            Scanned::End(n) => {
                self.rescan();
                Body::End(n)
            }
        })
    }

    fn attribute<'a>(&self, request: Frame<'a>, key: &AttributeKey) -> Option<Cow<'a, [u8]>> {
        match key {
            AttributeKey::Known(index) => self.named(request, usize::from(*index)),
            AttributeKey::Other(_) => None,
        }
    }

    fn edit(
        &self,
        request: Frame<'_>,
        edits: &[Edit],
        out: &mut Vec<u8>,
    ) -> Result<(), EditRefused> {
        edit::edit(request, edits, &self.lessons, out)
    }

    fn constraint(&self, request: Frame<'_>) -> Option<Constraint> {
        self.shard_of(request)
    }

    fn respond(&mut self, _id: u64, response: Frame<'_>, out: &mut Vec<u8>) {
        if memo::is_plain(response.memo) {
            return out.extend_from_slice(response.bytes);
        }
        let tag = Tag::unpack(response.memo);
        let error = reply::error(response.bytes).is_some();
        self.state.answered(tag, error);
        // Confirmations of subscriptions are pushes to a server: `CLIENT REPLY OFF` does not stop them.
        let pushed = tag.kind.confirms() && !error;
        if tag.has(memo::SILENT) && !pushed {
            return;
        }
        match tag.kind {
            Kind::Abort => write::error(texts::ABORTED, out),
            Kind::Drop => write::simple("OK", out),
            _ => out.extend_from_slice(response.bytes),
        }
    }

    fn local_reply(
        &mut self,
        _id: u64,
        memo: &Memo,
        reply: LocalReply<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        let tag = Tag::unpack(memo);
        self.state.answered(tag, true);
        if tag.has(memo::QUEUED) {
            self.state.not_queued(reply.status);
        }
        if tag.has(memo::PINS) {
            self.state.not_pinned();
        }
        if !tag.has(memo::SILENT) {
            texts::write_local(reply.message, out);
        }
        Some(0)
    }

    fn learn(&mut self, answer: Option<Frame<'_>>) {
        self.answer = answer
            .filter(|answer| answer.whole)
            .map(|answer| answer.bytes.into());
    }

    fn push(&mut self, message: &[u8], out: &mut Vec<u8>) {
        self.state.channels.pushed(message);
        out.extend_from_slice(message);
    }

    fn end_of_file(&self) -> EndOfFile {
        // A popped element would have no reader.
        let listens = self.state.blocked > 0
            || self.state.channels.any()
            || self.state.stream != Stream::None;
        match listens {
            true => EndOfFile::Abandon,
            false => EndOfFile::Finish,
        }
    }
}

impl Replies {
    /// Whether the answer to the request at hand is not wanted.
    fn take_silent(&mut self) -> bool {
        match self {
            Self::On => false,
            Self::Off => true,
            Self::Skip => {
                *self = Self::On;
                true
            }
        }
    }
}
