//! The protobuf types on Meltemi's configuration wire.
//!
//! Generated code, checked in: `cargo run -p meltemi-proto-codegen` makes it anew from `proto/`.
//! The packages keep their published names; `README.md` lists where each comes from.

mod any;
mod data_source;
mod setting;

pub use prost_types::{Duration, Struct, Value, value};

pub use any::{Any, UnpackError};
pub use packages::{aeraki, envoy, google, meltemi};

#[allow(
    clippy::all,
    clippy::too_many_lines,
    clippy::use_self,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]
mod packages {
    include!("gen/packages.rs");
}

/// The key of Meltemi's entries in `typed_filter_metadata`, and the name of its network filter.
pub const EXTENSION_NAME: &str = "meltemi";

/// The name of the one resource of type [`meltemi::config::v1::Self_`].
pub const SELF_RESOURCE: &str = "self";
