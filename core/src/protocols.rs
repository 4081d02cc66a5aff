//! The protocols that this process was built with.

use std::{collections::BTreeMap, sync::Arc};

use meltemi_codec::Protocol;

/// Protocols by id. The command names them, in one list; nothing else does.
#[derive(Clone, Default)]
pub struct Protocols(BTreeMap<&'static str, Arc<dyn Protocol>>);

impl Protocols {
    /// The protocols of `list`; the later of two with one id counts.
    #[must_use]
    pub fn new(list: impl IntoIterator<Item = Arc<dyn Protocol>>) -> Self {
        Self(
            list.into_iter()
                .map(|protocol| (protocol.id(), protocol))
                .collect(),
        )
    }

    /// The protocol with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Arc<dyn Protocol>> {
        self.0.get(id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Protocol>> {
        self.0.values()
    }
}
