//! Aeraki's kinds for Redis, with Aeraki's names and meanings.

mod auth;
mod destination;
mod service;

pub(crate) use auth::{Auth, SecretReference};
pub(crate) use destination::{Mode, REDIS_DESTINATION, RedisDestination, Seed};
pub(crate) use service::{Buffering, Fault, REDIS_SERVICE, RedisRoute, RedisService};

pub(super) use destination::decode as decode_destination;
pub(super) use service::decode as decode_service;
