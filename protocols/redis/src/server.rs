//! The codec of a connection to a server.

mod confirmation;
mod opening;
pub(crate) mod outcome;

use std::{collections::VecDeque, sync::Arc};

use meltemi_codec::{
    At, Body, Decoded, Expected, Frame, FromServer, Limits, Malformed, Message, Open, Opening,
    Outcome, Response, Size, Upstream,
};

use self::{
    confirmation::{
        confirmation, confirmed, first_word, is_message, is_of_nothing, still_subscribed,
    },
    opening::{Words, words},
};
use crate::{
    memo::{self, Kind, Tag},
    resp::{ReplyScan, Scanned, inline, reply, reply_scan, write},
    session::Who,
    settings::Settings,
};

/// What the proxy's own `PING` says, so that another proxy on the way knows it.
pub(crate) const BEAT: &[u8] = b"meltemi-heartbeat";

/// How much of a reply is looked at for what it is, in bytes, where it is too large to be kept as
/// a whole.
const HEAD: usize = 64 * 1024;

/// Sends a server its commands, and reads what it sends, as a client would.
#[derive(Debug)]
pub(crate) struct Server {
    limits: Limits,
    settings: Arc<Settings>,
    who: Who,
    replica: bool,
    scan: ReplyScan,
    /// Of the first words: answers that are due, and whether the last of them may be an error.
    handshake: Words,
    /// Answers to words of the codec's own that come next.
    due: u32,
    /// Requests that `ASKING` was put in front of and that it was not answered for, oldest first.
    asking: VecDeque<u64>,
    /// The words after each `RESET`, by their number.
    restoring: VecDeque<u32>,
    /// The oldest unanswered request, and how many answers it has had.
    progress: Option<(u64, u32)>,
    /// Whether the connection is subscribed to channels or patterns, and to shard channels: the
    /// server counts them apart.
    subscribed: [bool; 2],
    /// Whether a transaction may subscribe: of the confirmations of one command all but the first
    /// come behind the answer to `EXEC`, and count for no command.
    strays: bool,
    /// Whether what comes is a replication stream.
    raw: bool,
}

/// What a message is, before anybody asked whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Reply {
        error: bool,
    },
    /// A push, or what is one in RESP2.
    Push,
    /// It says which subscription begins or ends.
    Confirmation(Kind),
}

impl Server {
    pub(crate) fn new(limits: Limits, settings: Arc<Settings>, opening: &Opening<'_>) -> Self {
        Self {
            limits,
            settings,
            who: Who::of(opening.session),
            replica: opening.replica,
            scan: ReplyScan::new(limits.whole),
            handshake: Words::default(),
            due: 0,
            asking: VecDeque::new(),
            restoring: VecDeque::new(),
            progress: None,
            subscribed: [false; 2],
            strays: false,
            raw: false,
        }
    }

    /// The end of a string that is there as a whole, and can be nothing but the answer to the oldest
    /// request.
    fn plain(&self, input: &[u8]) -> Option<usize> {
        let awaits_others = self.handshake.due > 0 || self.due > 0 || !self.asking.is_empty();
        if self.raw || awaits_others || self.scan.taken() > 0 {
            return None;
        }
        let end = reply_scan::string(input)?;
        (end as u64 <= self.limits.frame).then_some(end)
    }

    /// Reads on; `None` where more is needed.
    fn front<'a>(&mut self, input: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        let taken = usize::try_from(self.scan.taken()).unwrap_or(usize::MAX);
        let scanned = self.scan.feed(input.get(taken..).unwrap_or_default())?;
        self.bounded()?;
        if let Scanned::End(end) = scanned {
            return Ok(input.get(..taken + end));
        }
        let large = self.scan.at_least() > self.limits.whole as u64;
        Ok((large && self.is_judged(input)).then_some(input))
    }

    fn bounded(&self) -> Result<(), Malformed> {
        if self.scan.at_least() <= self.limits.frame {
            return Ok(());
        }
        Err(Malformed {
            reason: "a reply of more bytes than the frame limit",
        })
    }

    /// Whether this head of a reply tells all that has to be known of it.
    fn is_judged(&self, head: &[u8]) -> bool {
        if head.len() >= HEAD {
            return true;
        }
        let Some((kind, start)) = self.scan.top() else {
            return false;
        };
        let rest = usize::try_from(start)
            .ok()
            .and_then(|start| head.get(start..));
        self.scan.headed()
            && match kind {
                b'>' | b'*' => rest.and_then(first_word).is_some(),
                // Its code.
                b'!' => rest
                    .and_then(reply::error)
                    .is_some_and(|text| text.len() > 32),
                _ => true,
            }
    }

    fn said(&self, bytes: &[u8], waits: Option<Tag>) -> Said {
        let (kind, start) = self.scan.top().unwrap_or((b'+', 0));
        let rest = usize::try_from(start)
            .ok()
            .and_then(|start| bytes.get(start..));
        let subscribed = self.subscribed.contains(&true);
        let confirms = waits.is_some_and(|tag| confirmation(tag.kind).is_some());
        match kind {
            b'>' => {
                let word = rest.and_then(first_word);
                match word.and_then(confirmed) {
                    Some(kind) if waits.is_some_and(|tag| tag.kind == kind) => {
                        Said::Confirmation(kind)
                    }
                    _ => Said::Push,
                }
            }
            b'*' if !self.who.resp3 && (subscribed || confirms || self.strays) => {
                let word = rest.and_then(first_word).unwrap_or_default();
                match confirmed(word) {
                    _ if (subscribed || self.strays) && is_message(word) => Said::Push,
                    Some(kind) if self.strays && waits.is_none_or(|tag| tag.kind != kind) => {
                        Said::Push
                    }
                    Some(kind) if waits.is_some_and(|tag| tag.kind == kind) => {
                        Said::Confirmation(kind)
                    }
                    // The server takes a shard channel back whose slot has moved.
                    Some(_) if subscribed => Said::Push,
                    _ => Said::Reply { error: false },
                }
            }
            kind => Said::Reply {
                error: kind == b'-' || kind == b'!',
            },
        }
    }

    /// What a message is to the core.
    fn event(&mut self, bytes: &[u8], expected: &dyn Expected, waits: Option<Tag>) -> FromServer {
        let said = self.said(bytes, waits);
        if said == Said::Push {
            return FromServer::Push;
        }
        if let Said::Confirmation(kind) = said {
            let [others, shard] = &mut self.subscribed;
            match kind {
                Kind::Ssubscribe | Kind::Sunsubscribe => *shard = still_subscribed(bytes),
                _ => *others = still_subscribed(bytes),
            }
        }
        if self.handshake.due > 0 {
            return self.handshake(said);
        }
        if self.due > 0 {
            self.due -= 1;
            return FromServer::Answered;
        }
        let tag = waits.unwrap_or_default();
        if tag.kind == Kind::Plain && tag.before == 0 && self.asking.is_empty() {
            let at = At::InOrder;
            return FromServer::Response(Response { at, last: true });
        }
        let id = expected.id(0);
        if id.is_some() && self.asking.front() == id.as_ref() {
            self.asking.pop_front();
            return FromServer::Answered;
        }
        let had = match self.progress {
            Some((of, had)) if Some(of) == id => had,
            _ => 0,
        };
        self.progress = id.map(|id| (id, had + 1));
        if had < tag.before {
            return FromServer::Answered;
        }
        if said == (Said::Reply { error: false }) {
            match tag.kind {
                Kind::Hello2 => self.who.resp3 = false,
                Kind::Hello3 => self.who.resp3 = true,
                _ => {}
            }
        }
        let last = self.is_last(tag, had - tag.before + 1, (said, bytes));
        if last {
            self.progress = None;
        }
        let at = At::InOrder;
        FromServer::Response(Response { at, last })
    }

    fn handshake(&mut self, said: Said) -> FromServer {
        let last = self.handshake.due == 1;
        let refused = said == Said::Reply { error: true };
        if refused && !(last && self.handshake.lenient) {
            return FromServer::Refused;
        }
        self.handshake.due -= 1;
        match last {
            true => FromServer::Ready,
            false => FromServer::Answered,
        }
    }

    /// Whether the `nth` answer of a request is its last one.
    fn is_last(&mut self, tag: Tag, nth: u32, (said, bytes): (Said, &[u8])) -> bool {
        let error = said == Said::Reply { error: true };
        let reset = bytes == b"+RESET\r\n";
        match tag.kind {
            Kind::Restore | Kind::Renew | Kind::Monitor if reset => {
                self.due += self.restoring.pop_front().unwrap_or(0);
                self.subscribed = [false; 2];
                true
            }
            Kind::Monitor | Kind::Replication => error,
            Kind::Hello2 | Kind::Hello3 if !error => {
                self.who.resp3 = tag.kind == Kind::Hello3;
                true
            }
            kind if confirmation(kind).is_some() => {
                error || nth >= tag.count || is_of_nothing(bytes)
            }
            _ => true,
        }
    }

    fn write(&mut self, request: Frame<'_>, out: &mut Vec<u8>) {
        if memo::is_plain(request.memo) && request.bytes.starts_with(b"*") {
            return out.extend_from_slice(request.bytes);
        }
        let tag = Tag::unpack(request.memo);
        self.strays |= tag.has(memo::LISTENS);
        let data = request.memo.data.as_deref().unwrap_or_default();
        if tag.has(memo::INSTEAD) {
            out.extend_from_slice(data);
            return;
        }
        if tag.has(memo::AFTER) {
            out.extend_from_slice(data);
        }
        // A line is sent as an array: servers look no further in it than to a byte of 0, and then wait
        // for its end while all others wait for them.
        match request.bytes.first() {
            Some(b'*') | None => out.extend_from_slice(request.bytes),
            Some(_) => match inline::to_array(request.bytes) {
                Some(array) => out.extend_from_slice(&array),
                None => out.extend_from_slice(request.bytes),
            },
        }
        let who = match tag.kind {
            Kind::Restore => self.who.clone(),
            Kind::Renew => Who::default(),
            _ => return,
        };
        if tag.kind == Kind::Renew {
            self.who.resp3 = false;
        }
        let words = words(&who, &self.settings, self.replica, out);
        self.restoring.push_back(words.due);
    }
}

impl Upstream for Server {
    fn open(&mut self, out: &mut Vec<u8>) -> Open {
        self.handshake = words(&self.who, &self.settings, self.replica, out);
        match self.handshake.due {
            0 => Open::Ready,
            _ => Open::Await,
        }
    }

    fn forward(&mut self, _id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        self.write(request, out);
    }

    fn forward_once(&mut self, id: u64, request: Frame<'_>, out: &mut Vec<u8>) {
        write::command(&[b"ASKING"], out);
        self.asking.push_back(id);
        self.write(request, out);
    }

    fn decode(
        &mut self,
        input: &[u8],
        expected: &dyn Expected,
        _out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        // What answers `SYNC` is no RESP, but for an error.
        let waits = expected.memo(0);
        if waits.is_none_or(memo::is_plain)
            && let Some(end) = self.plain(input)
        {
            let at = At::InOrder;
            let event = FromServer::Response(Response { at, last: true });
            let size = Size::Known(end as u64);
            return Ok(Decoded::Message(Message { size, event }));
        }
        let waits = waits.map(Tag::unpack);
        let replicates = waits.is_some_and(|tag| tag.kind == Kind::Replication);
        if self.raw || replicates && self.scan.taken() == 0 && input.first() != Some(&b'-') {
            self.raw = true;
            let at = At::InOrder;
            let event = FromServer::Response(Response { at, last: false });
            let size = Size::Known(input.len() as u64);
            return Ok(Decoded::Message(Message { size, event }));
        }
        let Some(front) = self.front(input)? else {
            let at_least = usize::try_from(self.scan.at_least()).unwrap_or(usize::MAX);
            // Of a large one the head will do, as soon as it says what it is.
            let need = match at_least <= self.limits.whole {
                true => at_least,
                false => input.len() + 1,
            };
            return Ok(Decoded::Incomplete { need });
        };
        let event = self.event(front, expected, waits);
        let size = self.scan.size().map_or(Size::Streamed, Size::Known);
        if size != Size::Streamed {
            self.scan.restart();
        }
        Ok(Decoded::Message(Message { size, event }))
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        let scanned = self.scan.feed(input)?;
        self.bounded()?;
        Ok(match scanned {
            Scanned::More => Body::More(input.len()),
            Scanned::End(n) => {
                self.scan.restart();
                Body::End(n)
            }
        })
    }

    fn outcome(&self, response: Frame<'_>) -> Outcome {
        outcome::of(response.bytes, self.settings.follows())
    }

    fn heartbeat(&mut self, _id: u64, out: &mut Vec<u8>) -> bool {
        write::command(&[b"PING", BEAT], out);
        self.due += 1;
        true
    }
}
