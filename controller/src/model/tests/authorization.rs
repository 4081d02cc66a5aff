//! Who may use servers, and what waypoints pass on.

use meltemi_policy::authorization::{Condition, Policy, Subject};

use super::*;
use crate::diagnostic::SourceFile;

const WORLD: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec:
  gatewayClassName: meltemi-waypoint
  listeners:
  - {name: proxy, port: 15088, protocol: istio.io/PROXY}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop, labels: {istio.io/use-waypoint: way}}
spec:
  clusterIPs: [10.96.0.10]
  ports:
  - {name: tcp-metaprotocol-dubbo, port: 20880}
  - {name: http, port: 8080}
---
apiVersion: v1
kind: Service
metadata: {name: users, namespace: shop, labels: {istio.io/use-waypoint: way}}
spec:
  clusterIPs: [10.96.0.11]
  ports: [{name: tcp-metaprotocol-dubbo, port: 20880}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: meltemi
  listeners:
  - {name: dubbo, port: 20881, protocol: meltemi.io/dubbo}
";

fn condition(condition: &Condition) -> String {
    let texts = |patterns: &meltemi_policy::authorization::Patterns| {
        patterns.texts().collect::<Vec<_>>().join(",")
    };
    let (what, values) = match &condition.subject {
        Subject::Principal(it) => ("principal".to_owned(), texts(it)),
        Subject::Namespace(it) => ("namespace".to_owned(), texts(it)),
        Subject::ServiceAccount(it) => ("account".to_owned(), texts(it)),
        Subject::Address(it) => ("address".to_owned(), format!("{it:?}")),
        Subject::Port(it) => ("port".to_owned(), format!("{it:?}")),
        Subject::Attribute(name, it) => (name.clone(), texts(it)),
    };
    let is = if condition.invert { "!=" } else { "=" };
    format!("{what}{is}{values}")
}

fn policy(policy: &Policy) -> String {
    let rules = policy.rules.iter().map(|rule| {
        let clauses = rule.clauses.iter().map(|clause| {
            let any = clause.any.iter().map(|all| {
                let all: Vec<_> = all.iter().map(condition).collect();
                match all.is_empty() {
                    true => "always".to_owned(),
                    false => all.join(" & "),
                }
            });
            format!("({})", any.collect::<Vec<_>>().join(" | "))
        });
        format!("[{}]", clauses.collect::<Vec<_>>().join(" "))
    });
    let rules: Vec<_> = rules.collect();
    format!("{:?} {}", policy.action, rules.join(" "))
}

/// What is under policies, and what is told.
fn outcome(policies: &str) -> String {
    outcome_in(WORLD, policies)
}

fn outcome_in(world: &str, policies: &str) -> String {
    let name = "all.yaml".to_owned();
    let text = format!("{world}---\n{policies}");
    let mut controller = Controller::open(&[], settings());
    let report = controller.load_files([SourceFile { name, text }]).report;
    let model = controller.model();
    let servers = model.servers.iter().map(|it| (&it.name, &it.authorization));
    let passed = model.waypoints.iter().flat_map(|it| &it.passed);
    let passed = passed.map(|it| (&it.name, &it.authorization));
    let under = servers.chain(passed).flat_map(|(name, applied)| {
        let applied = applied.iter();
        applied.map(move |it| format!("{}: {} {}", name.server, it.source.name, policy(&it.policy)))
    });
    let told = report.diagnostics.iter().map(|it| {
        assert!(it.remedy.is_some(), "{it}");
        let place = it.place.as_ref().map(|it| it.line).unwrap_or_default();
        format!("{}: {place}: {}", it.code.as_str(), it.message)
    });
    under.chain(told).collect::<Vec<_>>().join("\n")
}

fn istio(namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: p, namespace: {namespace}}}\nspec:\n{spec}"
    )
}

/// For the Service `orders`.
fn of_orders(spec: &str) -> String {
    let target = "  targetRefs: [{group: '', kind: Service, name: orders}]\n";
    istio("shop", &format!("{target}{spec}"))
}

#[test]
fn a_policy_is_for_what_it_names() {
    let allow = "  rules: [{from: [{source: {namespaces: [shop]}}]}]\n";
    let target = |kind: &str, group: &str, name: &str| {
        format!("  targetRefs: [{{group: '{group}', kind: {kind}, name: {name}}}]\n{allow}")
    };
    let gateways = "gateway.networking.k8s.io";
    let rows = [
        ("shop", target("Service", "", "orders")),
        ("shop", target("Gateway", gateways, "way")),
        ("shop", target("Gateway", gateways, "edge")),
        (
            "istio-system",
            target("GatewayClass", gateways, "meltemi-waypoint"),
        ),
        ("shop", target("GatewayClass", gateways, "meltemi-waypoint")),
        ("other", target("Service", "", "orders")),
        ("shop", target("Service", "", "odrers")),
        ("shop", allow.to_owned()),
        (
            "shop",
            format!("  selector: {{matchLabels: {{a: b}}}}\n{allow}"),
        ),
    ];
    let seen = rows.map(|(namespace, spec)| outcome(&istio(namespace, &spec)));
    insta::assert_snapshot!(seen.join("\n---\n"));
}

#[test]
fn every_field_of_istio_is_read() {
    let all = "  action: DENY
  rules:
  - from:
    - source:
        principals: [cluster.local/ns/a/sa/b, 'spiffe://td/*']
        notPrincipals: ['*/sa/c']
        namespaces: [a, b-*]
        notNamespaces: [c]
        serviceAccounts: [front, other/back]
        notServiceAccounts: [x]
        ipBlocks: [10.0.0.0/8]
        notIpBlocks: [10.1.0.0/16]
        remoteIpBlocks: ['fd00::/8']
        notRemoteIpBlocks: ['fd00::1']
    - source: {requestPrincipals: ['*'], namespaces: [z]}
    to:
    - operation: {ports: ['20880'], notPorts: ['1']}
    - operation: {hosts: [h], notHosts: [h], methods: [GET], notMethods: [PUT], paths: [/], notPaths: [/x]}
    when:
    - {key: source.ip, values: [10.0.0.1], notValues: [10.0.0.2]}
    - {key: remote.ip, values: [10.0.0.1]}
    - {key: source.namespace, values: [a]}
    - {key: source.principal, notValues: [b]}
    - {key: destination.port, values: ['20880']}
    - {key: 'experimental.envoy.filters.meltemi[method]', values: [get*], notValues: [getAll]}
    - {key: 'request.headers[x]', values: [y]}
    - {key: 'experimental.envoy.filters.network.mysql_proxy[a.b]', values: ['[select]']}
    - {key: destination.ip, values: [10.0.0.1]}
    - {key: connection.sni, values: [a]}
";
    let allow = all.replace("DENY", "ALLOW");
    insta::assert_snapshot!(
        [outcome(&of_orders(all)), outcome(&of_orders(&allow))].join("\n---\n")
    );
}

#[test]
fn what_cannot_be_read_closes_what_it_is_for() {
    let rows = [
        "  action: CUSTOM\n  provider: {name: x}\n  rules: [{}]\n",
        "  action: ALOW\n",
        "  rulse: []\n",
        "  rules: {}\n",
        "  rules: [{from: [{}]}]\n",
        "  rules: [{from: [{source: {principal: [a]}}]}]\n",
        "  rules: [{from: [{source: {principals: []}}]}]\n",
        "  rules: [{from: [{source: {principals: ['']}}]}]\n",
        "  rules: [{from: [{source: {ipBlocks: [10.0.0.0/33]}}]}]\n",
        "  rules: [{to: [{operation: {ports: ['http']}}]}]\n",
        "  rules: [{to: [{operation: {ports: [80]}}]}]\n",
        "  rules: [{when: [{key: source.prinzipal, values: [a]}]}]\n",
        "  rules: [{when: [{key: source.ip}]}]\n",
        "  rules: [{when: [{values: [a]}]}]\n",
    ];
    let mut seen: Vec<_> = rows.iter().map(|spec| outcome(&of_orders(spec))).collect();
    for spec in [
        "  targetRefs: {kind: Service}\n",
        "  targetRefs: []\n",
        "  targetRefs: [{kind: Servise, name: orders}]\n",
        "  targetRefs: [{kind: Service, nam: orders}]\n",
        "  targetRefs: [{kind: Service, name: orders, namespace: other}]\n",
        "  targetRefs: [{kind: Service, name: orders}]\n  selector: {matchLabels: {a: b}}\n",
    ] {
        seen.push(outcome(&istio("shop", spec)));
    }
    insta::assert_snapshot!(seen.join("\n---\n"));
}

#[test]
fn what_no_message_has_counts_against_it() {
    let rule = "  rules:\n  - from: [{source: {namespaces: [a]}}]\n    \
                when: [{key: 'experimental.envoy.filters.meltemi[metod]', values: [get]}]\n  \
                - when: [{key: 'experimental.envoy.filters.meltemi[tenant]', values: [a]}]\n";
    let deny = format!("  action: DENY\n{rule}");
    insta::assert_snapshot!(
        [outcome(&of_orders(rule)), outcome(&of_orders(&deny))].join("\n---\n")
    );
}

#[test]
fn a_policy_of_dubbo_is_for_a_namespace() {
    let dubbo = |namespace: &str, spec: &str| {
        format!(
            "apiVersion: dubbo.aeraki.io/v1alpha1\nkind: DubboAuthorizationPolicy\n\
             metadata: {{name: d, namespace: {namespace}}}\nspec:\n{spec}"
        )
    };
    let rules = "  action: DENY
  rules:
  - from: [{source: {principals: [cluster.local/ns/a/sa/b], notNamespaces: [c]}}]
    to: [{operation: {interfaces: [a.B], notMethods: [get*]}}]
";
    let rows = [
        dubbo("shop", rules),
        dubbo("istio-system", "  rules: [{}]\n"),
        dubbo("other", rules),
        dubbo("shop", "  rules: []\n"),
        dubbo("shop", "  action: AUDIT\n"),
        dubbo("shop", "  rules: [{to: [{operation: {interface: [a]}}]}]\n"),
    ];
    insta::assert_snapshot!(rows.map(|it| outcome(&it)).join("\n---\n"));
}

#[test]
fn the_local_trust_domain_is_the_mesh_s() {
    let mesh = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                data: {mesh: '{trustDomain: td.example, trustDomainAliases: [old.example]}'}\n";
    let rule = "  rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b, old.example/ns/a/sa/c, td/ns/a/sa/b]}}]}]\n";
    let policy = of_orders(rule);
    insta::assert_snapshot!(outcome(&format!("{policy}{mesh}")));
}

#[test]
fn aliases_of_the_trust_domain_are_the_mesh_s_too() {
    let mesh = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                data: {mesh: '{trustDomain: new.example, trustDomainAliases: [old.example]}'}\n";
    let of = |principal: &str| {
        let rule = format!("  rules: [{{from: [{{source: {{principals: ['{principal}']}}}}]}}]\n");
        outcome(&format!("{}{mesh}", of_orders(&rule)))
    };
    let principals = [
        "old.example/ns/a/*",
        "cluster.local/ns/a/*",
        "other.example/ns/a/*",
        "*/ns/a/sa/b",
    ];
    insta::assert_snapshot!(principals.map(of).join("\n---\n"));
}

/// Behind the Gateway that sidecars are led to: its own pods, of the account `gateway`, and a service whose pods listen elsewhere.
const LED: &str = "\
apiVersion: v1
kind: Service
metadata: {name: mesh, namespace: shop}
spec: {clusterIP: 10.96.0.9, selector: {app: mesh}, ports: [{name: tcp-sidecars, port: 15089}]}
---
apiVersion: v1
kind: Pod
metadata: {name: mesh-1, namespace: shop, labels: {app: mesh}}
spec: {nodeName: n, serviceAccountName: gateway}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: mesh-1, namespace: shop, labels: {kubernetes.io/service-name: mesh}}
addressType: IPv4
ports: [{name: tcp-sidecars, port: 15089}]
endpoints: [{addresses: [10.1.0.9], targetRef: {kind: Pod, name: mesh-1}}]
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop, labels: {meltemi.io/use-gateway: mesh}}
spec:
  clusterIP: 10.96.0.10
  selector: {app: orders}
  ports: [{name: tcp-metaprotocol-dubbo, port: 20880}]
---
apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders, version: v1}}
spec: {nodeName: n}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-1, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
ports: [{name: tcp-metaprotocol-dubbo, port: 20000}]
endpoints: [{addresses: [10.1.0.10], targetRef: {kind: Pod, name: orders-1}}]
";

fn led_world() -> String {
    [led::GATEWAY, LED].join("---\n")
}

#[test]
fn what_servers_ask_of_clients_is_asked_at_the_gateway_that_stands_in_their_place() {
    const OF_WEB: &str = "  rules: [{from: [{source: {principals: [td/ns/shop/sa/web]}}]}]\n";
    const OF_GATEWAY: &str = "cluster.local/ns/shop/sa/gateway";
    let selecting = |labels: &str| format!("  selector: {{matchLabels: {{{labels}}}}}\n");
    let under = |namespace: &str, labels: &str, rest: &str| {
        outcome_in(
            &led_world(),
            &istio(namespace, &format!("{}{rest}", selecting(labels))),
        )
    };
    let of_web = "orders.shop.svc.cluster.local:20880: p Allow [(principal=td/ns/shop/sa/web)]";
    for (namespace, labels, is_for) in [
        ("shop", "app: orders", true),
        ("shop", "version: v1", true),
        ("shop", "version: v2", false),
        ("shop", "app: mesh", false),
        ("bank", "app: orders", false),
        ("istio-system", "app: orders", true),
    ] {
        let found = under(namespace, labels, OF_WEB);
        let expected = if is_for { of_web } else { "" };
        assert_eq!(found, expected, "{namespace} {labels}");
    }
    // Without a selector it is for all of the namespace.
    assert_eq!(outcome_in(&led_world(), &istio("shop", OF_WEB)), of_web);

    // What admits the Gateway alone, or denies others, is for those who go past it.
    let source = |field: &str| format!("{{from: [{{source: {{{field}: [{OF_GATEWAY}]}}}}]}}");
    let (alone, but_it) = (source("principals"), source("notPrincipals"));
    let of = |rest: &str| under("shop", "app: orders", rest);
    assert_eq!(of(&format!("  rules: [{alone}]\n")), "");
    assert_eq!(of(&format!("  action: DENY\n  rules: [{but_it}]\n")), "");
    let and_web = OF_WEB.replace("rules: [", &format!("rules: [{alone}, "));
    assert_eq!(of(&and_web), of_web);

    // What nobody can use there nobody can use through the Gateway: it is closed, or asks for what is of HTTP.
    let nobody = "orders.shop.svc.cluster.local:20880: p Deny []";
    assert!(of("  action: CUSTOM\n  provider: {name: x}\n  rules: [{}]\n").starts_with(nobody));
    assert_eq!(of("  action: DENY\n  rules: [{}]\n"), nobody);
    let http = of("  rules: [{to: [{operation: {paths: [/]}}]}]\n");
    assert_eq!(http, "orders.shop.svc.cluster.local:20880: p Allow ");

    // Ports are those that pods listen on.
    let to = |port: u16| format!("  rules: [{{to: [{{operation: {{ports: ['{port}']}}}}]}}]\n");
    let allowed = "orders.shop.svc.cluster.local:20880: p Allow [(port=[20880])]";
    assert_eq!(of(&to(20000)), allowed);
    assert_eq!(of(&to(20880)), allowed.replace("20880])", "])"));
}
