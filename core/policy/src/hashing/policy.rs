//! What of a request is hashed to choose its endpoint.

use xxhash_rust::xxh64::xxh64;

/// One thing that is hashed. An attribute is its name, or what it was resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashPolicy<A = String> {
    pub of: Hashed<A>,
    /// Those behind it count only where nothing up to here was hashed.
    pub terminal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hashed<A = String> {
    /// The value of an attribute of the message.
    Attribute(A),
    /// The IP address of the client, without its port.
    SourceAddress,
    /// The client's connection.
    Connection,
}

impl<A> HashPolicy<A> {
    /// The hash by all of them together: Envoy's `HashPolicyImpl::generateHash`. `None`: the request
    /// has nothing of what is hashed, and any endpoint serves.
    pub fn hash(policies: &[Self], of: impl Fn(&Hashed<A>) -> Option<u64>) -> Option<u64> {
        let mut hash: Option<u64> = None;
        for policy in policies {
            if let Some(new) = of(&policy.of) {
                // Turned, so that two of the same value do not cancel each other out.
                hash = Some(hash.map_or(0, |hash| hash.rotate_left(1)) ^ new);
            }
            if policy.terminal && hash.is_some() {
                break;
            }
        }
        hash
    }

    /// The attribute that it hashes.
    pub const fn attribute(&self) -> Option<&A> {
        match &self.of {
            Hashed::Attribute(attribute) => Some(attribute),
            Hashed::SourceAddress | Hashed::Connection => None,
        }
    }

    /// The same with another name of its attribute.
    pub fn map<B>(&self, attribute: impl FnOnce(&A) -> B) -> HashPolicy<B> {
        HashPolicy {
            of: match &self.of {
                Hashed::Attribute(name) => Hashed::Attribute(attribute(name)),
                Hashed::SourceAddress => Hashed::SourceAddress,
                Hashed::Connection => Hashed::Connection,
            },
            terminal: self.terminal,
        }
    }
}

/// The hash of one value: Envoy's `HashUtil::xxHash64`. An address is hashed as its text.
#[must_use]
pub fn hash_of(value: &[u8]) -> u64 {
    xxh64(value, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &str, terminal: bool) -> HashPolicy {
        HashPolicy {
            of: Hashed::Attribute(name.into()),
            terminal,
        }
    }

    /// Of a request with the attributes `a` and `b`.
    fn hash(policies: &[HashPolicy]) -> Option<u64> {
        HashPolicy::hash(policies, |of| match of {
            Hashed::Attribute(name) => ["a", "b"]
                .contains(&name.as_str())
                .then(|| hash_of(name.as_bytes())),
            Hashed::SourceAddress => Some(hash_of(b"10.0.0.1")),
            Hashed::Connection => None,
        })
    }

    #[test]
    fn hashes_combine_as_in_envoy() {
        let (a, b) = (hash_of(b"a"), hash_of(b"b"));
        let source = || HashPolicy {
            of: Hashed::SourceAddress,
            terminal: false,
        };
        let plain = |name| attribute(name, false);
        let rows = [
            (vec![], None),
            (vec![plain("absent")], None),
            (vec![plain("a")], Some(a)),
            (vec![plain("a"), plain("b")], Some(a.rotate_left(1) ^ b)),
            (vec![plain("a"), plain("a")], Some(a.rotate_left(1) ^ a)),
            (vec![plain("absent"), plain("b")], Some(b)),
            (vec![attribute("a", true), plain("b")], Some(a)),
            (
                vec![attribute("absent", true), source()],
                Some(hash_of(b"10.0.0.1")),
            ),
        ];
        for (policies, expected) in rows {
            assert_eq!(hash(&policies), expected, "{policies:?}");
        }
    }
}
