//! The flags of `COMMAND`.

use std::ops::BitOr;

/// A set of flags (<https://redis.io/docs/latest/commands/command/#flags>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

macro_rules! flags {
    ($($(#[$meta:meta])* $name:ident = $bit:literal, $wire:literal;)*) => {
        impl Flags {
            $($(#[$meta])* pub const $name: Self = Self(1 << $bit);)*

            /// Each flag with its constant's name and the name that servers give it.
            pub const ALL: &[(Self, &str, &str)] = &[$((Self::$name, stringify!($name), $wire)),*];
        }
    };
}

flags! {
    /// Changes data.
    WRITE = 0, "write";
    /// Reads keys and changes nothing.
    READONLY = 1, "readonly";
    /// Refused by a server that is out of memory.
    DENYOOM = 2, "denyoom";
    /// For operators.
    ADMIN = 3, "admin";
    /// Of the publish and subscribe family.
    PUBSUB = 4, "pubsub";
    /// Not allowed in scripts.
    NOSCRIPT = 5, "noscript";
    /// May block its connection.
    BLOCKING = 6, "blocking";
    /// Allowed while the server loads its data.
    LOADING = 7, "loading";
    /// Allowed on a replica that lost its primary.
    STALE = 8, "stale";
    /// Not shown to `MONITOR`.
    SKIP_MONITOR = 9, "skip_monitor";
    /// Not recorded in the slow log.
    SKIP_SLOWLOG = 10, "skip_slowlog";
    /// Allowed in an importing slot only after `ASKING` (`RESTORE-ASKING`).
    ASKING = 11, "asking";
    /// Constant or logarithmic time.
    FAST = 12, "fast";
    /// Allowed before authentication.
    NO_AUTH = 13, "no_auth";
    /// Its keys cannot be found from first, last and step alone.
    MOVABLEKEYS = 14, "movablekeys";
    /// Not allowed in a transaction.
    NO_MULTI = 15, "no_multi";
    /// Refused while a replica loads a copy in the background.
    NO_ASYNC_LOADING = 16, "no_async_loading";
    /// Allowed while a script blocks the server.
    ALLOW_BUSY = 17, "allow_busy";
    /// May come without any key although it has key arguments.
    NO_MANDATORY_KEYS = 18, "no_mandatory_keys";
}

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Both sets, in constants.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The flag that servers call so, or nothing where only newer servers know it.
    #[must_use]
    pub fn named(name: &[u8]) -> Self {
        Self::ALL
            .iter()
            .find(|(_, _, wire)| wire.as_bytes() == name)
            .map_or(Self::NONE, |(flag, _, _)| *flag)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}
