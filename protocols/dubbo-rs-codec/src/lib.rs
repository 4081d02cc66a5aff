#![doc = include_str!("../README.md")]
#![warn(clippy::indexing_slicing)]

pub mod attachments;
pub mod descriptor;
pub mod encode;
mod error;
mod format;
pub mod header;
pub mod hessian2;
pub mod jsonb;
pub mod reply;
pub mod request;
pub mod response;
mod text;

pub use attachments::{Attachment, AttachmentValue, Attachments, Edit, SpliceError, splice};
pub use error::ReadError;
pub use format::BodyFormat;
pub use header::{BadMagic, Frame, HEADER_LEN, Header, Kind, SerializationId, Status, patch_id};
pub use request::{Request, RequestError, RequestLayout, Timeouts};
pub use response::{CallResult, Response, ResponseError, ResultKind};
pub use text::Text;
