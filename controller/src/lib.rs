//! Manifests in, xDS out.

pub mod ads;
mod diagnostic;
mod index;
mod manifest;
mod source;
mod yaml;

pub use diagnostic::{Code, Diagnostic, Place, Position, Related, Severity, SourceFile};
pub use manifest::{Kind, ObjectRef};
