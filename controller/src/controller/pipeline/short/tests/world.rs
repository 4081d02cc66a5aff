//! What may happen to the objects of a small cluster, by numbers instead of names.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::controller::Pipeline;
use crate::diagnostic::SourceFile;
use crate::fixture::{GATEWAY, redis_settings, settings};
use crate::index::Index;
use crate::manifest::{Decoded, Kind, ObjectRef, decode_file};
use crate::schema::Settings;

const SERVICES: usize = 3;
const PODS: usize = 4;
const ROUTERS: usize = 4;

/// An object becomes another.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A slice of a Service has these pods.
    Slice(usize, usize, Vec<(usize, Health)>),
    NoSlice(usize, usize),
    /// A pod has this version, lies on this node, and is ready.
    Pod(usize, usize, usize, bool),
    NoPod(usize),
    Node(usize, usize),
    Service(usize, Shape),
    /// Whether the namespace asks for what is near.
    Namespace(bool),
    /// A MetaRouter of a Service, with such a route.
    Router(usize, usize, Way),
    NoRouter(usize),
    /// A DestinationRule of a Service says this.
    Rule(usize, Policy),
    NoRule(usize),
    /// A ServiceEntry picks the pods of this version.
    Entry(usize),
    NoEntry,
    /// A Gateway of the Gateway API is there.
    Gateway(bool),
    /// The seeds of a Redis Cluster are this Service's endpoints.
    Seeds(usize),
    NoSeeds,
    /// Something is wrong with a slice.
    BadSlice(usize),
    Publish,
    /// The long way begins, beside the short ones.
    SetOut,
    /// It ends.
    Arrive,
}

/// What a DestinationRule says beside its subsets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Policy {
    Nothing,
    /// So many connections, and so many to the subset of version 2.
    Connections(usize, usize),
    /// Ejections, which permit to prefer the nearest.
    Ejections,
    /// A key is with one endpoint.
    Hash,
    /// Of an attribute that is misspelt.
    BadHash,
    /// Connections of clients last for so long.
    Times(usize),
    /// Servers are asked for TLS.
    Tls,
    /// One subset fewer.
    FewerSubsets,
    /// The subset of version 2 has other pods.
    OtherLabels,
    /// The settings of a port that nobody has.
    UnknownPort,
    /// It is for the Services of the namespace.
    Wide,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Health {
    Ready,
    Unready,
    Leaving,
}

/// How the requests of one method go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// To the Service and a subset of it, and to what the ServiceEntry picks.
    Subset(usize),
    /// To the Service.
    Plain,
    /// To another one.
    Elsewhere(usize),
    /// Those of all methods, before all others.
    First,
    /// Behind those of the other MetaRouters.
    Last,
    /// To a host that nobody defines.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Absent,
    Plain,
    /// Asks for what is near, so that those that are not ready count.
    Near,
    /// Another name of this one.
    Alias(usize),
    /// Of a name that nobody defines.
    External,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let s = || 0..SERVICES;
    let health = || {
        prop_oneof![
            3 => Just(Health::Ready),
            1 => Just(Health::Unready),
            1 => Just(Health::Leaving),
        ]
    };
    let pods = vec((0..PODS, health()), 0..4);
    let shape = prop_oneof![
        1 => Just(Shape::Absent),
        3 => Just(Shape::Plain),
        1 => Just(Shape::Near),
        1 => s().prop_map(Shape::Alias),
        1 => Just(Shape::External),
    ];
    prop_oneof![
        12 => (s(), 0..2usize, pods).prop_map(|(s, n, pods)| Step::Slice(s, n, pods)),
        2 => (s(), 0..2usize).prop_map(|(s, n)| Step::NoSlice(s, n)),
        8 => (0..PODS, 1..3usize, 0..2usize, any::<bool>())
            .prop_map(|(p, version, node, ready)| Step::Pod(p, version, node, ready)),
        2 => (0..PODS).prop_map(Step::NoPod),
        1 => (0..2usize, 0..3usize).prop_map(|(n, z)| Step::Node(n, z)),
        3 => (s(), shape).prop_map(|(s, shape)| Step::Service(s, shape)),
        1 => any::<bool>().prop_map(Step::Namespace),
        8 => (0..ROUTERS, s(), way()).prop_map(|(r, s, way)| Step::Router(r, s, way)),
        2 => (0..ROUTERS).prop_map(Step::NoRouter),
        8 => (s(), policy()).prop_map(|(s, policy)| Step::Rule(s, policy)),
        1 => s().prop_map(Step::NoRule),
        1 => (1..3usize).prop_map(Step::Entry),
        1 => Just(Step::NoEntry),
        1 => any::<bool>().prop_map(Step::Gateway),
        1 => s().prop_map(Step::Seeds),
        1 => Just(Step::NoSeeds),
        1 => s().prop_map(Step::BadSlice),
        16 => Just(Step::Publish),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        2 => Just(Policy::Nothing),
        4 => (1..3usize, 1..3usize).prop_map(|(one, other)| Policy::Connections(one, other)),
        2 => Just(Policy::Ejections),
        2 => Just(Policy::Hash),
        1 => Just(Policy::BadHash),
        2 => (1..3usize).prop_map(Policy::Times),
        1 => Just(Policy::Tls),
        1 => Just(Policy::FewerSubsets),
        1 => Just(Policy::OtherLabels),
        1 => Just(Policy::UnknownPort),
        1 => Just(Policy::Wide),
    ]
}

/// Any of them, and the long way beside the short ones.
pub(super) fn step_beside() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => step(),
        1 => Just(Step::SetOut),
        1 => Just(Step::Arrive),
    ]
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        4 => (1..3usize).prop_map(Way::Subset),
        3 => Just(Way::Plain),
        3 => (0..SERVICES).prop_map(Way::Elsewhere),
        1 => Just(Way::First),
        2 => Just(Way::Last),
        1 => Just(Way::Unknown),
    ]
}

fn decoded(text: &str) -> Vec<Decoded> {
    let read = |name: String, text: &str| {
        let text = text.to_owned();
        decode_file(&Arc::new(SourceFile { name, text }))
            .pop()
            .expect("one document")
    };
    let documents = text.split("---\n");
    let named = documents.map(|text| {
        let id = read(String::new(), text).id.expect("it has a name");
        read(id.to_string(), text)
    });
    named.collect()
}

const PORT: &str = "{name: tcp-metaprotocol-dubbo, port: 20880}";

fn slice(service: usize, n: usize, ports: &str, pods: &[(usize, Health)]) -> String {
    let mut text = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: s{service}-{n}, labels: {{kubernetes.io/service-name: s{service}}}}}\n\
         addressType: IPv4\nports: [{ports}]\nendpoints:\n"
    );
    for (pod, health) in pods {
        let conditions = match health {
            Health::Ready => "ready: true",
            Health::Unready => "ready: false",
            Health::Leaving => "ready: false, serving: true, terminating: true",
        };
        let _ = writeln!(
            text,
            "- {{addresses: [10.0.0.{pod}], conditions: {{{conditions}}}, nodeName: node-0, \
             targetRef: {{kind: Pod, name: p{pod}}}}}"
        );
    }
    text
}

fn pod(n: usize, version: usize, node: usize, ready: bool) -> String {
    let ready = if ready { "True" } else { "False" };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}, labels: {{version: v{version}}}}}\n\
         spec: {{nodeName: node-{node}}}\n\
         status: {{podIP: 10.0.0.{n}, conditions: [{{type: Ready, status: '{ready}'}}]}}\n"
    )
}

fn service(n: usize, shape: Shape) -> Option<String> {
    let spec = match shape {
        Shape::Absent => return None,
        Shape::Plain => String::new(),
        Shape::Near => "trafficDistribution: PreferSameZone, ".to_owned(),
        Shape::Alias(of) => {
            format!("type: ExternalName, externalName: s{of}.default.svc.cluster.local, ")
        }
        Shape::External => "type: ExternalName, externalName: example.com, ".to_owned(),
    };
    Some(format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{n}}}\nspec: {{{spec}ports: [{PORT}]}}\n"
    ))
}

fn router(n: usize, service: usize, way: Way) -> String {
    let host = |host: &str| format!("{{destination: {{host: {host}}}}}");
    let own = format!("s{service}");
    let route = match way {
        Way::Subset(version) => format!(
            "{{destination: {{host: {own}}}, weight: 50}}, \
             {{destination: {{host: {own}, subset: v{version}}}, weight: 30}}, \
             {{destination: {{host: picked.example}}, weight: 20}}"
        ),
        Way::Plain | Way::First | Way::Last => host(&own),
        Way::Elsewhere(other) => host(&format!("s{other}")),
        Way::Unknown => host("nobody.example"),
    };
    let (asked, priority) = match way {
        Way::First => (String::new(), "priority: 1, "),
        Way::Last => (method(n), "priority: -1, "),
        _ => (method(n), ""),
    };
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: r{n}}}\n\
         spec: {{{priority}hosts: [{own}], gateways: [edge, api], routes: [{{{asked}route: [{route}]}}]}}\n"
    )
}

fn method(n: usize) -> String {
    format!("match: {{attributes: {{method: {{exact: m{n}}}}}}}, ")
}

fn rule(n: usize, policy: Policy) -> String {
    let connections =
        |count: usize| format!("connectionPool: {{tcp: {{maxConnections: {count}}}}}");
    let of_all = match policy {
        Policy::Connections(count, _) => connections(count),
        Policy::Ejections => "outlierDetection: {consecutive5xxErrors: 3}".to_owned(),
        Policy::Hash => "loadBalancer: {consistentHash: {maglev: {}}}".to_owned(),
        Policy::BadHash => {
            "loadBalancer: {consistentHash: {httpHeaderName: methot, maglev: {}}}".to_owned()
        }
        Policy::Times(minutes) => format!("connectionPool: {{tcp: {{idleTimeout: {minutes}m}}}}"),
        Policy::Tls => "tls: {mode: SIMPLE}".to_owned(),
        Policy::UnknownPort => format!(
            "portLevelSettings: [{{port: {{number: 1}}, {}}}]",
            connections(1)
        ),
        _ => String::new(),
    };
    let of_version_2 = match policy {
        Policy::Connections(_, count) => format!(", trafficPolicy: {{{}}}", connections(count)),
        _ => String::new(),
    };
    let version_2 = match policy {
        Policy::FewerSubsets => String::new(),
        Policy::OtherLabels => "  - {name: v2, labels: {version: v1}}\n".to_owned(),
        _ => format!("  - {{name: v2, labels: {{version: v2}}{of_version_2}}}\n"),
    };
    let host = match policy {
        Policy::Wide => "'*.default.svc.cluster.local'".to_owned(),
        _ => format!("s{n}"),
    };
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: s{n}}}\n\
         spec:\n  host: {host}\n  trafficPolicy: {{{of_all}}}\n  subsets:\n  \
         - {{name: v1, labels: {{version: v1}}}}\n{version_2}"
    )
}

fn entry(version: usize) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: picked}}\nspec:\n  \
         hosts: [picked.example]\n  ports: [{{number: 20880, name: tcp-metaprotocol-dubbo}}]\n  \
         resolution: STATIC\n  workloadSelector: {{labels: {{version: v{version}}}}}\n"
    )
}

const KUBERNETES_GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: api}
spec:
  gatewayClassName: meltemi
  listeners: [{name: tcp-metaprotocol-dubbo, port: 20881, protocol: TCP}]
";

/// A Redis Cluster, and who asks it.
const REDIS: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: redis}
spec: {servers: [{port: {number: 6379, name: tcp-redis}, hosts: ['*']}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: store}
spec:
  hosts: [store.example]
  ports: [{number: 6379, name: tcp-redis}]
  resolution: STATIC
  endpoints: [{address: 10.0.1.1}]
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: store}
spec: {host: [store.example], gateways: [redis], redis: [{route: {host: store.example}}]}
";

fn seeds(service: usize) -> String {
    format!(
        "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisDestination\nmetadata: {{name: store}}\n\
         spec:\n  host: store.example\n  trafficPolicy:\n    connectionPool:\n      redis:\n        \
         mode: CLUSTER\n        discoveryEndpoints: ['s{service}:20880']\n"
    )
}

impl Step {
    /// The object as it is now; else which one is gone. None where nothing happens to any.
    fn object(&self) -> Option<Result<String, ObjectRef>> {
        let gone = |kind, name: &str| Err(ObjectRef::new(kind, "default", name));
        Some(match self {
            Self::Slice(service, n, pods) => Ok(slice(*service, *n, PORT, pods)),
            Self::BadSlice(service) => Ok(slice(*service, 0, "{name: a, port: 99999}", &[])),
            Self::NoSlice(service, n) => gone(Kind::EndpointSlice, &format!("s{service}-{n}")),
            Self::Pod(n, version, node, ready) => Ok(pod(*n, *version, *node, *ready)),
            Self::NoPod(n) => gone(Kind::Pod, &format!("p{n}")),
            Self::Node(node, zone) => Ok(format!(
                "apiVersion: v1\nkind: Node\nmetadata: {{name: node-{node}, \
                 labels: {{topology.kubernetes.io/zone: z{zone}}}}}\n"
            )),
            Self::Service(n, shape) => match service(*n, *shape) {
                Some(service) => Ok(service),
                None => gone(Kind::Service, &format!("s{n}")),
            },
            Self::Namespace(near) => Ok(namespace(*near)),
            Self::Router(n, service, way) => Ok(router(*n, *service, *way)),
            Self::NoRouter(n) => gone(Kind::MetaRouter, &format!("r{n}")),
            Self::Rule(n, policy) => Ok(rule(*n, *policy)),
            Self::NoRule(n) => gone(Kind::DestinationRule, &format!("s{n}")),
            Self::Entry(version) => Ok(entry(*version)),
            Self::NoEntry => gone(Kind::ServiceEntry, "picked"),
            Self::Gateway(true) => Ok(KUBERNETES_GATEWAY.to_owned()),
            Self::Gateway(false) => gone(Kind::KubernetesGateway, "api"),
            Self::Seeds(service) => Ok(seeds(*service)),
            Self::NoSeeds => gone(Kind::RedisDestination, "store"),
            Self::Publish | Self::SetOut | Self::Arrive => return None,
        })
    }
}

fn namespace(near: bool) -> String {
    let annotations = match near {
        true => ", annotations: {networking.istio.io/traffic-distribution: PreferSameZone}",
        false => "",
    };
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: default{annotations}}}\n")
}

/// A pipeline with everything that is there at first.
pub(super) fn pipeline() -> Pipeline {
    let protocols = [settings(), redis_settings()].map(|it| it.protocols);
    let mut pipeline = Pipeline::new(Settings::new(protocols.concat()));
    pipeline.index = Index::one_by_one();
    let mut put = |text: &str| {
        for object in decoded(text) {
            pipeline.index.put(object);
        }
    };
    put(GATEWAY);
    put(KUBERNETES_GATEWAY);
    put(REDIS);
    put(&entry(2));
    for n in 0..SERVICES {
        put(&service(n, Shape::Plain).expect("it is there"));
        put(&rule(n, Policy::Nothing));
        put(&router(n, n, Way::Subset(1)));
    }
    let report = pipeline.apply().report;
    assert!(report.is_valid(), "{report}");
    pipeline
}

pub(super) fn take(pipeline: &mut Pipeline, step: &Step) {
    match step.object() {
        Some(Ok(text)) => {
            for object in decoded(&text) {
                pipeline.index.put(object);
            }
        }
        Some(Err(gone)) => drop(pipeline.index.remove(&gone)),
        None => {}
    }
}
