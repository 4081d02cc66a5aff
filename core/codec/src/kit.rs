//! The conformance kit: what every protocol has to do, as tests, and two small protocols that do it.
//!
//! A plugin hands over recorded messages and gets one test for each rule:
//!
//! ```
//! use meltemi_codec::kit::{Corpus, Sample, sample::InOrder};
//!
//! fn corpus() -> Corpus {
//!     Corpus::new()
//!         .request(Sample::new("get", "GET a\n").knows("verb", "GET"))
//!         .request(Sample::new("note", "NOTE a\n").one_way())
//!         .response(Sample::new("got", "+value\n").answers("get"))
//! }
//!
//! meltemi_codec::conformance!(InOrder, corpus());
//! ```
//!
//! A sample is one message as it was on the wire; the samples of a direction, one after the other,
//! are what one connection carried. A rule is a function that returns what is [`Broken`] in words:
//! which sample, where in it, with the bytes around, what was expected and what was found, and
//! which item of this crate says so.
//!
//! Two things need the plugin's own binary: a count of allocations needs its global allocator
//! ([`allocations`]), fuzzing a fuzzer ([`fuzz_downstream`], [`fuzz_upstream`]).

mod allocations;
mod broken;
mod corpus;
mod documentation;
mod excerpt;
mod feed;
mod fuzz;
mod leg;
mod replay;
pub mod rules;
pub mod sample;

use crate::protocol::Protocol;

pub use allocations::allocations;
pub use broken::Broken;
pub use corpus::{Corpus, Sample};
pub use documentation::{attribute_table, documented};
pub use fuzz::{fuzz_downstream, fuzz_upstream};
pub use replay::replay;

/// A rule that every protocol keeps.
pub type Rule = fn(&dyn Protocol, &Corpus) -> Result<(), Broken>;

/// Runs one rule.
///
/// # Panics
/// Where the protocol breaks it; the message says how.
#[track_caller]
pub fn check(rule: Rule, protocol: &dyn Protocol, corpus: &Corpus) {
    if let Err(broken) = rule(protocol, corpus) {
        panic!("protocol `{}`: {broken}", protocol.id());
    }
}

/// One test for each rule of the kit, over the recorded messages of a [`Corpus`](crate::kit::Corpus).
#[macro_export]
macro_rules! conformance {
    ($protocol:expr, $corpus:expr $(,)?) => {
        $crate::conformance!(@each $protocol, $corpus;
            samples_are_messages,
            attributes_are_found,
            alike_requests_are_alike,
            every_split_gives_the_same,
            byte_by_byte_gives_the_same,
            truncation_asks_for_more,
            sniffing_knows_its_own,
            ids_round_trip,
            calls_round_trip,
            edits_round_trip,
            deadlines_are_passed_on,
            local_replies_are_read_back,
            one_way_is_never_answered,
            heartbeats_are_answered,
            health_checks_are_understood,
            drain_is_understood,
            too_large_is_refused_at_its_head,
            large_messages_pass_by_their_head,
            handshakes_end,
            questions_consume_nothing,
            pins_end,
            scattered_requests_come_together,
            garbage_makes_progress,
        );
    };
    (@each $protocol:expr, $corpus:expr; $($rule:ident),* $(,)?) => {
        $(
            #[test]
            fn $rule() {
                $crate::kit::check($crate::kit::rules::$rule, &$protocol, &$corpus);
            }
        )*
    };
}
