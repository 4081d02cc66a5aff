//! The rules, one function each.

mod bounds;
mod edits;
mod framing;
mod garbage;
mod ids;
mod link;
mod replies;
mod subject;

pub use bounds::{large_messages_pass_by_their_head, too_large_is_refused_at_its_head};
pub use edits::edits_round_trip;
pub use framing::{
    attributes_are_found, byte_by_byte_gives_the_same, every_split_gives_the_same,
    samples_are_messages, sniffing_knows_its_own, truncation_asks_for_more,
};
pub use garbage::garbage_makes_progress;
pub use ids::{calls_round_trip, ids_round_trip};
pub use link::{drain_is_understood, heartbeats_are_answered};
pub use replies::{local_replies_are_read_back, one_way_is_never_answered};
pub(super) use subject::Subject;
