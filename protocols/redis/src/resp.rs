//! RESP.

pub mod arguments;
pub mod inline;
pub mod number;
pub mod write;

pub use arguments::Arguments;
