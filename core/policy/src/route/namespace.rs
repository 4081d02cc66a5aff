//! Of which namespace a client is: as it has proven, else as its address tells.

use std::fmt;
use std::net::IpAddr;

use super::condition::{Attribute, AttributeMatch, Condition};
use crate::words::one_of;

/// The namespace that a client has proven by its SPIFFE id: what Istio's `source.namespaces` looks at,
/// `.*/ns/NAMESPACE/.*` of the principal (`srcNamespaceGenerator`). None where the id names none.
#[must_use]
pub fn proven_namespace(principal: &str) -> Option<&str> {
    let path = principal.strip_prefix("spiffe://")?;
    let (_, named) = path.split_once("/ns/")?;
    let (namespace, _) = named.split_once('/')?;
    is_namespace(namespace).then_some(namespace)
}

/// What no address is, so that the two cannot be taken for each other.
fn is_namespace(text: &str) -> bool {
    !text.is_empty() && !text.contains(['.', ':', '/'])
}

impl AttributeMatch {
    /// That a client has proven to be of a namespace; or that it has proven none, and comes from one of
    /// these addresses. None where that is no namespace.
    pub fn from_namespace<'a>(
        namespace: &'a str,
        addresses: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        is_namespace(namespace).then(|| {
            let values = std::iter::once(namespace).chain(addresses);
            Self::of_source(Attribute::SourceNamespace, Condition::one_of(values))
        })
    }

    /// The namespace that is asked for, and the addresses beside it.
    #[must_use]
    pub fn namespace(&self) -> Option<(String, Vec<String>)> {
        let values = match &self.condition {
            Condition::Exact(only) => vec![only.value.clone()],
            several => several.values()?,
        };
        let is_of_source = self.attribute == Attribute::SourceNamespace;
        let values = is_of_source.then_some(values)?.into_iter();
        let (mut names, addresses): (Vec<_>, _) = values.partition(|value| is_namespace(value));
        Some((names.pop()?, addresses))
    }

    /// Why a client is not of the namespace that is asked for.
    pub(super) fn tell_namespace(
        &self,
        f: &mut fmt::Formatter<'_>,
        actual: Option<&str>,
    ) -> fmt::Result {
        let (wanted, addresses) = self.namespace().unwrap_or_default();
        match actual {
            None => write!(
                f,
                "the client's namespace is unknown, and should be {wanted}"
            ),
            Some(other) if other.parse::<IpAddr>().is_err() => {
                write!(
                    f,
                    "the client has proven to be of the namespace {other}, not {wanted}"
                )
            }
            Some(address) if addresses.is_empty() => write!(
                f,
                "the client at {address} has not proven to be of the namespace {wanted}"
            ),
            Some(address) => write!(
                f,
                "the client has proven no namespace, and its address is {address}, not {}",
                one_of(&addresses)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_names_a_namespace_as_in_istio() {
        for (principal, namespace) in [
            ("spiffe://cluster.local/ns/shop/sa/front", Some("shop")),
            ("spiffe://td/a/ns/shop/sa/front", Some("shop")),
            ("spiffe://td/ns/shop", None),
            ("spiffe://td/ns//sa/front", None),
            ("spiffe://td/sa/front", None),
            // It would be taken for an address.
            ("spiffe://td/ns/10.0.0.1/sa/front", None),
            ("https://td/ns/shop/sa/front", None),
            ("CN=/ns/shop/", None),
            ("front.shop", None),
        ] {
            assert_eq!(proven_namespace(principal), namespace, "{principal}");
        }
    }

    #[test]
    fn a_namespace_and_addresses_are_told_apart() {
        let addresses = ["10.0.0.1", "fd00::1"];
        let matching = AttributeMatch::from_namespace("shop", addresses).unwrap();
        let addresses = addresses.map(str::to_owned).to_vec();
        assert_eq!(matching.namespace(), Some(("shop".to_owned(), addresses)));
        let alone = AttributeMatch::from_namespace("shop", []).unwrap();
        assert_eq!(alone.namespace(), Some(("shop".to_owned(), vec![])));
        assert_eq!(AttributeMatch::from_namespace("10.0.0.1", []), None);
        assert_eq!(AttributeMatch::from_namespace("", ["10.0.0.1"]), None);
    }
}
