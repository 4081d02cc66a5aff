//! Endpoints of Kubernetes' Services, by what their objects say.

use crate::Controller;
use crate::diagnostic::SourceFile;
use crate::fixture::settings;
use crate::model::Services;

/// Where each port of a host leads to: the address, with a `!` where it is not to be asked, and where it is.
fn endpoints(manifests: &[&str], host: &str) -> Vec<String> {
    let text = manifests.join("---\n");
    let name = "all.yaml".to_owned();
    let mut controller = Controller::open(&[], settings());
    let report = controller.load_files([SourceFile { name, text }]).report;
    assert!(report.is_valid(), "{report}");
    shown(&controller.model().services, host)
}

fn shown(services: &Services, host: &str) -> Vec<String> {
    let service = services.find(host, "shop").expect("the service");
    let endpoints = service.ports.iter().flat_map(|port| &port.endpoints);
    endpoints
        .map(|endpoint| {
            let asked = if endpoint.is_ready { "" } else { "!" };
            format!("{asked}{} {}", endpoint.address, endpoint.locality)
        })
        .collect()
}

fn service(spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: cache, namespace: shop}}\nspec: {{{spec}}}\n"
    )
}

fn slice(name: &str, port: &str, endpoints: &[&str]) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}, namespace: shop, labels: {{kubernetes.io/service-name: cache}}}}\n\
         addressType: IPv4\nports: [{port}]\nendpoints: [{}]\n",
        endpoints.join(", ")
    )
}

fn endpoint(address: &str, pod: &str, conditions: &str) -> String {
    format!(
        "{{addresses: ['{address}'], conditions: {{{conditions}}}, zone: eu-a, \
         targetRef: {{kind: Pod, name: '{pod}', namespace: shop}}}}"
    )
}

const PORTS: &str = "ports: [{name: tcp-redis, port: 6379, targetPort: redis}]";
const PORT: &str = "{name: tcp-redis, port: 7000, protocol: TCP}";
const HOST: &str = "cache.shop.svc.cluster.local";

#[test]
fn conditions_say_who_is_asked() {
    let ready = "ready: true, serving: true, terminating: false";
    let unready = "ready: false, serving: false, terminating: false";
    let leaving = "ready: false, serving: true, terminating: true";
    let gone = "ready: false, serving: false, terminating: true";
    // What `publishNotReadyAddresses` makes of one that is not, and of one on its way out.
    let published = "ready: true, serving: false, terminating: false";
    let published_leaving = "ready: true, serving: false, terminating: true";
    let near = "trafficDistribution: PreferSameZone";
    let rows: &[(&str, &[&str], &[&str])] = &[
        ("", &[ready, unready, leaving, gone], &["1"]),
        ("", &["", unready], &["1"]),
        ("", &[unready, leaving, gone], &["2"]),
        ("", &[unready, gone], &[]),
        ("", &[published, published_leaving, unready], &["1", "2"]),
        (near, &[ready, unready, leaving, gone], &["1", "!2"]),
        (near, &[unready, leaving], &["2", "!1"]),
    ];
    for (distribution, conditions, expected) in rows {
        let conditions = conditions.iter().enumerate();
        let all: Vec<_> = conditions
            .map(|(i, it)| endpoint(&format!("10.0.0.{}", i + 1), &format!("p{i}"), it))
            .collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let service = service(&[PORTS, distribution].join(", "));
        let found = endpoints(&[&service, &slice("a", PORT, &all)], HOST);
        let expected: Vec<_> = expected
            .iter()
            .map(|it| match it.strip_prefix('!') {
                Some(it) => format!("!10.0.0.{it}:7000 /eu-a"),
                None => format!("10.0.0.{it}:7000 /eu-a"),
            })
            .collect();
        assert_eq!(found, expected, "{distribution} {all:?}");
    }
}

#[test]
fn a_named_port_is_where_each_slice_says_and_a_pod_is_counted_once() {
    let ready = "ready: true";
    let old = slice("old", PORT, &[&endpoint("10.0.0.1", "a", ready)]);
    let new = slice(
        "new",
        &PORT.replace("7000", "7001"),
        &[&endpoint("10.0.0.2", "b", ready)],
    );
    let other = slice(
        "other",
        &PORT.replace("tcp-redis", "tcp-admin"),
        &[&endpoint("10.0.0.3", "c", ready)],
    );
    let six = [
        endpoint("fd00::1", "a", ready),
        endpoint("fd00::2", "b", ready),
        endpoint("fd00::4", "d", ready),
    ];
    let six = slice("six", PORT, &six.each_ref().map(String::as_str)).replace("IPv4", "IPv6");
    // A slice knows no port for what no container names.
    let none = slice(
        "none",
        "{name: tcp-redis, protocol: TCP}",
        &[&endpoint("10.0.0.5", "e", ready)],
    );
    let all = [&*old, &new, &other, &six, &none];
    let (four_first, six_first) = (
        service(PORTS),
        service(&format!("ipFamilies: [IPv6, IPv4], {PORTS}")),
    );
    assert_eq!(
        endpoints(&[&[&*four_first], &all[..]].concat(), HOST),
        [
            "10.0.0.2:7001 /eu-a",
            "10.0.0.1:7000 /eu-a",
            "[fd00::2]:7000 /eu-a",
            "[fd00::4]:7000 /eu-a"
        ]
    );
    let old = slice("old", PORT, &[&endpoint("10.0.0.1", "a", ready)]);
    assert_eq!(
        endpoints(&[&six_first, &old, &six], HOST),
        [
            "[fd00::1]:7000 /eu-a",
            "[fd00::2]:7000 /eu-a",
            "[fd00::4]:7000 /eu-a"
        ]
    );
}

#[test]
fn of_a_pod_with_two_addresses_the_one_that_is_ready_counts() {
    let four = slice("four", PORT, &[&endpoint("10.0.0.1", "a", "ready: false")]);
    let six = slice("six", PORT, &[&endpoint("fd00::1", "a", "ready: true")]);
    let service = service(&format!("trafficDistribution: PreferClose, {PORTS}"));
    assert_eq!(
        endpoints(&[&service, &four, &six], HOST),
        ["[fd00::1]:7000 /eu-a"]
    );
}

#[test]
fn an_external_name_is_resolved_unless_it_is_known() {
    let external = |name: &str| {
        service(&format!(
            "type: ExternalName, externalName: {name}, {PORTS}"
        ))
    };
    assert_eq!(
        endpoints(&[&external("redis.example.com")], HOST),
        ["redis.example.com:6379 "]
    );
    let other = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: other, namespace: shop}
spec:
  hosts: [redis.example.com]
  ports: [{number: 6379, name: tcp-redis, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.9, ports: {tcp-redis: 7009}}]
";
    assert_eq!(
        endpoints(&[&external("redis.example.com"), other], HOST),
        ["10.0.0.9:7009 "]
    );
    // Of two that name each other, nobody is followed.
    let back = external(HOST).replace("name: cache", "name: back");
    let there = external("back.shop.svc.cluster.local");
    assert_eq!(
        endpoints(&[&there, &back], HOST),
        ["back.shop.svc.cluster.local:6379 "]
    );
}

const ENTRY: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cache, namespace: shop}
spec:
  hosts: [cache.example]
  ports: [{number: 6379, targetPort: 7000, name: tcp-redis, protocol: TCP}]
  resolution: STATIC
  workloadSelector: {labels: {app: cache}}
";

const WORKLOAD: &str = "\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: cache}, locality: eu/eu-b}
";

const NODE: &str = "\
apiVersion: v1
kind: Node
metadata: {name: n, labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a}}
";

#[test]
fn a_service_entry_selects_pods_that_are_ready() {
    let pod = |name: &str, metadata: &str, address: &str, ready: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, {metadata}}}\nspec: {{nodeName: n}}\n\
             status: {{podIP: '{address}', conditions: [{{type: ContainersReady, status: 'True'}}, \
             {{type: Ready, status: '{ready}'}}]}}\n"
        )
    };
    let own = "namespace: shop, labels: {app: cache}";
    let leaving =
        "namespace: shop, labels: {app: cache}, deletionTimestamp: '2026-01-31T23:59:59Z'";
    let found = endpoints(
        &[
            ENTRY,
            WORKLOAD,
            NODE,
            &pod("a", own, "10.0.0.2", "True"),
            &pod("b", own, "fd00::3", "True"),
            &pod("unready", own, "10.0.0.4", "False"),
            &pod("leaving", leaving, "10.0.0.5", "True"),
            &pod(
                "other",
                "namespace: shop, labels: {app: other}",
                "10.0.0.6",
                "True",
            ),
            &pod(
                "elsewhere",
                "namespace: default, labels: {app: cache}",
                "10.0.0.7",
                "True",
            ),
            // The one that a WorkloadEntry speaks of.
            &pod("vm", own, "10.0.0.1", "True"),
        ],
        "cache.example",
    );
    assert_eq!(
        found,
        [
            "10.0.0.1:7000 eu/eu-b",
            "10.0.0.2:7000 eu/eu-a",
            "[fd00::3]:7000 eu/eu-a"
        ]
    );
}

#[test]
fn a_traffic_distribution_is_that_of_the_field_then_of_annotations() {
    let distribution = |service: &str, namespace: &str| {
        let namespace =
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop{namespace}}}\n");
        let text = format!("{service}---\n{namespace}");
        let name = "all.yaml".to_owned();
        let mut controller = Controller::open(&[], settings());
        let report = controller.load_files([SourceFile { name, text }]).report;
        assert!(report.is_valid(), "{report}");
        let service = controller.model().services.find(HOST, "shop");
        service
            .expect("the service")
            .distribution
            .map(|it| it.word())
    };
    let annotated =
        |word: &str| format!(", annotations: {{networking.istio.io/traffic-distribution: {word}}}");
    let own = |field: &str, word: &str| {
        let service = service(&format!("{field}{PORTS}"));
        service.replace(
            "namespace: shop",
            &format!("namespace: shop{}", annotated(word)),
        )
    };
    let (zone, node) = (Some("PreferSameZone"), Some("PreferSameNode"));
    let namespace = annotated("PreferSameNode");
    assert_eq!(distribution(&service(PORTS), ""), None);
    assert_eq!(distribution(&service(PORTS), &namespace), node);
    assert_eq!(distribution(&own("", "PreferClose"), &namespace), zone);
    assert_eq!(distribution(&own("", "Any"), &namespace), None);
    let field = "trafficDistribution: PreferSameNode, ";
    assert_eq!(distribution(&own(field, "PreferClose"), ""), node);
}
