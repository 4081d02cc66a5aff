//! Why a request is not sent to any shard. Each text begins with its error code, as replies do.

use meltemi_codec::{Plan, Status};

/// Redis' own words for keys of a command that has to be executed in one place.
pub const CROSSSLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";
/// Redis' own words for a slot that no node owns.
pub const UNOWNED: &str = "CLUSTERDOWN Hash slot not served";
/// Only the head of the request is at hand, and the keys in its rest are not known.
pub const TOO_LARGE: &str = "ERR proxy: the request is too large to be divided among shards";
/// Redis' own words for a cursor that no answer contained.
pub const CURSOR: &str = "ERR invalid cursor";

pub(super) fn refuse(message: &'static str) -> Plan {
    let status = match message {
        UNOWNED => Status::NoHealthyUpstream,
        TOO_LARGE => Status::TooLarge,
        CURSOR => Status::Malformed,
        _ => Status::Unsupported,
    };
    Plan::Refuse { status, message }
}
