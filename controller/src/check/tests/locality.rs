//! What is wrong with `localityLbSetting`, wherever it stands: as Istio's validation refuses it.

use super::{Fixture, rendered};

/// What is said of a DestinationRule with this setting, beside outlier detection.
fn setting(yaml: &str) -> String {
    let fixture = Fixture::valid();
    let policy = format!("    loadBalancer: {{localityLbSetting: {yaml}}}\n    outlierDetection");
    fixture.edit("rule.yaml", "    outlierDetection", &policy);
    rendered(&fixture)
}

fn assert_says(said: &str, expected: &str) {
    match expected {
        "" => assert!(said.ends_with(" 0 errors, 0 warnings"), "{said}"),
        expected => assert!(said.contains(expected), "{expected}\n{said}"),
    }
}

#[test]
fn settings_are_refused_as_istio_does() {
    for (yaml, expected) in [
        ("{enabled: true}", ""),
        ("{failover: [{from: eu, to: us}]}", ""),
        (
            "{failoverPriority: [version=v1, topology.kubernetes.io/zone]}",
            "",
        ),
        (
            "{failoverPriority: [version], failover: [{from: eu, to: us}]}",
            "",
        ),
        (
            "{distribute: [{from: eu/a/*, to: {eu/a/*: 80, eu/b: 20}}, {from: '*', to: {'*': 100}}]}",
            "",
        ),
        (
            "{distribute: [{from: eu, to: {eu: 100}}], failover: [{from: eu, to: us}]}",
            "takes one of distribute and failover",
        ),
        (
            "{distribute: [{from: eu, to: {eu: 100}}], failoverPriority: [version]}",
            "warning[UnusedRule]: `failoverPriority` has no effect beside distribute",
        ),
        (
            "{distribute: [{from: eu, to: {eu: 60, us: 30}}]}",
            "InvalidWeights]: the shares of `distribute` add up to 90",
        ),
        (
            "{distribute: [{from: eu, to: {eu: 100, us: 0}}]}",
            "must be from 1 to 100, not 0",
        ),
        (
            "{distribute: [{from: eu, to: {eu: 101}}]}",
            "must be from 1 to 100, not 101",
        ),
        (
            "{distribute: [{from: eu}]}",
            "`localityLbSetting.distribute.to` is missing",
        ),
        (
            "{distribute: [{to: {eu: 100}}]}",
            "`localityLbSetting.distribute.from` is missing",
        ),
        (
            "{distribute: [{from: eu, to: {eu: 50, eu/a: 50}}]}",
            "the shares for `eu` and `eu/a` overlap",
        ),
        (
            "{distribute: [{from: eu/*, to: {eu: 100}}, {from: eu/a, to: {eu: 100}}]}",
            "`distribute` never acts for `eu/a`: `eu/*`, which comes before, covers it",
        ),
        (
            "{distribute: [{from: 'e*', to: {eu: 100}}]}",
            "`*` in `e*` is not the whole of the last part",
        ),
        (
            "{distribute: [{from: eu//b, to: {eu: 100}}]}",
            "`eu//b` has an empty region, zone or subzone",
        ),
        (
            "{distribute: [{from: eu, to: {a/b/c/d: 100}}]}",
            "`a/b/c/d` has more than three parts",
        ),
        (
            "{failover: [{from: eu, to: eu}]}",
            "`failover` leads from eu to itself",
        ),
        (
            "{failover: [{from: eu, to: us}, {from: eu, to: asia}]}",
            "warning[UnusedRule]: `failover` from eu never leads to asia: an entry before leads to us",
        ),
        (
            "{failover: [{from: eu/a, to: us}]}",
            "`failover` is of whole regions, and `eu/a` is none",
        ),
        (
            "{failover: [{from: '*', to: us}]}",
            "`failover` is of whole regions, and `*` is none",
        ),
        (
            "{failover: [{from: eu}]}",
            "`localityLbSetting.failover.to` is missing",
        ),
        (
            "{failover: [{from: eu, to: us}], failoverPriority: [topology.istio.io/subzone]}",
            "`failover` and the label topology.istio.io/subzone of `failoverPriority` both order regions",
        ),
        (
            "{failoverPriority: ['=v1']}",
            "`failoverPriority` has a label without a name",
        ),
        ("{enabled: 1}", "must be true or false"),
        ("{failovers: []}", "did you mean `failover`?"),
    ] {
        assert_says(&setting(yaml), expected);
    }
}

#[test]
fn failover_without_outlier_detection_never_acts() {
    let fixture = Fixture::valid();
    fixture.edit(
        "rule.yaml",
        "outlierDetection: {consecutive5xxErrors: 3}",
        "loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}",
    );
    let said = rendered(&fixture);
    assert!(
        said.contains("warning[LocalityInactive]: this failover never acts"),
        "{said}"
    );
    assert!(
        said.ends_with("0 errors, 1 warnings") || said.ends_with("0 errors, 1 warning"),
        "{said}"
    );
    // Fixed shares need no ejections.
    fixture.edit(
        "rule.yaml",
        "failover: [{from: eu, to: us}]",
        "distribute: [{from: eu, to: {eu/a: 90, eu/b: 10}}]",
    );
    assert_says(&rendered(&fixture), "");
}

/// What is said of the valid manifests with these too.
fn with(more: &str) -> String {
    let fixture = Fixture::valid();
    fixture.edit(
        "gateway.yaml",
        "apiVersion",
        &format!("{more}---\napiVersion"),
    );
    rendered(&fixture)
}

fn mesh(name: &str, namespace: &str, data: &str) -> String {
    with(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata:\n{data}"
    ))
}

#[test]
fn the_mesh_config_is_read_where_istiod_reads_it() {
    for (name, namespace, data, expected) in [
        (
            "istio",
            "istio-system",
            "  mesh: |-\n    accessLogFile: /dev/stdout\n    localityLbSetting: {failover: [{from: eu, to: us}]}\n",
            "",
        ),
        ("istio", "istio-system", "  mesh: ''\n", ""),
        (
            "istio",
            "istio-system",
            "  mesh: |\n    localityLBSeting: {}\n",
            "gateway.yaml:6:5",
        ),
        (
            "istio",
            "istio-system",
            "  mesh: |\n    a: 1\n    localityLbSetting:\n      failover: [{from: eu, to: eu}]\n",
            "gateway.yaml:8:33",
        ),
        (
            "istio",
            "istio-system",
            "  mesh: \"localityLbSetting: {enabled: 1}\"\n",
            "gateway.yaml:5:9",
        ),
        (
            "istio",
            "istio-system",
            "  mesh: |\n    a: [\n",
            "`data.mesh` is not a MeshConfig",
        ),
        (
            "istio",
            "istio-system",
            "  mesh: |\n    - a\n",
            "`data.mesh` must be a mapping",
        ),
        (
            "istio",
            "other",
            "  mesh: |\n    a: 1\n",
            "UnusedRule]: this MeshConfig never acts",
        ),
        (
            "other",
            "istio-system",
            "  mesh: |\n    a: 1\n",
            "UnusedKind]: this ConfigMap has no effect",
        ),
        (
            "istio",
            "istio-system",
            "  meshNetworks: ''\n",
            "UnusedKind]: this ConfigMap has no effect",
        ),
    ] {
        assert_says(&mesh(name, namespace, data), expected);
    }
}

#[test]
fn a_namespace_says_how_near() {
    let namespace = |word: &str| {
        with(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: default\n  annotations: \
             {{networking.istio.io/traffic-distribution: {word}}}\n"
        ))
    };
    assert_says(&namespace("PreferSameNode"), "");
    assert_says(
        &namespace("PreferSameNod"),
        "did you mean `PreferSameNode`?",
    );
}

#[test]
fn rules_for_other_clients_do_not_act() {
    for (line, expected) in [
        ("exportTo: ['.']", ""),
        ("exportTo: ['*', other]", ""),
        (
            "exportTo: [other]",
            "its `exportTo` does not name default, the namespace of greeter.shop",
        ),
        ("exportTo: ['~']", "exportTo"),
        (
            "workloadSelector: {matchLabels: {app: a}}",
            "UnusedRule]: this DestinationRule never acts here",
        ),
    ] {
        let fixture = Fixture::valid();
        let edited = format!("  {line}\n  host: greeter.shop");
        fixture.edit("rule.yaml", "  host: greeter.shop", &edited);
        assert_says(&rendered(&fixture), expected);
    }
}
