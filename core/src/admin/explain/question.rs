//! Which request is asked about.

mod attributes;

use std::net::IpAddr;
use std::sync::Arc;

use meltemi_codec::Protocol;
use meltemi_policy::ClusterName;
use meltemi_policy::explain::Removed;
use meltemi_policy::words::one_of;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use attributes::Attributes;

use crate::admin::Sources;
use crate::config::{Route, Service, Snapshot};

const FORM: &str = "it is like \
    {\"service\": \"HOST\", \"listener\": \"NAMESPACE/GATEWAY/SERVER\", \
    \"attributes\": {\"NAME\": \"VALUE\"}, \"source\": \"ADDRESS\", \
    \"principal\": \"spiffe://…\"}, where all may be left out";

/// Why there is no answer.
#[derive(Debug, Error)]
pub(in crate::admin) enum Refused {
    #[error("the body is no question: {0}; {FORM}")]
    Body(serde_json::Error),
    #[error("the body is no question: it is a list; {FORM}")]
    List,
    #[error("no listener is named {name}; there is {known}")]
    UnknownListener { name: String, known: String },
    #[error("nothing here leads to {name}; there is {known}")]
    UnknownService { name: String, known: String },
    #[error("{0} can be meant; name one of them as `listener` or `service`")]
    Several(String),
    #[error("{service} has no requests: its bytes pass to {cluster} as they come")]
    Passed { service: String, cluster: String },
    #[error("the protocol {0} is not served by this proxy")]
    Protocol(String),
    #[error("the protocol of {service} cannot be configured so: {reason}")]
    Settings { service: String, reason: String },
    #[error("unknown attribute `{name}` of protocol {protocol}; its attributes are {known}")]
    UnknownAttribute {
        name: String,
        protocol: String,
        known: String,
    },
    #[error("the routes do not compile: {0}")]
    Routes(String),
}

/// What is known of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "an object with what is known of the request"
)]
pub(super) struct Question {
    /// A service by its name in the configuration; or `HOST[:PORT]`, which is the service whose routes
    /// lead there.
    service: Option<String>,
    /// The name of the listener that the request comes in through.
    listener: Option<String>,
    attributes: Attributes,
    /// The address that the client's connection comes from.
    pub(super) source: Option<IpAddr>,
    /// The identity that the client has proven.
    pub(super) principal: Option<String>,
}

impl Question {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refused> {
        // A list would be taken for the fields in their order.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(Refused::List);
        }
        let question: Self = serde_json::from_slice(body).map_err(Refused::Body)?;
        Ok(Self {
            source: question.source.map(|address| address.to_canonical()),
            principal: question.principal.as_deref().map(meltemi_tls::identity),
            ..question
        })
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&[u8]> {
        self.attributes.0.get(name).map(String::as_bytes)
    }

    pub(super) fn attributes(&self) -> Vec<Value> {
        let attributes = self.attributes.0.iter();
        attributes
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect()
    }

    /// The service that decides.
    pub(super) fn service<'a>(&self, snapshot: &'a Snapshot) -> Result<&'a Service, Refused> {
        let service = match &self.listener {
            Some(name) => {
                let listener = snapshot.listeners.get(name);
                let listener = listener.ok_or_else(|| Refused::UnknownListener {
                    name: name.clone(),
                    known: names(snapshot.listeners.keys()),
                })?;
                listener.mode.service()
            }
            None => None,
        };
        let mut services: Vec<&Service> = match service {
            Some(name) => {
                let service = snapshot.services.get(name);
                service.into_iter().map(Arc::as_ref).collect()
            }
            None => snapshot.services.values().map(Arc::as_ref).collect(),
        };
        let known = names(services.iter().map(|service| &service.name));
        if let Some(asked) = &self.service {
            services.retain(|service| service.name == *asked || leads_to(service, asked, snapshot));
        }
        match services.as_slice() {
            [only] => Ok(only),
            [] => Err(Refused::UnknownService {
                name: self
                    .service
                    .clone()
                    .unwrap_or_else(|| "a service".to_owned()),
                known,
            }),
            several => Err(Refused::Several(names(
                several.iter().map(|service| &service.name),
            ))),
        }
    }

    /// With its attributes as they are in messages, however they were written.
    pub(super) fn in_words_of(mut self, protocol: &dyn Protocol) -> Result<Self, Refused> {
        self.are_known(protocol)?;
        for name in protocol.lower_case_attributes() {
            if let Some(value) = self.attributes.0.get_mut(*name) {
                value.make_ascii_lowercase();
            }
        }
        Ok(self)
    }

    /// A name that no request of the protocol has would be a slip, and no route would tell.
    fn are_known(&self, protocol: &dyn Protocol) -> Result<(), Refused> {
        if protocol.open_attributes() {
            return Ok(());
        }
        let known: Vec<_> = protocol.attributes().iter().map(|it| it.name).collect();
        let mut names = self.attributes.0.keys();
        match names.find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Refused::UnknownAttribute {
                name: name.clone(),
                protocol: protocol.id().to_owned(),
                known: known.join(", "),
            }),
        }
    }

    /// What its key is when it is sent by this route.
    pub(super) fn key(&self, protocol: &dyn Protocol, route: &Route) -> Option<Vec<u8>> {
        let name = protocol.key_attribute()?;
        let value = self.attribute(name)?;
        let removed = route.remove_prefix.as_ref();
        let removed = removed.filter(|removed| removed.attribute == name);
        let sent = removed.and_then(|removed| Removed::sent(&removed.prefix, value));
        Some(sent.unwrap_or(value).to_vec())
    }
}

/// Whether some route of a service leads to `[NAMESPACE/]HOST[:PORT]`: the names of clusters tell, which
/// have no namespace.
fn leads_to(service: &Service, asked: &str, snapshot: &Snapshot) -> bool {
    let host = asked.rsplit_once('/').map_or(asked, |(_, host)| host);
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (host, None),
    };
    let routes = super::rules(service, snapshot).iter();
    let destinations = routes.flat_map(|route| route.destinations.iter());
    let mut clusters = destinations.flat_map(|to| to.asked());
    clusters.any(|cluster| {
        let Ok(name) = cluster.parse::<ClusterName>() else {
            return false;
        };
        name.host == host && port.is_none_or(|port| port == name.port.to_string())
    })
}

/// The protocol as the service speaks it.
pub(super) fn protocol(service: &Service, sources: &Sources) -> Result<Arc<dyn Protocol>, Refused> {
    let Some(id) = &service.protocol else {
        return Err(Refused::Passed {
            service: service.name.clone(),
            cluster: service.default_cluster.clone().unwrap_or_default(),
        });
    };
    let plain = sources.protocols.find(id);
    let plain = plain.ok_or_else(|| Refused::Protocol(id.clone()))?;
    if service.settings.is_empty() {
        return Ok(Arc::clone(plain));
    }
    let settings = service.settings.iter();
    let settings: Vec<_> = settings
        .map(|setting| (setting.name.as_str(), setting.value.as_str()))
        .collect();
    let configured = plain.configure(&settings);
    configured.map_err(|error| Refused::Settings {
        service: service.name.clone(),
        reason: error.to_string(),
    })
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    one_of(&names)
}
