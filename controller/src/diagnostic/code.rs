//! The stable names of all findings: scripts match on them, and the reference explains each one.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What kind of finding it is. Names do not change once published.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in the order of the reference page.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name as it stands in reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

codes! {
    /// A path that was named does not exist or cannot be read.
    CannotRead,
    /// A directory was named that has no manifest in it.
    NoManifests,
    /// The text is not YAML: wrong indentation, an unclosed quote, a tab, an unknown alias.
    InvalidYaml,
    /// A key stands twice in one mapping.
    DuplicateKey,
    /// The document is too large, too deep, or its aliases multiply beyond reason.
    TooLarge,
    /// The document has no `apiVersion`, `kind` or `metadata.name`.
    NotAnObject,
    /// An object of a kind that has no effect here.
    UnusedKind,
    /// A kind, or a group of kinds, that does not exist, with a name close to one that does.
    UnknownKind,
    /// An `apiVersion` that this kind does not have.
    UnknownVersion,
    /// Two objects of one kind have the same namespace and name.
    DuplicateObject,
    /// Two ServiceEntries define one host: an error within a namespace. A Service of Kubernetes has the host: a warning.
    DuplicateHost,
    /// An endpoint that its service has already.
    DuplicateEndpoint,
    /// A field that its object does not have.
    UnknownField,
    /// A field without which the object means nothing.
    MissingField,
    /// A value of the wrong type.
    WrongType,
    /// A value that its field does not take.
    InvalidValue,
    /// A field that is known but does not act yet.
    NotInForce,
    /// A regular expression that does not compile, or that is too large compiled.
    InvalidRegex,
    /// Weights of one route, or shares of one place, that do not add up to 100.
    InvalidWeights,
    /// A match without a condition, which takes every request.
    MatchesEverything,
    /// An attribute that the protocol does not have.
    UnknownAttribute,
    /// A change of messages that carry no attachments or headers.
    NoPlace,
    /// A `hashPolicy` of a route whose destinations do not choose by a hash.
    NoHash,
    /// A condition on where requests come from that no known workload meets: it gets none.
    UnknownSource,
    /// A condition on a verified identity, where no server asks clients for a certificate: it gets no request.
    IdentityUnavailable,
    /// A protocol or codec that no plugin implements: a warning unless a port has to be served.
    UnknownProtocol,
    /// A rule for a host of another namespace.
    NotHostOwner,
    /// A rule of a namespace that is Aeraki's, which is in the cluster, too.
    NotEnabled,
    /// A host that no service defines.
    UnknownHost,
    /// A port that the service does not have, or one that cannot be told from several.
    UnknownPort,
    /// A Gateway, or a server of one, that does not exist.
    UnknownGateway,
    /// A gateway of which no server speaks the protocol of the service.
    NoMatchingServer,
    /// A Gateway whose listener admits no rules of this namespace.
    NotAllowedByListeners,
    /// Two servers of one Gateway with one name, or two Gateways, of Istio and of the Gateway API.
    DuplicateServer,
    /// Two servers that cannot bind: they ask for the same address.
    AddressInUse,
    /// A Gateway of Istio that selects gateways of Istio, and not the pods of Meltemi that open its servers.
    SelectsOtherGateway,
    /// A MetaRouter or RedisService that is attached to no gateway.
    NotAttached,
    /// A Service or ServiceEntry that asks for a waypoint, and whose connections do not come to it, or are not served there.
    NotCaptured,
    /// A policy for a Service, ServiceEntry, Gateway or GatewayClass that is not there, or that it cannot be for.
    UnknownTarget,
    /// A condition of a policy that no request here can be asked: a rule that allows never holds, one that denies is without it.
    HttpOnly,
    /// A policy that cannot be read, or that asks for what is not done: nobody may use what it is for.
    PolicyClosed,
    /// Two RedisServices for one server.
    SecondRedisService,
    /// A destination in a MetaRouter on a server whose RedisService says where requests go.
    UnexpectedDestination,
    /// A MetaRouter that gets no request, since another one on its server takes them all.
    HiddenRouter,
    /// A route that gets no request: one before it, or its service's annotation, leaves it none.
    DeadRoute,
    /// A DestinationRule, RedisDestination or MeshConfig, or a part of one, that never acts.
    UnusedRule,
    /// A Secret, or a field of one, that is not there.
    UnknownSecret,
    /// A Secret that the controller may not read: the remedy has the Role that lets it.
    SecretNotPermitted,
    /// A Secret of another namespace, where no ReferenceGrant permits a Gateway to name it.
    RefNotPermitted,
    /// A subset that no DestinationRule defines.
    UnknownSubset,
    /// A subset that selects no endpoint.
    EmptySubset,
    /// A service without a single endpoint.
    NoEndpoints,
    /// Endpoints lie in several localities, and nothing makes traffic prefer the nearest.
    LocalityInactive,
    /// Something that is routed asks for TLS that it cannot have: its server or cluster is refused.
    TlsUnavailable,
    /// Names would be resolved that requests of these protocols do not say: the service has no endpoints.
    DnsUnavailable,
    /// A proxy rejected what was made of an object.
    RejectedByProxy,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn every_code_is_in_the_reference() {
        let page = include_str!("../../../docs/reference/findings.md");
        for code in Code::ALL {
            let meaning = code.meaning().trim().replace("  ", " ");
            let row = format!("| `{code}` | {meaning} |");
            assert!(page.lines().any(|line| line == row), "{row}");
        }
    }
}
