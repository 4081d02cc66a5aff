//! Ports that others take for HTTP, and that are passed on as they come.

use std::fmt;

use serde::Serialize;

use super::asking::Asking;
use crate::diagnostic::Code;
use crate::manifest::{Kind, ObjectRef, Spec};
use crate::model::Port;

/// A port that Istio takes for HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpPort {
    pub port: u16,
    pub name: String,
    /// What says that it is HTTP; none where Istio looks at its first bytes.
    pub protocol: Option<String>,
    /// What says how HTTP is routed there.
    pub rules: Vec<String>,
    /// Policies of the service, or of the waypoint, that ask for something of HTTP there.
    pub policies: Vec<String>,
}

/// Those that Istio's own waypoints, and sidecars, route and authorize by request (`protocol.IsHTTP`).
const HTTP: [&str; 5] = ["http", "http2", "http_proxy", "grpc", "grpc-web"];
/// The others that it knows (`protocol.Parse`).
const OTHERS: [&str; 7] = ["tcp", "udp", "tls", "https", "mongo", "mysql", "redis"];
/// What Kubernetes calls some of them in `appProtocol`.
const STANDARD: [(&str, &str); 3] = [
    ("kubernetes.io/h2c", "http2"),
    ("kubernetes.io/ws", "http"),
    ("kubernetes.io/wss", "https"),
];
/// Whatever is not said of them, these are TCP: their servers speak first (`wellKnownPorts`).
const SERVERS_FIRST: [u16; 4] = [25, 53, 3306, 27017];

/// What Istio takes a port for.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Http(String),
    Other,
    ByItsBytes,
}

pub(super) fn http(asking: &Asking<'_>) -> Vec<HttpPort> {
    let passed = asking.service.ports.iter();
    let passed = passed.filter(|port| port.protocol.is_none());
    let ports = passed.filter_map(|port| {
        let protocol = match taken(asking, port) {
            Taken::Http(said) => Some(said),
            Taken::ByItsBytes => None,
            Taken::Other => return None,
        };
        Some(HttpPort {
            port: port.number,
            name: port.name.clone(),
            protocol,
            rules: asking.rules.at(asking.service, port.number),
            policies: policies(asking, port.number),
        })
    });
    ports.collect()
}

/// As `ConvertProtocol` has it for a Service; for a ServiceEntry its `protocol` decides.
fn taken(asking: &Asking<'_>, port: &Port) -> Taken {
    let number = port.number;
    let said = match &asking.service.source.spec {
        Spec::ServiceEntry(entry) => {
            let mut ports = entry.ports.iter();
            let port = ports.find(|it| it.number == number);
            return by_name(port.map_or("", |it| it.protocol.as_str()));
        }
        Spec::Service(service) => {
            let mut ports = service.ports.iter();
            let port = ports.find(|it| it.number == number);
            port.map_or("", |it| it.app_protocol.as_str())
        }
        _ => "",
    };
    let standard = STANDARD.iter().find(|(name, _)| *name == said);
    let found = match (standard, said) {
        (Some((_, protocol)), _) => by_name(protocol),
        (None, "") => by_name(&port.name),
        (None, said) => by_name(said),
    };
    match found {
        Taken::ByItsBytes if SERVERS_FIRST.contains(&number) => Taken::Other,
        found => found,
    }
}

fn by_name(name: &str) -> Taken {
    let name = name.to_lowercase();
    let first = match name.split_once('-') {
        _ if name.starts_with("grpc-web") => "grpc-web",
        Some((first, _)) => first,
        None => &name,
    };
    match first {
        _ if HTTP.contains(&first) => Taken::Http(first.to_owned()),
        _ if OTHERS.contains(&first) => Taken::Other,
        _ => Taken::ByItsBytes,
    }
}

fn policies(asking: &Asking<'_>, port: u16) -> Vec<String> {
    let passed = asking.waypoint.passed.iter();
    let passed = passed.filter(|it| it.bound.port == port && it.bound.is_of(asking.service));
    let applied = passed.flat_map(|it| &it.authorization);
    let of_http = applied.filter(|it| asks_for_http(asking, &it.source));
    of_http.map(|it| it.source.to_string()).collect()
}

fn asks_for_http(asking: &Asking<'_>, policy: &ObjectRef) -> bool {
    let object = asking.objects.get(policy);
    let object = object.filter(|it| it.id.kind == Kind::AuthorizationPolicy);
    object.is_some_and(|object| match &object.spec {
        Spec::AuthorizationPolicy(policy) => {
            let mut told = policy.told.iter();
            told.any(|it| it.code == Code::HttpOnly)
        }
        _ => false,
    })
}

impl fmt::Display for HttpPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, name, .. } = self;
        match &self.protocol {
            Some(protocol) => write!(f, "{port} `{name}`: {protocol}")?,
            None => write!(f, "{port} `{name}`: HTTP, if its bytes are")?,
        }
        if !self.rules.is_empty() {
            write!(f, "; {}", self.rules.join(", "))?;
        }
        match self.policies.as_slice() {
            [] => Ok(()),
            policies => write!(f, "; fields of HTTP in {}", policies.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_istio_takes_a_port_for() {
        let http = |name: &str| Taken::Http(name.to_owned());
        let rows = [
            ("http", http("http")),
            ("HTTP-web", http("http")),
            ("http2-x", http("http2")),
            ("grpc", http("grpc")),
            ("grpc-web-x", http("grpc-web")),
            ("https-x", Taken::Other),
            ("tcp-dubbo", Taken::Other),
            ("metrics", Taken::ByItsBytes),
            ("", Taken::ByItsBytes),
        ];
        for (name, expected) in rows {
            assert_eq!(by_name(name), expected, "{name}");
        }
    }
}
