//! Manifests in, xDS out.

pub mod ads;
pub mod check;
mod controller;
pub mod crd;
mod diagnostic;
pub mod explain;
#[cfg(test)]
mod fixture;
mod index;
mod manifest;
mod model;
pub mod reference;
mod resolution;
mod schema;
mod source;
mod translate;
mod yaml;

#[cfg(feature = "kubernetes")]
pub use controller::KubernetesController;
pub use controller::{Controller, Event, Update};
pub use diagnostic::{Code, Diagnostic, Place, Position, Related, Severity, SourceFile};
pub use manifest::{Kind, ObjectRef};
pub use schema::{
    AttributeDef, Configured, KeyHash, ProtocolSchema, RefusedSetting, Settings, SettingsCheck,
};
#[cfg(feature = "kubernetes")]
pub use source::kubernetes::Contacts;
