//! Where something runs, and the labels that tell of it.

use std::collections::BTreeMap;

use crate::Locality;

/// The labels of Kubernetes and Istio that name a place.
pub mod topology {
    pub const NETWORK: &str = "topology.istio.io/network";
    pub const REGION: &str = "topology.kubernetes.io/region";
    pub const ZONE: &str = "topology.kubernetes.io/zone";
    pub const SUBZONE: &str = "topology.istio.io/subzone";
    /// The node.
    pub const HOSTNAME: &str = "kubernetes.io/hostname";
}

/// A client or an endpoint, as far as its place goes.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub locality: &'a Locality,
    pub labels: &'a BTreeMap<String, String>,
}

impl<'a> Place<'a> {
    /// The value of a label, empty where there is none. What is known of the locality stands above
    /// the labels that name it, as where Istio augments labels.
    pub fn label(&self, name: &str) -> &'a str {
        let known = match name {
            topology::REGION => &*self.locality.region,
            topology::ZONE => &*self.locality.zone,
            topology::SUBZONE => &*self.locality.subzone,
            _ => "",
        };
        match known {
            "" => self.labels.get(name).map_or("", String::as_str),
            known => known,
        }
    }

    /// Whether there is no label at all, not even one that the locality gives.
    pub fn is_nameless(&self) -> bool {
        self.labels.is_empty() && self.locality.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locality_gives_labels() {
        let labels = [
            (topology::ZONE, "other"),
            (topology::SUBZONE, "s"),
            ("a", "b"),
        ];
        let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let locality = Locality::new("r", "z", "");
        let place = Place {
            locality: &locality,
            labels: &labels,
        };
        for (name, value) in [
            (topology::REGION, "r"),
            (topology::ZONE, "z"),
            (topology::SUBZONE, "s"),
            ("a", "b"),
            ("c", ""),
        ] {
            assert_eq!(place.label(name), value, "{name}");
        }
    }
}
