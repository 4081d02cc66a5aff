//! Whose setting decides how places count, whether it acts, and when a tier panics: a row for each rule of
//! Istio's (`GetLocalityLbSetting`, `applyLocalityLoadBalancer`, `applyOutlierDetection`).

use super::*;

/// What is said where.
#[derive(Clone, Copy, Default)]
struct Said {
    /// `trafficPolicy` of the DestinationRule, and of the subset, which has the port 20880.
    rule: &'static str,
    subset: &'static str,
    /// `traffic-distribution` of the service, and of its namespace.
    service: &'static str,
    namespace: &'static str,
    /// `localityLbSetting` of the MeshConfig.
    mesh: &'static str,
}

const NOTHING: Said = Said {
    rule: "",
    subset: "",
    service: "",
    namespace: "",
    mesh: "",
};

/// Who decides, whether localities weigh, and below how many healthy percent a tier panics.
type Decided = (&'static str, bool, Option<u32>);

fn manifests(said: Said) -> Fixture {
    let annotations = |word: &str| match word {
        "" => "{}".to_owned(),
        word => format!("{{networking.istio.io/traffic-distribution: {word}}}"),
    };
    let fixture = Fixture::valid();
    let service = annotations(said.service);
    let named = format!("{{name: greeter, annotations: {service}}}");
    fixture.edit("service.yaml", "{name: greeter}", &named);
    let policy = format!("trafficPolicy: {{{}}}", said.rule);
    let old = "trafficPolicy:\n    outlierDetection: {consecutive5xxErrors: 3}";
    fixture.edit("rule.yaml", old, &policy);
    let subset = format!(
        "labels: {{version: v1}}, trafficPolicy: {{{}}}}}",
        said.subset
    );
    fixture.edit("rule.yaml", "labels: {version: v1}}", &subset);
    let mut more = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: default, annotations: {}}}\n---\n",
        annotations(said.namespace)
    );
    if !said.mesh.is_empty() {
        more +=
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n";
        more += &format!(
            "data:\n  mesh: |\n    localityLbSetting: {}\n---\n",
            said.mesh
        );
    }
    fixture.edit("gateway.yaml", "apiVersion", &format!("{more}apiVersion"));
    fixture
}

/// What holds for the subset.
fn decided(said: Said) -> (String, bool, Option<u32>) {
    let fixture = manifests(said);
    let mut controller = Controller::open(&fixture.paths(), settings());
    let report = controller.load().report;
    assert!(report.is_valid(), "{report}");
    let mut clusters = controller.model().clusters.iter();
    let of_subset = clusters.find(|(name, _)| name.to_string().contains("|v1|"));
    let cluster = of_subset.expect("the subset has a cluster").1;
    let who = match &cluster.locality {
        LocalityState::Active { by, .. } => format!("{by:?}"),
        LocalityState::Disabled(by) => format!("disabled by {by:?}"),
        other => format!("{other:?}"),
    };
    let weighs = cluster.locality.rule().weighs_localities();
    (who, weighs, cluster.panic_threshold)
}

fn assert_decided(rows: &[(Said, Decided)]) {
    for (said, (who, weighs, threshold)) in rows {
        let expected = ((*who).to_owned(), *weighs, *threshold);
        let Said { rule, subset, .. } = said;
        assert_eq!(decided(*said), expected, "{rule} {subset}");
    }
}

const OUTLIER: &str = "outlierDetection: {}";
const DISTRIBUTE: &str =
    "loadBalancer: {localityLbSetting: {distribute: [{from: eu, to: {us: 100}}]}}";
const FAILOVER: &str = "outlierDetection: {minHealthPercent: 40}, \
                        loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}";
const LABELS: &str =
    "outlierDetection: {}, loadBalancer: {localityLbSetting: {failoverPriority: [version]}}";
const OFF: &str = "outlierDetection: {}, loadBalancer: {localityLbSetting: {enabled: false}}";

fn rule(rule: &'static str) -> Said {
    Said { rule, ..NOTHING }
}

/// The setting of a rule, with what makes it act, and what makes its localities weigh.
#[test]
fn failover_acts_with_outlier_detection_alone_and_shares_always() {
    assert_decided(&[
        (NOTHING, ("NothingPermits", false, None)),
        (rule(OUTLIER), ("Default", false, Some(0))),
        (rule(FAILOVER), ("DestinationRule", true, Some(40))),
        (rule(LABELS), ("DestinationRule", true, Some(0))),
        (rule(DISTRIBUTE), ("DestinationRule", true, None)),
        (rule(OFF), ("disabled by DestinationRule", false, Some(0))),
        // An empty one is one: it hides what others say.
        (
            Said {
                mesh: "{distribute: [{from: eu, to: {us: 100}}]}",
                ..rule("loadBalancer: {localityLbSetting: {}}")
            },
            ("NothingPermits", false, None),
        ),
    ]);
}

/// A subset's part replaces the rule's; a port's replaces all that is beside it.
#[test]
fn subsets_and_ports_have_settings_of_their_own() {
    let beside = |subset| Said {
        subset,
        ..rule(FAILOVER)
    };
    assert_decided(&[
        (beside(OUTLIER), ("DestinationRule", true, Some(0))),
        (
            beside("outlierDetection: {minHealthPercent: 70}"),
            ("DestinationRule", true, Some(70)),
        ),
        (beside(DISTRIBUTE), ("DestinationRule", true, Some(40))),
        (beside(OFF), ("disabled by DestinationRule", false, Some(0))),
        (
            beside(
                "portLevelSettings: [{port: {number: 20880}, outlierDetection: {minHealthPercent: 9}}]",
            ),
            ("Default", false, Some(9)),
        ),
        (
            beside("portLevelSettings: [{port: {number: 20880}}]"),
            ("NothingPermits", false, None),
        ),
        (
            beside("portLevelSettings: [{port: {number: 1}}]"),
            ("DestinationRule", true, Some(40)),
        ),
        (
            rule(
                "portLevelSettings: [{port: {number: 20880}, loadBalancer: {localityLbSetting: \
                 {distribute: [{from: eu, to: {us: 100}}]}}}]",
            ),
            ("DestinationRule", true, None),
        ),
    ]);
}

/// A rule's setting comes before a service's, that before its namespace's, and a mesh's last.
#[test]
fn a_traffic_distribution_acts_unless_a_rule_says_otherwise() {
    let service = |service, rule| Said {
        rule,
        service,
        ..NOTHING
    };
    let zone = "TrafficDistribution(PreferSameZone)";
    let node = "TrafficDistribution(PreferSameNode)";
    assert_decided(&[
        (service("PreferSameZone", ""), (zone, true, Some(0))),
        (service("PreferClose", ""), (zone, true, Some(0))),
        (service("PreferSameNode", ""), (node, true, Some(0))),
        (service("PreferSameNode", OUTLIER), (node, true, Some(0))),
        (
            service("PreferSameNode", DISTRIBUTE),
            ("DestinationRule", true, Some(0)),
        ),
        (
            service("PreferSameNode", OFF),
            ("disabled by DestinationRule", false, Some(0)),
        ),
        (service("Any", ""), ("NothingPermits", false, None)),
        (
            Said {
                namespace: "PreferSameNode",
                ..NOTHING
            },
            (node, true, Some(0)),
        ),
        (
            Said {
                namespace: "PreferSameNode",
                ..service("PreferSameZone", "")
            },
            (zone, true, Some(0)),
        ),
        // The service asks for none.
        (
            Said {
                namespace: "PreferSameNode",
                ..service("Any", "")
            },
            ("NothingPermits", false, None),
        ),
    ]);
}

#[test]
fn the_mesh_decides_last() {
    let mesh = |mesh, rule| Said {
        mesh,
        rule,
        ..NOTHING
    };
    let failover = "{failover: [{from: eu, to: us}]}";
    assert_decided(&[
        (mesh(failover, OUTLIER), ("Mesh", true, Some(0))),
        (mesh(failover, ""), ("NothingPermits", false, None)),
        (
            mesh("{distribute: [{from: eu, to: {us: 100}}]}", ""),
            ("Mesh", true, None),
        ),
        (
            mesh("{enabled: false}", OUTLIER),
            ("disabled by Mesh", false, Some(0)),
        ),
        (
            mesh("{enabled: false}", LABELS),
            ("DestinationRule", true, Some(0)),
        ),
        (
            Said {
                service: "PreferClose",
                ..mesh("{enabled: false}", "")
            },
            ("TrafficDistribution(PreferSameZone)", true, Some(0)),
        ),
    ]);
}
