//! Subscriptions.

use std::collections::{HashSet, VecDeque};

use meltemi_codec::{Answers, FromClient, Pin};

use super::{
    Client,
    asked::{Asked, Draft},
    class::Channels,
    texts,
};
use crate::{
    memo::{Kind, Tag},
    resp::{Reply, write},
};

/// What a client is subscribed to.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    plain: HashSet<Box<[u8]>>,
    patterns: HashSet<Box<[u8]>>,
    shard: HashSet<Box<[u8]>>,
    /// Subscriptions that are not answered, oldest first.
    pending: VecDeque<Pending>,
    /// Whether a connection is held though the server has refused all of them.
    held: bool,
}

#[derive(Debug)]
struct Pending {
    kind: Channels,
    /// Channels that were none before.
    new: Vec<Box<[u8]>>,
    /// Confirmations that are due.
    left: u32,
}

impl Subscriptions {
    pub(super) fn any(&self) -> bool {
        self.held || self.listens()
    }

    pub(super) fn listens(&self) -> bool {
        !(self.plain.is_empty() && self.patterns.is_empty() && self.shard.is_empty())
    }

    fn add(&mut self, kind: Channels, channels: &[&[u8]]) {
        let set = self.of(kind);
        let mut new = Vec::new();
        for channel in channels {
            if set.insert((*channel).into()) {
                new.push((*channel).into());
            }
        }
        let left = u32::try_from(channels.len()).unwrap_or(u32::MAX);
        self.pending.push_back(Pending { kind, new, left });
    }

    /// The oldest subscription was answered. An error refuses all its channels: they must not be
    /// counted when the client leaves all.
    pub(super) fn answered(&mut self, error: bool) {
        let Some(oldest) = self.pending.front_mut() else {
            return;
        };
        oldest.left = oldest.left.saturating_sub(1);
        if !error && oldest.left > 0 {
            return;
        }
        let Some(oldest) = self.pending.pop_front().filter(|_| error) else {
            return;
        };
        let set = self.of(oldest.kind);
        for channel in &oldest.new {
            set.remove(channel);
        }
        self.held |= !self.listens();
    }

    fn of(&mut self, kind: Channels) -> &mut HashSet<Box<[u8]>> {
        match kind {
            Channels::Plain => &mut self.plain,
            Channels::Pattern => &mut self.patterns,
            Channels::Shard => &mut self.shard,
        }
    }

    /// A message that nobody asked for: a server takes shard channels back when their slot moves.
    pub(super) fn pushed(&mut self, message: &[u8]) {
        if self.shard.is_empty() {
            return;
        }
        let (Some(Reply::Push(mut fields)) | Some(Reply::Array(mut fields))) =
            Reply::parse(message)
        else {
            return;
        };
        let kind = fields.reply();
        if kind.as_ref().and_then(Reply::text) == Some(b"sunsubscribe")
            && let Some(channel) = fields.reply().as_ref().and_then(Reply::text)
        {
            self.shard.remove(channel);
        }
    }
}

fn kinds(kind: Channels) -> (Kind, Kind) {
    match kind {
        Channels::Plain => (Kind::Subscribe, Kind::Unsubscribe),
        Channels::Pattern => (Kind::Psubscribe, Kind::Punsubscribe),
        Channels::Shard => (Kind::Ssubscribe, Kind::Sunsubscribe),
    }
}

/// Each channel has a confirmation of its own; but an error answers them all, which a count cannot
/// say.
fn confirmations(draft: &mut Draft, count: usize) {
    draft.tag.count = u32::try_from(count).unwrap_or(u32::MAX);
    draft.request.answers = match count {
        1 => Answers::One,
        _ => Answers::UntilEnd,
    };
}

impl Client {
    pub(super) fn subscribe(&mut self, kind: Channels, asked: &Asked<'_>) -> FromClient {
        let mut draft = Draft::new(Tag::of(kinds(kind).0));
        confirmations(&mut draft, asked.arguments.len() - 1);
        if !self.state.pinned() {
            self.place(asked, &mut draft);
        }
        draft.request.session.clone_from(&self.state.session);
        if !asked.whole {
            // Which channels these are is not known, nor when the last one is left.
            self.keep(&mut draft);
            return FromClient::Request(draft.finish());
        }
        self.pins(&mut draft);
        let channels: Vec<&[u8]> = (1..asked.arguments.len())
            .filter_map(|n| asked.argument(n))
            .collect();
        self.state.channels.add(kind, &channels);
        if !self.state.own {
            draft.request.pin = Pin::UntilRelease;
        }
        FromClient::Request(draft.finish())
    }

    pub(super) fn unsubscribe(&mut self, kind: Channels, asked: &Asked<'_>) -> FromClient {
        let named = asked.arguments.len() - 1;
        let pinned = self.state.pinned();
        let listened = self.state.channels.any();
        self.state.channels.held = false;
        let set = self.state.channels.of(kind);
        let count = match named {
            0 => set.len().max(1),
            named => named,
        };
        match named {
            0 => set.clear(),
            _ => (1..=named)
                .filter_map(|n| asked.argument(n))
                .for_each(|channel| {
                    set.remove(channel);
                }),
        }
        let mut draft = Draft::new(Tag::of(kinds(kind).1));
        confirmations(&mut draft, count);
        draft.request.session.clone_from(&self.state.session);
        if !pinned {
            self.place(asked, &mut draft);
        } else if listened && !self.state.pinned() {
            draft.request.pin = Pin::Release;
        }
        FromClient::Request(draft.finish())
    }

    /// A command of a RESP2 client that is subscribed: the server allows few, and says so itself.
    pub(super) fn within_subscription(
        &mut self,
        asked: &Asked<'_>,
        out: &mut Vec<u8>,
    ) -> FromClient {
        use super::class::Class;
        match asked.class {
            _ if !asked.takes() => self.ordinary(asked),
            Class::Subscribe(kind) => self.subscribe(kind, asked),
            Class::Unsubscribe(kind) => self.unsubscribe(kind, asked),
            Class::Reset => self.reset_server(),
            Class::Auth | Class::Hello if self.settings.asked.is_some() => {
                // It may hold the proxy's password, which is not the server's to see.
                let name = asked.name().to_ascii_lowercase();
                let context = b"': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
                                are allowed in this context";
                let error = [b"ERR Can't execute '", name.as_slice(), context].concat();
                write::error(&error, out);
                FromClient::Answered
            }
            // The server refuses these too. But it may know better what the client is subscribed to,
            // and then they must not reach it: nothing would be counted right any more.
            Class::ClientReply | Class::Monitor | Class::Replication => {
                let name = asked.command.map_or("", |command| command.name);
                write::error(texts::subscribed(name).as_bytes(), out);
                FromClient::Answered
            }
            Class::Auth
            | Class::Select
            | Class::Hello
            | Class::Own
            | Class::ClientSetname
            | Class::Readonly
            | Class::Readwrite
            | Class::Replconf => self.own(asked),
            _ => self.ordinary(asked),
        }
    }
}
