//! The rules, one function each.

mod alike;
mod bounds;
mod deadlines;
mod edits;
mod framing;
mod garbage;
mod handshake;
mod health;
mod ids;
mod link;
mod pins;
mod questions;
mod replies;
mod scatter;
mod subject;

pub(super) use alike::alike_as_said;
pub use alike::alike_requests_are_alike;
pub use bounds::{large_messages_pass_by_their_head, too_large_is_refused_at_its_head};
pub use deadlines::deadlines_are_passed_on;
pub use edits::edits_round_trip;
pub(super) use framing::seen;
pub use framing::{
    attributes_are_found, byte_by_byte_gives_the_same, every_split_gives_the_same,
    samples_are_messages, sniffing_knows_its_own, truncation_asks_for_more,
};
pub use garbage::garbage_makes_progress;
pub use handshake::handshakes_end;
pub use health::health_checks_are_understood;
pub use ids::{calls_round_trip, ids_round_trip};
pub use link::{drain_is_understood, heartbeats_are_answered};
pub use pins::pins_end;
pub use questions::questions_consume_nothing;
pub use replies::{local_replies_are_read_back, one_way_is_never_answered};
pub use scatter::scattered_requests_come_together;
pub(super) use subject::Subject;

/// What a rule asks for, in words for who breaks it.
pub(super) fn statement(rule: &str) -> &'static str {
    match rule {
        "allocations" => "no more allocations for a small message than the plugin allows",
        "attributes_are_found" => "each attribute that the sample is said to know, with its value",
        "byte_by_byte_gives_the_same" | "every_split_gives_the_same" => {
            "what the codec sees of the same bytes when they arrive in one piece"
        }
        "calls_round_trip" => {
            "a request of the server's is the same request under another id, and its answer too"
        }
        "deadlines_are_passed_on" => {
            "the same request, with the time that is left of its deadline, or a refusal"
        }
        "drain_is_understood" => "a client is told to go in words that a client understands",
        "edits_round_trip" => {
            "an edit changes what it names and not a byte besides, or is refused and writes nothing"
        }
        "fuzz_downstream" | "fuzz_upstream" | "garbage_makes_progress" => {
            "progress without panic, and the same however the network cuts the bytes"
        }
        "handshakes_end" => "a new connection says what it has to say, and becomes ready once",
        "health_checks_are_understood" => {
            "a question that a server can answer, and an answer of one that is well"
        }
        "heartbeats_are_answered" => "the other codec answers it, and nobody else hears of it",
        "ids_round_trip" => "the same message under the id that it was given",
        "large_messages_pass_by_their_head" => {
            "of a large message's head the same as of all of it, and not a byte lost"
        }
        "local_replies_are_read_back" => {
            "an answer to this very request which is not a success, read by the plugin's own codec"
        }
        "one_way_is_never_answered" => {
            "`Answers::None` for what is recorded as one-way, and for nothing else"
        }
        "pins_end" => "a pinned connection is free again some time, and serves a client until then",
        "questions_consume_nothing" => {
            "a question takes no byte, is a request itself, and is not asked for ever"
        }
        "alike_requests_are_alike" => {
            "no attribute that differs from the request's before, where the codec says so"
        }
        "samples_are_messages" => "one message: all of the sample's bytes, no more and no less",
        "scattered_requests_come_together" => {
            "a shard for each key, parts that are whole requests, and one answer of their answers"
        }
        "sniffing_knows_its_own" => "`Sniff::Yes`, or `Sniff::Need` of more bytes than there are",
        "too_large_is_refused_at_its_head" => {
            "a message of one byte more than `Limits::frame` is refused by its head, others are not"
        }
        "truncation_asks_for_more" => "`Decoded::Incomplete`: the message is not all there",
        _ => "what the contract says",
    }
}
