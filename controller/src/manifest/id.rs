//! What an object is called.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    ApplicationProtocol,
    AuthorizationPolicy,
    ConfigMap,
    DubboAuthorizationPolicy,
    Namespace,
    Gateway,
    /// That of the Gateway API; [`Self::Gateway`] is Istio's.
    KubernetesGateway,
    GatewayClass,
    ReferenceGrant,
    ServiceEntry,
    WorkloadEntry,
    DestinationRule,
    VirtualService,
    Secret,
    Service,
    EndpointSlice,
    Pod,
    Node,
    RedisDestination,
    RedisService,
    MetaRouter,
    /// Of the Gateway API, as the next.
    HttpRoute,
    GrpcRoute,
}

impl Kind {
    pub(crate) const ALL: &[Self] = &[
        Self::ApplicationProtocol,
        Self::AuthorizationPolicy,
        Self::ConfigMap,
        Self::DubboAuthorizationPolicy,
        Self::Namespace,
        Self::Gateway,
        Self::KubernetesGateway,
        Self::GatewayClass,
        Self::ReferenceGrant,
        Self::ServiceEntry,
        Self::WorkloadEntry,
        Self::DestinationRule,
        Self::VirtualService,
        Self::Secret,
        Self::Service,
        Self::EndpointSlice,
        Self::Pod,
        Self::Node,
        Self::RedisDestination,
        Self::RedisService,
        Self::MetaRouter,
        Self::HttpRoute,
        Self::GrpcRoute,
    ];

    /// As manifests name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApplicationProtocol => "ApplicationProtocol",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
            Self::ConfigMap => "ConfigMap",
            Self::DubboAuthorizationPolicy => "DubboAuthorizationPolicy",
            Self::Namespace => "Namespace",
            Self::Gateway | Self::KubernetesGateway => "Gateway",
            Self::GatewayClass => "GatewayClass",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::ServiceEntry => "ServiceEntry",
            Self::WorkloadEntry => "WorkloadEntry",
            Self::DestinationRule => "DestinationRule",
            Self::VirtualService => "VirtualService",
            Self::Secret => "Secret",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
            Self::Node => "Node",
            Self::RedisDestination => "RedisDestination",
            Self::RedisService => "RedisService",
            Self::MetaRouter => "MetaRouter",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
        }
    }

    /// Empty: Kubernetes' core group.
    pub(crate) const fn group(self) -> &'static str {
        match self {
            Self::ApplicationProtocol | Self::MetaRouter => "metaprotocol.aeraki.io",
            Self::AuthorizationPolicy => "security.istio.io",
            Self::DubboAuthorizationPolicy => "dubbo.aeraki.io",
            Self::RedisDestination | Self::RedisService => "redis.aeraki.io",
            Self::ConfigMap
            | Self::Namespace
            | Self::Secret
            | Self::Service
            | Self::Pod
            | Self::Node => "",
            Self::EndpointSlice => "discovery.k8s.io",
            Self::KubernetesGateway
            | Self::GatewayClass
            | Self::ReferenceGrant
            | Self::HttpRoute
            | Self::GrpcRoute => "gateway.networking.k8s.io",
            _ => "networking.istio.io",
        }
    }

    pub(crate) const fn versions(self) -> &'static [&'static str] {
        match self {
            Self::ApplicationProtocol
            | Self::MetaRouter
            | Self::RedisDestination
            | Self::RedisService
            | Self::DubboAuthorizationPolicy => &["v1alpha1"],
            Self::AuthorizationPolicy => &["v1", "v1beta1"],
            Self::ConfigMap
            | Self::Namespace
            | Self::Secret
            | Self::Service
            | Self::EndpointSlice
            | Self::Pod
            | Self::Node => &["v1"],
            Self::KubernetesGateway
            | Self::GatewayClass
            | Self::ReferenceGrant
            | Self::HttpRoute => &["v1", "v1beta1"],
            Self::GrpcRoute => &["v1"],
            _ => &["v1", "v1beta1", "v1alpha3"],
        }
    }

    /// Whether its definition comes with us.
    pub(crate) fn is_own(self) -> bool {
        self.group().ends_with(".aeraki.io")
    }

    /// Whether it has an effect. The others are read to say what becomes of them, and nobody needs them.
    pub(crate) const fn acts(self) -> bool {
        !matches!(
            self,
            Self::VirtualService | Self::HttpRoute | Self::GrpcRoute
        )
    }

    /// Whether objects of this kind live in a namespace.
    pub(crate) const fn is_namespaced(self) -> bool {
        !matches!(
            self,
            Self::ApplicationProtocol | Self::GatewayClass | Self::Namespace | Self::Node
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Kind, namespace and name of an object. Versions of one kind are one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    pub kind: Kind,
    /// Empty where the kind is not namespaced.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl ObjectRef {
    #[must_use]
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
        } = self;
        if namespace.is_empty() {
            return write!(f, "{} {name}", kind.name());
        }
        // Two kinds have this name: as kubectl, with its group.
        if *kind == Kind::KubernetesGateway {
            return write!(f, "{}.{} {namespace}/{name}", kind.name(), kind.group());
        }
        write!(f, "{} {namespace}/{name}", kind.name())
    }
}

impl Serialize for ObjectRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
