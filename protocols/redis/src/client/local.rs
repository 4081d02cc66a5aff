//! Commands about the client's own connection.

use meltemi_codec::{Answers, FromClient, Pin, Request, Status};

use super::{
    Client,
    asked::{Asked, Draft},
    class::Class,
    state::{Replies, Stream},
    texts,
};
use crate::{
    memo::{self, Kind, Tag},
    resp::write,
    server::BEAT,
    settings::Mode,
};

impl Client {
    /// A `PING` of another proxy's is about the connection to this one; a client's is about the
    /// server.
    pub(super) fn ping(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> FromClient {
        if asked.argument(1) != Some(BEAT) {
            return self.ordinary(asked);
        }
        write::bulk(BEAT, out);
        FromClient::Answered
    }

    /// On a connection that is the client's until it leaves.
    pub(super) fn own(&mut self, asked: &Asked<'_>) -> FromClient {
        let mut draft = self.draft(asked);
        self.keep(&mut draft);
        FromClient::Request(draft.finish())
    }

    /// Makes the request's connection the client's own, with its name.
    pub(super) fn keep(&mut self, draft: &mut Draft) {
        draft.request.pin = Pin::UntilClose;
        if !self.state.own {
            self.pins(draft);
            self.state.own = true;
            self.state.unnamed = self.state.name.is_some();
        }
        self.introduce(draft);
    }

    /// Tells a server that does not know it yet the client's name; but not within a transaction,
    /// whose answer would have one more element.
    pub(super) fn introduce(&mut self, draft: &mut Draft) {
        if !self.state.unnamed || self.state.begun() {
            return;
        }
        self.state.unnamed = false;
        if let Some(name) = &self.state.name {
            let mut words = Vec::new();
            write::command(&[b"CLIENT", b"SETNAME", name], &mut words);
            draft.precede(&words, 1);
        }
    }

    /// Remembers of a request whether it is the first to need a connection of the client's own: where
    /// the server never has it, there is none.
    pub(super) fn pins(&self, draft: &mut Draft) {
        if !self.state.pinned() {
            draft.tag.set(memo::PINS);
        }
    }

    /// `MONITOR`, `SYNC`, `PSYNC`, `REPLCONF`.
    pub(super) fn stream(&mut self, asked: &Asked<'_>) -> FromClient {
        let mut draft = self.draft(asked);
        self.keep(&mut draft);
        match asked.class {
            Class::Monitor => {
                self.state.stream = Stream::Monitor;
                self.state.streams = false;
                draft.tag.kind = Kind::Monitor;
                draft.request.answers = Answers::UntilEnd;
                draft.request.waits = true;
            }
            Class::Replication => {
                self.state.stream = Stream::Replication;
                self.state.streams = false;
                draft.tag.kind = Kind::Replication;
                draft.request.answers = Answers::UntilEnd;
                draft.request.waits = true;
            }
            // `REPLCONF ACK` and `GETACK` have none.
            _ => {
                let quiet = asked.argument(1).is_some_and(|word| {
                    word.eq_ignore_ascii_case(b"ACK") || word.eq_ignore_ascii_case(b"GETACK")
                });
                if quiet {
                    draft.request.answers = Answers::None;
                }
            }
        }
        FromClient::Request(draft.finish())
    }

    /// Whatever the server sends now is the stream's, answers to other commands too.
    pub(super) fn within_stream(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> FromClient {
        if asked.class == Class::Quit && self.state.stream == Stream::Monitor {
            return self.quit(out);
        }
        let mut draft = Draft::new(Tag::default());
        draft.request.session.clone_from(&self.state.session);
        if asked.class == Class::Reset && self.state.stream == Stream::Monitor {
            draft.tag.kind = Kind::Renew;
            self.state.reset(self.settings.asked.is_none());
        }
        if self.settings.asked.is_some() && matches!(asked.class, Class::Auth | Class::Hello) {
            // Its password is the proxy's, and not the server's to see.
            draft.replace(&[b"PING"]);
        }
        match self.state.streams || draft.tag.kind == Kind::Renew {
            true => draft.request.answers = Answers::None,
            // If the server refuses the stream, it answers this; if not, nobody will.
            false => draft.request.waits = true,
        }
        FromClient::Request(draft.finish())
    }

    /// Commands about the node that a client believes to speak to. A server that is no node calls
    /// them errors itself.
    pub(super) fn node(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> FromClient {
        match asked.class {
            Class::Asking | Class::Readonly | Class::Readwrite
                if self.settings.mode == Mode::Proxy || self.state.own =>
            {
                return self.ordinary(asked);
            }
            Class::Readonly => self.state.reads_replicas = true,
            Class::Readwrite => self.state.reads_replicas = false,
            Class::Shutdown => {
                return FromClient::Refused {
                    request: Request::unary(0, Tag::default().pack(None)),
                    status: Status::Unsupported,
                    message: texts::SHUTDOWN,
                };
            }
            // The proxy sends it where it is needed.
            _ => {}
        }
        write::simple("OK", out);
        FromClient::Answered
    }

    pub(super) fn client_command(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> FromClient {
        match asked.class {
            Class::ClientReply => self.replies(asked.argument(2).unwrap_or_default(), out),
            Class::ClientSetname => match asked.argument(2) {
                Some(name) if is_name(name) => {
                    self.state.name = (!name.is_empty()).then(|| name.into());
                    return self.kept_here(asked, |out| write::simple("OK", out), out);
                }
                _ => write::error(texts::NAME, out),
            },
            Class::ClientGetname => {
                let (name, resp3) = (self.state.name.clone(), self.state.who.resp3);
                let answer = |out: &mut Vec<u8>| match name {
                    Some(name) => write::bulk(&name, out),
                    None if resp3 => out.extend_from_slice(b"_\r\n"),
                    None => out.extend_from_slice(b"$-1\r\n"),
                };
                return self.kept_here(asked, answer, out);
            }
            _ => return self.set_info(asked, out),
        }
        FromClient::Answered
    }

    /// Answered here, unless the client has a connection of its own.
    fn kept_here(
        &mut self,
        asked: &Asked<'_>,
        answer: impl FnOnce(&mut Vec<u8>),
        out: &mut Vec<u8>,
    ) -> FromClient {
        if self.state.own {
            return self.ordinary(asked);
        }
        answer(out);
        FromClient::Answered
    }

    /// `CLIENT SETINFO` came with Redis 7.2.
    fn set_info(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> FromClient {
        let (Some(attribute), Some(value), 4) =
            (asked.argument(2), asked.argument(3), asked.arguments.len())
        else {
            return self.ordinary(asked);
        };
        let is = |word: &[u8]| attribute.eq_ignore_ascii_case(word);
        if self.state.own {
            return self.ordinary(asked);
        }
        if !(is(b"lib-name") || is(b"lib-ver")) {
            let error = [b"ERR Unrecognized option '", attribute, b"'"].concat();
            write::error(&error, out);
        } else if !is_name(value) {
            let attribute = attribute.to_ascii_lowercase();
            let text = b" cannot contain spaces, newlines or special characters.";
            write::error(&[b"ERR ", attribute.as_slice(), text].concat(), out);
        } else {
            write::simple("OK", out);
        }
        FromClient::Answered
    }

    /// `CLIENT REPLY ON|OFF|SKIP`.
    fn replies(&mut self, mode: &[u8], out: &mut Vec<u8>) {
        let is = |word: &[u8]| mode.eq_ignore_ascii_case(word);
        let before = self.state.replies;
        self.state.replies = match () {
            () if is(b"ON") => {
                write::simple("OK", out);
                Replies::On
            }
            () if is(b"OFF") => Replies::Off,
            () if is(b"SKIP") && before != Replies::Off => Replies::Skip,
            () if is(b"SKIP") => before,
            () => {
                if before == Replies::On {
                    write::error(texts::SYNTAX, out);
                }
                match before {
                    Replies::Off => Replies::Off,
                    _ => Replies::On,
                }
            }
        };
    }
}

/// What Redis takes for a client's name.
pub(super) fn is_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}
