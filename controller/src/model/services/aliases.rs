//! Services that are another name of one: Kubernetes' `ExternalName`, where the name is a host that is known.

use super::{Port, Service, Services};
use crate::manifest::Spec;

impl Services {
    /// As Istio (`ENABLE_EXTERNAL_NAME_ALIAS`): the endpoints are those of the host that it names, and only a name that
    /// nobody defines is resolved.
    pub(super) fn follow_aliases(&mut self) {
        let followed: Vec<_> = self
            .aliases()
            .map(|(alias, known)| {
                let endpoints = |port: &Port| Some(known.port(port.number)?.endpoints.clone());
                let endpoints: Vec<_> = alias.ports.iter().map(endpoints).collect();
                let names = known.subject_alt_names.clone();
                let key = (alias.host.clone(), alias.namespace.clone());
                (key, known.resolution, endpoints, names)
            })
            .collect();
        for ((host, namespace), resolution, endpoints, names) in followed {
            let Some(alias) = self.get_mut(&host, &namespace) else {
                continue;
            };
            alias.resolution = resolution;
            alias.subject_alt_names = names;
            for (port, endpoints) in alias.ports.iter_mut().zip(endpoints) {
                port.endpoints = endpoints.unwrap_or_default();
            }
        }
    }

    /// Those that are another name, each with the service that it names.
    pub(in crate::model) fn aliases(&self) -> impl Iterator<Item = (&Service, &Service)> {
        self.iter().filter_map(|alias| {
            let name = external_name(alias)?.trim_end_matches('.');
            let known = self.of_host(name, &alias.namespace)?;
            external_name(known).is_none().then_some((alias, known))
        })
    }
}

fn external_name(service: &Service) -> Option<&str> {
    match &service.source.spec {
        Spec::Service(spec) => spec.external_name.as_deref(),
        _ => None,
    }
}
