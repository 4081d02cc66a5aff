//! Endpoints with names: what is refused, by Istio's rules, and what has no effect.

use super::*;

/// What is said of the valid manifests, whose service has these lines in the place of its endpoints.
fn said(resolution: &str, rest: &str) -> String {
    let fixture = Fixture::valid();
    let endpoints = "  endpoints:\n  - {address: 10.0.0.1, locality: eu/a, labels: {version: v1}}\n  - {address: 10.0.0.2, locality: eu/b, labels: {version: v2}}\n";
    fixture.edit("service.yaml", endpoints, &format!("{rest}\n"));
    fixture.edit("service.yaml", "STATIC", resolution);
    rendered(&fixture)
}

const SUBSETS: &str =
    "{address: a.example, labels: {version: v1}}, {address: b.example, labels: {version: v2}}";

#[test]
fn names_are_endpoints() {
    for (resolution, rest) in [
        ("DNS", format!("  endpoints: [{SUBSETS}]")),
        (
            "DNS",
            format!("  endpoints: [{SUBSETS}, {{address: 10.0.0.1}}]"),
        ),
        (
            "DNS",
            format!(
                "  endpoints: [{SUBSETS}, {{address: orders.example., ports: {{tcp-metaprotocol-dubbo: 1}}}}]"
            ),
        ),
    ] {
        let said = said(resolution, &rest);
        assert!(said.ends_with(" 0 errors, 0 warnings"), "{said}");
    }
}

#[test]
fn what_cannot_be_resolved_is_said_where_it_stands() {
    let one = |address: &str| format!("  endpoints: [{SUBSETS}, {{address: {address}}}]");
    let place = "--> service.yaml:9:115";
    for (resolution, rest, expected) in [
        ("DNS", one("a..b"), &[place, "`a..b` is neither an IP address nor a name of DNS"][..]),
        ("DNS", one("300.1.2.3"), &[place, "`300.1.2.3` is neither"]),
        ("DNS", one("'a:80'"), &[place, "`a:80` is neither", "a port stands in `ports`"]),
        ("DNS", one("unix:///run/x"), &[place, "`unix:///run/x` is neither"]),
        ("STATIC", one("c.example"), &[place, "`c.example` is not an address", "with `resolution: DNS`, a host name"]),
        ("DNS_ROUND_ROBIN", one("c.example"), &["error", "has one endpoint, and this is another", "write `resolution: DNS`"]),
        (
            "DNS",
            "  endpoints: [{address: 10.0.0.1, labels: {version: v1}}, {address: '::1', labels: {version: v2}}]".to_owned(),
            &["service.yaml:8:3", "warning[NotInForce]: nothing is resolved", "write `resolution: STATIC`"],
        ),
        ("DYNAMIC_DNS", String::new(), &["service.yaml:8:15", "warning[DnsUnavailable]", "write `resolution: DNS`"]),
        (
            "DNS",
            "  workloadSelector: {labels: {app: none}}".to_owned(),
            &["warning[NoEndpoints]", "no WorkloadEntry of its namespace has the labels"],
        ),
        ("DSN", String::new(), &["service.yaml:8:15", "DNS_ROUND_ROBIN"]),
    ] {
        let said = said(resolution, &rest);
        for expected in expected {
            assert!(said.contains(expected), "{expected}\n{said}");
        }
    }
}

#[test]
fn a_wildcard_is_no_name() {
    let fixture = Fixture::valid();
    let service = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: many}\n\
                   spec:\n  hosts: ['*.example']\n  ports: [{number: 1, name: tcp-dubbo}]\n  \
                   resolution: DNS\n";
    fixture.write("many.yaml", service);
    let said = rendered(&fixture);
    for expected in [
        "many.yaml:5:11",
        "`*.example` cannot be resolved: it stands for many names",
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn of_several_workloads_only_one_is_an_endpoint() {
    let fixture = Fixture::valid();
    let workload = |name: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
             metadata: {{name: {name}, labels: {{app: it}}}}\nspec: {{address: {name}.example}}\n---\n"
        )
    };
    let service = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: one}\n\
                   spec:\n  hosts: [one.shop]\n  ports: [{number: 1, name: tcp-dubbo}]\n  \
                   resolution: DNS_ROUND_ROBIN\n  workloadSelector: {labels: {app: it}}\n";
    fixture.write("one.yaml", &(workload("a") + &workload("b") + service));
    let said = rendered(&fixture);
    let expected = "of 2 WorkloadEntries that are selected, only a counts";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn the_mesh_says_how_often() {
    let mesh = |line: &str| {
        let fixture = Fixture::valid();
        let text =
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n";
        fixture.write(
            "mesh.yaml",
            &format!("{text}data:\n  mesh: |\n    {line}\n"),
        );
        rendered(&fixture)
    };
    assert!(mesh("dnsRefreshRate: 5s").ends_with(" 0 errors, 0 warnings"));
    for (line, expected) in [
        ("dnsRefreshRate: -5s", "is not a duration of at least 1ms"),
        ("dnsRefreshRat: 5s", "did you mean `dnsRefreshRate`?"),
    ] {
        let said = mesh(line);
        assert!(
            said.contains(expected) && said.contains("mesh.yaml:6:"),
            "{said}"
        );
    }
}
