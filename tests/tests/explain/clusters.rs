//! What a DestinationRule says of endpoints: ejections, connections, TLS, tiers and panic.

use super::*;

const ALL: &str = "
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: cache}
spec:
  hosts: [cache.demo]
  gateways: [edge]
  routes:
  - name: all
    route: [{destination: {host: cache.demo}}]
";

/// A DestinationRule's policy, and fields of the destination that both tell.
const ROWS: &[(&str, &[(&str, &str)])] = &[
    (
        "{outlierDetection: {}}",
        &[(
            "outlier_detection",
            "after 5 failures in a row, for 30s and longer each time, 300s at most; looked at every \
             10s; at most 10% at a time, but one always may be",
        )],
    ),
    (
        "{outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 3, interval: 1s, \
          baseEjectionTime: 400s, maxEjectionPercent: 50, alwaysEjectOneHost: false, \
          failurePercentage: {threshold: 60}}}",
        &[(
            "outlier_detection",
            "after 3 timeouts, refused and lost connections in a row, or when 60% of at least 50 \
             requests of an interval fail, for 400s and longer each time, 400s at most; looked at \
             every 1s; at most 50% at a time",
        )],
    ),
    (
        "{outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2, \
          maxEjectionTime: 60s, successRate: {stdevFactor: 1500}}}",
        &[(
            "outlier_detection",
            "after 5 errors of its own in a row, or after 2 timeouts, refused and lost connections in \
             a row, or when it succeeds 1.5 standard deviations less than the others, for 30s and \
             longer each time, 60s at most; looked at every 10s; at most 10% at a time, but one \
             always may be",
        )],
    ),
    (
        "{connectionPool: {tcp: {connectTimeout: 700ms, tcpKeepalive: {probes: 3, time: 90s, interval: 1500ms}}, \
          http: {idleTimeout: 2m}}}",
        &[(
            "connections",
            "made in 0.7s or not at all, closed when idle for 120s, probed when idle for 90s every 2s \
             and dead after 3 probes",
        )],
    ),
    (
        "{tls: {mode: SIMPLE, caCertificates: /ca.pem, sni: a.demo, subjectAltNames: [b.demo]}}",
        &[(
            "tls",
            "TLS SIMPLE to a.demo: the certificate is for b.demo, by an authority of /ca.pem",
        )],
    ),
    (
        "{tls: {mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem, insecureSkipVerify: true}}",
        &[(
            "tls",
            "TLS MUTUAL to cache.demo, shows /c.pem: whoever answers is believed",
        )],
    ),
    (
        "{loadBalancer: {simple: RANDOM}}",
        &[("load_balancer", "RANDOM")],
    ),
    (
        "{loadBalancer: {peakEwma: {decay: 3s}}}",
        &[("load_balancer", "PEAK_EWMA, decay 3s")],
    ),
    (
        "{outlierDetection: {minHealthPercent: 70}, loadBalancer: {localityLbSetting: {failoverPriority: \
          ['topology.kubernetes.io/region', 'version=v1']}}}",
        &[(
            "locality",
            "nearest first by topology.kubernetes.io/region, version=v1",
        )],
    ),
    (
        "{outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r2}]}}}",
        &[("locality", "nearest first, from r1 to r2")],
    ),
    (
        "{loadBalancer: {localityLbSetting: {distribute: [{from: 'r1/*', to: {'r1/z1/*': 80, 'r2/*': 20}}]}}}",
        &[("locality", "shares of localities by distribute")],
    ),
    (
        "{outlierDetection: {}, loadBalancer: {localityLbSetting: {enabled: false}}}",
        &[("locality", "all localities alike")],
    ),
];

#[test]
fn every_policy_of_a_cluster_agrees() {
    let nodes = nodes();
    let addresses = [nobody(), nodes.address(0), nodes.address(1)];
    for (policy, told) in ROWS {
        let manifests = manifests(&[]);
        manifests.write("service.yaml", &in_places(&addresses));
        manifests.write("routes.yaml", ALL);
        manifests.write("rule.yaml", &rule(policy));
        let meltemi = Meltemi::run_with(manifests.path(), &["--locality", HERE]);
        let question = Question {
            attributes: &[("command", "get"), ("key", "a")],
            source: None,
        };
        let answer = question.agree(&manifests, &meltemi, &[]);
        for (field, expected) in *told {
            let to = &answer["destinations"][0];
            assert_eq!(to[*field], *expected, "{policy}: {answer:#}");
        }
    }
}

#[test]
fn tiers_and_panic_agree_before_and_after_an_ejection() {
    let nodes = nodes();
    let dead = nobody();
    let addresses = [dead, nodes.address(0), nodes.address(1)];
    let failing =
        "consecutive5xxErrors: 1, interval: 1h, baseEjectionTime: 1h, maxEjectionPercent: 100";
    let health = |answer: &Value| answer["destinations"][0]["tiers"][0]["health"].clone();
    for (policy, panics) in [
        (format!("{{outlierDetection: {{{failing}}}}}"), false),
        (
            format!(
                "{{outlierDetection: {{{failing}, minHealthPercent: 80}}, loadBalancer: \
                 {{localityLbSetting: {{enabled: false}}}}}}"
            ),
            true,
        ),
    ] {
        let manifests = manifests(&[]);
        manifests.write("service.yaml", &in_places(&addresses));
        manifests.write("routes.yaml", ALL);
        manifests.write("rule.yaml", &rule(&policy));
        let meltemi = Meltemi::run_with(manifests.path(), &["--locality", HERE]);
        let question = || Question {
            attributes: &[("command", "get"), ("key", "a")],
            source: None,
        };
        let before = question().agree(&manifests, &meltemi, &[]);
        let total = if panics { 3 } else { 1 };
        assert_eq!(health(&before)["healthy"], total, "{before:#}");
        eject(&meltemi, &[question()]);
        let after = question().agree(&manifests, &meltemi, &[dead]);
        let expected = json!({
            "healthy": total - 1, "total": total, "overprovisioning": 140,
            "capacity": if panics { 93 } else { 0 },
            "panic_threshold": if panics { 80 } else { 0 }, "panic": panics,
        });
        assert_eq!(health(&after), expected, "{after:#}");
    }
}
