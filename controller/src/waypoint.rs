//! Waypoints: for each Gateway of the class `meltemi-waypoint` the workload whose proxies stand before services, as the
//! replica that leads makes and keeps it, and what people and istiod read of it in the Gateway.
//!
//! ```text
//! world -> plan (gateway, overrides, objects, status) -> term -> writer -> API server
//!  status::Writer (what proxies have) -^
//! ```
//!
//! Everything but `world`, `parameters` and `writer` is without I/O and clock.

mod class;
pub(crate) mod detach;
mod gateway;
mod led;
mod objects;
mod overrides;
mod parameters;
mod part;
mod plan;
mod settings;
mod status;
mod term;
mod world;
mod writer;

pub use settings::WaypointSettings;
pub(crate) use writer::Keeper;
