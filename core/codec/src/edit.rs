//! Changes to the attributes of a message.

/// One change. Applied by splicing the message's bytes, never by encoding again what the codec
/// does not understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds the attribute, or replaces its value.
    Set {
        /// The attribute's name on the wire.
        name: Box<str>,
        /// Its new value.
        value: Box<str>,
    },
    /// Removes the attribute where it is there.
    Remove {
        /// The attribute's name on the wire.
        name: Box<str>,
    },
    /// Removes these first bytes from each value of the attribute that starts with them (the keys
    /// of a command).
    StripPrefix {
        /// The attribute's name.
        name: Box<str>,
        /// What to remove.
        prefix: Box<str>,
        /// Whether a value may start with it in another case (of ASCII letters).
        ignore_case: bool,
    },
}

/// The message stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditRefused {
    /// This protocol, transport or serialization has no place for attributes.
    #[error("messages of this kind carry no attributes that could be changed")]
    NoPlace,
    /// Only the head of the message was kept, and its attributes come later.
    #[error("the message is too large to be changed")]
    TooLarge,
    /// The name or value of a change cannot be written in this protocol (an end of line, a length
    /// that its field cannot hold).
    #[error("the change cannot be written in this protocol")]
    Unwritable,
    /// The codec could not read the part that would have to change.
    #[error("the message's attributes cannot be read")]
    Unreadable,
}
