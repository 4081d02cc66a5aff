//! A protocol whose plugin has mistakes: it panics at the first byte of a client, or hangs at that byte.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use meltemi_codec::kit::sample::ById;
use meltemi_codec::{
    AttributeDef, AttributeKey, Decoded, Downstream, Frame, FromClient, Limits, LocalReply,
    Malformed, Memo, Opening, Protocol, Sniff, Traits, Upstream,
};

/// A client whose first byte it is keeps the worker for as long as this is locked.
pub(super) static HANGS: Mutex<()> = Mutex::new(());
pub(super) const HANGING: &[u8] = b"h";

pub(super) struct Fragile;

impl Protocol for Fragile {
    fn id(&self) -> &'static str {
        "fragile"
    }

    fn traits(&self) -> Traits {
        ById.traits()
    }

    fn attributes(&self) -> &'static [AttributeDef] {
        &[]
    }

    fn sniff(&self, _head: &[u8]) -> Sniff {
        Sniff::No
    }

    fn downstream(&self, _limits: Limits) -> Box<dyn Downstream> {
        Box::new(Mistaken)
    }

    fn upstream(&self, limits: Limits, opening: &Opening<'_>) -> Box<dyn Upstream> {
        ById.upstream(limits, opening)
    }
}

struct Mistaken;

impl Downstream for Mistaken {
    fn decode(
        &mut self,
        input: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        if input == HANGING {
            drop(HANGS.lock().unwrap_or_else(PoisonError::into_inner));
            return Err(Malformed { reason: "it hung" });
        }
        panic!("the plugin's mistake");
    }

    fn attribute<'a>(&self, _request: Frame<'a>, _key: &AttributeKey) -> Option<Cow<'a, [u8]>> {
        None
    }

    fn respond(&mut self, _id: u64, _response: Frame<'_>, _out: &mut Vec<u8>) {}

    fn local_reply(
        &mut self,
        _id: u64,
        _memo: &Memo,
        _reply: LocalReply<'_>,
        _out: &mut Vec<u8>,
    ) -> Option<u32> {
        None
    }
}
