//! What the API server calls our kinds.

use kube::core::{ApiResource, GroupVersionKind};

use crate::manifest::Kind;

/// A kind in one of its versions.
pub(crate) fn of(kind: Kind, version: &str) -> ApiResource {
    let known = GroupVersionKind::gvk(kind.group(), version, kind.name());
    ApiResource::from_gvk_with_plural(&known, &plural(kind))
}

fn plural(kind: Kind) -> String {
    let name = kind.name().to_lowercase();
    match name.strip_suffix('y') {
        Some(stem) if !name.ends_with("ay") => format!("{stem}ies"),
        _ if name.ends_with("ss") => format!("{name}es"),
        _ => format!("{name}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_are_those_of_the_api_server() {
        let rows = [
            (Kind::ServiceEntry, "serviceentries"),
            (Kind::WorkloadEntry, "workloadentries"),
            (Kind::Gateway, "gateways"),
            (Kind::KubernetesGateway, "gateways"),
            (Kind::GatewayClass, "gatewayclasses"),
            (Kind::ReferenceGrant, "referencegrants"),
            (Kind::EndpointSlice, "endpointslices"),
            (Kind::MetaRouter, "metarouters"),
            (Kind::VirtualService, "virtualservices"),
            (Kind::HttpRoute, "httproutes"),
            (Kind::GrpcRoute, "grpcroutes"),
        ];
        for (kind, expected) in rows {
            assert_eq!(plural(kind), expected);
        }
    }
}
