//! Manifests in, xDS out.

#[cfg(feature = "kubernetes")]
pub mod admin;
pub mod ads;
#[cfg(feature = "kubernetes")]
mod aside;
#[cfg(feature = "kubernetes")]
pub mod authority;
pub mod check;
mod controller;
pub mod crd;
pub mod debug;
mod diagnostic;
pub mod explain;
#[cfg(test)]
mod fixture;
#[cfg(feature = "kubernetes")]
pub mod fleet;
mod index;
#[cfg(feature = "kubernetes")]
pub mod leader;
mod leads;
mod manifest;
mod model;
mod persistent;
mod places;
pub mod reference;
mod resolution;
mod schema;
#[cfg(feature = "kubernetes")]
pub mod serving;
mod source;
mod standing;
#[cfg(feature = "kubernetes")]
mod status;
mod translate;
#[cfg(feature = "kubernetes")]
mod waypoint;
mod yaml;

#[cfg(feature = "kubernetes")]
pub use controller::{Cluster, ClusterRef, Definitions, KubernetesController, Queue};
pub use controller::{Controller, Event, Update};
pub use diagnostic::{Code, Diagnostic, Place, Position, Related, Severity, SourceFile};
pub use manifest::{Kind, ObjectRef};
pub use schema::{
    AttributeDef, Configured, InvalidProtocol, KeyHash, ProtocolSchema, RefusedSetting, Settings,
    SettingsCheck, values_of,
};
#[cfg(feature = "kubernetes")]
pub use source::kubernetes::Contacts;
#[cfg(feature = "kubernetes")]
pub use status::{About, Replica};
#[cfg(feature = "kubernetes")]
pub use waypoint::WaypointSettings;
/// To take waypoints out, and an installation after them.
#[cfg(feature = "kubernetes")]
pub use waypoint::detach::{Detach, Uninstall, detach};
