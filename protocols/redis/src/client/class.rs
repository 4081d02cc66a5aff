//! What a command is to a proxy.

use crate::command::{Command, Flags};

/// Commands that are not simply sent where their keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Sent where its keys are.
    Plain,
    /// Not in the table.
    Unknown,
    Ping,
    Auth,
    Hello,
    Select,
    Reset,
    Quit,
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    /// `SUBSCRIBE`, `PSUBSCRIBE`, `SSUBSCRIBE`.
    Subscribe(Channels),
    /// `UNSUBSCRIBE`, `PUNSUBSCRIBE`, `SUNSUBSCRIBE`.
    Unsubscribe(Channels),
    /// It may keep its connection waiting.
    Blocking,
    /// It reads or leaves state on its connection.
    Own,
    Monitor,
    Replication,
    Replconf,
    Asking,
    Readonly,
    Readwrite,
    ClientReply,
    ClientSetname,
    ClientGetname,
    ClientSetinfo,
    Shutdown,
    /// What a browser says when it is made to speak to a Redis.
    Attack,
}

/// Kinds of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    Plain,
    Pattern,
    Shard,
}

impl Class {
    pub(super) fn of(name: &[u8], sub: Option<&[u8]>, command: Option<&Command>) -> Self {
        let Some(command) = command else {
            return Self::not_in_table(name);
        };
        let has = |flag| command.flags.contains(flag);
        if (has(Flags::READONLY) || has(Flags::WRITE))
            && !has(Flags::BLOCKING)
            && !has(Flags::PUBSUB)
        {
            return Self::Plain;
        }
        let class = Self::named(command.name);
        match class {
            Self::Plain if command.name == "client" => Self::client(sub),
            // It may answer with a push, which only a connection of one client delivers.
            Self::Plain if command.name == "debug" && is(sub, b"protocol") => Self::Own,
            Self::Plain if has(Flags::BLOCKING) => Self::Blocking,
            class => class,
        }
    }

    fn named(name: &str) -> Self {
        match name {
            "ping" => Self::Ping,
            "auth" => Self::Auth,
            "hello" => Self::Hello,
            "select" => Self::Select,
            "reset" => Self::Reset,
            "quit" => Self::Quit,
            "multi" => Self::Multi,
            "exec" => Self::Exec,
            "discard" => Self::Discard,
            "watch" => Self::Watch,
            "unwatch" => Self::Unwatch,
            "subscribe" => Self::Subscribe(Channels::Plain),
            "psubscribe" => Self::Subscribe(Channels::Pattern),
            "ssubscribe" => Self::Subscribe(Channels::Shard),
            "unsubscribe" => Self::Unsubscribe(Channels::Plain),
            "punsubscribe" => Self::Unsubscribe(Channels::Pattern),
            "sunsubscribe" => Self::Unsubscribe(Channels::Shard),
            // Without the flag before Redis 7.2.
            "wait" | "waitaof" => Self::Blocking,
            "monitor" => Self::Monitor,
            "sync" | "psync" => Self::Replication,
            "replconf" => Self::Replconf,
            "asking" => Self::Asking,
            "readonly" => Self::Readonly,
            "readwrite" => Self::Readwrite,
            "shutdown" => Self::Shutdown,
            "client|reply" => Self::ClientReply,
            "client|setname" => Self::ClientSetname,
            "client|getname" => Self::ClientGetname,
            "client|id"
            | "client|info"
            | "client|tracking"
            | "client|trackinginfo"
            | "client|caching"
            | "client|getredir"
            | "client|no-evict"
            | "client|kill"
            | "script|debug" => Self::Own,
            _ => Self::Plain,
        }
    }

    /// Subcommands of `CLIENT` that are younger than the table.
    fn client(sub: Option<&[u8]>) -> Self {
        match () {
            () if is(sub, b"setinfo") => Self::ClientSetinfo,
            () if is(sub, b"no-touch") || is(sub, b"capa") => Self::Own,
            () => Self::Plain,
        }
    }

    fn not_in_table(name: &[u8]) -> Self {
        let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
        match () {
            () if is(b"waitaof") => Self::Blocking,
            // `securityWarningCommand` of Redis' server.c.
            () if is(b"host:") || is(b"post") => Self::Attack,
            () => Self::Unknown,
        }
    }
}

fn is(word: Option<&[u8]>, name: &[u8]) -> bool {
    word.is_some_and(|word| word.eq_ignore_ascii_case(name))
}
