//! The objects that a waypoint should be made of: of a Gateway, its overrides and the settings of all.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::gateway::Waypoint;
use super::overrides::{InvalidOverride, Overrides};
use super::part::Part;
use super::settings::WaypointSettings;
pub(super) use crate::model::MANAGED_BY;

/// Which Gateway something is of: istiod knows the pods of a waypoint by it.
pub(super) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// What a kubelet's probes of a pod of the mesh come from (`HOST_PROBE_SNAT_IP` of istio-cni).
const PROBES: [&str; 2] = [
    "169.254.7.127/32",
    "fd16:9254:7127:1337:ffff:ffff:ffff:ffff/128",
];
/// A hash of what was applied: whoever leads next sees that nothing is to be done.
const APPLIED: &str = "meltemi.io/applied";

/// Where readiness and metrics are.
const STATUS_PORT: u16 = 15021;
/// Where ztunnel hears of connections to the waypoint.
const HBONE_PORT: u16 = 15008;
const USER: u32 = 65532;

/// All of them, in the order in which they are made.
///
/// # Errors
/// When overrides make something of it that it may not be.
pub(super) fn desired(
    waypoint: &Waypoint,
    overrides: &Overrides,
    settings: &WaypointSettings,
) -> Result<Vec<(Part, Value)>, InvalidOverride> {
    let is_scaled = overrides.has(Part::Autoscaler, settings.autoscaling.enabled);
    let has_budget = !settings.pod_disruption_budget.is_empty();
    let made = Part::ALL.into_iter().filter(|&part| match part {
        Part::Autoscaler => is_scaled,
        Part::Budget => overrides.has(part, has_budget),
        Part::Policy => overrides.has(part, settings.network_policy.enabled),
        _ => true,
    });
    let objects = made.map(|part| {
        let spec = match part {
            Part::ServiceAccount => None,
            Part::Service => Some(service(waypoint)),
            Part::Deployment => Some(deployment(waypoint, settings, is_scaled)),
            Part::Autoscaler => Some(autoscaler(waypoint, settings)),
            Part::Budget => Some(budget(waypoint, settings)),
            Part::Policy => Some(policy(waypoint, settings)),
        };
        let object = object(part, waypoint, spec);
        let mut object = overrides.apply((part, object), is_scaled)?;
        stamp(&mut object);
        Ok((part, object))
    });
    objects.collect()
}

fn object(part: Part, waypoint: &Waypoint, spec: Option<Value>) -> Value {
    let mut labels = waypoint.labels.clone();
    labels.extend(own_labels(waypoint));
    let (managed, by) = MANAGED_BY;
    labels.insert(managed.to_owned(), by.to_owned());
    let mut object = json!({
        "apiVersion": part.api_version(),
        "kind": part.kind(),
        "metadata": {
            "name": waypoint.name,
            "namespace": waypoint.namespace,
            "labels": labels,
            "annotations": waypoint.annotations,
            "ownerReferences": [{
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "name": waypoint.name,
                "uid": waypoint.uid,
                "controller": true,
            }],
        },
    });
    if let Some(spec) = spec {
        object["spec"] = spec;
    }
    object
}

/// What is before services is behind no waypoint itself: it would be bound to itself in a namespace that has one.
fn own_labels(waypoint: &Waypoint) -> [(String, String); 2] {
    [
        (GATEWAY_NAME.to_owned(), waypoint.name.clone()),
        ("istio.io/use-waypoint".to_owned(), "none".to_owned()),
    ]
}

fn selector(waypoint: &Waypoint) -> Value {
    json!({ GATEWAY_NAME: waypoint.name })
}

fn service(waypoint: &Waypoint) -> Value {
    json!({
        "type": "ClusterIP",
        "selector": selector(waypoint),
        // A client reaches a waypoint of its own zone first.
        "trafficDistribution": "PreferClose",
        "ipFamilyPolicy": "PreferDualStack",
        "ports": [{
            "name": "hbone",
            "port": HBONE_PORT,
            "targetPort": HBONE_PORT,
            "protocol": "TCP",
            "appProtocol": "hbone",
        }],
    })
}

fn deployment(waypoint: &Waypoint, settings: &WaypointSettings, is_scaled: bool) -> Value {
    let mut labels = waypoint.labels.clone();
    labels.extend(settings.pod_labels.clone());
    labels.extend(own_labels(waypoint));
    // Captured whatever its namespace says: ztunnel hands connections over inside the pod.
    labels.insert("istio.io/dataplane-mode".to_owned(), "ambient".to_owned());
    labels.insert("sidecar.istio.io/inject".to_owned(), "false".to_owned());
    let mut annotations = waypoint.annotations.clone();
    annotations.extend(settings.pod_annotations.clone());
    let mut spec = json!({
        "selector": {"matchLabels": selector(waypoint)},
        // A bound service has no way around its waypoint: none goes before another is there.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "template": {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": pod(waypoint, settings),
        },
    });
    if !is_scaled {
        spec["replicas"] = json!(settings.replica_count);
    }
    spec
}

fn pod(waypoint: &Waypoint, settings: &WaypointSettings) -> Value {
    let mut pod = json!({
        "serviceAccountName": waypoint.name,
        "automountServiceAccountToken": false,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container(waypoint, settings)],
        "volumes": [{
            "name": "meltemi",
            "projected": {"sources": [
                // The controller writes it into each namespace that has a Gateway: until then the pod waits.
                {"configMap": {
                    "name": "meltemi-ca-root",
                    "items": [{"key": "root-cert.pem", "path": "root-cert.pem"}],
                }},
                {"serviceAccountToken": {
                    "path": "token",
                    "audience": "meltemi",
                    "expirationSeconds": 3600,
                }},
            ]},
        }],
        "topologySpreadConstraints": spread(waypoint, settings),
        "terminationGracePeriodSeconds": settings.termination_grace_period_seconds,
    });
    let secrets = settings.image_pull_secrets.iter();
    let secrets: Vec<_> = secrets.map(|name| json!({ "name": name })).collect();
    put(&mut pod, "imagePullSecrets", &secrets, secrets.is_empty());
    let selector = &settings.node_selector;
    put(&mut pod, "nodeSelector", selector, selector.is_empty());
    let affinity = &settings.affinity;
    put(&mut pod, "affinity", affinity, affinity.is_empty());
    let tolerations = &settings.tolerations;
    put(&mut pod, "tolerations", tolerations, tolerations.is_empty());
    let class = &settings.priority_class_name;
    put(&mut pod, "priorityClassName", class, class.is_empty());
    pod
}

fn put(object: &mut Value, field: &str, value: impl serde::Serialize, is_empty: bool) {
    if !is_empty {
        object[field] = json!(value);
    }
}

fn container(waypoint: &Waypoint, settings: &WaypointSettings) -> Value {
    let mut container = json!({
        "name": "proxy",
        "image": settings.image,
        "args": arguments(waypoint, settings),
        "env": environment(&settings.env),
        "ports": [{"name": "http-status", "containerPort": STATUS_PORT, "protocol": "TCP"}],
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": "http-status"},
            "periodSeconds": 2,
            "timeoutSeconds": 3,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": settings.drain_delay_seconds}}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{
            "name": "meltemi",
            "mountPath": "/var/run/secrets/meltemi",
            "readOnly": true,
        }],
    });
    let policy = &settings.image_pull_policy;
    put(&mut container, "imagePullPolicy", policy, policy.is_empty());
    let resources = &settings.resources;
    put(&mut container, "resources", resources, resources.is_empty());
    container
}

fn arguments(waypoint: &Waypoint, settings: &WaypointSettings) -> Vec<String> {
    let mut arguments = vec![
        "proxy".to_owned(),
        format!("--xds=https://{}", settings.controller),
        format!("--gateway=$(POD_NAMESPACE)/{}", waypoint.name),
        "--pod=$(POD_NAMESPACE)/$(POD_NAME)".to_owned(),
        format!("--status={}:{STATUS_PORT}", settings.bind_address),
        format!("--access-log={}", settings.access_log),
        format!("--log={}", settings.log_level),
    ];
    if settings.workers > 0 {
        arguments.push(format!("--workers={}", settings.workers));
    }
    arguments.extend(settings.extra_args.iter().cloned());
    arguments
}

fn environment(more: &BTreeMap<String, String>) -> Vec<Value> {
    let of_pod = [
        ("POD_NAME", "metadata.name"),
        ("POD_NAMESPACE", "metadata.namespace"),
    ];
    let of_pod = of_pod.map(|(name, path)| {
        json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}})
    });
    let more = more.iter();
    let more = more.map(|(name, value)| json!({"name": name, "value": value}));
    of_pod.into_iter().chain(more).collect()
}

/// Over zones unless told: where one fails, the others have a waypoint each. Those without a selector are for its own pods.
fn spread(waypoint: &Waypoint, settings: &WaypointSettings) -> Vec<Map<String, Value>> {
    let mut constraints = settings.topology_spread_constraints.clone();
    if constraints.is_empty() {
        let over_zones = [
            ("maxSkew", json!(1)),
            ("topologyKey", json!("topology.kubernetes.io/zone")),
            ("whenUnsatisfiable", json!("ScheduleAnyway")),
        ];
        let over_zones = over_zones.map(|(field, value)| (field.to_owned(), value));
        constraints.push(over_zones.into_iter().collect());
    }
    for constraint in &mut constraints {
        let selector = constraint.entry("labelSelector");
        selector.or_insert_with(|| json!({"matchLabels": self::selector(waypoint)}));
    }
    constraints
}

fn autoscaler(waypoint: &Waypoint, settings: &WaypointSettings) -> Value {
    let scaling = &settings.autoscaling;
    let mut spec = json!({
        "scaleTargetRef": {
            "apiVersion": Part::Deployment.api_version(),
            "kind": Part::Deployment.kind(),
            "name": waypoint.name,
        },
        "minReplicas": scaling.min_replicas,
        "maxReplicas": scaling.max_replicas,
        "metrics": [{
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": scaling.target_cpu},
            },
        }],
    });
    let behavior = &scaling.behavior;
    put(&mut spec, "behavior", behavior, behavior.is_empty());
    spec
}

fn budget(waypoint: &Waypoint, settings: &WaypointSettings) -> Value {
    let mut spec = settings.pod_disruption_budget.clone();
    let selector = json!({"matchLabels": selector(waypoint)});
    spec.insert("selector".to_owned(), selector);
    Value::Object(spec)
}

/// Connections of the mesh come by ztunnel's port, probes of a kubelet from where istio-cni has them come from.
fn policy(waypoint: &Waypoint, settings: &WaypointSettings) -> Value {
    let probes = PROBES.map(|cidr| json!({"ipBlock": {"cidr": cidr}}));
    let pods = std::iter::once(json!({"podSelector": {}}));
    let metrics = settings.network_policy.metrics_from.iter();
    let from: Vec<_> = pods
        .chain(probes)
        .chain(metrics.map(|it| json!(it)))
        .collect();
    json!({
        "podSelector": {"matchLabels": selector(waypoint)},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [{"port": HBONE_PORT, "protocol": "TCP"}]},
            {"ports": [{"port": STATUS_PORT, "protocol": "TCP"}], "from": from},
        ],
    })
}

fn stamp(object: &mut Value) {
    let hash = format!("{:016x}", xxh3_64(object.to_string().as_bytes()));
    object["metadata"]["annotations"][APPLIED] = json!(hash);
}

#[cfg(test)]
mod tests {
    use super::super::gateway::tests::waypoint;
    use super::*;

    fn settings(text: &str) -> WaypointSettings {
        let text =
            format!("{{image: meltemi:1, controller: 'c.meltemi-system.svc:15010', {text}}}");
        text.parse().unwrap()
    }

    fn rendered(waypoint: &Waypoint, overrides: &[(&str, &str)], settings: &str) -> String {
        let overrides = overrides.iter();
        let overrides = overrides.map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        let overrides = Overrides::parse(&overrides.collect()).unwrap();
        let objects = desired(waypoint, &overrides, &self::settings(settings)).unwrap();
        let objects = objects
            .iter()
            .map(|(_, object)| serde_saphyr::to_string(object).unwrap());
        objects.collect::<Vec<_>>().join("---\n")
    }

    #[test]
    fn a_gateway_that_says_nothing_else() {
        let budget = "podDisruptionBudget: {minAvailable: 1}";
        insta::assert_snapshot!(rendered(&waypoint(|_| {}), &[], budget));
    }

    #[test]
    fn settings_and_infrastructure_and_overrides() {
        let waypoint = waypoint(|it| {
            it["spec"]["infrastructure"] = json!({
                "labels": {"team": "a", "istio.io/use-waypoint": "l7"},
                "annotations": {"note": "b"},
            });
        });
        let settings = "imagePullPolicy: Always, imagePullSecrets: [registry], workers: 2, \
            env: {RUST_BACKTRACE: full}, extraArgs: [--max-requests=1], podLabels: {pool: x}, \
            podAnnotations: {p: q}, resources: {requests: {cpu: 100m}}, nodeSelector: {n: m}, \
            affinity: {nodeAffinity: {}}, tolerations: [{operator: Exists}], priorityClassName: high, \
            topologySpreadConstraints: [{maxSkew: 2, topologyKey: kubernetes.io/hostname, \
            whenUnsatisfiable: DoNotSchedule}], autoscaling: {enabled: false}, replicaCount: 3";
        let deployment = "spec: {template: {spec: {containers: [{name: proxy, \
            env: [{name: A, value: b}], resources: {requests: {cpu: '2'}}}, {name: other, image: o}]}}}";
        let overrides = [
            ("deployment", deployment),
            (
                "service",
                "{metadata: {annotations: {lb: x}}, spec: {ipFamilyPolicy: SingleStack}}",
            ),
        ];
        insta::assert_snapshot!(rendered(&waypoint, &overrides, settings));
    }

    #[test]
    fn replicas_are_left_to_whoever_scales() {
        let made = |overrides: &[(&str, &str)], settings: &str| {
            let text = rendered(&waypoint(|_| {}), overrides, settings);
            let has = |words: &str| text.contains(words);
            (
                has("replicas:"),
                has("HorizontalPodAutoscaler"),
                has("PodDisruptionBudget"),
            )
        };
        let off = "autoscaling: {enabled: false}";
        let rows = [
            (&[][..], "", (false, true, false)),
            (&[], off, (true, false, false)),
            (
                &[("horizontalPodAutoscaler", "null")],
                "",
                (true, false, false),
            ),
            (
                &[("horizontalPodAutoscaler", "$patch: delete")],
                "",
                (true, false, false),
            ),
            (
                &[("horizontalPodAutoscaler", "spec: {maxReplicas: 9}")],
                off,
                (false, true, false),
            ),
            (
                &[("podDisruptionBudget", "spec: {maxUnavailable: 1}")],
                off,
                (true, false, true),
            ),
        ];
        for (overrides, settings, expected) in rows {
            assert_eq!(
                made(overrides, settings),
                expected,
                "{overrides:?} {settings}"
            );
        }
    }

    #[test]
    fn a_policy_lets_the_mesh_and_probes_in() {
        let policy = "networkPolicy: {enabled: true, metricsFrom: [{namespaceSelector: \
                      {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]}";
        let made = rendered(&waypoint(|_| {}), &[], policy);
        let (_, made) = made.split_once("kind: NetworkPolicy").unwrap();
        insta::assert_snapshot!(made);
        let without = rendered(&waypoint(|_| {}), &[("networkPolicy", "null")], policy);
        assert!(!without.contains("NetworkPolicy"), "{without}");
    }

    #[test]
    fn each_is_stamped_with_what_it_is() {
        let stamp = |settings: &str| {
            let made = desired(
                &waypoint(|_| {}),
                &Overrides::default(),
                &self::settings(settings),
            );
            let made = made.unwrap();
            let (_, deployment) = made
                .iter()
                .find(|(part, _)| *part == Part::Deployment)
                .unwrap();
            deployment["metadata"]["annotations"][APPLIED].clone()
        };
        assert_eq!(stamp(""), stamp("logLevel: info"));
        assert_ne!(stamp(""), stamp("logLevel: debug"));
    }
}
