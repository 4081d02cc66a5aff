//! The commands of Redis: who may send them where, and which of their arguments are keys.
//!
//! The table is generated from the `COMMAND` reply of a real server (`tests/command_table.rs`), so
//! that it says what servers say. A command that it does not know ([`find`] is `None`: a module's,
//! a newer server's) is asked for with `COMMAND INFO`, which makes a [`Learned`].

mod find;
mod flags;
mod keys;
mod learned;
mod policy;
#[rustfmt::skip]
mod table;

pub use find::find;
pub use flags::Flags;
pub use keys::{Access, Begin, Find, KeySpec, Keys, keys};
pub use learned::Learned;
pub use policy::{RequestPolicy, ResponsePolicy};

/// A command or subcommand, as `COMMAND` describes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// In lower case; of a subcommand `container|subcommand`, as Redis writes it.
    pub name: &'static str,
    /// How many arguments it takes, its name (and a subcommand's container) included; negative: at
    /// least that many.
    pub arity: i16,
    /// What it does and where it may run.
    pub flags: Flags,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// Which nodes of a cluster it is for.
    pub request: RequestPolicy,
    /// How the answers of several nodes become one.
    pub response: ResponsePolicy,
    /// What a container contains, sorted by name.
    pub subcommands: &'static [Self],
}

impl Command {
    /// Whether this is its name, in whatever case.
    pub(crate) fn is_named(&self, name: &[u8]) -> bool {
        let own = self.name.as_bytes();
        let mut letters = own.iter().zip(name);
        own.len() == name.len() && letters.all(|(own, name)| *own == name.to_ascii_lowercase())
    }

    /// Which argument is the key of a command that is about one key, simply reads or changes it, and
    /// is simply sent to where it is.
    pub(crate) fn only_key(&self) -> Option<usize> {
        let [spec] = self.keys else {
            return None;
        };
        let has = |flag| self.flags.contains(flag);
        let is_about_data = has(Flags::READONLY) || has(Flags::WRITE);
        let out_of_the_ordinary = Flags::BLOCKING.or(Flags::PUBSUB).or(Flags::MOVABLEKEYS);
        let is_ordinary = is_about_data && !self.flags.intersects(out_of_the_ordinary);
        let takes = is_ordinary && self.subcommands.is_empty() && !spec.not_key;
        spec.only().filter(|_| takes)
    }

    /// Whether a request of `argc` arguments has as many as the command takes.
    #[must_use]
    pub fn takes(&self, argc: usize) -> bool {
        takes(self.arity, argc)
    }

    /// Whether it only reads, so that a replica may be asked and a repetition does no harm.
    #[must_use]
    pub fn is_readonly(&self) -> bool {
        self.flags.contains(Flags::READONLY)
    }
}

/// All commands, sorted by name.
#[must_use]
pub fn all() -> &'static [Command] {
    table::COMMANDS
}

fn takes(arity: i16, argc: usize) -> bool {
    let wanted = usize::from(arity.unsigned_abs());
    if arity < 0 {
        argc >= wanted
    } else {
        argc == wanted
    }
}
