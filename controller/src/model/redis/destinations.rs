//! RedisDestinations: the policy towards the servers of a host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meltemi_policy::host;

use super::super::secrets::{Credentials, credentials};
use super::super::{
    Cluster, EndpointAddress, Findings, LocalityState, Service, Services, Setting, SettingValue,
};
use super::super::{objects_of, services::Port};
use super::PLUGIN;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::index::Objects;
use crate::manifest::{ConsistentHash, Mode, Object, RedisDestination, Seed, Spec};
use crate::schema::Settings;

/// By namespace and host; of several for one host the oldest counts.
#[derive(Debug)]
pub(in super::super) struct Destinations {
    by_host: BTreeMap<(Arc<str>, String), Destination>,
    root: String,
}

#[derive(Debug)]
pub(in super::super) struct Destination {
    source: Arc<Object>,
    spec: RedisDestination,
    credentials: Option<Credentials>,
}

/// As in Aeraki.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Destinations {
    pub(in super::super) fn new(
        objects: &Objects,
        services: &Services,
        settings: &Settings,
        findings: &mut Findings,
    ) -> Self {
        let mut all: Vec<_> = objects_of!(objects, RedisDestination).collect();
        all.sort_by_key(|(o, _)| (o.metadata.created.is_none(), o.metadata.created));
        let mut destinations = Self {
            by_host: BTreeMap::new(),
            root: settings.root_namespace.clone(),
        };
        for (object, spec) in all {
            let auth = spec.auth.as_ref();
            let destination = Destination {
                source: object.clone(),
                spec: spec.clone(),
                credentials: auth.and_then(|auth| credentials(object, auth, objects, findings)),
            };
            destination.check_seeds(services, findings);
            destinations.add(destination, services, findings);
        }
        destinations
    }

    fn add(&mut self, destination: Destination, services: &Services, findings: &mut Findings) {
        let Destination { source, spec, .. } = &destination;
        let namespace = source.id.namespace.clone();
        let Some(service) = services.find(&spec.host.value, &namespace) else {
            let near = services.nearest(&spec.host.value);
            let message = format!("no service has the host {}{near}", spec.host.value);
            let diagnostic = Diagnostic::warning(Code::UnknownHost, message);
            let remedy = "name the host of a ServiceEntry";
            findings.at(source, spec.host.at, diagnostic.remedy(remedy));
            return;
        };
        let unused = |reason: String| {
            let message = format!("this RedisDestination never acts: {reason}");
            Diagnostic::warning(Code::UnusedRule, message)
        };
        if *namespace != *service.namespace && *namespace != *self.root {
            let reason = format!(
                "those for {} are those of its namespace {} and of {}",
                service.host, service.namespace, self.root
            );
            let remedy = format!("move it to namespace {}", service.namespace);
            findings.at(source, spec.host.at, unused(reason).remedy(remedy));
            return;
        }
        if !service.ports.iter().any(speaks) {
            let reason = format!("no port of {} speaks {PLUGIN}", service.host);
            let remedy = format!("name a port tcp-{PLUGIN} in its ServiceEntry");
            findings.at(source, spec.host.at, unused(reason).remedy(remedy));
            return;
        }
        let key = (namespace, service.host.clone());
        if let Some(first) = self.by_host.get(&key) {
            let place = Place::of(&first.source.file, first.spec.host.at);
            let diagnostic = unused(format!("{} comes first", first.source.id))
                .related("the first is here", place)
                .remedy("write all of it into one RedisDestination");
            findings.at(source, spec.host.at, diagnostic);
            return;
        }
        self.by_host.insert(key, destination);
    }

    /// The services whose endpoints are seeds.
    #[cfg(feature = "kubernetes")]
    pub(in super::super) fn seeds<'a>(
        &'a self,
        services: &'a Services,
    ) -> impl Iterator<Item = &'a Service> {
        let of_clusters = self.by_host.values();
        let of_clusters = of_clusters.filter(|it| it.spec.mode == Mode::Cluster);
        of_clusters.flat_map(|destination| {
            let seeds = destination.spec.discovery_endpoints.iter();
            seeds.filter_map(|seed| {
                services.find(&seed.host.value, &destination.source.id.namespace)
            })
        })
    }

    /// That of a service's port: of its namespace, else of the root namespace.
    pub(in super::super) fn of(&self, service: &Service, port: &Port) -> Option<&Destination> {
        let namespaces = [&*service.namespace, self.root.as_str()].into_iter();
        let mut found = namespaces.filter_map(|namespace| {
            let key = (Arc::from(namespace), service.host.clone());
            self.by_host.get(&key)
        });
        found.next().filter(|_| speaks(port))
    }
}

fn speaks(port: &Port) -> bool {
    let protocol = port.protocol.as_ref();
    protocol.is_some_and(|protocol| protocol.plugin == PLUGIN)
}

impl Destination {
    /// Puts its policy in force on a cluster, the name of whose port is given. A balancer that a
    /// DestinationRule names stands; otherwise the hash of the key decides among proxied servers.
    pub(in super::super) fn apply(
        &self,
        cluster: &mut Cluster,
        port: u16,
        has_balancer: bool,
        services: &Services,
    ) {
        let spec = &self.spec;
        cluster.source = self.source.id.clone();
        cluster.pool.tcp = spec.tcp.or(cluster.pool.tcp);
        let connect_timeout = cluster.pool.tcp.connect_timeout;
        cluster.connect_timeout = connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let mode = match spec.mode {
            Mode::Proxy => "PROXY",
            Mode::Cluster => "CLUSTER",
        };
        cluster.settings = vec![Setting::plain("mode", mode)];
        if let Some(Credentials { username, password }) = &self.credentials {
            let mut put = |name: &str, value: &SettingValue| {
                cluster.settings.push(Setting::new(name, value.clone()));
            };
            if let Some(username) = username {
                put("upstreamUsername", username);
            }
            put("upstreamPassword", password);
        }
        match spec.mode {
            Mode::Proxy if has_balancer => {}
            Mode::Proxy => {
                cluster.hash = Some(ConsistentHash::MAGLEV);
                let asked = std::mem::replace(&mut cluster.locality, LocalityState::KeysAlone);
                cluster.locality = asked.of_stores();
            }
            Mode::Cluster => {
                let seeds = spec.discovery_endpoints.iter();
                let seeds = seeds.flat_map(|seed| self.addresses(seed, port, services));
                cluster.topology = Some(seeds.collect());
            }
        }
    }

    /// Where a seed is dialled: an address as it stands, a name by the endpoints that its
    /// ServiceEntry lists. Without a port it is that of the cluster.
    fn addresses(&self, seed: &Seed, port: u16, services: &Services) -> Vec<EndpointAddress> {
        let number = seed.port.unwrap_or(port);
        if let Ok(ip) = seed.host.value.parse() {
            return vec![EndpointAddress::Tcp(ip, number)];
        }
        let service = services.find(&seed.host.value, &self.source.id.namespace);
        let port = service.and_then(|service| service.port(number));
        let endpoints = port.into_iter().flat_map(|port| &port.endpoints);
        let is_name = |address: &EndpointAddress| matches!(address, EndpointAddress::Name(..));
        let addresses = endpoints.map(|e| e.address.clone());
        addresses.filter(|address| !is_name(address)).collect()
    }

    /// Names that lead nowhere. The others, or the host's own endpoints, are asked.
    fn check_seeds(&self, services: &Services, findings: &mut Findings) {
        let namespace = &self.source.id.namespace;
        let own = services.find(&self.spec.host.value, namespace);
        for seed in &self.spec.discovery_endpoints {
            let name = &seed.host.value;
            let is_address = name.parse::<std::net::IpAddr>().is_ok();
            let leads = services.find(name, namespace).is_some_and(|service| {
                let mut ports = service.ports.iter().map(|port| port.number);
                match seed.port {
                    Some(number) => ports.any(|port| port == number),
                    None => ports.any(|port| own.is_some_and(|own| own.port(port).is_some())),
                }
            });
            if is_address || leads {
                continue;
            }
            let host = host::expand(name, namespace);
            let port = seed.port.map(|port| format!(" with port {port}"));
            let message = format!(
                "the endpoint `{name}` has no effect: no ServiceEntry defines {host}{}",
                port.unwrap_or_default()
            );
            let diagnostic = Diagnostic::warning(Code::UnknownHost, message);
            let remedy = "give an IP address, or define a ServiceEntry of that host";
            findings.at(&self.source, seed.host.at, diagnostic.remedy(remedy));
        }
    }
}
