//! `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH`.
//!
//! A transaction belongs to the server of its keys, which is not known before its first key: until
//! then its commands are kept here, and answered as the server will answer them.

use std::mem;

use meltemi_codec::{FromClient, OwnRequest, Pin, Request, Role, Status};

use super::{
    Client, Question,
    asked::{Asked, Draft},
    class::Class,
    state::Transaction,
    texts,
};
use crate::{
    command::{Command, Flags, RequestPolicy},
    memo::{self, Kind, Tag},
    resp::{reply, write},
};

impl Client {
    pub(super) fn multi(&mut self, out: &mut Vec<u8>) -> FromClient {
        let empty = (Vec::new(), 0);
        if self.state.pinned() {
            let (kept, count) = empty;
            self.state.transaction = Transaction::Begun { kept, count };
            let mut draft = Draft::new(Tag::of(Kind::Multi));
            draft.request.session.clone_from(&self.state.session);
            draft.request.pin = self.standing();
            return FromClient::Request(draft.finish());
        }
        let (kept, count) = empty;
        self.state.transaction = Transaction::Open { kept, count };
        write::simple("OK", out);
        FromClient::Answered
    }

    /// The server's answer to [`Question::Multi`].
    pub(super) fn began(&mut self, answer: Option<&[u8]>) {
        let Transaction::Open { kept, count } = mem::take(&mut self.state.transaction) else {
            return;
        };
        self.state.transaction = match answer {
            Some(answer) => match reply::error(answer) {
                None => Transaction::Begun { kept, count },
                Some(error) => Transaction::Refused(error.into()),
            },
            None => Transaction::Refused(texts::NO_ANSWER.into()),
        };
    }

    /// `None` where no transaction changes what the command means.
    pub(super) fn within_transaction(
        &mut self,
        asked: &Asked<'_>,
        out: &mut Vec<u8>,
    ) -> Option<FromClient> {
        if matches!(asked.class, Class::Reset | Class::Quit) {
            return None;
        }
        match &self.state.transaction {
            Transaction::None => None,
            Transaction::Open { .. } => Some(self.open(asked, out)),
            Transaction::Begun { .. } => Some(self.begun(asked)),
            Transaction::Refused(error) => {
                let ends = asked.takes() && matches!(asked.class, Class::Exec | Class::Discard);
                if ends {
                    return Some(self.end(asked.class));
                }
                write::error(error, out);
                Some(FromClient::Answered)
            }
        }
    }

    /// While the server does not know of it.
    fn open(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> FromClient {
        if asked.class == Class::Discard && asked.takes() {
            self.state.transaction = Transaction::None;
            self.state.poisoned = false;
            write::simple("OK", out);
            return FromClient::Answered;
        }
        if is_kept(asked)
            && let Transaction::Open { kept, count } = &mut self.state.transaction
            && kept.len() + asked.bytes.len() <= self.limits.whole.max(asked.bytes.len())
        {
            kept.extend_from_slice(asked.bytes);
            *count += 1;
            write::simple("QUEUED", out);
            return FromClient::Answered;
        }
        if asked.class == Class::Unknown
            && let Some(question) = self.inquire(asked)
        {
            return question;
        }
        let mut draft = Draft::new(Tag::default());
        if let Some(key) = self.first_key(asked) {
            draft.request.constraint = self.shard(key, Role::Primary);
            draft.keyed(key);
        }
        draft.request.session.clone_from(&self.state.session);
        draft.request.pin = Pin::UntilRelease;
        let mut bytes = Vec::new();
        write::command(&[b"MULTI"], &mut bytes);
        self.question = Some(Question::Multi);
        FromClient::Ask(Box::new(OwnRequest {
            request: draft.finish(),
            bytes: bytes.into_boxed_slice(),
        }))
    }

    /// When the server knows of it.
    fn begun(&mut self, asked: &Asked<'_>) -> FromClient {
        match asked.class {
            Class::Exec | Class::Discard if asked.takes() => self.end(asked.class),
            Class::ClientReply => refused(texts::REPLY_QUEUED),
            // Its password is the proxy's, and not the server's to see.
            Class::Auth | Class::Hello if self.settings.asked.is_some() => {
                refused(texts::LOGIN_QUEUED)
            }
            // They change the connection when the transaction is executed.
            Class::Auth
            | Class::Hello
            | Class::Select
            | Class::Subscribe(_)
            | Class::Unsubscribe(_)
            | Class::Own
            | Class::Monitor
            | Class::Replication
            | Class::Replconf
            | Class::Asking
            | Class::Readonly
            | Class::Readwrite
            | Class::ClientSetname
            | Class::ClientGetname
            | Class::ClientSetinfo => {
                let mut draft = self.queued(asked);
                self.keep(&mut draft);
                if matches!(asked.class, Class::Subscribe(_) | Class::Unsubscribe(_)) {
                    draft.tag.set(memo::LISTENS);
                }
                FromClient::Request(draft.finish())
            }
            _ => FromClient::Request(self.queued(asked).finish()),
        }
    }

    fn queued(&mut self, asked: &Asked<'_>) -> Draft {
        let mut draft = self.draft(asked);
        draft.request.pin = self.standing();
        draft.tag.set(memo::QUEUED);
        if let Transaction::Begun { kept, count } = &mut self.state.transaction {
            draft.precede(&mem::take(kept), mem::take(count));
        }
        draft
    }

    /// The pin of what needs the connection of what came before: it stands, or stood.
    fn standing(&self) -> Pin {
        match self.state.own {
            true => Pin::None,
            false => Pin::UntilRelease,
        }
    }

    fn end(&mut self, class: Class) -> FromClient {
        let transaction = mem::take(&mut self.state.transaction);
        let broken =
            mem::take(&mut self.state.poisoned) || matches!(transaction, Transaction::Refused(_));
        self.state.watching = false;
        let mut draft = Draft::new(Tag::default());
        draft.request.session.clone_from(&self.state.session);
        if broken {
            draft.tag.kind = match class {
                Class::Exec => Kind::Abort,
                _ => Kind::Drop,
            };
            draft.replace(&[b"DISCARD"]);
        } else if let Transaction::Begun { kept, count } = transaction {
            draft.precede(&kept, count);
        }
        if !self.state.pinned() {
            draft.request.pin = Pin::Release;
        }
        FromClient::Request(draft.finish())
    }

    pub(super) fn watch(&mut self, asked: &Asked<'_>) -> FromClient {
        let mut draft = self.draft(asked);
        draft.request.pin = self.standing();
        self.pins(&mut draft);
        self.state.watching = true;
        FromClient::Request(draft.finish())
    }

    pub(super) fn unwatch(&mut self, asked: &Asked<'_>) -> FromClient {
        let mut draft = self.draft(asked);
        if mem::take(&mut self.state.watching) && !self.state.pinned() {
            draft.request.pin = Pin::Release;
        }
        FromClient::Request(draft.finish())
    }
}

/// Whether a command may be answered `+QUEUED` before its server is known: no server would find
/// anything wrong with it, it is for any, and it is none that a policy would be about. The core
/// sees nothing of it: what changes anything for anybody goes there by itself.
fn is_kept(asked: &Asked<'_>) -> bool {
    let plain = |command: &Command| {
        let no = [
            Flags::WRITE,
            Flags::ADMIN,
            Flags::PUBSUB,
            Flags::NOSCRIPT,
            Flags::NO_MULTI,
        ];
        command.keys.is_empty()
            && command.request == RequestPolicy::Default
            && command.subcommands.is_empty()
            && !no.into_iter().any(|flag| command.flags.contains(flag))
    };
    let harmless = matches!(asked.class, Class::Plain | Class::Ping);
    harmless && asked.whole && asked.takes() && asked.command.is_some_and(plain)
}

fn refused(message: &'static str) -> FromClient {
    let mut tag = Tag::default();
    tag.set(memo::QUEUED);
    FromClient::Refused {
        request: Request::unary(0, tag.pack(None)),
        status: Status::Unsupported,
        message,
    }
}
