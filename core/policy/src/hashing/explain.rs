//! What a request that is asked about hashes, and what that decides, in words.

use std::net::IpAddr;

use super::{HashPolicy, Hashed, Hashing, hash_of};

/// How a cluster hashes.
#[derive(Clone, Copy, Debug)]
pub struct HashRule<'a> {
    pub table: Hashing,
    /// What it hashes where a route says nothing; nothing: the key of the protocol.
    pub policies: &'a [HashPolicy],
    /// In percent of its part of the requests in flight, what an endpoint has at most.
    pub balance_factor: Option<u32>,
}

/// The request, as far as it was said.
#[derive(Clone, Copy)]
pub struct Keyed<'a> {
    /// The hash of the key that its protocol has.
    pub own: Option<u64>,
    /// What its route hashes.
    pub route: &'a [HashPolicy],
    /// The value of an attribute.
    pub attribute: &'a dyn Fn(&str) -> Option<&'a [u8]>,
    pub source: Option<IpAddr>,
}

impl Keyed<'_> {
    fn policies<'r>(&'r self, rule: &HashRule<'r>) -> &'r [HashPolicy] {
        match self.route {
            [] => rule.policies,
            own => own,
        }
    }

    /// Its hash for a cluster, where that can be said.
    #[must_use]
    pub fn hash(&self, rule: &HashRule<'_>) -> Option<u64> {
        let policies = self.policies(rule);
        if policies.is_empty() {
            return self.own;
        }
        HashPolicy::hash(policies, |of| match of {
            Hashed::Attribute(name) => (self.attribute)(name).map(hash_of),
            Hashed::SourceAddress => Some(hash_of(self.source?.to_string().as_bytes())),
            // It is not there yet.
            Hashed::Connection => None,
        })
    }

    /// Why nobody can say which endpoint it is.
    #[must_use]
    pub fn unknown(&self, rule: &HashRule<'_>) -> Option<&'static str> {
        let policies = self.policies(rule);
        if policies.is_empty() || self.hash(rule).is_some() {
            return None;
        }
        let of_connection = |policy: &HashPolicy| policy.of == Hashed::Connection;
        Some(match policies.iter().any(of_connection) {
            true => "each connection has an endpoint of its own",
            false => "the request has nothing of what is hashed: any endpoint serves",
        })
    }

    /// What decides among the endpoints of a cluster.
    #[must_use]
    pub fn balance(&self, rule: &HashRule<'_>) -> String {
        let table = match rule.table {
            Hashing::Maglev { .. } => "MAGLEV",
            Hashing::Ring { .. } => "RING_HASH",
        };
        let policies = self.policies(rule);
        if policies.is_empty() {
            return format!("{table} by the key");
        }
        let what: String = policies.iter().map(described).collect();
        let what = what
            .trim_end_matches(" and ")
            .trim_end_matches(", or else ");
        let bound = rule.balance_factor.map(|factor| {
            format!(", to an endpoint with at most {factor}% of its part of the requests")
        });
        format!("{table} by {what}{}", bound.unwrap_or_default())
    }
}

/// With what joins it to the next.
fn described(policy: &HashPolicy) -> String {
    let what = match &policy.of {
        Hashed::Attribute(name) => format!("the attribute {name}"),
        Hashed::SourceAddress => "the source address".to_owned(),
        Hashed::Connection => "the connection".to_owned(),
    };
    match policy.terminal {
        true => format!("{what}, or else "),
        false => format!("{what} and "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(of: Hashed, terminal: bool) -> HashPolicy {
        HashPolicy { of, terminal }
    }

    #[test]
    fn a_route_hashes_what_it_says_and_else_what_the_cluster_says() {
        let header = || Hashed::Attribute("user".to_owned());
        let of_cluster = [policy(Hashed::SourceAddress, false)];
        let rule = HashRule {
            table: Hashing::Maglev { table_size: 5 },
            policies: &of_cluster,
            balance_factor: Some(150),
        };
        let route = [policy(header(), true), policy(Hashed::Connection, false)];
        let user = |name: &str| (name == "user").then_some(&b"ann"[..]);
        let source = "192.0.2.7".parse().ok();
        let keyed = Keyed {
            own: Some(7),
            route: &[],
            attribute: &user,
            source,
        };
        assert_eq!(keyed.hash(&rule), Some(hash_of(b"192.0.2.7")));
        let by_key = HashRule {
            policies: &[],
            ..rule
        };
        assert_eq!(keyed.hash(&by_key), Some(7));
        assert_eq!(keyed.balance(&by_key), "MAGLEV by the key");
        let routed = Keyed {
            route: &route,
            ..keyed
        };
        assert_eq!(routed.hash(&rule), Some(hash_of(b"ann")));
        assert_eq!(routed.unknown(&rule), None);
        assert_eq!(
            routed.balance(&rule),
            "MAGLEV by the attribute user, or else the connection, \
             to an endpoint with at most 150% of its part of the requests"
        );
        let nobody = |_: &str| None;
        let unknown = Keyed {
            attribute: &nobody,
            ..routed
        };
        assert_eq!(
            unknown.unknown(&rule),
            Some("each connection has an endpoint of its own")
        );
        let unsaid = Keyed {
            source: None,
            ..keyed
        };
        assert_eq!(
            unsaid.unknown(&rule),
            Some("the request has nothing of what is hashed: any endpoint serves")
        );
    }
}
