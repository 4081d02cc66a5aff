//! What to do about a kind of finding, where the finding itself knows nothing closer.

use super::Code;

/// Of a kind that has none: there is no such kind.
const NONE: &str = "";

impl Code {
    /// In a sentence without its end.
    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::CannotRead => {
                "check that the path is there, that this user may read it, and that it is UTF-8 text"
            }
            Self::NoManifests => "manifests are files whose names end in .yaml, .yml or .json",
            Self::InvalidYaml => {
                "look here and in the lines before for wrong indentation, or for a quote or bracket \
                 that is not closed"
            }
            Self::TooLarge => "split it into several files, and write repeated parts out",
            Self::NotAnObject => "give it `apiVersion`, `kind` and `metadata.name`",
            Self::UnusedKind | Self::UnusedRule | Self::DeadRoute => {
                "remove it, or expect nothing of it"
            }
            Self::UnknownKind | Self::UnknownVersion => "write one that is there",
            Self::DuplicateKey | Self::DuplicateObject | Self::DuplicateHost => {
                "remove one of the two"
            }
            Self::DuplicateEndpoint => "remove one of the two, or give it other `ports`",
            Self::DuplicateServer => "give each server a `name` of its own",
            Self::UnknownField => "remove it",
            Self::MissingField => "add it",
            Self::WrongType | Self::InvalidValue => "write a value that the field takes",
            Self::NotInForce => "remove it, or expect nothing of it until it acts",
            Self::InvalidRegex => "write it in RE2's syntax",
            Self::InvalidWeights => "change the weights so that they add up to 100",
            Self::MatchesEverything => "leave it out if that is meant, or name an attribute",
            Self::NoPlace => {
                "remove `requestMutation` and `responseMutation`, or let the peers speak a transport \
                 with headers"
            }
            Self::NoHash => "give its host `loadBalancer.consistentHash` in a DestinationRule",
            of_several => of_several.remedy_between_objects(),
        }
    }

    /// Of what objects say of each other.
    const fn remedy_between_objects(self) -> &'static str {
        match self {
            Self::UnknownSource => "write a WorkloadEntry for each client",
            Self::IdentityUnavailable => "name a namespace or labels instead",
            Self::UnknownAttribute => "name an attribute that the protocol has",
            Self::UnknownProtocol => "name a protocol that a plugin implements",
            Self::NotHostOwner => "move the rule to the namespace of the host",
            Self::UnknownHost => "name a host that a ServiceEntry defines",
            Self::UnknownPort => "name a port that the service has",
            Self::UnknownGateway => "name a Gateway that is there",
            Self::NoMatchingServer => "give the Gateway a server of this protocol",
            Self::AddressInUse => "give it another port, or another `bind`",
            Self::SelectsOtherGateway => "set its `selector` to a label of the pods of Meltemi",
            Self::NotCaptured => "give it an address, and the waypoint a listener that admits it",
            Self::UnknownTarget => "name something that is there, in the namespace of the policy",
            Self::HttpOnly => "ask for an attribute of the protocol",
            Self::PolicyClosed => "correct the policy, or delete it",
            Self::NotAttached => "name the Gateways whose requests it is to route",
            Self::HiddenRouter => "narrow its `match`",
            Self::SecondRedisService => "write both into one RedisService",
            Self::UnexpectedDestination => "name the destination in a RedisService",
            Self::NotAllowedByListeners => "let the listener admit the namespace",
            Self::RefNotPermitted => "add a ReferenceGrant to the namespace of the Secret",
            Self::NotEnabled | Self::SecretNotPermitted => "let the controller have it",
            Self::UnknownSecret => "add the Secret, or the field",
            Self::UnknownSubset => "name a subset that a DestinationRule defines",
            Self::EmptySubset => "select by labels that endpoints have",
            Self::NoEndpoints => "give the service an endpoint",
            Self::LocalityInactive => "set `trafficPolicy.outlierDetection`",
            Self::TlsUnavailable => "change `tls`, or remove it",
            Self::DnsUnavailable => "write `resolution: DNS`",
            Self::RejectedByProxy => {
                "change it as the reason says, and report that `check` did not"
            }
            _ => NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one() {
        let without = Code::ALL.iter().filter(|code| code.remedy() == NONE);
        assert_eq!(without.collect::<Vec<_>>(), Vec::<&Code>::new());
    }
}
