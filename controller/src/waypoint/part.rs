//! The objects that a waypoint is made of.

use std::fmt;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{ApiResource, GroupVersionKind};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// In the order in which they are made: what others need comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    ServiceAccount,
    Service,
    Deployment,
    Autoscaler,
    Budget,
    Policy,
}

impl Part {
    pub(super) const ALL: [Self; 6] = [
        Self::ServiceAccount,
        Self::Service,
        Self::Deployment,
        Self::Autoscaler,
        Self::Budget,
        Self::Policy,
    ];

    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::Autoscaler => "HorizontalPodAutoscaler",
            Self::Budget => "PodDisruptionBudget",
            Self::Policy => "NetworkPolicy",
        }
    }

    /// What overrides call it, as Istio's do.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::ServiceAccount => "serviceAccount",
            Self::Service => "service",
            Self::Deployment => "deployment",
            Self::Autoscaler => "horizontalPodAutoscaler",
            Self::Budget => "podDisruptionBudget",
            Self::Policy => "networkPolicy",
        }
    }

    const fn group(self) -> (&'static str, &'static str) {
        match self {
            Self::ServiceAccount | Self::Service => ("", "v1"),
            Self::Deployment => ("apps", "v1"),
            Self::Autoscaler => ("autoscaling", "v2"),
            Self::Budget => ("policy", "v1"),
            Self::Policy => ("networking.k8s.io", "v1"),
        }
    }

    /// Its group and version, as objects have it.
    pub(super) fn api_version(self) -> String {
        self.resource().api_version
    }

    pub(super) fn resource(self) -> ApiResource {
        let (group, version) = self.group();
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, self.kind()))
    }

    /// Whether each field is of the type that it has to be.
    ///
    /// # Errors
    /// With the first that is not.
    pub(super) fn check(self, object: &Value) -> Result<(), String> {
        fn is<T: DeserializeOwned>(object: &Value) -> Result<(), String> {
            let read = serde_json::from_value::<T>(object.clone());
            read.map(drop).map_err(|error| error.to_string())
        }
        match self {
            Self::ServiceAccount => is::<ServiceAccount>(object),
            Self::Service => is::<Service>(object),
            Self::Deployment => is::<Deployment>(object),
            Self::Autoscaler => is::<HorizontalPodAutoscaler>(object),
            Self::Budget => is::<PodDisruptionBudget>(object),
            Self::Policy => is::<NetworkPolicy>(object),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_knows_each_by_its_plural() {
        let known = Part::ALL.map(|part| {
            let resource = part.resource();
            format!("{}/{}", resource.api_version, resource.plural)
        });
        let expected = [
            "v1/serviceaccounts",
            "v1/services",
            "apps/v1/deployments",
            "autoscaling/v2/horizontalpodautoscalers",
            "policy/v1/poddisruptionbudgets",
            "networking.k8s.io/v1/networkpolicies",
        ];
        assert_eq!(known, expected);
    }
}
