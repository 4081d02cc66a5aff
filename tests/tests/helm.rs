//! The charts, without a cluster: they lint, they render the same under each helm and each time, and they refuse what they do
//! not know.

use std::process::Command;

use meltemi_tests::binary;
use meltemi_tests::kubernetes::{Helm, charts};
use serde_json::Value;

const CHARTS: [&str; 3] = ["meltemi", "meltemi-crds", "meltemi-gateway"];

/// Names of snapshots, with the chart and the values of each.
const RENDERED: &[(&str, &str, &[&str])] = &[
    ("controller", "meltemi", &[]),
    (
        "controller_of_a_revision",
        "meltemi",
        &[
            "revision=canary",
            "istio.namespace=mesh",
            "tlsNames={xds.example.com}",
            "proxyNamespaces={batch}",
            "extraArgs={--ca-lifetime=720h}",
            "env.RUST_BACKTRACE=full",
        ],
    ),
    (
        "controller_with_everything",
        "meltemi",
        &[
            "global.imagePullSecrets={registry}",
            "global.imagePullPolicy=Always",
            "hub=registry.example/mesh",
            "tag=1.2.3",
            "autoscaling.enabled=true",
            "podDisruptionBudget.minAvailable=1",
            "secrets[0].namespace=shop",
            "secrets[0].names={orders-tls,orders-tls-cacert}",
            "secrets[1].namespace=bank",
            "podLabels.team=mesh",
            "podAnnotations.note=x",
            "serviceAccount.annotations.note=x",
            "service.annotations.note=x",
            "nodeSelector.pool=mesh",
            "tolerations[0].operator=Exists",
            "priorityClassName=system-cluster-critical",
            "topologySpreadConstraints[0].maxSkew=1",
            "topologySpreadConstraints[0].topologyKey=topology.kubernetes.io/zone",
            "topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
            "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key=a",
            "networkPolicy.adminFrom[0].namespaceSelector.matchLabels.name=monitoring",
            "sidecars.enabled=true",
            "serviceMonitor.enabled=true",
            "serviceMonitor.interval=30s",
        ],
    ),
    (
        "gateway",
        "meltemi-gateway",
        &[
            "service.ports[0].name=tcp-redis",
            "service.ports[0].port=6379",
        ],
    ),
    (
        "gateway_with_everything",
        "meltemi-gateway",
        &[
            "name=edge",
            "gateways={edge,inner}",
            "revision=canary",
            "controller.namespace=mesh",
            "istio.caAddress=istiod-canary.istio-system.svc:15012",
            "controller.spiffeId=spiffe://cluster.local/ns/mesh/sa/meltemi-controller",
            "image=registry.example/meltemi@sha256:0123",
            "global.imagePullSecrets[0].name=registry",
            "service.type=ClusterIP",
            "service.ports[0].name=tcp-dubbo",
            "service.ports[0].port=20880",
            "service.ports[0].targetPort=20881",
            "service.spec.ipFamilyPolicy=PreferDualStack",
            "autoscaling.enabled=true",
            "podDisruptionBudget.minAvailable=null",
            "podLabels.istio\\.io/dataplane-mode=ambient",
            "accessLog=-",
            "workers=4",
            "extraArgs={--max-requests=1000}",
            "volumes[0].name=certs",
            "volumes[0].secret.secretName=edge",
            "volumeMounts[0].name=certs",
            "volumeMounts[0].mountPath=/certs",
            "serviceMonitor.enabled=true",
        ],
    ),
];

fn template<'a>(chart: &'a str, values: &[&'a str]) -> Vec<&'a str> {
    let head = ["template", "edge", chart, "--namespace", "meltemi-system"];
    let values = values.iter().flat_map(|value| ["--set", value]);
    head.into_iter().chain(values).collect()
}

#[test]
fn each_chart_passes_the_lints() {
    let Some(versions) = Helm::versions() else {
        return;
    };
    for helm in &versions {
        for chart in CHARTS {
            let _ = helm.prints(&["lint", "--strict", chart]);
        }
    }
}

#[test]
fn charts_render_as_they_were_reviewed() {
    let Some([three, four]) = Helm::versions() else {
        return;
    };
    for (name, chart, values) in RENDERED {
        let rendered = four.prints(&template(chart, values));
        // Argo CD and Flux render anew, and by their own helm.
        assert_eq!(rendered, four.prints(&template(chart, values)), "{name}");
        assert_eq!(
            by_source(&rendered),
            by_source(&three.prints(&template(chart, values))),
            "{name}"
        );
        insta::assert_snapshot!(*name, rendered);
    }
}

/// The versions order objects of a kind differently.
fn by_source(rendered: &str) -> Vec<&str> {
    let mut objects: Vec<_> = rendered.split("---\n").map(str::trim).collect();
    objects.sort_unstable();
    objects
}

#[test]
fn nothing_is_looked_up_in_a_cluster() {
    for chart in CHARTS {
        let templates = charts().join(chart).join("templates");
        for file in std::fs::read_dir(templates).expect("templates") {
            let path = file.expect("a file").path();
            let text = std::fs::read_to_string(&path).expect("text");
            for forbidden in [
                "lookup ",
                "randAlpha",
                "genCA",
                "genSigned",
                "now |",
                "Capabilities",
            ] {
                assert!(!text.contains(forbidden), "{}: {forbidden}", path.display());
            }
        }
    }
}

#[test]
fn values_that_are_not_there_are_refused() {
    let Some(versions) = Helm::versions() else {
        return;
    };
    let wrong = [
        ("meltemi", "revison=a"),
        ("meltemi", "istio.namspace=mesh"),
        ("meltemi", "global.imagePullSecret=a"),
        ("meltemi", "autoscaling.enable=true"),
        ("meltemi", "autoscaling.minReplicas=0"),
        ("meltemi", "podDisruptionBudget.minAvailble=1"),
        ("meltemi", "secrets[0].name=shop"),
        ("meltemi", "secrets[0].namespace=Shop"),
        ("meltemi", "serviceMonitor.enabled=perhaps"),
        ("meltemi", "networkPolicy.enable=false"),
        ("meltemi", "imagePullPolicy=Sometimes"),
        ("meltemi", "revision=Canary"),
        ("meltemi", "replicaCount=two"),
        ("meltemi", "protocols={}"),
        ("meltemi", "bindAddress=::"),
        ("meltemi-gateway", "gateway=edge"),
        ("meltemi-gateway", "service.port=6379"),
        ("meltemi-gateway", "service.ports[0].port=6379"),
        (
            "meltemi-gateway",
            "service.ports[0].name=a,service.ports[0].port=70000",
        ),
        ("meltemi-gateway", "service.type=Loadbalancer"),
        ("meltemi-gateway", "controller.adress=a:1"),
        ("meltemi-crds", "keep=false"),
    ];
    for helm in &versions {
        for (chart, value) in wrong {
            let answer = helm.run(&template(chart, &[value]));
            let said = answer.stderr();
            assert!(!answer.is_success(), "{chart} takes {value}");
            assert!(said.contains("schema"), "{chart}, {value}: {said}");
        }
        // A chart that has this one in it shares what is global.
        let _ = helm.prints(&template("meltemi", &["global.platform=x"]));
    }
}

/// Whoever reads the values finds each that there may be.
#[test]
fn each_value_of_a_schema_is_told_of() {
    for chart in ["meltemi", "meltemi-gateway"] {
        let read = |file: &str| std::fs::read_to_string(charts().join(chart).join(file));
        let values = read("values.yaml").expect("the values");
        let schema = read("values.schema.json").expect("the schema");
        let schema: Value = serde_json::from_str(&schema).expect("JSON");
        for name in schema["properties"].as_object().expect("properties").keys() {
            let is_told = values
                .lines()
                .any(|line| line.starts_with(&format!("{name}:")));
            assert!(is_told, "{chart}: values.yaml has no {name}");
        }
    }
}

#[test]
fn the_controller_is_told_of_the_protocols_that_the_proxies_have() {
    let printed = Command::new(binary()).arg("protocols").output();
    let printed = printed.expect("the command ends");
    let printed = String::from_utf8(printed.stdout).expect("text");
    assert!(printed.starts_with("protocols:\n- id: "), "{printed}");
    let values = std::fs::read_to_string(charts().join("meltemi/values.yaml"));
    let values = values.expect("the values");
    assert!(
        values.contains(&printed),
        "charts/meltemi/values.yaml has not: {printed}"
    );
}

#[test]
fn replicas_are_left_to_whoever_scales() {
    let Some([_, helm]) = Helm::versions() else {
        return;
    };
    for chart in ["meltemi", "meltemi-gateway"] {
        let fixed = helm.prints(&template(chart, &["replicaCount=3"]));
        assert!(fixed.contains("\n  replicas: 3\n"), "{fixed}");
        let scaled = helm.prints(&template(
            chart,
            &["replicaCount=3", "autoscaling.enabled=true"],
        ));
        assert!(!scaled.contains("\n  replicas:"), "{scaled}");
        assert!(
            scaled.contains("\nkind: HorizontalPodAutoscaler\n"),
            "{scaled}"
        );
    }
}
