//! What sidecars are told, in Istio's own words: a VirtualService for each host that is led to a Gateway, and a DestinationRule
//! for how they dial it there.

use serde_json::{Value, json};

use crate::manifest::{Kind, ObjectRef};
use crate::model::{LedService, MANAGED_BY, Via};

/// Of which controller it is: a label of ours, since istiod keeps from its sidecars what has another `istio.io/rev` than its own.
pub(crate) const REVISION: &str = "meltemi.io/revision";
/// The Gateway that it leads to, as `NAMESPACE/NAME`.
pub(crate) const GATEWAY: &str = "meltemi.io/gateway";
/// Of the Gateway's Service, by which sidecars alone dial it: whoever dials it otherwise is not concerned.
const SUBSET: &str = "meltemi";

const API_VERSION: &str = "networking.istio.io/v1";

/// As whom it is written, which is not as whom the rest is.
#[cfg(feature = "kubernetes")]
pub(crate) fn manager(controller: &str) -> String {
    format!("{controller}-sidecars")
}

/// Whose, and for which Gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leader<'a> {
    pub(crate) revision: &'a str,
    pub(crate) gateway: &'a ObjectRef,
}

impl Leader<'_> {
    fn metadata(&self, (namespace, name): (&str, &str)) -> Value {
        let (label, value) = MANAGED_BY;
        let Self { revision, gateway } = self;
        let gateway = format!("{}/{}", gateway.namespace, gateway.name);
        json!({
            "name": name, "namespace": namespace,
            "labels": {label: value, REVISION: revision},
            "annotations": {GATEWAY: gateway},
        })
    }

    /// By which connections to a host's ports come to the Gateway.
    pub(crate) fn virtual_service(&self, led: &LedService, via: &Via) -> Value {
        let service = &led.service;
        let ports = led.ports.iter().map(|port| json!({"port": port}));
        let destination = json!({"host": via.host, "subset": SUBSET, "port": {"number": via.port}});
        json!({
            "apiVersion": API_VERSION,
            "kind": "VirtualService",
            "metadata": self.metadata((&service.namespace, &virtual_service_name(led))),
            "spec": {
                "hosts": [led.host],
                "tcp": [{
                    "match": ports.collect::<Vec<_>>(),
                    "route": [{"destination": destination}],
                }],
            },
        })
    }

    /// How sidecars dial it: where to in a header, who by a certificate; and with outlier detection, without which Istio does
    /// not take the nearest first.
    pub(crate) fn destination_rule(&self, via: &Via) -> Value {
        let policy = json!({
            "proxyProtocol": {"version": "V2"},
            "tls": {"mode": "ISTIO_MUTUAL"},
            "loadBalancer": {"simple": "LEAST_REQUEST"},
            "outlierDetection": {
                "consecutive5xxErrors": 3, "interval": "5s", "baseEjectionTime": "15s", "maxEjectionPercent": 50,
            },
        });
        let name = destination_rule_name(self.gateway);
        json!({
            "apiVersion": API_VERSION,
            "kind": "DestinationRule",
            "metadata": self.metadata((&via.service.namespace, &name)),
            "spec": {
                "host": via.host,
                "subsets": [{"name": SUBSET, "trafficPolicy": policy}],
            },
        })
    }
}

/// Of a ServiceEntry with several hosts each has one.
pub(crate) fn virtual_service_name(led: &LedService) -> String {
    let name = &led.service.name;
    match led.service.kind {
        Kind::Service => format!("{name}-meltemi"),
        _ => format!("{name}-{}-meltemi", led.host.replace('*', "any")),
    }
}

pub(crate) fn destination_rule_name(gateway: &ObjectRef) -> String {
    format!("{}-meltemi", gateway.name)
}
