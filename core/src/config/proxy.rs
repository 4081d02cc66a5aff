//! What the control plane knows of this proxy.

use std::collections::BTreeMap;

use meltemi_policy::Locality;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::meltemi::config::v1 as proto;

/// Where this proxy runs and how its workload is labelled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    pub locality: Locality,
    pub labels: BTreeMap<String, String>,
}

impl From<proto::Self_> for Proxy {
    fn from(own: proto::Self_) -> Self {
        Self {
            locality: locality(own.locality),
            labels: own.labels,
        }
    }
}

pub(crate) fn locality(locality: Option<core::Locality>) -> Locality {
    locality.map_or_else(Locality::default, |l| Locality {
        region: l.region,
        zone: l.zone,
        subzone: l.sub_zone,
    })
}
