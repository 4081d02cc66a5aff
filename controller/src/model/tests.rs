mod authorization;
mod edge;
mod gateway_api;
mod kubernetes;
mod led;
mod locality;
mod waypoints;

use meltemi_policy::{AttributeMatch, Condition};

use super::*;
use crate::controller::Controller;
use crate::fixture::{Fixture, ROUTER, RULE, settings};

/// What takes effect, a line for each rule and cluster.
fn in_force(fixture: &Fixture) -> Vec<String> {
    let mut controller = Controller::open(&fixture.paths(), settings());
    let report = controller.load().report;
    assert!(report.is_valid(), "{report}");
    let model = controller.model();
    let rules = model
        .servers
        .iter()
        .flat_map(|s| s.rules.iter().map(move |r| (s, r)));
    let rules = rules.map(|(server, rule)| format!("{}: {}", server.name.server, line(rule)));
    let clusters = model.clusters.iter().map(|(name, cluster)| {
        let endpoints: Vec<_> = cluster
            .endpoints
            .iter()
            .map(|e| e.address.to_string())
            .collect();
        let locality = match &cluster.locality {
            LocalityState::Active { .. } => "Active",
            LocalityState::Disabled(_) => "Disabled",
            LocalityState::KeysAlone => "KeysAlone",
            LocalityState::NothingPermits => "NothingPermits",
        };
        let endpoints = endpoints.join(" ");
        format!("{name} {:?} {locality} [{endpoints}]", cluster.balance)
    });
    rules.chain(clusters).collect()
}

fn line(rule: &Rule) -> String {
    let alternatives: Vec<_> = rule.alternatives.iter().map(alternative).collect();
    let conditions = alternatives.join(" | ");
    let destinations = rule
        .destinations
        .iter()
        .map(|d| format!("{}@{}", d.cluster, d.weight));
    let destinations = destinations.collect::<Vec<_>>().join(" ");
    format!(
        "{} {} [{conditions}] {destinations}",
        rule.source.id.name, rule.name
    )
}

fn alternative(alternative: &Alternative) -> String {
    match alternative {
        Alternative::Never(reason) => format!("never: {reason}"),
        Alternative::Of(conditions) => {
            let conditions: Vec<_> = conditions.iter().map(condition).collect();
            conditions.join(",")
        }
    }
}

fn condition(matching: &AttributeMatch) -> String {
    let AttributeMatch {
        attribute: name,
        condition,
        invert,
        absent_is_empty,
    } = matching;
    let text = match condition {
        Condition::Present => name.to_string(),
        Condition::Exact(text) => format!("{name}={}", text.value),
        Condition::Prefix(text) => format!("{name}={}*", text.value),
        Condition::Suffix(text) => format!("{name}=*{}", text.value),
        Condition::Contains(text) => format!("{name}=*{}*", text.value),
        Condition::Regex(regex) => format!("{name}~{regex}"),
        Condition::Range(range) => format!("{name} in {range:?}"),
    };
    let any_case = condition.text().is_some_and(|text| text.ignore_case);
    let flag = |is_set: bool, flag| if is_set { flag } else { "" };
    format!(
        "{}{text}{}{}",
        flag(*invert, "!"),
        flag(any_case, " (any case)"),
        flag(*absent_is_empty, " (or none)")
    )
}

/// The MetaRouter of the fixture without routes: a catch-all to its host.
fn catch_all(name: &str) -> String {
    let (head, _) = ROUTER.split_once("  routes:").unwrap();
    head.replace("{name: greeter}", &format!("{{name: {name}}}"))
}

#[test]
fn rules_and_clusters_of_the_valid_manifests() {
    assert_eq!(
        in_force(&Fixture::valid()),
        [
            "tcp-metaprotocol-dubbo: greeter hello [method=sayHello] \
             outbound|20880|v2|greeter.shop@100",
            "tcp-metaprotocol-dubbo: greeter rest [] outbound|20880|v1|greeter.shop@90 \
             outbound|20880|v2|greeter.shop@10",
            "outbound|20880|v1|greeter.shop LeastRequest Active [10.0.0.1:20880]",
            "outbound|20880|v2|greeter.shop LeastRequest Active [10.0.0.2:20880]",
        ]
    );
}

#[test]
fn a_router_without_routes_takes_all_requests_of_its_host() {
    let fixture = Fixture::valid();
    fixture.write("router.yaml", &catch_all("all"));
    assert_eq!(
        in_force(&fixture)[0],
        "tcp-metaprotocol-dubbo: all  [] outbound|20880||greeter.shop@100"
    );
}

#[test]
fn every_kind_of_matcher() {
    let rows = [
        ("{exact: ''}", "method="),
        ("{prefix: say}", "method=say*"),
        ("{regex: 'say.*'}", "method~say.*"),
        ("{regex: '*'}", "method"),
        ("{}", "method"),
        ("{present: true}", "method"),
        ("{present: false}", "!method"),
        ("{present: true, invert: true}", "!method"),
        ("{present: false, invert: true}", "method"),
        ("{regex: '*', invert: true}", "!method"),
        ("{suffix: Hello}", "method=*Hello"),
        ("{contains: Hel}", "method=*Hel*"),
        ("{exact: x, ignoreCase: true}", "method=x (any case)"),
        ("{contains: x, ignoreCase: true}", "method=*x* (any case)"),
        ("{exact: x, invert: true}", "!method=x (or none)"),
        (
            "{prefix: x, invert: true, ignoreCase: true}",
            "!method=x* (any case) (or none)",
        ),
        ("{exact: x, invert: false}", "method=x"),
        ("{range: {start: -1, end: 10}}", "method in -1..10"),
        (
            "{range: {start: -1, end: 10}, invert: true}",
            "!method in -1..10 (or none)",
        ),
    ];
    for (matcher, expected) in rows {
        let fixture = Fixture::valid();
        fixture.edit("router.yaml", "{exact: sayHello}", matcher);
        let line = &in_force(&fixture)[0];
        assert!(line.contains(&format!("[{expected}]")), "{matcher}: {line}");
    }
}

/// Of the endpoints of the fixture 10.0.0.1 is v1 in eu/a, and 10.0.0.2 v2 in eu/b.
#[test]
fn sources_are_addresses_that_nobody_else_has() {
    let unknown = "never: no client that is known is what its source asks for";
    let principal = "never: it is for the principal a, and default/edge/tcp-metaprotocol-dubbo asks no client \
         for a certificate";
    let rows = [
        ("{labels: {version: v1}}", "source address=10.0.0.1"),
        ("{locality: eu}", r"source address~10\.0\.0\.1|10\.0\.0\.2"),
        (
            "{locality: eu/b, namespace: default}",
            "source address=10.0.0.2",
        ),
        ("{locality: eu/b/x}", unknown),
        ("{namespace: shared}", "source address=fd00::1"),
        ("{labels: {app: both}}", "source address=10.0.0.9"),
        ("{principal: a, labels: {version: v1}}", principal),
        ("{gateway: edge}", ""),
    ];
    for (source, expected) in rows {
        let fixture = Fixture::valid();
        let workload = |name, namespace, address, app| {
            let text = format!(
                "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
                 metadata: {{name: {name}, namespace: {namespace}}}\n\
                 spec: {{address: '{address}', labels: {{app: {app}}}}}\n"
            );
            fixture.write(&format!("{name}.yaml"), &text);
        };
        workload("a", "shared", "fd00:0::1", "six");
        // Two that share an address, with and without something in common.
        workload("b", "x", "10.0.0.9", "both");
        workload("c", "y", "10.0.0.9", "both");
        workload("d", "shared", "10.0.0.10", "both");
        workload("e", "default", "10.0.0.10", "another");
        let matches = format!("matches: [{{source: {source}}}]\n");
        let written = "match:\n      attributes:\n        method: {exact: sayHello}\n";
        fixture.edit("router.yaml", written, &matches);
        let line = &in_force(&fixture)[0];
        assert!(line.contains(&format!("[{expected}]")), "{source}: {line}");
    }
}

#[test]
fn a_gateway_as_a_source_is_decided_before_any_request() {
    let fixture = Fixture::valid();
    fixture.edit(
        "gateway.yaml",
        "  - {port",
        "  - {name: b, port: {number: 0, name: tcp-dubbo}}\n  - {port",
    );
    let matches = "matches:\n    - source: {gateway: default/edge/b}\n    - attributes: {method: \
                   {exact: x}}\n";
    let written = "match:\n      attributes:\n        method: {exact: sayHello}\n";
    fixture.edit("router.yaml", written, matches);
    let lines = in_force(&fixture);
    let never = "never: it is for requests that come in through default/edge/b";
    let of = |server: &str, wanted: &str| {
        let mut lines = lines.iter();
        lines.any(|l| l.starts_with(&format!("{server}: greeter hello ")) && l.contains(wanted))
    };
    assert!(of("b", "[ | method=x]"), "{lines:?}");
    let other = format!("[{never} | method=x]");
    assert!(of("tcp-metaprotocol-dubbo", &other), "{lines:?}");
}

#[test]
fn an_interface_annotation_restricts_every_rule() {
    let rows = [
        ("org.Greeter", "interface=org.Greeter"),
        (
            "'org.Greeter, org.Other'",
            r"interface~org\.Greeter|org\.Other",
        ),
    ];
    for (annotation, expected) in rows {
        let fixture = Fixture::valid();
        let metadata = format!("{{name: greeter, annotations: {{interface: {annotation}}}}}");
        fixture.edit("service.yaml", "{name: greeter}", &metadata);
        let lines = in_force(&fixture);
        assert!(
            lines[0].contains(&format!("[{expected},method=sayHello]")),
            "{lines:?}"
        );
        assert!(lines[1].contains(&format!("[{expected}]")), "{lines:?}");
    }
}

#[test]
fn a_port_that_is_not_written_is_the_servers_else_the_only_one_of_its_protocol() {
    let rows = [
        // Two of the protocol, of which one has the server's number.
        (
            "20880",
            "  - {number: 20881, name: tcp-dubbo-b}\n",
            "outbound|20880|",
        ),
        (
            "20881",
            "  - {number: 20881, name: tcp-dubbo-b}\n",
            "outbound|20881|",
        ),
        // Another protocol does not make it ambiguous.
        (
            "0",
            "  - {number: 9000, name: tcp-closed}\n",
            "outbound|20880|",
        ),
    ];
    for (server, port, expected) in rows {
        let fixture = Fixture::valid();
        fixture.edit("gateway.yaml", "20880", server);
        fixture.edit(
            "service.yaml",
            "  resolution",
            &format!("{port}  resolution"),
        );
        let lines = in_force(&fixture);
        assert!(lines[0].contains(expected), "{server}: {lines:?}");
    }
}

#[test]
fn several_routers_of_a_server_are_tried_in_order_of_precedence() {
    let named = |name: &str, metadata: &str, spec: &str| {
        let router = catch_all(name).replace("spec:\n", &format!("spec:\n{spec}"));
        let route = format!(
            "  routes:\n  - match: {{attributes: {{method: {{exact: {name}}}}}}}\n    route:\n    \
             - destination: {{host: greeter.shop}}\n"
        );
        router.replace(
            &format!("{{name: {name}}}"),
            &format!("{{name: {name}{metadata}}}"),
        ) + &route
    };
    let fixture = Fixture::valid();
    fixture.write("router.yaml", &named("b", "", ""));
    fixture.write("2.yaml", &named("a", "", ""));
    fixture.write(
        "3.yaml",
        &named("old", ", creationTimestamp: '2020-01-01T00:00:00Z'", ""),
    );
    fixture.write(
        "4.yaml",
        &named("new", ", creationTimestamp: '2021-01-01T00:00:00Z'", ""),
    );
    fixture.write("5.yaml", &named("low", "", "  priority: -1\n"));
    fixture.write("6.yaml", &named("high", "", "  priority: 10\n"));
    let lines = in_force(&fixture);
    let order: Vec<_> = lines
        .iter()
        .filter_map(|l| l.split(' ').nth(1))
        .take(6)
        .collect();
    assert_eq!(order, ["high", "old", "new", "a", "b", "low"]);
}

#[test]
fn a_rule_counts_in_the_namespace_of_its_host_or_gateway_or_in_the_root_namespace() {
    let rows = [
        (
            "{name: greeter, namespace: istio-system}",
            "default/edge",
            "{name: edge}",
        ),
        (
            "{name: greeter, namespace: front}",
            "edge",
            "{name: edge, namespace: front}",
        ),
        (
            "{name: greeter}",
            "front/edge",
            "{name: edge, namespace: front}",
        ),
    ];
    for (router, reference, gateway) in rows {
        let fixture = Fixture::valid();
        fixture.edit("router.yaml", "{name: greeter}", router);
        fixture.edit("router.yaml", "[edge]", &format!("[{reference}]"));
        fixture.edit("gateway.yaml", "{name: edge}", gateway);
        assert_eq!(in_force(&fixture).len(), 4, "{router}");
    }
}

#[test]
fn short_names_are_services_of_the_rules_namespace() {
    let fixture = Fixture::valid();
    fixture.edit(
        "service.yaml",
        "greeter.shop",
        "greeter.default.svc.cluster.local",
    );
    fixture.edit("rule.yaml", "greeter.shop", "greeter");
    fixture.edit("router.yaml", "greeter.shop", "greeter");
    let lines = in_force(&fixture);
    assert!(lines[0].ends_with("outbound|20880|v2|greeter.default.svc.cluster.local@100"));
}

#[test]
fn the_most_specific_rule_counts_in_the_services_namespace_before_the_root() {
    let wider = |metadata: &str, host: &str| {
        RULE.replace("{name: greeter}", metadata)
            .replace("host: greeter.shop", host)
            .replace(
                "    outlierDetection",
                "    loadBalancer: {simple: RANDOM}\n    outlierDetection",
            )
    };
    let rows = [
        ("{name: wide}", "host: '*.shop'", "LeastRequest"),
        (
            "{name: root, namespace: istio-system}",
            "host: greeter.shop",
            "LeastRequest",
        ),
        (
            "{name: other, namespace: elsewhere}",
            "host: greeter.shop",
            "LeastRequest",
        ),
    ];
    for (metadata, host, expected) in rows {
        let fixture = Fixture::valid();
        fixture.write("wider.yaml", &wider(metadata, host));
        assert!(in_force(&fixture)[2].contains(expected), "{metadata}");
    }
    let fixture = Fixture::valid();
    fixture.write(
        "rule.yaml",
        &wider("{name: root, namespace: istio-system}", "host: '*'"),
    );
    assert!(in_force(&fixture)[2].contains("Random"));
}

#[test]
fn rules_of_one_host_are_merged_and_ports_replace_everything() {
    let fixture = Fixture::valid();
    let (head, _) = RULE.split_once("  subsets:").unwrap();
    fixture.write(
        "rule.yaml",
        &head.replace(
            "    outlier",
            "    loadBalancer: {simple: RANDOM}\n    outlier",
        ),
    );
    let subsets = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                   metadata: {name: later}\nspec:\n  host: greeter.shop\n  subsets:\n  \
                   - {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: \
                   ROUND_ROBIN}}}\n  \
                   - {name: v2, labels: {version: v2}, trafficPolicy: {portLevelSettings: \
                   [{port: {number: 20880}}]}}\n";
    fixture.write("later.yaml", subsets);
    let lines = in_force(&fixture);
    assert_eq!(
        lines[2..],
        [
            // Its own balancer, the rule's outlier detection.
            "outbound|20880|v1|greeter.shop RoundRobin Active [10.0.0.1:20880]",
            // The port's settings say nothing, so all is at its default.
            "outbound|20880|v2|greeter.shop LeastRequest NothingPermits [10.0.0.2:20880]",
        ]
    );
}

#[test]
fn a_traffic_distribution_makes_the_nearest_first() {
    let fixture = Fixture::valid();
    let annotated = "{name: greeter, annotations: \
                     {networking.istio.io/traffic-distribution: PreferClose}}";
    fixture.edit("service.yaml", "{name: greeter}", annotated);
    fixture.edit(
        "rule.yaml",
        "outlierDetection: {consecutive5xxErrors: 3}",
        "loadBalancer: {}",
    );
    assert!(in_force(&fixture)[2].contains("Active"));
}

#[test]
fn workloads_are_selected_by_labels_and_dialled_at_their_own_ports() {
    let fixture = Fixture::valid();
    let (head, _) = crate::fixture::SERVICE.split_once("  endpoints:").unwrap();
    let entry = |name: &str, metadata: &str, spec: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1beta1\nkind: WorkloadEntry\nmetadata: \
             {{name: {name}{metadata}}}\nspec: {{{spec}}}\n"
        )
    };
    let service = head.replace("protocol: TCP", "targetPort: 7000")
        + "  workloadSelector: {labels: {app: greeter}}\n"
        + &entry(
            "a",
            "",
            "address: 10.0.0.1, labels: {app: greeter, version: v1}",
        )
        + &entry(
            "b",
            ", labels: {app: greeter}",
            "address: '::1', labels: {version: v1}, ports: {tcp-metaprotocol-dubbo: 7001}",
        )
        + &entry(
            "c",
            "",
            "address: unix:///run/greeter.sock, labels: {app: greeter, version: v2}",
        )
        + &entry(
            "d",
            ", namespace: elsewhere",
            "address: 10.0.0.4, labels: {app: greeter, version: v1}",
        )
        + &entry(
            "e",
            "",
            "address: 10.0.0.5, labels: {app: other, version: v1}",
        );
    fixture.write("service.yaml", &service);
    assert_eq!(
        in_force(&fixture)[2..],
        [
            "outbound|20880|v1|greeter.shop LeastRequest Active [10.0.0.1:7000 [::1]:7001]",
            "outbound|20880|v2|greeter.shop LeastRequest Active [unix:///run/greeter.sock]",
        ]
    );
}

#[test]
fn a_protocol_gets_its_name_from_an_application_protocol() {
    let fixture = Fixture::valid();
    for file in ["service.yaml", "gateway.yaml"] {
        fixture.edit(file, "tcp-metaprotocol-dubbo", "TCP-MetaProtocol-Orders-v2");
    }
    fixture.write(
        "protocol.yaml",
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\nmetadata: {name: \
         x}\nspec: {protocol: orders, codec: aeraki.meta_protocol.codec.dubbo}\n",
    );
    let mut controller = Controller::open(&fixture.paths(), settings());
    assert!(controller.load().report.is_valid());
    let server = &controller.model().servers[0];
    assert_eq!(
        (&*server.protocol.application, &*server.protocol.plugin),
        ("orders", "dubbo")
    );
    assert_eq!(server.rules.len(), 2);
}
