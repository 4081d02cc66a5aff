//! Services that are another name of one: Kubernetes' `ExternalName`, where the name is a host that is known.

use super::{Port, Services};
use crate::manifest::Spec;

impl Services {
    /// As Istio (`ENABLE_EXTERNAL_NAME_ALIAS`): the endpoints are those of the host that it names, and only a name that
    /// nobody defines is resolved.
    pub(super) fn follow_aliases(&mut self) {
        let followed: Vec<_> = self
            .0
            .iter()
            .filter_map(|(key, alias)| {
                let Spec::Service(spec) = &alias.source.spec else {
                    return None;
                };
                let name = spec.external_name.as_deref()?.trim_end_matches('.');
                let known = self.of_host(name, &alias.namespace)?;
                let is_alias =
                    matches!(&known.source.spec, Spec::Service(it) if it.external_name.is_some());
                let endpoints = |port: &Port| Some(known.port(port.number)?.endpoints.clone());
                let endpoints: Vec<_> = alias.ports.iter().map(endpoints).collect();
                let names = known.subject_alt_names.clone();
                (!is_alias).then(|| (key.clone(), known.resolution, endpoints, names))
            })
            .collect();
        for (key, resolution, endpoints, names) in followed {
            let Some(alias) = self.0.get_mut(&key) else {
                continue;
            };
            alias.resolution = resolution;
            alias.subject_alt_names = names;
            for (port, endpoints) in alias.ports.iter_mut().zip(endpoints) {
                port.endpoints = endpoints.unwrap_or_default();
            }
        }
    }
}
