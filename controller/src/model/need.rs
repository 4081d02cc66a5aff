//! What an object names and does not find: where somebody else took it away, it is kept.

use meltemi_policy::host;

use crate::manifest::{DestinationRule, Object, ObjectRef, Spec};

/// Something that an object relies on, and another one has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A service, with the ports that it had.
    Host(String),
    Subset {
        host: String,
        name: String,
    },
    /// A name of an application protocol.
    Protocol(String),
    Gateway(ObjectRef),
    /// A Secret with one of these fields.
    Secret {
        id: ObjectRef,
        fields: Vec<String>,
    },
}

impl Need {
    pub(crate) fn is_met_by(&self, object: &Object) -> bool {
        let namespace = &object.id.namespace;
        match (self, &object.spec) {
            (Self::Host(_), Spec::ServiceEntry(entry)) => {
                let mut hosts = entry.hosts.iter();
                hosts.any(|h| self.is_host(&h.value, namespace))
            }
            (Self::Host(_), Spec::Service(_)) => {
                self.is_host(&host::expand(&object.id.name, namespace), namespace)
            }
            (Self::Subset { host, name }, Spec::DestinationRule(rule)) => {
                let defines = rule.subsets.iter().any(|s| s.name.value == *name);
                defines && covers(rule, namespace, host)
            }
            (Self::Protocol(name), Spec::ApplicationProtocol(protocol)) => {
                protocol.protocol.value.to_lowercase() == *name
            }
            (Self::Gateway(id), Spec::Gateway(_) | Spec::KubernetesGateway(_)) => object.id == *id,
            (Self::Secret { id, fields }, Spec::Secret(secret)) => {
                object.id == *id && fields.iter().any(|field| secret.data.contains_key(field))
            }
            _ => false,
        }
    }

    /// Whether it is this host, of a ServiceEntry in this namespace.
    pub(crate) fn is_host(&self, defined: &str, namespace: &str) -> bool {
        let Self::Host(host) = self else { return false };
        defined == host || defined == host::expand(host, namespace)
    }
}

fn covers(rule: &DestinationRule, namespace: &str, host: &str) -> bool {
    let written = &rule.host.value;
    written == host || host::covers(&host::expand(written, namespace), host)
}
