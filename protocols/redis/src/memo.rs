//! What a request's memo says.

use meltemi_codec::Memo;

/// What has to be known of a request where it is forwarded and answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) kind: Kind,
    flags: u32,
    /// How many answers to other words come before its own.
    pub(crate) before: u32,
    /// How many answers it has, where that is not one.
    pub(crate) count: u32,
    /// The index of its first key among the arguments; 0 where it has none.
    pub(crate) key: u32,
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// What a request is to the two legs.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($(#[$meta])* $name,)*
        }

        impl Kind {
            const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

kinds! {
    /// Nothing out of the ordinary.
    #[default]
    Plain,
    /// Its answers are confirmations with these words.
    Subscribe,
    Unsubscribe,
    Psubscribe,
    Punsubscribe,
    Ssubscribe,
    Sunsubscribe,
    /// Its answers do not end.
    Monitor,
    /// Its answers are no RESP.
    Replication,
    /// `MULTI` on a connection that was pinned before.
    Multi,
    /// `HELLO` on a connection of the client's own.
    Hello2,
    Hello3,
    /// `RESET`, after which the connection is made what it was opened as.
    Restore,
    /// `RESET`, after which the connection is made what a new client's is.
    Renew,
    /// An `EXEC` of a transaction that the proxy knows to be broken: whatever the server says, the
    /// client hears that it was aborted.
    Abort,
    /// A `DISCARD` of a transaction that the server refused to begin.
    Drop,
}

/// The client asked not to hear the answer (`CLIENT REPLY`).
pub(crate) const SILENT: u32 = 1;
/// It may block its connection.
pub(crate) const BLOCKING: u32 = 1 << 1;
/// It is queued by a transaction.
pub(crate) const QUEUED: u32 = 1 << 2;
/// The memo's data are words that precede it.
pub(crate) const AFTER: u32 = 1 << 3;
/// The memo's data are what the server is sent instead.
pub(crate) const INSTEAD: u32 = 1 << 4;
/// The memo's data are the key that decides where it goes.
pub(crate) const KEYED: u32 = 1 << 5;
/// There are keys that only a server can find (`COMMAND GETKEYS`).
pub(crate) const LEARNED: u32 = 1 << 6;
/// The client reads from replicas (`READONLY`).
pub(crate) const REPLICAS: u32 = 1 << 7;
/// It subscribes when its transaction is executed.
pub(crate) const LISTENS: u32 = 1 << 9;
/// The client had no connection of its own before this request.
pub(crate) const PINS: u32 = 1 << 8;

/// Whether a request is nothing out of the ordinary: its one answer goes to its client as it is.
#[inline]
pub(crate) fn is_plain(memo: &Memo) -> bool {
    let [first, before, ..] = memo.words;
    first == 0 && before == 0
}

impl From<Tag> for Memo {
    fn from(tag: Tag) -> Self {
        tag.pack(None)
    }
}

impl Kind {
    /// Whether its answers confirm a subscription, or its end.
    pub(crate) fn confirms(self) -> bool {
        matches!(
            self,
            Self::Subscribe
                | Self::Unsubscribe
                | Self::Psubscribe
                | Self::Punsubscribe
                | Self::Ssubscribe
                | Self::Sunsubscribe
        )
    }
}

impl Tag {
    pub(crate) fn of(kind: Kind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    pub(crate) fn has(self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn set(&mut self, flag: u32) {
        self.flags |= flag;
    }

    #[inline]
    pub(crate) fn pack(self, data: Option<Box<[u8]>>) -> Memo {
        Memo {
            words: [
                self.kind as u32 | self.flags << 8,
                self.before,
                self.count,
                self.key,
            ],
            data,
        }
    }

    pub(crate) fn unpack(memo: &Memo) -> Self {
        let [first, before, count, key] = memo.words;
        let kind = usize::try_from(first & 0xff).unwrap_or(usize::MAX);
        Self {
            kind: Kind::ALL.get(kind).copied().unwrap_or_default(),
            flags: first >> 8,
            before,
            count,
            key,
        }
    }
}
