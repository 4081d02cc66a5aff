//! The commands that there are.

/// Commands that are written and answered alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// `get k…`
    Get,
    /// `gat exptime k…`
    GetAndTouch,
    /// `set k flags exptime bytes`
    Store,
    /// `cas k flags exptime bytes unique`
    CompareAndStore,
    /// `delete k`
    Delete,
    /// `incr k delta`
    Count,
    /// `touch k exptime`
    Touch,
    /// `flush_all [delay]`
    FlushAll,
    /// `stats [what]`
    Stats,
    /// `version`
    Version,
    /// `mg k flags…`
    MetaGet,
    /// `ms k bytes flags…`
    MetaStore,
    /// `md k flags…`
    MetaDelete,
    /// `ma k flags…`
    MetaCount,
    /// `me k`
    MetaDebug,
    /// `mn`
    NoOp,
    /// `quit`
    Quit,
    /// Commands for the operator of one server, or that change what the connection is.
    Operator,
}

const TABLE: &[(&[u8], Class)] = &[
    (b"get", Class::Get),
    (b"set", Class::Store),
    (b"mg", Class::MetaGet),
    (b"ms", Class::MetaStore),
    (b"md", Class::MetaDelete),
    (b"ma", Class::MetaCount),
    (b"mn", Class::NoOp),
    (b"gets", Class::Get),
    (b"gat", Class::GetAndTouch),
    (b"gats", Class::GetAndTouch),
    (b"add", Class::Store),
    (b"replace", Class::Store),
    (b"append", Class::Store),
    (b"prepend", Class::Store),
    (b"cas", Class::CompareAndStore),
    (b"delete", Class::Delete),
    (b"incr", Class::Count),
    (b"decr", Class::Count),
    (b"touch", Class::Touch),
    (b"flush_all", Class::FlushAll),
    (b"stats", Class::Stats),
    (b"version", Class::Version),
    (b"me", Class::MetaDebug),
    (b"quit", Class::Quit),
    (b"verbosity", Class::Operator),
    (b"cache_memlimit", Class::Operator),
    (b"extstore", Class::Operator),
    (b"lru", Class::Operator),
    (b"lru_crawler", Class::Operator),
    (b"refresh_certs", Class::Operator),
    (b"shutdown", Class::Operator),
    (b"slabs", Class::Operator),
    (b"watch", Class::Operator),
];

/// The command of this name.
pub(super) fn find(name: &[u8]) -> Option<Class> {
    TABLE
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, class)| *class)
}

/// Whether a command's name begins so.
pub(super) fn begins(start: &[u8]) -> bool {
    TABLE.iter().any(|(known, _)| known.starts_with(start))
}

impl Class {
    /// Whether it is one of the meta commands, which have flags.
    pub(super) fn is_meta(self) -> bool {
        matches!(
            self,
            Self::MetaGet | Self::MetaStore | Self::MetaDelete | Self::MetaCount | Self::MetaDebug
        )
    }

    /// Whether doing it again does no harm.
    pub(crate) fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Version | Self::Stats)
    }
}
