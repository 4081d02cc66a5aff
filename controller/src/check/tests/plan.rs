//! What waypoints change for the services that ask for them.

use super::*;
use crate::check::{Effect, Plan, Planned, Way, told};
use crate::diagnostic::SourceFile;

const GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec:
  gatewayClassName: meltemi-waypoint
  listeners: [{name: proxy, port: 15088, protocol: istio.io/PROXY}]
";

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop, labels: {istio.io/use-waypoint: way}}
spec:
  clusterIP: 10.96.0.10
  selector: {app: orders}
  ports:
  - {name: tcp-dubbo, port: 20880}
  - {name: web, port: 8080, appProtocol: kubernetes.io/h2c}
  - {name: metrics, port: 9090}
  - {name: tcp-other, port: 7000}
  - {name: http-db, port: 3306, appProtocol: mysql}
";

const PODS: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders, version: v1, istio.io/use-waypoint: way}}
spec: {nodeName: a}
---
apiVersion: v1
kind: Pod
metadata: {name: orders-2, namespace: shop, labels: {app: orders, version: v2, istio.io/use-waypoint: way}}
spec: {nodeName: a}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-1, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
ports: [{name: tcp-dubbo, port: 20881}]
endpoints:
- {addresses: [10.1.0.1], targetRef: {kind: Pod, name: orders-1}}
- {addresses: [10.1.0.2], targetRef: {kind: Pod, name: orders-2}}
";

fn plan(manifests: &[&str]) -> Plan {
    let mut controller = Controller::open(&[], settings());
    let file = SourceFile {
        name: "mesh.yaml".to_owned(),
        text: manifests.join("---\n"),
    };
    let report = controller.load_files([file]).report;
    assert!(report.is_valid(), "{report}");
    let root = &controller.settings().root_namespace;
    Plan::of(report, controller.model(), (controller.objects(), root))
}

/// Of the only service that asks.
fn planned(manifests: &[&str]) -> Planned {
    let plan = plan(manifests).plan;
    let [planned] = plan.as_slice() else {
        panic!("{plan:?}");
    };
    planned.clone()
}

fn policy(namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: p, namespace: {namespace}}}\nspec: {{{spec}}}\n"
    )
}

/// The effect of the only policy that is listed, if one is.
fn effect(policies: &[&str]) -> Option<Effect> {
    let manifests = [&[GATEWAY, SERVICE, PODS], policies].concat();
    let policies = planned(&manifests).policies;
    assert!(policies.len() < 2, "{policies:?}");
    policies.first().map(|it| it.effect)
}

const WAYPOINT: &str = "cluster.local/ns/shop/sa/way";

fn of(action: &str, source: &str) -> String {
    format!("action: {action}, rules: [{{from: [{{source: {{{source}}}}}]}}]")
}

#[test]
fn what_a_policy_makes_of_the_waypoint() {
    let client = "principals: [cluster.local/ns/shop/sa/front]";
    let both = format!("principals: [cluster.local/ns/shop/sa/front, {WAYPOINT}]");
    let but_it = format!("notPrincipals: [{WAYPOINT}]");
    let rows = [
        (of("ALLOW", client), Some(Effect::Refuses)),
        (of("ALLOW", &both), Some(Effect::LetsPass)),
        (of("ALLOW", "namespaces: [shop]"), Some(Effect::LetsPass)),
        (of("ALLOW", "namespaces: [web]"), Some(Effect::Refuses)),
        (
            of("ALLOW", "serviceAccounts: [way, front]"),
            Some(Effect::LetsPass),
        ),
        (
            of("ALLOW", "ipBlocks: [10.0.0.0/8]"),
            Some(Effect::MayRefuse),
        ),
        (of("DENY", client), Some(Effect::LetsPass)),
        (of("DENY", "namespaces: [shop]"), Some(Effect::Refuses)),
        (of("DENY", "notNamespaces: [web]"), Some(Effect::Refuses)),
        (
            of("DENY", "notIpBlocks: [10.0.0.0/8]"),
            Some(Effect::MayRefuse),
        ),
        (of("AUDIT", client), Some(Effect::LetsPass)),
        (
            "action: CUSTOM, provider: {name: x}, rules: [{}]".to_owned(),
            Some(Effect::Unknown),
        ),
        // These ask for nobody, or for the waypoint alone.
        (of("ALLOW", &format!("principals: [{WAYPOINT}]")), None),
        (of("DENY", &but_it), None),
        ("{}".to_owned(), None),
        (
            "rules: [{to: [{operation: {ports: ['20881']}}]}]".to_owned(),
            None,
        ),
    ];
    for (spec, expected) in rows {
        let spec = if spec == "{}" { "" } else { &spec };
        assert_eq!(effect(&[&policy("shop", spec)]), expected, "{spec}");
    }
}

#[test]
fn ports_count_as_pods_listen() {
    let with = |port: &str, action: &str| {
        let rule = format!(
            "from: [{{source: {{namespaces: [shop]}}}}], to: [{{operation: {{ports: ['{port}']}}}}]"
        );
        effect(&[&policy(
            "shop",
            &format!("action: {action}, rules: [{{{rule}}}]"),
        )])
    };
    assert_eq!(with("20881", "DENY"), Some(Effect::Refuses));
    assert_eq!(with("20880", "DENY"), Some(Effect::LetsPass));
    assert_eq!(with("20881", "ALLOW"), Some(Effect::LetsPass));
    assert_eq!(with("20880", "ALLOW"), Some(Effect::Refuses));
}

#[test]
fn it_is_at_the_pods_that_it_selects() {
    let denies = of("DENY", "namespaces: [shop]");
    let selecting = |labels: &str| format!("selector: {{matchLabels: {{{labels}}}}}, {denies}");
    let rows = [
        ("shop", selecting("app: orders"), Some(Effect::Refuses)),
        ("shop", selecting("version: v1"), Some(Effect::MayRefuse)),
        ("shop", selecting("app: users"), None),
        ("web", denies.clone(), None),
        ("istio-system", denies.clone(), Some(Effect::Refuses)),
        (
            "istio-system",
            selecting("app: orders"),
            Some(Effect::Refuses),
        ),
        ("istio-system", selecting("app: users"), None),
    ];
    for (namespace, spec, expected) in rows {
        assert_eq!(
            effect(&[&policy(namespace, &spec)]),
            expected,
            "{namespace} {spec}"
        );
    }
    // Without endpoints no more is known of pods than what selects them.
    let of_no_pods = |spec: &str| {
        let found = planned(&[GATEWAY, SERVICE, &policy("shop", spec)]).policies;
        found.first().map(|it| it.effect)
    };
    assert_eq!(
        of_no_pods(&selecting("app: orders, version: v1")),
        Some(Effect::MayRefuse)
    );
    assert_eq!(of_no_pods(&selecting("version: v1")), None);
    assert_eq!(of_no_pods(&selecting("app: users, version: v1")), None);
}

#[test]
fn another_policy_may_admit_the_waypoint() {
    let client = policy(
        "shop",
        &of("ALLOW", "principals: [cluster.local/ns/shop/sa/front]"),
    );
    let waypoint = policy("shop", &of("ALLOW", &format!("principals: [{WAYPOINT}]")));
    let waypoint = waypoint.replace("name: p", "name: q");
    assert_eq!(effect(&[&client, &waypoint]), Some(Effect::LetsPass));
    let mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                data: {mesh: '{trustDomain: td, trustDomainAliases: [old]}'}\n";
    for domain in ["td", "old", "cluster.local", "other"] {
        let waypoint = waypoint.replace("cluster.local", domain);
        let expected = match domain {
            "other" => Effect::Refuses,
            _ => Effect::LetsPass,
        };
        let manifests = [GATEWAY, SERVICE, PODS, mesh, &client, &waypoint];
        let policies = planned(&manifests).policies;
        assert_eq!(policies[0].effect, expected, "{domain}");
    }
}

/// Manifests, and each way past the waypoint with whether those who take it are refused.
type Row<'a> = (&'a [&'a str], &'a [(Way, bool)]);

fn past(manifests: &[&str]) -> Vec<(Way, bool)> {
    let past = planned(manifests).past;
    past.iter().map(|it| (it.way, it.refused)).collect()
}

#[test]
fn who_does_not_come_through_it() {
    let all = GATEWAY.replace(
        "name: way,",
        "labels: {istio.io/waypoint-for: all}, name: way,",
    );
    let headless = SERVICE.replace("10.96.0.10", "None");
    let locked = policy("shop", &of("ALLOW", &format!("principals: [{WAYPOINT}]")));
    let others_denied = policy("shop", &of("DENY", &format!("notPrincipals: [{WAYPOINT}]")));
    let sidecars = "apiVersion: v1\nkind: Namespace\nmetadata: {name: old, labels: {istio-injection: enabled}}\n";
    let unlabelled = PODS.replacen(", istio.io/use-waypoint: way", "", 1);
    let rows: [Row<'_>; 8] = [
        (
            &[GATEWAY, SERVICE, PODS],
            &[(Way::Pods, false), (Way::Others, false)],
        ),
        (&[&all, SERVICE, PODS], &[(Way::Others, false)]),
        (
            &[&all, SERVICE, &unlabelled],
            &[(Way::Pods, false), (Way::Others, false)],
        ),
        (
            &[GATEWAY, &headless, PODS],
            &[(Way::Headless, false), (Way::Others, false)],
        ),
        (&[&all, &headless, PODS], &[(Way::Others, false)]),
        (&[&all, SERVICE, PODS, &locked], &[]),
        (
            &[&all, SERVICE, PODS, &others_denied, sidecars],
            &[(Way::Sidecars, true)],
        ),
        (
            &[&all, SERVICE, PODS, sidecars],
            &[(Way::Sidecars, false), (Way::Others, false)],
        ),
    ];
    for (manifests, expected) in rows {
        assert_eq!(past(manifests), expected, "{}", manifests.join("---\n"));
    }
}

#[test]
fn a_namespace_asks_for_its_pods_too() {
    let all = GATEWAY.replace(
        "name: way,",
        "labels: {istio.io/waypoint-for: all}, name: way,",
    );
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/use-waypoint: way}}\n";
    assert_eq!(past(&[&all, SERVICE, namespace]), [(Way::Others, false)]);
    let out = PODS.replacen("use-waypoint: way", "use-waypoint: none", 1);
    let expected = [(Way::Pods, false), (Way::Others, false)];
    assert_eq!(past(&[&all, SERVICE, namespace, &out]), expected);
}

#[test]
fn a_service_of_no_pods_has_no_policies_at_them() {
    let external = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
                    metadata: {name: away, namespace: shop, labels: {istio.io/use-waypoint: way}}\n\
                    spec:\n  hosts: [away.example]\n  addresses: [240.0.0.1]\n  resolution: STATIC\n  \
                    ports: [{number: 80, name: tcp-x, protocol: HTTP}, {number: 81, name: http, protocol: TCP}]\n  \
                    endpoints: [{address: 10.9.0.1}]\n";
    let denies = policy("shop", &of("DENY", "namespaces: [shop]"));
    let planned = planned(&[GATEWAY, external, &denies]);
    assert_eq!(
        (planned.policies.len(), planned.past.len()),
        (0, 0),
        "{planned}"
    );
    let ports: Vec<_> = planned.http_ports.iter().map(|it| it.port).collect();
    assert_eq!(ports, [80], "its `protocol` counts");
}

fn virtual_service(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: web, namespace: shop}}\nspec: {{{spec}}}\n"
    )
}

fn route(kind: &str, parent: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\n\
         metadata: {{name: web, namespace: shop}}\nspec: {{parentRefs: [{{{parent}}}], rules: [{{}}]}}\n"
    )
}

/// Of the ports 8080 and 9090, the rules that end there.
fn ending(rules: &str) -> [Vec<String>; 2] {
    let planned = planned(&[GATEWAY, SERVICE, rules]);
    let at = |number: u16| {
        let mut ports = planned.http_ports.iter();
        let port = ports.find(|it| it.port == number);
        port.unwrap().rules.clone()
    };
    [at(8080), at(9090)]
}

/// Whether rules are named at the two ports.
fn are_named(rules: &str, expected: [bool; 2]) {
    let kind = rules.split_once("kind: ").unwrap().1;
    let name = format!("{} shop/web", kind.lines().next().unwrap());
    let expected = expected.map(|is_named| match is_named {
        true => vec![name.clone()],
        false => vec![],
    });
    assert_eq!(ending(rules), expected, "{rules}");
}

#[test]
fn virtual_services_that_end_are_named() {
    let http = "http: [{route: [{destination: {host: orders}}]}]";
    let of_port = "http: [{match: [{port: 8080, uri: {prefix: /}}], route: []}]";
    let mixed = "http: [{match: [{port: 8080}, {uri: {prefix: /}}], route: []}]";
    let whole = "orders.shop.svc.cluster.local";
    let rows = [
        ("orders", "", http, [true, true]),
        ("'*.shop.svc.cluster.local'", "", http, [true, true]),
        (whole, "", of_port, [true, false]),
        ("orders", "", mixed, [true, true]),
        ("orders", "gateways: [edge, mesh], ", http, [true, true]),
        ("orders", "gateways: [edge], ", http, [false, false]),
        ("orders", "", "tcp: [{route: []}]", [false, false]),
        (
            "users, orders.web.svc.cluster.local",
            "",
            http,
            [false, false],
        ),
    ];
    for (hosts, gateways, rules, expected) in rows {
        let rules = virtual_service(&format!("hosts: [{hosts}], {gateways}{rules}"));
        are_named(&rules, expected);
    }
}

#[test]
fn routes_that_end_are_named() {
    let service = "group: '', kind: Service, name: orders";
    let host = "group: networking.istio.io, kind: Hostname, name: orders.shop.svc.cluster.local";
    let of_port = format!("{service}, port: 9090");
    let elsewhere = format!("{service}, namespace: web");
    let rows = [
        ("HTTPRoute", service, [true, true]),
        ("GRPCRoute", &of_port, [false, true]),
        ("HTTPRoute", &elsewhere, [false, false]),
        ("HTTPRoute", "name: orders", [false, false]),
        ("HTTPRoute", host, [true, true]),
    ];
    for (kind, parent, expected) in rows {
        are_named(&route(kind, parent), expected);
    }
}

#[test]
fn as_people_and_programs_read_it() {
    let of_client = of("ALLOW", "principals: [cluster.local/ns/shop/sa/front]");
    let of_service = policy(
        "shop",
        "targetRefs: [{kind: Service, group: '', name: orders}], action: DENY, \
         rules: [{to: [{operation: {paths: [/admin]}}]}]",
    );
    let of_service = of_service.replace("name: p", "name: paths");
    let sidecars = "apiVersion: v1\nkind: Namespace\nmetadata: {name: old, labels: {istio-injection: enabled}}\n";
    let routes = virtual_service("hosts: [orders], http: [{route: []}]");
    let at_pods = policy("shop", &of_client);
    let plan = plan(&[
        GATEWAY,
        SERVICE,
        PODS,
        &at_pods,
        &of_service,
        &routes,
        sidecars,
    ]);
    let json = serde_json::to_value(&plan).unwrap();
    let json = serde_json::to_string_pretty(&json["plan"]).unwrap();
    let told = told(&plan.plan);
    insta::assert_snapshot!("plan", format!("{plan}\n\n{json}\n\n{told:#?}"));
    assert_eq!(plan.of_namespace("web").plan, []);
    assert_eq!(plan.of_namespace("shop").plan, plan.plan);
}

#[test]
fn what_sidecars_would_be_told_is_shown_first() {
    let gateway = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: mesh, namespace: shop}
spec:
  gatewayClassName: meltemi
  listeners:
  - name: sidecars
    port: 15089
    protocol: istio.io/PROXY
    tls: {options: {gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL}}
";
    let own = "\
apiVersion: v1
kind: Service
metadata: {name: mesh, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{name: tcp-sidecars, port: 15089}]}
";
    let service = SERVICE.replace("istio.io/use-waypoint: way", "meltemi.io/use-gateway: mesh");
    let service = service.replace(
        "  - {name: metrics",
        "  - {name: tcp-metaprotocol-dubbo-2, port: 20881}\n  - {name: metrics",
    );
    let taken = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: old, namespace: shop}
spec:
  hosts: [orders]
  tcp: [{match: [{port: 20881}], route: [{destination: {host: elsewhere}}]}]
";
    let of_client = policy("shop", &of("ALLOW", "principals: [td/ns/shop/sa/web]"));
    let rows = [
        vec![gateway, &service],
        vec![gateway, own, &service],
        vec![gateway, own, &service, taken],
        vec![gateway, own, &service, PODS, &of_client],
    ];
    let shown = rows.map(|manifests| {
        let plan = plan(&manifests);
        let shown = plan.sidecars.iter().map(ToString::to_string);
        shown.collect::<String>()
    });
    insta::assert_snapshot!(shown.join("---\n"));
}
