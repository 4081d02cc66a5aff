//! The objects that people write, decoded one by one: each is accepted or refused by itself.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Place, Position, SourceFile};

mod application_protocol;
mod authorization_policy;
mod connection_pool;
mod creation;
mod decode;
mod destination_rule;
mod dubbo_authorization_policy;
mod duration;
mod gateway;
mod gateway_api;
mod gateways;
mod http_rules;
mod id;
mod kubernetes;
mod locality;
mod matching;
mod mesh_config;
mod meta_router;
mod metadata;
mod name;
mod object;
mod redis;
mod secret;
mod service_entry;
pub(crate) mod shape;
mod shown;
mod virtual_service;

pub(crate) use application_protocol::{APPLICATION_PROTOCOL, ApplicationProtocol};
pub(crate) use authorization_policy::{AuthorizationPolicy, TargetRef, Targets};
pub(crate) use connection_pool::{ConnectionPool, Keepalive, Tcp};
pub(crate) use decode::nearest;
pub(crate) use destination_rule::{
    ConsistentHash, DestinationRule, HashTable, HealthCheck, OutlierDetection, RetryBudget, Simple,
    Subset, Tls, TrafficPolicy, Warmup,
};
pub(crate) use dubbo_authorization_policy::DUBBO_AUTHORIZATION_POLICY;
#[cfg(feature = "kubernetes")]
pub(crate) use duration::parse_duration;
pub(crate) use gateway::{CertificateFiles, CredentialName, Gateway, Server, ServerTls};
pub(crate) use gateway_api::{
    AllowedRoutes, CertificateRef, ClientValidation, ISTIO_MODE, KubernetesGateway, Listener,
    ListenerTls, ReferenceGrant,
};
pub(crate) use http_rules::{HttpRules, Subject};
pub use id::{Kind, ObjectRef};
pub(crate) use kubernetes::{EndpointSlice, KubernetesService, Pod, SliceEndpoint};
pub(crate) use locality::LocalitySetting;
pub(crate) use matching::{Alternative, Attribute, Source};
pub(crate) use meltemi_policy::words::one_of;
pub(crate) use mesh_config::MeshConfig;
#[cfg(feature = "kubernetes")]
pub(crate) use mesh_config::NAME as MESH_CONFIG;
pub(crate) use meta_router::{
    Abort, AbortStatus, AdaptiveConcurrency, Delay, Destination, GlobalRateLimit, META_ROUTER,
    MetaRouter, Mutation, RateLimitService, Retries, RetryOn, Route, RouteFault,
};
pub(crate) use metadata::Metadata;
pub(crate) use name::is_resolvable;
#[cfg(feature = "kubernetes")]
pub(crate) use object::decode_tree;
pub(crate) use object::{Decoded, decode_file};
pub(crate) use redis::{
    Auth, Buffering, Fault, Mode, REDIS_DESTINATION, REDIS_SERVICE, RedisDestination, RedisRoute,
    RedisService, SecretReference, Seed,
};
pub(crate) use secret::{Hidden, OutOfReach, Secret};
pub(crate) use service_entry::{Resolution, ServiceEntry, ServicePort, WorkloadEntry};
pub(crate) use virtual_service::VirtualService;

/// A value with its place in the file, which is no part of what it says: an object that only moved
/// is the same object.
#[derive(Clone, Debug)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: Position,
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// Where something stands.
pub(crate) type Mark = Located<()>;

impl Mark {
    pub(crate) const fn new(at: Position) -> Self {
        Self { value: (), at }
    }
}

/// An accepted object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(crate) id: ObjectRef,
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
    pub(crate) file: Arc<SourceFile>,
    /// Where its `metadata.name` stands: the place of findings about the whole object.
    pub(crate) at: Position,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spec {
    MetaRouter(MetaRouter),
    ApplicationProtocol(ApplicationProtocol),
    MeshConfig(MeshConfig),
    /// What acts of it is in its metadata.
    Namespace,
    Gateway(Gateway),
    KubernetesGateway(KubernetesGateway),
    /// Whose it is: its `controllerName`.
    GatewayClass(String),
    ReferenceGrant(ReferenceGrant),
    ServiceEntry(ServiceEntry),
    WorkloadEntry(WorkloadEntry),
    DestinationRule(DestinationRule),
    VirtualService(VirtualService),
    Secret(Secret),
    /// A Secret that cannot be read: not one that is not there.
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(dead_code, reason = "files that are there can be read")
    )]
    OutOfReach(OutOfReach),
    Service(KubernetesService),
    EndpointSlice(EndpointSlice),
    Pod(Pod),
    /// What acts of it is in its metadata.
    Node,
    RedisDestination(RedisDestination),
    RedisService(RedisService),
    /// Istio's, or Aeraki's of Dubbo.
    AuthorizationPolicy(AuthorizationPolicy),
    /// Somebody else's.
    HttpRules(HttpRules),
}

impl Spec {
    /// Whether it denies everything where it cannot be read: no version before it is better.
    const fn fails_closed(&self) -> bool {
        matches!(self, Self::AuthorizationPolicy(_))
    }
}

impl Object {
    /// Whether the other one says the same, wherever it stands.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (self.spec == other.spec && self.metadata == other.metadata)
    }

    /// A finding about this object, at a place in it.
    pub(crate) fn finding(&self, diagnostic: Diagnostic, at: Position) -> Diagnostic {
        let diagnostic = diagnostic.at(Place::of(&self.file, at)).of(&self.id);
        diagnostic.or_general_remedy()
    }
}
