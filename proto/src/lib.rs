//! The protobuf types on Meltemi's configuration wire.
//!
//! Generated code, checked in: `cargo run -p meltemi-proto-codegen` makes it anew from `proto/`.
//! The packages keep their published names; `README.md` lists where each comes from.

mod any;
mod data_source;

pub use prost_types::{Duration, ListValue, Struct, Value, value};

pub use any::{Any, UnpackError};
pub use packages::{aeraki, envoy, google, istio, meltemi};

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

/// What a proxy says of itself in the metadata of its node, beside what Istio's agents say.
pub mod node_metadata {
    /// The Gateways whose servers it opens: a list of `namespace/name`. Without it, it gets whatever there is.
    pub const GATEWAYS: &str = "GATEWAYS";
    /// Its pod, as Istio's agents name it.
    pub const POD_NAME: &str = "NAME";
    pub const POD_NAMESPACE: &str = "NAMESPACE";
    /// The labels of its workload, likewise.
    pub const LABELS: &str = "LABELS";
    /// How far its control plane had read when it was last heard, as that wrote it in `control_plane.identifier`.
    pub const READ: &str = "READ";
    /// What its clients have spoken lately that is not their service's protocol: words with commas between, by the name
    /// of the service's resource. Whenever it is another, the node is sent again.
    pub const MISMATCHES: &str = "MISMATCHES";
}

/// The name of the one resource of type [`meltemi::config::v1::Self_`].
pub const SELF_RESOURCE: &str = "self";

/// The descriptors of all messages, an encoded `FileDescriptorSet`: what shows them as JSON reads it.
pub const DESCRIPTORS: &[u8] = include_bytes!("gen/descriptors.bin");
