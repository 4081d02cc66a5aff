//! Why a value could not be read.

/// A body that does not hold the value that was asked for. Positions count from the start of the
/// slice that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The bytes end inside a value.
    #[error("the bytes end inside a value, at byte {at}")]
    Truncated { at: usize },
    /// The value is of another type, or the tag means nothing.
    #[error("tag {tag:#04x} at byte {at} is not {expected}")]
    Unexpected {
        tag: u8,
        at: usize,
        expected: &'static str,
    },
    /// A byte inside a string begins no character.
    #[error("byte {at} begins no character of a string")]
    BadString { at: usize },
    /// A length is negative, or a length prefix disagrees with the value behind it.
    #[error("the length at byte {at} cannot be right")]
    BadLength { at: usize },
    /// Values nest deeper than [`MAX_DEPTH`](crate::hessian2::MAX_DEPTH).
    #[error("values nest deeper than {}", crate::hessian2::MAX_DEPTH)]
    TooDeep,
    /// An object names a class that no definition before it describes.
    #[error("no class definition {index} stands before the object")]
    UnknownClass { index: u32 },
    /// More class definitions than any real message has.
    #[error("more than {} class definitions", crate::hessian2::MAX_CLASSES)]
    TooManyClasses,
}
