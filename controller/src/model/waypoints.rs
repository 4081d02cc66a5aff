//! Waypoints: Gateways whose proxies stand before Services, as these ask for by a label. Each of their ports is a server.

use std::borrow::BorrowMut;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use meltemi_policy::ClusterName;

use super::attachment::admits;
use super::gateways::{PROXY, is_waypoint, not_served, of_sidecars};
use super::services::{Port, Service};
use super::{
    AppliedPolicy, Bind, Context, Findings, Hop, ListenerTls, Rule, Server, ServerName,
    ServerPolicy, WeightedCluster, objects_of, tls,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{
    AllowedRoutes, Kind, KubernetesGateway, Listener, Object, ObjectRef, Resolution, ServerTls,
    Spec,
};

mod captured;
mod leaving;
mod led;

#[cfg(all(test, feature = "kubernetes"))]
pub(crate) use leaving::FAREWELL;
pub(crate) use leaving::Leaving;
pub(crate) use led::{Led, LedService, MANAGED_BY, Via};

/// On a Service or ServiceEntry, else on its namespace: the Gateway that stands before it, or `none`.
pub(crate) const USE: &str = "istio.io/use-waypoint";
/// Beside it: that Gateway's namespace, where it is another one.
pub(crate) const USE_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
/// Beside it: another Gateway, which a part of the connections goes to, as an annotation says to istiod.
const CANARY: [&str; 2] = [
    "istio.io/use-waypoint-canary",
    "istio.io/use-waypoint-canary-namespace",
];
/// The same of the Gateway that the sidecars of a mesh lead to: Istio takes the labels above for its own affair.
const USE_GATEWAY: [&str; 2] = ["meltemi.io/use-gateway", "meltemi.io/use-gateway-namespace"];
/// On a Gateway, else on its class: what it stands before.
const FOR: &str = "istio.io/waypoint-for";
/// Beside [`PROXY`] what the listener of a waypoint may be called: what Istio's own waypoints write.
const HBONE: &str = "HBONE";
/// Where ztunnel hands connections over, unless the listener says another port.
const PORT: u16 = 15088;

/// A Gateway whose proxies stand before services.
#[derive(Debug)]
pub(crate) struct Waypoint {
    pub(crate) gateway: Arc<Object>,
    /// Of its listener, whose name is that of the Gateway's.
    pub(crate) name: ServerName,
    pub(crate) port: u16,
    /// The SPIFFE id of its proxies, where ztunnel connects to them.
    pub(crate) identity: String,
    /// As whom they come to servers.
    pub(crate) hop: Hop,
    /// Services that ask for it; others it still serves.
    pub(crate) asking: BTreeSet<ObjectRef>,
    /// Where sidecars connect in the place of ztunnel: at this address, with certificates of the mesh.
    pub(crate) sidecars: Option<(IpAddr, ListenerTls)>,
    /// What these are to be told.
    pub(crate) led: Led,
    /// The ports of its services that speak nothing of ours.
    pub(crate) passed: Vec<Passed>,
}

/// Where ztunnel hands connections over: whoever else could connect could say that it is anybody.
const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

impl Waypoint {
    /// What a port of a service is behind it.
    pub(crate) fn server_of(&self, (host, port): (&str, u16)) -> ServerName {
        ServerName {
            server: format!("{host}:{port}"),
            ..self.name.clone()
        }
    }

    /// Its listeners, each of a name, at an address.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (String, IpAddr)> {
        let is_led_to = self.sidecars.is_some();
        let named = move |address| match address {
            _ if is_led_to => (self.name.to_string(), address),
            IpAddr::V4(_) => (self.name.to_string(), address),
            IpAddr::V6(_) => (format!("{}-ipv6", self.name), address),
        };
        let everywhere = self.sidecars.as_ref().map(|(address, _)| *address);
        let on_loopback = LOOPBACK.into_iter().filter(move |_| everywhere.is_none());
        everywhere.into_iter().chain(on_loopback).map(named)
    }
}

/// A port whose bytes are passed on as they come.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) name: ServerName,
    pub(crate) bound: Bound,
    /// The Service or ServiceEntry.
    pub(crate) source: Arc<Object>,
    /// Who may use it; without any, anybody.
    pub(crate) authorization: Vec<AppliedPolicy>,
}

/// A port of a service that a waypoint stands before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// The Service or ServiceEntry.
    pub(crate) service: ObjectRef,
    pub(crate) host: String,
    pub(crate) namespace: Arc<str>,
    /// Which clients dial; none where they dial its endpoints.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: u16,
    /// All of its endpoints.
    pub(crate) cluster: ClusterName,
}

impl Bound {
    fn new(service: &Service, port: &Port) -> Self {
        Self {
            service: service.source.id.clone(),
            host: service.host.clone(),
            namespace: service.namespace.clone(),
            addresses: captured::addresses(service),
            port: port.number,
            cluster: ClusterName {
                port: port.number,
                subset: String::new(),
                host: service.host.clone(),
            },
        }
    }

    pub(crate) fn is_of(&self, service: &Service) -> bool {
        self.host == service.host && self.namespace == service.namespace
    }
}

/// All waypoints, and the servers behind them, without rules yet.
pub(super) fn of(
    leaving: Option<&Leaving>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> (Vec<Waypoint>, Vec<Server>) {
    let (mut waypoints, mut servers) = (vec![], vec![]);
    let mut stand = |object: &Arc<Object>, gateway: &KubernetesGateway, findings: &mut _| {
        let (waypoint, behind) = before(object, gateway, (leaving, context), findings)?;
        waypoints.push(waypoint);
        servers.extend(behind);
        Some(())
    };
    for (object, gateway) in objects_of!(context.objects, KubernetesGateway) {
        stand(object, gateway, findings);
    }
    let gone = leaving.into_iter().flat_map(Leaving::gone);
    for object in gone.filter(|object| !context.objects.contains_key(&object.id)) {
        if let Spec::KubernetesGateway(gateway) = &object.spec {
            // There is nobody to tell what is wrong with it.
            stand(object, gateway, &mut Findings::default());
        }
    }
    led::check_headers(&waypoints, context, findings);
    (waypoints, servers)
}

/// What a Gateway stands before, if it is one that does.
fn before(
    object: &Arc<Object>,
    gateway: &KubernetesGateway,
    (leaving, context): (Option<&Leaving>, &Context<'_>),
    findings: &mut Findings,
) -> Option<(Waypoint, Vec<Server>)> {
    let objects = context.objects;
    let of_sidecars = of_sidecars(gateway, objects);
    let mut waypoint = match of_sidecars {
        Some(listener) => led_to(object, gateway, listener, (context, findings)),
        None if is_waypoint(gateway, context) => listening(object, gateway, context, findings),
        None => None,
    }?;
    let before = Before {
        gateway: object,
        labels: of_sidecars.map_or([USE, USE_NAMESPACE], |_| USE_GATEWAY),
        allowed: of_sidecars.map_or_else(|| allowed(gateway), |it| it.allowed.clone()),
        takes_services: of_sidecars.is_some() || takes_services(object, gateway, objects),
        takes_pods: of_sidecars.is_none() && takes_pods(object, objects),
        leaving,
        context,
    };
    let mut servers = vec![];
    let services = context.services.iter();
    for service in services.filter(|it| before.is_asked_by(it) || before.is_left_by(it)) {
        if let Some(refusal) = before.refusal(service) {
            before.tell(service, refusal, findings);
            continue;
        }
        // Which pods ask for it themselves comes and goes with them: `check --plan` says what goes past it.
        let takes_pods = before.takes_pods && captured::is_headless(service);
        let hindrance = match of_sidecars {
            Some(_) => captured::of_sidecars(service),
            None => captured::hindrance(service).filter(|_| !takes_pods),
        };
        if let Some(hindrance) = hindrance {
            before.tell(service, hindrance, findings);
        }
        if before.is_asked_by(service) {
            waypoint.asking.insert(service.source.id.clone());
        }
        before.bind(service, &mut waypoint, &mut servers);
    }
    if waypoint.sidecars.is_some() {
        waypoint.led = led::of(&waypoint, context, findings);
        waypoint.hop = led::hop(waypoint.led.via.as_ref(), context);
    }
    Some((waypoint, servers))
}

/// Requests of a service of which no object says anything go to it.
pub(super) fn lead_home(servers: &mut [impl BorrowMut<Server>], context: &Context<'_>) {
    for server in servers.iter_mut().map(BorrowMut::<Server>::borrow_mut) {
        let Bind::Service(bound) = &server.bind else {
            continue;
        };
        if !server.attached.is_empty() {
            continue;
        }
        if let Some(service) = context.objects.get(&bound.service) {
            let destinations = vec![WeightedCluster::only(bound.cluster.clone())];
            server.rules.push(Arc::new(Rule {
                destinations,
                ..Rule::of(service)
            }));
        }
    }
}

/// Where sidecars arrive.
fn led_to(
    object: &Arc<Object>,
    gateway: &KubernetesGateway,
    listener: &Listener,
    (context, findings): (&Context<'_>, &mut Findings),
) -> Option<Waypoint> {
    let mark = listener.tls.as_ref()?.mark.clone();
    let tls = tls::with_clients(object, &ServerTls::of_workloads(mark), context, findings)?;
    let address = gateway.addresses.first();
    let address = address.and_then(|address| address.value.parse().ok());
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    Some(Waypoint {
        gateway: object.clone(),
        name: ServerName {
            namespace: object.id.namespace.clone(),
            gateway: object.id.name.clone(),
            server: listener.name.value.clone(),
        },
        port: listener.port.value,
        identity: String::new(),
        hop: Hop::default(),
        asking: BTreeSet::new(),
        sidecars: Some((address, tls)),
        led: Led::default(),
        passed: vec![],
    })
}

/// The listener of a Gateway at which connections arrive.
fn listening(
    object: &Arc<Object>,
    gateway: &KubernetesGateway,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Waypoint> {
    let others = gateway.listeners.iter();
    let others = others.filter(|it| ![PROXY, HBONE].contains(&it.protocol.value.as_str()));
    for other in others {
        let remedy = "a waypoint has one listener, of protocol istio.io/PROXY and port 15088";
        not_served(object, &other.protocol, remedy, findings);
    }
    let of_protocol = |protocol| {
        let mut listeners = gateway.listeners.iter();
        listeners.find(|it| it.protocol.value == protocol)
    };
    let (listener, port) = match (of_protocol(PROXY), of_protocol(HBONE)) {
        (Some(listener), _) => (listener, listener.port.value),
        (None, Some(listener)) => (listener, PORT),
        (None, None) => {
            let message = "no listener of this waypoint is one that connections arrive at";
            let diagnostic = Diagnostic::error(Code::UnknownProtocol, message);
            let remedy = "add one: {name: proxy, port: 15088, protocol: istio.io/PROXY}";
            findings.blameless(object, object.at, diagnostic.remedy(remedy));
            return None;
        }
    };
    let trust_domain = context.mesh.trust_domain();
    let ObjectRef {
        namespace, name, ..
    } = &object.id;
    let account = format!("ns/{namespace}/sa/{name}");
    Some(Waypoint {
        gateway: object.clone(),
        name: ServerName {
            namespace: namespace.clone(),
            gateway: name.clone(),
            server: listener.name.value.clone(),
        },
        port,
        identity: format!("spiffe://{trust_domain}/{account}"),
        hop: Hop::of([account.as_str()], context.mesh.trust_domains()),
        asking: BTreeSet::new(),
        sidecars: None,
        led: Led::default(),
        passed: vec![],
    })
}

/// As istiod reads it: what the listener with the binding's port says, else the one of HBONE (`makeAllowedRoutes`).
fn allowed(gateway: &KubernetesGateway) -> AllowedRoutes {
    let of_protocol = |protocol| {
        let mut listeners = gateway.listeners.iter();
        listeners.find(|it| it.protocol.value == protocol)
    };
    let listener = of_protocol(PROXY).or_else(|| of_protocol(HBONE));
    listener.map_or(AllowedRoutes::Same, |listener| listener.allowed.clone())
}

fn takes_services(object: &Object, gateway: &KubernetesGateway, objects: &Objects) -> bool {
    ["service", "all"].contains(&stands_for(object, gateway, objects))
}

/// What a Gateway says that it stands before, else its class, else Istio's default.
fn stands_for<'a>(
    object: &'a Object,
    gateway: &KubernetesGateway,
    objects: &'a Objects,
) -> &'a str {
    let class = ObjectRef::new(Kind::GatewayClass, "", &gateway.class.value);
    let class = objects.get(&class).map(|class| &**class);
    let mut said = std::iter::once(object).chain(class);
    let said = said.find_map(|it| it.metadata.labels.get(FOR));
    said.map_or("service", String::as_str)
}

/// Whether connections to pods that ask for it come to it.
pub(crate) fn takes_pods(gateway: &Object, objects: &Objects) -> bool {
    let Spec::KubernetesGateway(spec) = &gateway.spec else {
        return false;
    };
    ["workload", "all"].contains(&stands_for(gateway, spec, objects))
}

/// Whether connections to addresses of the service come to its waypoint.
pub(crate) fn is_captured(service: &Service) -> bool {
    captured::hindrance(service).is_none()
}

/// A waypoint, as services see it.
struct Before<'a> {
    gateway: &'a Arc<Object>,
    /// By which it is asked for, and of which namespace.
    labels: [&'static str; 2],
    allowed: AllowedRoutes,
    takes_services: bool,
    /// Connections to pods that ask for it come to it, too.
    takes_pods: bool,
    leaving: Option<&'a Leaving>,
    context: &'a Context<'a>,
}

impl Before<'_> {
    /// Whether the service, or its namespace, names the Gateway, be it as the canary of another one.
    fn is_asked_by(&self, service: &Service) -> bool {
        let namespace = ObjectRef::new(Kind::Namespace, "", &service.namespace);
        let namespace = self.context.objects.get(&namespace);
        let mut said = std::iter::once(&service.source).chain(namespace);
        let [name, _] = self.labels;
        let Some(labels) = said.find_map(|object| {
            let labels = &object.metadata.labels;
            labels.contains_key(name).then_some(labels)
        }) else {
            return false;
        };
        let gateway = &self.gateway.id;
        let names = |[name, of]: [&str; 2]| {
            let of = labels.get(of).map(String::as_str);
            labels.get(name).is_some_and(|it| **it == *gateway.name)
                && of.unwrap_or(&service.namespace) == &*gateway.namespace
        };
        // Whoever has opted out has no canary.
        let is_out = labels.get(USE).is_some_and(|it| it == "none");
        names(self.labels) || (self.labels == [USE, USE_NAMESPACE] && !is_out && names(CANARY))
    }

    /// Whether it has asked a while ago, and does no more.
    fn is_left_by(&self, service: &Service) -> bool {
        let id = &service.source.id;
        self.leaving.is_some_and(|it| it.has(&self.gateway.id, id))
    }

    /// Why it may not have the service, and what to do about it.
    fn refusal(&self, service: &Service) -> Option<captured::Hindrance> {
        if !self.takes_services {
            return Some(captured::Hindrance {
                then: captured::NOT_HERE,
                why: "it is for no services",
                remedy: "set the label istio.io/waypoint-for: service, or all, on this Gateway",
            });
        }
        let namespaces = (&*self.gateway.id.namespace, &*service.namespace);
        let is_admitted = admits(&self.allowed, namespaces, self.context.objects);
        if !is_admitted {
            return Some(captured::Hindrance {
                then: captured::NOT_HERE,
                why: "its listener admits none of that namespace",
                remedy: "set its `allowedRoutes.namespaces`: `from: All`, or a Selector by `matchLabels`",
            });
        }
        captured::elsewhere(service)
    }

    fn tell(&self, service: &Service, hindrance: captured::Hindrance, findings: &mut Findings) {
        let captured::Hindrance { then, why, remedy } = hindrance;
        let message = format!(
            "{} asks for this waypoint, and {then}: {why}",
            service.source.id
        );
        let diagnostic = Diagnostic::warning(Code::NotCaptured, message).remedy(remedy);
        findings.blameless(self.gateway, self.gateway.at, diagnostic);
    }

    fn bind(&self, service: &Service, waypoint: &mut Waypoint, servers: &mut Vec<Server>) {
        for port in &service.ports {
            let bound = Bound::new(service, port);
            let name = waypoint.server_of((&service.host, port.number));
            let Some(protocol) = &port.protocol else {
                waypoint.passed.push(Passed {
                    name,
                    bound,
                    source: service.source.clone(),
                    authorization: vec![],
                });
                continue;
            };
            servers.push(Server {
                name,
                bind: Bind::Service(bound),
                server_names: vec![],
                most_per_source: None,
                tls: None,
                policy: ServerPolicy {
                    settings: self.context.protocols.settings(protocol),
                    ..ServerPolicy::default()
                },
                protocol: protocol.clone(),
                source: self.gateway.clone(),
                authorization: vec![],
                allowed: None,
                rules: vec![],
                attached: BTreeSet::new(),
            });
        }
    }
}
