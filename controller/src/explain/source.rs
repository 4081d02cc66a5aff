//! Where a request comes from, as far as it was said.

use std::borrow::Cow;
use std::net::IpAddr;

use meltemi_policy::Attribute as Asked;

use super::Query;

#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) address: Option<IpAddr>,
    principal: Option<&'a str>,
}

impl<'a> Source<'a> {
    pub(super) fn of(query: &'a Query) -> Self {
        Self {
            address: query.source.map(|address| address.to_canonical()),
            principal: query.principal.as_deref(),
        }
    }

    /// What a condition looks at; of a message `attribute` says it.
    pub(super) fn value<'m>(
        &self,
        asked: &Asked,
        attribute: impl FnOnce(&str) -> Option<&'m [u8]>,
    ) -> Option<Cow<'m, [u8]>> {
        match asked {
            Asked::Message(name) => attribute(name).map(Cow::Borrowed),
            Asked::SourceAddress => Some(Cow::Owned(self.address?.to_string().into_bytes())),
            Asked::SourcePrincipal => {
                let identity = meltemi_tls::identity(self.principal?);
                Some(Cow::Owned(identity.into_bytes()))
            }
        }
    }
}
