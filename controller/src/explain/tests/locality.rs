//! Tiers and shares by each of the settings, with the arithmetic where endpoints fail.

use super::super::*;
use crate::fixture::{Fixture, settings};

const ENDPOINTS: &str = "  - {address: 10.0.0.1, locality: eu/a, weight: 3, labels: {version: v1, kubernetes.io/hostname: n1}}
  - {address: 10.0.0.2, locality: eu/a, labels: {version: v2}}
  - {address: 10.0.0.3, locality: eu/b, labels: {version: v1}}
  - {address: 10.0.0.4, locality: us/a, network: far, labels: {version: v1}}
";

/// The valid manifests with four endpoints, all in one destination.
fn fixture(policy: &str) -> Fixture {
    let fixture = Fixture::valid();
    let two = "  - {address: 10.0.0.1, locality: eu/a, labels: {version: v1}}\n  - {address: 10.0.0.2, locality: eu/b, labels: {version: v2}}\n";
    fixture.edit("service.yaml", two, ENDPOINTS);
    fixture.edit(
        "router.yaml",
        "host: greeter.shop, subset: v2}\n  - name",
        "host: greeter.shop}\n  - name",
    );
    fixture.edit(
        "rule.yaml",
        "    outlierDetection: {consecutive5xxErrors: 3}",
        policy,
    );
    fixture
}

/// The destination's lines: who gets what.
fn shown(fixture: &Fixture, failed: &[&str]) -> String {
    let mut settings = settings();
    settings.locality = "eu/a".parse().unwrap();
    let labels = [("version", "v1"), ("kubernetes.io/hostname", "n1")];
    settings.labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let query = Query {
        service: "greeter.shop".to_owned(),
        attributes: vec![("method".to_owned(), "sayHello".to_owned())],
        failed: failed
            .iter()
            .map(|address| format!("{address}:20880"))
            .collect(),
        ..Query::default()
    };
    let explanation = run(&fixture.paths(), settings, &query).unwrap();
    explanation.destinations[0].to_string()
}

macro_rules! shows {
    ($($name:ident: $policy:literal, $failed:expr;)+) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(stringify!($name), shown(&fixture($policy), &$failed));
            }
        )+
    };
}

shows! {
    ejections_spill_over: "    outlierDetection: {}", ["10.0.0.1"];
    too_few_make_a_panic: "    outlierDetection: {minHealthPercent: 60}", ["10.0.0.1", "10.0.0.3", "10.0.0.4"];
    labels_with_a_value: "    loadBalancer: {localityLbSetting: {failoverPriority: [version=v2, topology.kubernetes.io/region]}}\n    outlierDetection: {}", [];
    regions: "    loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}\n    outlierDetection: {}", ["10.0.0.1", "10.0.0.2"];
    fixed_shares: "    loadBalancer: {localityLbSetting: {distribute: [{from: eu/a/*, to: {eu/a/*: 80, eu/b/*: 20}}]}}", ["10.0.0.2"];
    nothing_permits: "    loadBalancer: {simple: RANDOM}", [];
    disabled: "    loadBalancer: {localityLbSetting: {enabled: false}}\n    outlierDetection: {}", [];
}

fn annotated(word: &str) -> Fixture {
    let fixture = fixture("    loadBalancer: {simple: RANDOM}");
    let metadata = format!(
        "{{name: greeter, annotations: {{networking.istio.io/traffic-distribution: {word}}}}}"
    );
    fixture.edit("service.yaml", "{name: greeter}", &metadata);
    fixture
}

#[test]
fn traffic_distributions() {
    insta::assert_snapshot!("same_zone", shown(&annotated("PreferClose"), &[]));
    insta::assert_snapshot!("same_node", shown(&annotated("PreferSameNode"), &[]));
    let any = shown(&annotated("Any"), &[]);
    assert!(
        any.contains("neither outlierDetection nor a traffic distribution"),
        "{any}"
    );
}

#[test]
fn what_fails_has_to_be_there_and_all_may() {
    let fixture = fixture("    outlierDetection: {}");
    let all = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
    assert!(shown(&fixture, &all).contains(
        "tier 0: 100%, 0 of 2 healthy, who could take 0% (140 × 0 / 2, at most 100): requests fail"
    ));
    let query = Query {
        service: "greeter.shop".to_owned(),
        attributes: vec![("method".to_owned(), "sayHello".to_owned())],
        failed: vec!["10.0.0.9:20880".to_owned()],
        ..Query::default()
    };
    let refused = run(&fixture.paths(), settings(), &query)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("address 10.0.0.9:20880; its endpoints are 10.0.0.1:20880"),
        "{refused}"
    );
}

#[test]
fn health_checks_are_told() {
    let checked = |check: &str| shown(&fixture(&format!("    healthCheck: {check}")), &[]);
    let dubbo = checked("{interval: 5s, unhealthyThreshold: 2}");
    let expected = "endpoints are checked by dubbo every 5s, left out after 2 without an answer in 1s, \
                    back after 1";
    assert!(dubbo.contains(expected), "{dubbo}");
    let tcp = checked("{tcp: true}");
    assert!(tcp.contains("checked by a connection every 10s"), "{tcp}");
}

/// DestinationRule before annotation before MeshConfig, each as a whole.
#[test]
fn the_nearest_setting_counts() {
    let fixture = annotated("PreferSameZone");
    let mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                data:\n  mesh: |\n    localityLbSetting: {distribute: [{from: eu, to: {us: 100}}]}\n---\n";
    fixture.edit("gateway.yaml", "apiVersion", &format!("{mesh}apiVersion"));
    assert!(shown(&fixture, &[]).contains("(trafficDistribution PreferSameZone)"));
    fixture.edit("service.yaml", "PreferSameZone", "Any");
    let by_mesh = shown(&fixture, &[]);
    assert!(
        by_mesh.contains("shares of localities by distribute (MeshConfig)"),
        "{by_mesh}"
    );
    assert!(by_mesh.contains("100%  10.0.0.4"), "{by_mesh}");
    fixture.edit("rule.yaml", "{simple: RANDOM}", "{localityLbSetting: {}}");
    assert!(
        shown(&fixture, &[]).contains("neither outlierDetection"),
        "an empty setting counts"
    );
    fixture.edit("rule.yaml", "{localityLbSetting: {}}", "{}");
    assert!(shown(&fixture, &[]).contains("(MeshConfig)"));
    fixture.edit(
        "gateway.yaml",
        "{distribute: [{from: eu, to: {us: 100}}]}",
        "{enabled: false}",
    );
    assert!(shown(&fixture, &[]).contains("enabled is false (MeshConfig)"));
}
