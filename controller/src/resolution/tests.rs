use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::listener::v3::Listener;
use prost::Name as _;

use crate::check::Report;
use crate::controller::{Controller, Update};
use crate::fixture::{Fixture, GATEWAY, ROUTER, RULE, SERVICE, settings};

fn loaded(fixture: &Fixture) -> (Controller, Update) {
    let mut controller = Controller::open(&fixture.paths(), settings());
    let update = controller.load();
    assert!(update.report.is_valid(), "{}", update.report);
    (controller, update)
}

const DELETED: &str = "was deleted, and stays in force while it is needed";
const CHANGED: &str = "stays in force as it was before its last change";

/// What somebody does to the valid manifests, and what is said of which object.
type Row = (&'static str, fn(&Fixture), &'static str, &'static str);

const TAKEN_AWAY: [Row; 9] = [
    (
        "the rule is deleted",
        |f| f.remove("rule.yaml"),
        "DestinationRule default/greeter",
        DELETED,
    ),
    (
        "a subset is removed",
        |f| f.edit("rule.yaml", "name: v1", "name: v9"),
        "DestinationRule default/greeter",
        CHANGED,
    ),
    (
        "the rule is for another host",
        |f| f.edit("rule.yaml", "greeter.shop", "other.shop"),
        "DestinationRule default/greeter",
        CHANGED,
    ),
    (
        "the service is deleted",
        |f| f.remove("service.yaml"),
        "ServiceEntry default/greeter",
        DELETED,
    ),
    (
        "its host is renamed",
        |f| f.edit("service.yaml", "greeter.shop", "other.shop"),
        "ServiceEntry default/greeter",
        CHANGED,
    ),
    (
        "its port has another protocol",
        |f| f.edit("service.yaml", "metaprotocol-dubbo", "http"),
        "ServiceEntry default/greeter",
        CHANGED,
    ),
    (
        "so has the server",
        |f| f.edit("gateway.yaml", "metaprotocol-dubbo", "closed"),
        "Gateway default/edge",
        CHANGED,
    ),
    (
        "the gateway is renamed",
        |f| f.edit("gateway.yaml", "{name: edge}", "{name: a}"),
        "Gateway default/edge",
        DELETED,
    ),
    (
        "a narrower rule hides the subsets",
        |f| {
            f.write(
                "narrow.yaml",
                &RULE
                    .replace("{name: greeter}", "{name: narrow}")
                    .replace("name: v", "name: w"),
            )
        },
        "DestinationRule default/narrow",
        "is refused",
    ),
];

#[test]
fn what_is_needed_stays_in_force() {
    for (name, change, object, outcome) in TAKEN_AWAY {
        let fixture = Fixture::valid();
        if name.starts_with("a narrower") {
            fixture.edit("rule.yaml", "host: greeter.shop", "host: '*.shop'");
        }
        let (mut controller, first) = loaded(&fixture);
        change(&fixture);
        let update = controller.reload().unwrap();
        let report = &update.report;
        assert_eq!(update.resources, first.resources, "{name}: {report}");
        assert!(
            says(report, &format!("{object} {outcome}")),
            "{name}: {report}"
        );
        // Until nothing needs it, whatever else happens meanwhile.
        fixture.write("more.yaml", &SERVICE.replace("greeter", "more"));
        let update = controller.reload().unwrap();
        assert_eq!(update.resources, first.resources, "{name}");
        fixture.remove("router.yaml");
        let update = controller.reload().unwrap();
        assert!(update.report.is_valid(), "{name}: {}", update.report);
    }
}

fn says(report: &Report, message: &str) -> bool {
    let mut errors = report.diagnostics.iter().filter(|d| d.is_error());
    errors.any(|d| d.message.contains(message))
}

#[test]
fn a_destination_that_is_deleted_stays_while_a_route_leads_to_it() {
    let fixture = Fixture::valid();
    fixture.write("other.yaml", &SERVICE.replace("greeter", "other"));
    fixture.edit(
        "router.yaml",
        "{host: greeter.shop, subset: v1}",
        "{host: other.shop}",
    );
    let (mut controller, first) = loaded(&fixture);
    fixture.remove("other.yaml");
    let update = controller.reload().unwrap();
    assert_eq!(update.resources, first.resources, "{}", update.report);
    assert_eq!(update.report.errors(), 1, "{}", update.report);
}

#[test]
fn a_protocols_name_stays_while_a_port_has_it() {
    let fixture = Fixture::valid();
    let protocol = "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
                    metadata: {name: x}\nspec: {protocol: orders, codec: dubbo}\n";
    for port in ["tcp-metaprotocol-orders", "tcp-orders"] {
        fixture.write("protocol.yaml", protocol);
        for file in ["service.yaml", "gateway.yaml"] {
            fixture.write(
                file,
                if file == "service.yaml" {
                    SERVICE
                } else {
                    GATEWAY
                },
            );
            fixture.edit(file, "tcp-metaprotocol-dubbo", port);
        }
        let (mut controller, first) = loaded(&fixture);
        fixture.remove("protocol.yaml");
        let update = controller.reload().unwrap();
        assert!(!update.report.is_valid());
        assert_eq!(update.resources, first.resources, "{}", update.report);
    }
}

#[test]
fn a_gateway_closes_with_its_file() {
    let fixture = Fixture::valid();
    let (mut controller, _) = loaded(&fixture);
    fixture.remove("gateway.yaml");
    let update = controller.reload().unwrap();
    assert_eq!(update.report.errors(), 1);
    assert_eq!(update.resources.of_type(&Listener::type_url()).count(), 0);
}

#[test]
fn a_port_of_an_unknown_protocol_closes_no_other() {
    for name in ["tcp-metaprotocol", "tcp-metaprotocol-strange"] {
        let other = format!(
            "servers:\n  - {{port: {{number: 7000, name: {name}, protocol: TCP}}, hosts: ['*']}}"
        );
        let listeners = |update: &Update| update.resources.of_type(&Listener::type_url()).count();
        // Of a Gateway that is new the other port is opened.
        let fixture = Fixture::valid();
        fixture.edit("gateway.yaml", "servers:", &other);
        let mut controller = Controller::open(&fixture.paths(), settings());
        let update = controller.load();
        assert_eq!(
            (update.report.errors(), listeners(&update)),
            (1, 1),
            "{name}"
        );
        // Of one that was there before, an edit changes nothing.
        let fixture = Fixture::valid();
        let (mut controller, first) = loaded(&fixture);
        fixture.edit("gateway.yaml", "servers:", &other);
        let update = controller.reload().unwrap();
        assert_eq!(update.report.errors(), 1, "{name}");
        assert_eq!(update.resources, first.resources, "{name}");
    }
}

#[test]
fn a_rule_that_comes_to_ask_for_tls_does_not_fall_back_to_plaintext() {
    let fixture = Fixture::valid();
    let (mut controller, _) = loaded(&fixture);
    let tls = "{name: v9, labels: {version: v1}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}";
    fixture.edit("rule.yaml", "{name: v1, labels: {version: v1}}", tls);
    let update = controller.reload().unwrap();
    assert_eq!(update.report.errors(), 1, "{}", update.report);
    let url = Cluster::type_url();
    let clusters = update.resources.of_type(&url);
    let names: Vec<_> = clusters.map(|(name, _)| name).collect();
    assert_eq!(names, ["outbound|20880|v2|greeter.shop"]);
}

#[test]
fn of_two_services_or_servers_that_collide_the_one_that_was_there_stays() {
    let fixture = Fixture::valid();
    let (mut controller, first) = loaded(&fixture);
    let named = |text: &str, name: &str| {
        text.replace("metadata: {name: ", &format!("metadata: {{name: {name}-"))
    };
    for text in [named(SERVICE, "a"), named(GATEWAY, "a")] {
        fixture.write("0.yaml", &text.replace("10.0.0", "10.0.9"));
        let update = controller.reload().unwrap();
        assert_eq!(update.report.errors(), 1, "{}", update.report);
        assert_eq!(update.resources, first.resources, "{}", update.report);
    }
}

#[test]
fn an_object_that_only_moved_is_not_to_blame() {
    let fixture = Fixture::valid();
    fixture.remove("rule.yaml");
    fixture.write("router.yaml", &format!("{RULE}---\n{ROUTER}"));
    let (mut controller, first) = loaded(&fixture);
    // The MetaRouter moves up by a line.
    fixture.edit("router.yaml", "  - {name: v1, labels: {version: v1}}\n", "");
    let update = controller.reload().unwrap();
    assert_eq!(update.resources, first.resources);
    let message = format!("DestinationRule default/greeter {CHANGED}");
    assert!(says(&update.report, &message), "{}", update.report);
}

/// The endpoints of the cluster of a host's port.
fn endpoints(controller: &Controller, host: &str) -> Vec<String> {
    let clusters = controller.model().clusters.iter();
    let of_host = clusters.filter(|(name, _)| name.host == host);
    let endpoints = of_host.flat_map(|(_, cluster)| &cluster.endpoints);
    endpoints.map(|e| e.address.to_string()).collect()
}

#[test]
fn what_is_kept_of_a_deleted_service_leaves_later_edits_alone() {
    let fixture = Fixture::valid();
    let other = SERVICE.replace("{name: greeter}", "{name: other}");
    fixture.write(
        "other.yaml",
        &other.replace("[greeter.shop]", "[other.shop, moved.shop]"),
    );
    fixture.edit(
        "router.yaml",
        "{host: greeter.shop, subset: v2}\n  - name",
        "{host: other.shop}\n  - name",
    );
    let (mut controller, first) = loaded(&fixture);
    fixture.remove("other.yaml");
    let update = controller.reload().unwrap();
    assert_eq!(update.resources, first.resources);
    fixture.edit(
        "service.yaml",
        "[greeter.shop]",
        "[greeter.shop, moved.shop]",
    );
    fixture.edit("service.yaml", "10.0.0.2", "10.0.0.9");
    for _ in 0..2 {
        let update = controller.reload().unwrap();
        assert_eq!(update.report.errors(), 1, "{}", update.report);
        assert!(says(&update.report, DELETED), "{}", update.report);
        let greeter = endpoints(&controller, "greeter.shop");
        assert!(
            greeter.contains(&"10.0.0.9:20880".to_owned()),
            "{greeter:?}"
        );
        let kept = ["10.0.0.1:20880", "10.0.0.2:20880"];
        assert_eq!(endpoints(&controller, "other.shop"), kept);
        fixture.edit("service.yaml", "spec:", "# again\nspec:");
    }
}

#[test]
fn what_was_taken_away_does_not_hold_valid_gateways_back() {
    valid_gateways_take_effect(false);
    valid_gateways_take_effect(true);
}

/// All at once, or file by file.
fn valid_gateways_take_effect(by_file: bool) {
    let fixture = Fixture::valid();
    let protocol = "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
                    metadata: {name: foo}\nspec: {protocol: foo, codec: dubbo}\n";
    fixture.write("protocol.yaml", protocol);
    fixture.edit(
        "service.yaml",
        "[greeter.shop]",
        "[greeter.shop, other.shop]",
    );
    let (head, _) = ROUTER.split_once("  routes:").unwrap();
    let router = head.replace("[greeter.shop]", "[other.shop]")
        + "  routes:\n  - {route: [{destination: {host: greeter.shop}}]}\n";
    fixture.write("router.yaml", &router);
    let (mut controller, _) = loaded(&fixture);
    fixture.edit("service.yaml", "[greeter.shop, other.shop]", "[other.shop]");
    fixture.edit(
        "service.yaml",
        "tcp-metaprotocol-dubbo",
        "tcp-metaprotocol-foo",
    );
    let mut updates = vec![];
    if by_file {
        updates.extend(controller.reload());
    }
    fixture.edit(
        "gateway.yaml",
        "20880, name: tcp-metaprotocol-dubbo",
        "20881, name: tcp-metaprotocol-foo",
    );
    if by_file {
        updates.extend(controller.reload());
    }
    fixture.write(
        "second.yaml",
        &GATEWAY.replace("{name: edge}", "{name: second}"),
    );
    updates.extend(controller.reload());
    let object = "ServiceEntry default/greeter takes effect as it is";
    let mut reports = updates.iter().map(|update| &update.report);
    assert!(reports.any(|r| says(r, object)), "{updates:?}");
    let servers = controller.model().servers.iter();
    let servers: Vec<_> = servers
        .map(|s| (s.name.to_string(), s.bind.port()))
        .collect();
    let expected = [
        ("default/edge/tcp-metaprotocol-foo".to_owned(), Some(20881)),
        (
            "default/second/tcp-metaprotocol-dubbo".to_owned(),
            Some(20880),
        ),
    ];
    assert_eq!(servers, expected);
}

#[test]
fn what_gives_way_to_something_that_is_needed_is_told() {
    let fixture = Fixture::valid();
    let (mut controller, first) = loaded(&fixture);
    fixture.edit("gateway.yaml", "{name: edge}", "{name: a}");
    let update = controller.reload().unwrap();
    assert_eq!(update.resources, first.resources);
    assert!(
        says(&update.report, "Gateway default/a is refused"),
        "{}",
        update.report
    );
}

#[test]
fn subsets_of_a_deleted_rule_stay_beside_a_newer_rule_that_counts() {
    let fixture = Fixture::valid();
    let (mut controller, _) = loaded(&fixture);
    fixture.remove("rule.yaml");
    let newer = RULE
        .replace("{name: greeter}", "{name: newer}")
        .replace(
            "    outlier",
            "    loadBalancer: {simple: RANDOM}\n    outlier",
        )
        .replace("  - {name: v1, labels: {version: v1}}\n", "");
    fixture.write("newer.yaml", &newer);
    for _ in 0..2 {
        let update = controller.reload().unwrap();
        assert_eq!(update.report.errors(), 1, "{}", update.report);
        assert!(says(&update.report, DELETED), "{}", update.report);
        let clusters = controller.model().clusters.values();
        let balances: Vec<_> = clusters.map(|c| format!("{:?}", c.balance)).collect();
        assert_eq!(balances, ["Random", "Random"]);
        fixture.edit("newer.yaml", "spec:", "# again\nspec:");
    }
}

#[test]
fn an_edit_of_what_another_object_holds_back_takes_effect_once_it_is_free() {
    let fixture = Fixture::valid();
    fixture.write("other.yaml", &SERVICE.replace("greeter", "other"));
    fixture.edit("other.yaml", "[other.shop]", "[other.shop, a.shop, b.shop]");
    fixture.edit(
        "router.yaml",
        "{host: greeter.shop, subset: v2}\n  - name",
        "{host: a.shop}\n  - name",
    );
    fixture.edit(
        "router.yaml",
        "{host: greeter.shop, subset: v1}",
        "{host: b.shop}",
    );
    let (mut controller, first) = loaded(&fixture);
    fixture.remove("other.yaml");
    // Both hosts are kept, each for a route of its own.
    let update = controller.reload().unwrap();
    assert_eq!(update.resources, first.resources, "{}", update.report);
    // One is defined anew; the other is still kept.
    fixture.write(
        "a.yaml",
        &SERVICE.replace("greeter", "a").replace("10.0.0", "10.0.9"),
    );
    let update = controller.reload().unwrap();
    assert_eq!(update.report.errors(), 1, "{}", update.report);
    assert_eq!(
        endpoints(&controller, "a.shop"),
        ["10.0.9.1:20880", "10.0.9.2:20880"]
    );
    assert_eq!(
        endpoints(&controller, "b.shop"),
        ["10.0.0.1:20880", "10.0.0.2:20880"]
    );
}
