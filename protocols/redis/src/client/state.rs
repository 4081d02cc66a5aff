//! What a server would remember of this client.

use meltemi_codec::{Session, Status};

use super::{channels::Subscriptions, texts};
use crate::{
    memo::{self, Kind, Tag},
    session::Who,
};

/// The state of a client's connection.
#[derive(Debug)]
pub(super) struct State {
    pub(super) who: Who,
    /// `who`, for the core.
    pub(super) session: Option<Session>,
    /// Whether it may send commands.
    pub(super) authenticated: bool,
    /// The user that it authenticated as, here or at the server.
    pub(super) user: Option<Box<[u8]>>,
    /// `CLIENT SETNAME`.
    pub(super) name: Option<Box<[u8]>>,
    pub(super) replies: Replies,
    pub(super) transaction: Transaction,
    /// A command of the transaction was not queued, and the server does not know.
    pub(super) poisoned: bool,
    pub(super) watching: bool,
    pub(super) channels: Subscriptions,
    /// Whether a connection to a server is this client's until it leaves.
    pub(super) own: bool,
    /// Whether that connection is still to be told the client's name.
    pub(super) unnamed: bool,
    pub(super) stream: Stream,
    /// Whether the server has agreed to the stream.
    pub(super) streams: bool,
    /// `READONLY`: it reads from replicas.
    pub(super) reads_replicas: bool,
    /// Blocking commands that are unanswered.
    pub(super) blocked: u32,
    /// How often it has begun anew.
    pub(super) resets: u32,
}

/// `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Replies {
    #[default]
    On,
    Off,
    /// But for the next command.
    Skip,
}

/// Where a transaction stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Transaction {
    #[default]
    None,
    /// The client began it, the server does not know: no key has said yet which server.
    Open {
        /// The commands so far.
        kept: Vec<u8>,
        /// How many.
        count: u32,
    },
    /// The server knows. What was kept goes there with the next command.
    Begun {
        /// Commands that the server does not know yet.
        kept: Vec<u8>,
        /// How many.
        count: u32,
    },
    /// The server refused, with this error.
    Refused(Box<[u8]>),
}

/// A connection that no longer has answers to requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stream {
    #[default]
    None,
    Monitor,
    Replication,
}

/// What a client becomes if the server agrees.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) who: Who,
    /// Who it says to be, where it does.
    pub(super) user: Option<Box<[u8]>>,
    /// `HELLO … SETNAME`.
    pub(super) name: Option<Box<[u8]>>,
}

impl State {
    pub(super) fn new(authenticated: bool) -> Self {
        Self {
            who: Who::default(),
            session: None,
            authenticated,
            user: None,
            name: None,
            replies: Replies::On,
            transaction: Transaction::None,
            poisoned: false,
            watching: false,
            channels: Subscriptions::default(),
            own: false,
            unnamed: false,
            stream: Stream::None,
            streams: false,
            reads_replicas: false,
            blocked: 0,
            resets: 0,
        }
    }

    /// Whether the server has begun a transaction of this client's.
    pub(super) fn begun(&self) -> bool {
        matches!(
            self.transaction,
            Transaction::Begun { .. } | Transaction::Refused(_)
        )
    }

    /// Whether a connection to a server is this client's for now.
    pub(super) fn pinned(&self) -> bool {
        self.own || self.watching || self.begun() || self.channels.any()
    }

    /// Whether nothing but subscriptions pins it, and its commands may go elsewhere: a RESP3 client
    /// may send any between the pushes.
    pub(super) fn aside(&self) -> bool {
        let else_pinned = self.own || self.watching || self.begun();
        self.who.resp3 && self.channels.any() && !else_pinned
    }

    /// Whether it is subscribed and speaks RESP2: the server refuses all other commands.
    pub(super) fn restricted(&self) -> bool {
        !self.who.resp3 && self.channels.listens()
    }

    /// Becomes what a server has agreed to.
    pub(super) fn adopt(&mut self, login: Login) {
        self.session = login.who.session();
        self.who = login.who;
        self.user = login.user.or(self.user.take());
        self.name = login.name.or(self.name.take());
        self.authenticated = true;
    }

    /// What `RESET` does. A connection that is the client's own stays so.
    pub(super) fn reset(&mut self, authenticated: bool) {
        let (own, blocked) = (self.own, self.blocked);
        let resets = self.resets.wrapping_add(1);
        // `CLIENT REPLY SKIP` silences the answer to `RESET` too, `OFF` does not.
        let skips = self.replies == Replies::Skip;
        *self = Self::new(authenticated);
        self.own = own;
        self.blocked = blocked;
        self.resets = resets;
        if skips {
            self.replies = Replies::Skip;
        }
    }

    /// A command of a transaction was answered by the proxy, so that the server does not have it.
    pub(super) fn not_queued(&mut self, status: Status) {
        let lost = matches!(
            status,
            Status::ConnectFailure
                | Status::NoHealthyUpstream
                | Status::UpstreamReset
                | Status::UpstreamMalformed
                | Status::Timeout
        );
        // Without its connection there is no transaction: what would be executed elsewhere, and at
        // once, must not be sent.
        if lost && matches!(self.transaction, Transaction::Begun { .. }) {
            self.transaction = Transaction::Refused(texts::LOST.into());
        }
        self.poisoned = true;
    }

    /// The request that was to pin a connection was answered by the proxy: what it asked for is not.
    pub(super) fn not_pinned(&mut self) {
        self.own = false;
        self.watching = false;
        self.channels = Subscriptions::default();
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, tag: Tag, error: bool) {
        if tag.has(memo::BLOCKING) {
            self.blocked = self.blocked.saturating_sub(1);
        }
        match tag.kind {
            Kind::Multi if error && matches!(self.transaction, Transaction::Begun { .. }) => {
                self.transaction = Transaction::None;
            }
            Kind::Subscribe | Kind::Psubscribe | Kind::Ssubscribe => {
                self.channels.answered(error);
            }
            Kind::Hello2 | Kind::Hello3 if !error && tag.count == self.resets => {
                self.who.resp3 = tag.kind == Kind::Hello3;
            }
            Kind::Monitor | Kind::Replication if error => self.stream = Stream::None,
            Kind::Monitor | Kind::Replication => self.streams = true,
            _ => {}
        }
    }
}
