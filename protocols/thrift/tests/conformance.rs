//! The kit's rules over exchanges recorded between real peers, and over what no recording holds:
//! for each transport and protocol, with answers in order and by number.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/golden.rs"]
mod golden;
#[path = "support/messages.rs"]
mod messages;
#[path = "support/samples.rs"]
mod samples;

use std::sync::Arc;

use meltemi_codec::{AttributeDef, Downstream, Limits, Opening, Protocol, Sniff, Traits, Upstream};

/// A protocol that settings made.
struct Configured(Arc<dyn Protocol>);

impl Configured {
    fn new(settings: &[(&str, &str)]) -> Self {
        Self(meltemi_thrift::protocol().configure(settings).unwrap())
    }
}

impl Protocol for Configured {
    fn id(&self) -> &'static str {
        self.0.id()
    }

    fn traits(&self) -> Traits {
        self.0.traits()
    }

    fn attributes(&self) -> &'static [AttributeDef] {
        self.0.attributes()
    }

    fn open_attributes(&self) -> bool {
        self.0.open_attributes()
    }

    fn sniff(&self, head: &[u8]) -> Sniff {
        self.0.sniff(head)
    }

    fn downstream(&self, limits: Limits) -> Box<dyn Downstream> {
        self.0.downstream(limits)
    }

    fn upstream(&self, limits: Limits, opening: &Opening<'_>) -> Box<dyn Upstream> {
        self.0.upstream(limits, opening)
    }
}

/// Transport and protocol are found out, as they are by default.
macro_rules! found_out {
    ($($name:ident: $transport:literal, $protocol:literal;)*) => {
        $(
            mod $name {
                use crate::{messages::speech, samples};

                meltemi_codec::conformance!(
                    meltemi_thrift::protocol(),
                    samples::corpus(speech($transport, $protocol))
                );
            }
        )*
    };
}

/// Settings name transport and protocol, and answers come by number.
macro_rules! by_id {
    ($($name:ident: $transport:literal, $protocol:literal;)*) => {
        $(
            mod $name {
                use crate::{Configured, samples};

                meltemi_codec::conformance!(
                    Configured::new(&[
                        ("transport", $transport),
                        ("protocol", $protocol),
                        ("correlation", "id"),
                    ]),
                    samples::numbered($transport, $protocol)
                );
            }
        )*
    };
}

found_out! {
    framed_binary: "framed", "binary";
    framed_lax: "framed", "lax";
    framed_compact: "framed", "compact";
    framed_json: "framed", "json";
    buffered_binary: "buffered", "binary";
    buffered_lax: "buffered", "lax";
    buffered_compact: "buffered", "compact";
    header_binary: "header", "binary";
    header_compact: "header", "compact";
    header_json: "header", "json";
    ttheader_binary: "ttheader", "binary";
    ttheader_compact: "ttheader", "compact";
}

by_id! {
    framed_binary_by_id: "framed", "binary";
    framed_compact_by_id: "framed", "compact";
    framed_json_by_id: "framed", "json";
    buffered_compact_by_id: "buffered", "compact";
    header_binary_by_id: "header", "binary";
    header_compact_by_id: "header", "compact";
    ttheader_binary_by_id: "ttheader", "binary";
    ttheader_compact_by_id: "ttheader", "compact";
}
