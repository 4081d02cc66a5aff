use super::*;
use crate::fixture::{Fixture, ROUTER, settings};

mod adaptive_concurrency;
mod aeraki;
mod connection_pool;
mod dns;
mod global_limits;
mod health;
mod limits;
mod locality;
mod matching;
mod mutations;
mod plan;
mod redis;
mod remedies;
mod secrets;
mod tls;

/// What is said of the manifests, with the valid ones spoilt by edits of (file, from, to).
fn spoilt(edits: &[(&str, &str, &str)]) -> String {
    let fixture = Fixture::valid();
    for (file, from, to) in edits {
        fixture.edit(file, from, to);
    }
    rendered(&fixture)
}

fn rendered(fixture: &Fixture) -> String {
    let report = run(&fixture.paths(), settings());
    let mut findings = report.diagnostics.iter();
    assert!(findings.all(|d| d.remedy.is_some()), "{report}");
    fixture.anonymous(&report.to_string())
}

/// One test for each finding: its name, the edits, and the text in `snapshots/`.
macro_rules! says {
    ($($name:ident: $($file:literal $from:literal => $to:literal),+;)+) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(stringify!($name), spoilt(&[$(($file, $from, $to)),+]));
            }
        )+
    };
}

says! {
    // YAML and structure.
    invalid_yaml: "router.yaml" "gateways: [edge]" => "gateways: [edge";
    duplicate_key: "router.yaml" "  gateways: [edge]\n" => "  gateways: [edge]\n  gateways: [edge]\n";
    tab: "rule.yaml" "    outlier" => "\toutlier";
    unquoted_star: "router.yaml" "{exact: sayHello}" => "{regex: *}";
    unknown_field: "router.yaml" "  gateways:" => "  gatways:";
    unknown_nested_field: "router.yaml" "subset: v1" => "subsett: v1";
    missing_field: "router.yaml" "host: greeter.shop, subset: v1" => "subset: v1";
    wrong_type: "router.yaml" "weight: 90" => "weight: ninety";
    number_for_string: "rule.yaml" "version: v2}}" => "version: 2}}";
    names_that_are_none:
        "router.yaml" "{name: greeter}" => "{name: Greeter_1}",
        "rule.yaml" "{name: greeter}" => "{name: greeter, namespace: a.b}",
        "rule.yaml" "host: greeter.shop" => "host: '*greeter'",
        "rule.yaml" "name: v2," => "name: 'v|2',",
        "gateway.yaml" "  - {port" => "  - {name: \"x 1.2.3.4:5\\nadmin 6.6.6.6:1\", bind: \"unix:///a\\0\", port: {number: 1, name: tcp/dubbo}}\n  - {port",
        "service.yaml" "[greeter.shop]" => "[greeter.shop, 'a|b', '*.c', d:e, 10.0.0.1]",
        "service.yaml" "{address: 10.0.0.1," => "{address: \"unix:///a\\0\",",
        "router.yaml" "{host: greeter.shop, subset: v1}" => "{host: '*.shop'}";
    name_of_the_wrong_type: "router.yaml" "{name: greeter}" => "{name: 7}", "router.yaml" "weight: 90" => "weight: 91";
    no_name: "rule.yaml" "{name: greeter}" => "{labels: {}}";
    unknown_version: "router.yaml" "aeraki.io/v1alpha1" => "aeraki.io/v1";
    mistyped_kind: "router.yaml" "MetaRouter" => "MetaRoute";
    unused_kind: "rule.yaml" "kind: DestinationRule" => "kind: Sidecar";
    no_kind: "rule.yaml" "kind: DestinationRule\n" => "";
    not_an_object: "rule.yaml" "kind: DestinationRule\n" => "---\nhello\n---\nkind: DestinationRule\n";

    // Values.
    weights: "router.yaml" "weight: 10" => "weight: 20";
    weight_of_one_is_ignored: "router.yaml" "subset: v2}\n  - name: rest" => "subset: v2}\n      weight: 5\n  - name: rest";
    bad_regex: "router.yaml" "{exact: sayHello}" => "{regex: 'say(Hello'}";
    large_regex: "router.yaml" "{exact: sayHello}" => "{regex: '[\\p{L}]{200}'}";
    verbose_regex: "router.yaml" "{exact: sayHello}" => "{regex: '(?x)sayHello # and no more'}";
    two_matchers: "router.yaml" "{exact: sayHello}" => "{exact: sayHello, prefix: say}";
    two_hosts: "router.yaml" "hosts: [greeter.shop]" => "hosts: [greeter.shop, other.shop]";
    wildcard_host: "router.yaml" "hosts: [greeter.shop]" => "hosts: ['*.shop']";
    bad_locality: "service.yaml" "eu/a," => "eu/a/b/c,";
    bad_endpoint: "service.yaml" "10.0.0.1" => "10.0.0.256";
    bad_bind: "gateway.yaml" "{port:" => "{bind: localhost, port:";
    bad_duration: "rule.yaml" "consecutive5xxErrors: 3" => "interval: 10";
    bad_balancer: "rule.yaml" "    outlierDetection" => "    loadBalancer: {simple: FASTEST}\n    outlierDetection";

    hash_by_what_only_http_has: "rule.yaml" "    outlierDetection" => "    loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 0s}}}\n    outlierDetection";
    hash_by_a_key_and_a_ring: "rule.yaml" "    outlierDetection" => "    loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}}}\n    outlierDetection";
    hash_table_of_a_bad_size: "rule.yaml" "    outlierDetection" => "    loadBalancer: {simple: RANDOM, consistentHash: {maglev: {tableSize: 100}}}\n    outlierDetection";
    hash_that_is_understood: "rule.yaml" "    outlierDetection" => "    loadBalancer: {consistentHash: {ringHash: {minimumRingSize: 1024}}}\n    outlierDetection";
    hash_by_two_keys: "rule.yaml" "    outlierDetection" => "    loadBalancer: {consistentHash: {httpHeaderName: method, connection: true}}\n    outlierDetection";
    hash_by_nothing: "rule.yaml" "    outlierDetection" => "    loadBalancer: {consistentHash: {useSourceIp: false}}\n    outlierDetection";
    hash_by_two_tables: "rule.yaml" "    outlierDetection" => "    loadBalancer: {consistentHash: {maglev: {}, ringHash: {}}}\n    outlierDetection";
    hash_by_a_mistyped_attribute: "rule.yaml" "    outlierDetection" => "    loadBalancer: {consistentHash: {attribute: metod}}\n    outlierDetection";
    hash_with_a_small_bound: "rule.yaml" "    outlierDetection" => "    loadBalancer: {consistentHash: {attribute: method, hashBalanceFactor: 99}}\n    outlierDetection";
    hash_of_keys_with_a_bound: "rule.yaml" "    outlierDetection" => "    loadBalancer: {consistentHash: {maglev: {}, hashBalanceFactor: 150}}\n    outlierDetection";
    hash_policy_without_a_hash: "router.yaml" "  - name: rest\n" => "  - name: rest\n    hashPolicy: [method]\n";
    hash_policy_that_is_wrong: "router.yaml" "  - name: rest\n" => "  - name: rest\n    hashPolicy: [metod, '', {useSourceIp: true, connection: true}, {header: method}]\n";
    peak_ewma_beside_another: "rule.yaml" "    outlierDetection" => "    loadBalancer: {simple: RANDOM, peakEwma: {decay: 0s}, warmup: {duration: 10s}}\n    outlierDetection";
    peak_ewma_that_is_understood: "rule.yaml" "    outlierDetection" => "    loadBalancer: {peakEwma: {}}\n    outlierDetection";
    warmup_that_is_wrong: "rule.yaml" "    outlierDetection" => "    loadBalancer: {warmup: {minimumPercent: 101, aggression: 0.5}}\n    outlierDetection";
    warmup_that_does_not_act: "rule.yaml" "    outlierDetection" => "    loadBalancer: {simple: RANDOM, warmup: {duration: 10s}}\n    outlierDetection";
    warmup_beside_a_hash: "rule.yaml" "    outlierDetection" => "    loadBalancer: {consistentHash: {maglev: {}}, warmupDurationSecs: 10s}\n    outlierDetection";
    warmup_of_a_bad_duration: "rule.yaml" "    outlierDetection" => "    loadBalancer: {warmupDurationSecs: 60}\n    outlierDetection";
    hash_of_what_is_no_truth: "rule.yaml" "    outlierDetection" => "    loadBalancer: {consistentHash: {maglev: {}, useHostnameForHashing: 'yes'}}\n    outlierDetection";
    settings_that_are_none: "service.yaml" "apiVersion" => "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\nmetadata: {name: dubbo}\nspec: {protocol: dubbo, codec: dubbo, settings: {a: [1], '': b}}\n---\napiVersion";
    route_that_leads_nowhere: "router.yaml" "    route:\n    - destination: {host: greeter.shop, subset: v2}\n" => "";

    // Attributes.
    mistyped_attribute: "router.yaml" "method:" => "metod:";
    closed_schema:
        "router.yaml" "method:" => "tenant:",
        "service.yaml" "metaprotocol-dubbo" => "closed",
        "gateway.yaml" "metaprotocol-dubbo" => "closed";
    attachment_is_no_mistake: "router.yaml" "method:" => "tenant:";

    // References.
    unknown_host: "router.yaml" "hosts: [greeter.shop]" => "hosts: [greter.shop]";
    unknown_destination: "router.yaml" "{host: greeter.shop, subset: v1}" => "{host: gone.shop}";
    rule_for_unknown_host: "rule.yaml" "host: greeter.shop" => "host: greeters.shop";
    unknown_subset: "router.yaml" "subset: v1" => "subset: v3";
    unknown_port: "router.yaml" "subset: v1}" => "subset: v1, port: {number: 8080}}";
    ambiguous_port:
        "service.yaml" "  resolution" => "  - {number: 20881, name: tcp-dubbo-b}\n  resolution",
        "gateway.yaml" "20880" => "0";
    unknown_gateway: "router.yaml" "[edge]" => "[edges]";
    gateway_of_another_namespace: "gateway.yaml" "{name: edge}" => "{name: edge, namespace: front}";
    no_matching_server: "gateway.yaml" "tcp-metaprotocol-dubbo" => "tcp-closed";
    unknown_protocol: "gateway.yaml" "tcp-metaprotocol-dubbo" => "tcp-metaprotocol-dubo";
    unfinished_port_name: "service.yaml" "tcp-metaprotocol-dubbo" => "tcp-metaprotocol";
    foreign_port_name: "gateway.yaml" "tcp-metaprotocol-dubbo" => "http";
    not_host_owner: "router.yaml" "{name: greeter}" => "{name: greeter, namespace: thief}",
        "router.yaml" "[edge]" => "[default/edge]";
    not_attached: "router.yaml" "  gateways: [edge]\n" => "";
    duplicate_server: "gateway.yaml" "  - {port" => "  - {port: {number: 1, name: tcp-metaprotocol-dubbo}}\n  - {port";
    address_in_use: "gateway.yaml" "  - {port" => "  - {name: local, bind: 127.0.0.1, port: {number: 20880, name: tcp-dubbo}}\n  - {port";

    // Legal, but dead or not what was meant.
    dead_route: "router.yaml" "    match:\n      attributes:\n        method: {exact: sayHello}\n" => "";
    empty_subset: "rule.yaml" "labels: {version: v2}" => "labels: {version: v9}";
    locality_inactive: "rule.yaml" "  trafficPolicy:\n    outlierDetection: {consecutive5xxErrors: 3}\n" => "";
    locality_disabled_on_purpose: "rule.yaml" "outlierDetection: {consecutive5xxErrors: 3}" => "loadBalancer: {localityLbSetting: {enabled: false}}";
    no_endpoints: "service.yaml" "  endpoints:\n  - {address: 10.0.0.1, locality: eu/a, labels: {version: v1}}\n  - {address: 10.0.0.2, locality: eu/b, labels: {version: v2}}\n" => "";
    selector_of_nothing: "service.yaml" "  endpoints:\n  - {address: 10.0.0.1, locality: eu/a, labels: {version: v1}}\n  - {address: 10.0.0.2, locality: eu/b, labels: {version: v2}}\n" => "  workloadSelector: {labels: {app: greeter}}\n";
    endpoint_port_of_no_name: "service.yaml" "{address: 10.0.0.1," => "{address: 10.0.0.1, ports: {tcp-metaprotocol-duboo: 1},";
    workload_port_of_no_name: "service.yaml" "  endpoints:\n  - {address: 10.0.0.1, locality: eu/a, labels: {version: v1}}\n  - {address: 10.0.0.2, locality: eu/b, labels: {version: v2}}\n" => "  workloadSelector: {labels: {app: greeter}}\n---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: a, labels: {app: greeter}}\nspec: {address: 10.0.0.1, ports: {dubbo: 1}}\n";
    endpoint_of_no_weight: "service.yaml" "{address: 10.0.0.1," => "{address: 10.0.0.1, weight: 0,";
    locality_inactive_for_a_subset:
        "service.yaml" "locality: eu/b, labels: {version: v2}" => "locality: eu/b, labels: {version: v1}",
        "rule.yaml" "labels: {version: v1}" => "labels: {version: v1}, trafficPolicy: {portLevelSettings: [{port: {number: 20880}, loadBalancer: {simple: RANDOM}}]}";
    rule_of_a_namespace_that_is_not_looked_at: "rule.yaml" "  - {name: v2" => "  - {name: v2, labels: {version: v2}}\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: far, namespace: far}\nspec:\n  host: greeter.shop\n  subsets:\n  - {name: v1";
    rule_behind_a_closer_one: "rule.yaml" "  - {name: v2" => "  - {name: v2, labels: {version: v2}}\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: wide}\nspec:\n  host: '*.shop'\n  subsets:\n  - {name: v1";
    second_rule_of_a_host: "rule.yaml" "  - {name: v2" => "  - {name: v2, labels: {version: v2}}\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: second}\nspec:\n  host: greeter.shop\n  trafficPolicy: {loadBalancer: {simple: RANDOM}}\n  subsets:\n  - {name: v3, labels: {version: v1}}\n  - {name: v2";
    host_of_two_namespaces: "service.yaml" "kind: ServiceEntry" => "kind: ServiceEntry\nmetadata: {name: other, namespace: other}\nspec: {hosts: [greeter.shop], ports: [{number: 1, name: tcp-dubbo}], resolution: STATIC, endpoints: [{address: 10.0.0.9}]}\n---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry";
    route_of_another_interface:
        "service.yaml" "{name: greeter}" => "{name: greeter, annotations: {interface: 'org.A,org.B'}}",
        "router.yaml" "        method: {exact: sayHello}\n" => "        method: {exact: sayHello}\n        interface: {exact: org.C}\n";
    port_settings_of_no_port: "rule.yaml" "    outlierDetection" => "    portLevelSettings: [{port: {number: 999}}]\n    outlierDetection";
    port_settings_twice: "rule.yaml" "    outlierDetection" => "    portLevelSettings: [{port: {number: 20880}}, {port: {number: 20880}}]\n    outlierDetection";
    bad_traffic_distribution: "service.yaml" "{name: greeter}" => "{name: greeter, annotations: {networking.istio.io/traffic-distribution: PreferClsoe}}";
    bad_creation_timestamp: "service.yaml" "{name: greeter}" => "{name: greeter, creationTimestamp: yesterday}";
    bad_virtual_address: "service.yaml" "  resolution" => "  addresses: [10.0.0.0/8, bogus, 10.0.0.0/33]\n  resolution";
    bad_location: "service.yaml" "  resolution" => "  location: MESH_FOO\n  resolution";
    tls_without_a_mode: "rule.yaml" "    outlierDetection" => "    tls: {credentialName: x, sni: greeter.shop}\n    outlierDetection";
    tls_of_nothing: "rule.yaml" "    outlierDetection" => "    tls: {}\n    outlierDetection";
    mistyped_group: "router.yaml" "metaprotocol.aeraki" => "metaprotcol.aeraki";
    typed_list: "rule.yaml"
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: greeter}\nspec:\n  host: greeter.shop\n  trafficPolicy:\n    outlierDetection: {consecutive5xxErrors: 3}\n  subsets:\n  - {name: v1, labels: {version: v1}}\n  - {name: v2, labels: {version: v2}}\n"
        => "apiVersion: networking.istio.io/v1\nkind: DestinationRuleList\nitems:\n- metadata: {name: greeter}\n  spec:\n    host: greeter.shop\n    trafficPolicy: {outlierDetection: {}}\n    subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]\n- {metadata: {name: x}, spec: {hosts: []}}\n";
    tls: "rule.yaml" "    outlierDetection" => "    tls: {mode: ISTIO_MUTUAL}\n    outlierDetection";
    not_in_force:
        "service.yaml" "  resolution" => "  subjectAltNames: [a]\n  resolution",
        "rule.yaml" "    outlierDetection" => "    connectionPool: {http: {useClientProtocol: true}}\n    outlierDetection";
}

#[test]
fn the_valid_manifests_have_no_findings() {
    assert_eq!(spoilt(&[]), "4 objects: 0 errors, 0 warnings");
}

#[test]
fn the_examples_have_no_findings() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/dubbo");
    let report = run(&[examples.into()], settings());
    assert_eq!(report.to_string(), "10 objects: 0 errors, 0 warnings");
}

#[test]
fn a_missing_directory_is_an_error() {
    let fixture = Fixture::valid();
    let mut paths = fixture.paths();
    paths[0].push("missing");
    let report = fixture.anonymous(&run(&paths, settings()).to_string());
    insta::assert_snapshot!("missing_directory", report);
}

#[test]
fn a_catch_all_that_hides_another_router_is_an_error() {
    let fixture = Fixture::valid();
    let hidden = ROUTER.replace("{name: greeter}", "{name: late}");
    let first_routes = "  - name: hello\n    match:\n      attributes:\n        method: {exact: sayHello}\n    route:\n    - destination: {host: greeter.shop, subset: v2}\n";
    fixture.write("late.yaml", &hidden.replace(first_routes, ""));
    insta::assert_snapshot!("hidden_router", rendered(&fixture));
}

#[test]
fn two_of_one_object_are_an_error() {
    let fixture = Fixture::valid();
    fixture.write("zwei.yaml", ROUTER);
    insta::assert_snapshot!("duplicate_object", rendered(&fixture));
}

#[test]
fn as_json_it_has_the_same_findings() {
    let fixture = Fixture::valid();
    fixture.edit("router.yaml", "method:", "metod:");
    let json = serde_json::to_string_pretty(&run(&fixture.paths(), settings())).unwrap();
    insta::assert_snapshot!("json", fixture.anonymous(&json));
}

#[test]
fn an_annotation_may_name_thousands_of_interfaces() {
    let fixture = Fixture::valid();
    let names: Vec<_> = (0..3000)
        .map(|i| format!("org.example.module{i}.InterfaceName{i}"))
        .collect();
    let annotations = format!("{{interface: '{}'}}", names.join(","));
    let metadata = format!("{{name: greeter, annotations: {annotations}}}");
    fixture.edit("service.yaml", "{name: greeter}", &metadata);
    assert_eq!(rendered(&fixture), "4 objects: 0 errors, 0 warnings");
    let query = crate::explain::Query {
        service: "greeter.shop".to_owned(),
        attributes: vec![("interface".to_owned(), names[2999].clone())],
        ..crate::explain::Query::default()
    };
    let explained = crate::explain::run(&fixture.paths(), settings(), &query).unwrap();
    assert_eq!(explained.route.map(|r| r.name).as_deref(), Some("rest"));
}

#[test]
fn a_long_line_with_many_mistakes_makes_a_short_report() {
    let fixture = Fixture::valid();
    let item = |i: usize| {
        format!(
            "{{\"apiVersion\":\"metaprotocol.aeraki.io/v1alpha1\",\"kind\":\"MetaRouter\",\"metadata\":{{\"name\":\"r{i}\"}},\"spec\":{{\"hosts\":[\"greeter.shop\"],\"rout\":[]}}}}"
        )
    };
    let items: Vec<_> = (0..500).map(item).collect();
    let list = format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{}]}}",
        items.join(",")
    );
    fixture.write("list.json", &list);
    let report = run(&fixture.paths(), settings());
    assert_eq!(report.errors(), 500);
    let per_error = |text: String| text.len() / 500;
    assert!(per_error(report.to_string()) < 1000);
    assert!(per_error(serde_json::to_string(&report).unwrap()) < 1000);
}

/// What is said of the manifests beside another one.
fn beside(manifest: &str) -> (usize, String) {
    let fixture = Fixture::valid();
    fixture.write("more.yaml", manifest);
    let report = run(&fixture.paths(), settings());
    (report.errors(), report.to_string())
}

#[test]
fn tls_of_a_server_of_another_protocol_is_no_error() {
    let gateway = |port: &str, tls: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: web}}\nspec:\n  \
             servers:\n  - {{port: {{number: 8443, name: {port}}}, hosts: ['*'], tls: {{{tls}}}}}\n"
        )
    };
    for (port, tls) in [("https", "mode: SIMPLE"), ("http", "httpsRedirect: true")] {
        let (errors, report) = beside(&gateway(port, tls));
        assert_eq!(errors, 0, "{report}");
        assert!(report.contains("the server is not opened"), "{report}");
    }
    let (errors, report) = beside(&gateway("tcp-metaprotocol-dubbo", "mode: SIMPLE"));
    assert_eq!(errors, 1, "{report}");
    assert!(report.contains("error[TlsUnavailable]"), "{report}");
}

#[test]
fn tls_towards_hosts_that_no_route_leads_to_is_no_error() {
    let rule = |host: &str, settings: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: more}}\n\
             spec:\n  host: '{host}'\n  trafficPolicy: {{{settings}}}\n"
        )
    };
    let tls = "tls: {mode: ISTIO_MUTUAL}";
    let web = "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: web}\n\
               spec:\n  hosts: [web.local]\n  ports: [{number: 80, name: http}]\n  resolution: \
               STATIC\n  endpoints: [{address: 10.0.0.9}]\n";
    let port = format!("portLevelSettings: [{{port: {{number: 999}}, {tls}}}]");
    let manifests = [
        rule("*.local", tls),
        rule("other.shop", tls),
        rule("web.local", tls) + web,
        rule("web.local", &port) + web,
    ];
    for manifest in manifests {
        let (errors, report) = beside(&manifest);
        assert_eq!(errors, 0, "{report}");
    }
}

#[test]
fn a_codec_without_a_plugin_is_an_error_only_where_it_is_needed() {
    let thrift = "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
                  metadata: {name: thrift}\nspec: {protocol: thrift, codec: \
                  aeraki.meta_protocol.codec.thrift}\n---\napiVersion: networking.istio.io/v1\n\
                  kind: Gateway\nmetadata: {name: thrift}\nspec:\n  servers:\n  - {port: {number: \
                  9090, name: tcp-metaprotocol-thrift}}\n---\napiVersion: networking.istio.io/v1\n\
                  kind: ServiceEntry\nmetadata: {name: thrift}\nspec:\n  hosts: [thrift.shop]\n  \
                  ports: [{number: 9090, name: tcp-metaprotocol-thrift}]\n  resolution: STATIC\n  \
                  endpoints: [{address: 10.0.0.9}]\n";
    let (errors, report) = beside(thrift);
    assert_eq!(errors, 0, "{report}");
    assert!(
        report.contains("ports of `thrift` are not served"),
        "{report}"
    );
    let router = "---\napiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
                  metadata: {name: thrift}\nspec: {hosts: [thrift.shop], gateways: [thrift]}\n";
    let (errors, report) = beside(&format!("{thrift}{router}"));
    assert_eq!(errors, 1, "{report}");
    assert!(
        report.contains("codec.thrift`, which no plugin implements"),
        "{report}"
    );
}
