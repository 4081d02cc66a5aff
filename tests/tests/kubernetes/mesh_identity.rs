//! Certificates of a mesh: the CA is that of a real istiod, peers have theirs of it, too.

pub(crate) mod issued;
mod lab;
mod sidecar;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use meltemi_tests::certificates::{Authority, Pair};
use meltemi_tests::kubernetes::{Encrypted, Mounted, Tokens, controller_account};
use meltemi_tests::redis::{self, Server, Wire};
use meltemi_tests::{Manifests, Meltemi, until};

use crate::whoami;
use lab::Lab;

/// A server in plaintext, and one for those who have a certificate of the mesh.
const GATEWAY: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  servers:
  - {name: plain, bind: 127.0.0.1, port: {number: 0, name: tcp-redis, protocol: TCP}, hosts: ['*']}
  - name: mesh
    bind: 127.0.0.1
    port: {number: 0, name: tcp-redis, protocol: TLS}
    hosts: ['*']
    tls: {mode: ISTIO_MUTUAL}
";

fn rule(more: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: cache}}\nspec:\n  host: \
         cache.demo\n  trafficPolicy: {{tls: {{mode: ISTIO_MUTUAL{more}}}}}\n"
    )
}

/// Led to a server of this account.
fn manifests(server: SocketAddr, account: &str) -> Manifests {
    let manifests = redis::manifests(&[]);
    manifests.write("gateway.yaml", GATEWAY);
    change_account(&manifests, server, account);
    manifests
}

fn change_account(manifests: &Manifests, server: SocketAddr, account: &str) {
    let service = redis::service("cache.demo", &[server]);
    let service = format!("{service}      serviceAccount: {account}\n");
    manifests.write("service.yaml", &service);
}

fn ping(address: SocketAddr) -> Option<String> {
    Wire::try_connect(address)?.try_call("PING")
}

fn is_served(address: SocketAddr) {
    until("it is served", || (ping(address)? == "+PONG").then_some(()));
}

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const FAILURES: &str = "meltemi_upstream_tls_failures_total";

#[test]
fn servers_and_clients_of_the_mesh_are_spoken_to_by_its_certificates() {
    let Some(lab) = Lab::start() else { return };
    let server = Server::start(&[]);
    let provider = lab.issued("cache");
    let Some(inbound) = sidecar::of_server(&lab, &provider, server.address()) else {
        return;
    };
    let inbound = inbound.listener("inbound");
    let manifests = manifests(inbound, "cache");
    manifests.write("rule.yaml", &rule(""));
    let proxy = lab.proxy(&manifests, "24h");
    is_served(proxy.address("default/edge/plain"));

    let client = lab.issued("client");
    let mesh = proxy.address("default/edge/mesh");
    let sidecar =
        sidecar::of_client(&lab, &client, (mesh, "gateway"), (ANY, false)).expect("an Envoy");
    is_served(sidecar.listener("outbound"));
    let line = lab.logged(&["sa/client"]);
    assert_eq!(
        line["principal"],
        "spiffe://cluster.local/ns/default/sa/client"
    );
    // In plaintext, or without a certificate, nobody is.
    assert_ne!(ping(mesh).as_deref(), Some("+PONG"));

    // The server is not whom the account says, unless a rule says another.
    change_account(&manifests, inbound, "other");
    let refused = |reason: &str| {
        let reason = format!("reason=\"{reason}\"");
        until(&reason, || {
            let answer = ping(proxy.address("default/edge/plain"));
            let failures = proxy.metric(FAILURES, &[&reason]);
            (answer.is_none_or(|it| it.starts_with('-')) && failures > 0).then_some(())
        });
    };
    refused("other_name");
    let flag = lab.logged(&["\"UF\""]);
    assert_eq!(flag["destination"], "outbound|6379||cache.demo");
    let named = ", subjectAltNames: ['spiffe://cluster.local/ns/default/sa/cache']";
    manifests.write("rule.yaml", &rule(named));
    is_served(proxy.address("default/edge/plain"));
    assert_eq!(
        proxy.metric("meltemi_workload_certificate_available", &[]),
        1
    );
}

/// Whom a client's certificate is of, and why it is refused.
#[test]
fn clients_who_are_not_of_the_mesh_are_refused_with_the_reason() {
    let Some(lab) = Lab::start() else { return };
    let server = Server::start(&[]);
    let second = Authority::new("second");
    let roots = fs::read_to_string(lab.path("roots.pem")).expect("the roots");
    lab.write("roots.pem", &format!("{roots}\n{}", second.pem()));
    let manifests = manifests(server.address(), "cache");
    let proxy = lab.proxy(&manifests, "24h");
    let mesh = proxy.address("default/edge/mesh");
    let outbound = |own: &Pair| {
        let sidecar = sidecar::of_client(&lab, own, (mesh, "gateway"), (ANY, false));
        let sidecar = sidecar?;
        let address = sidecar.listener("outbound");
        Some((sidecar, address))
    };
    let id = "spiffe://cluster.local/ns/default/sa/client";
    let of_second = second.issue("client", &[id]);
    let Some((_known, known)) = outbound(&of_second) else {
        return;
    };
    is_served(known);
    let failures = |reason: &str| {
        let reason = format!("reason=\"{reason}\"");
        proxy.metric("meltemi_downstream_tls_failures_total", &[&reason])
    };
    let stranger = Authority::new("stranger");
    for (own, reason) in [
        (
            second.issue("c", &["spiffe://other.td/ns/default/sa/client"]),
            "other_name",
        ),
        (second.issue("c", &["client.demo"]), "other_name"),
        (second.issue_expired("c", &[id]), "expired"),
        (stranger.issue("c", &[id]), "unknown_authority"),
    ] {
        let before = failures(reason);
        let (_sidecar, address) = outbound(&own).expect("an Envoy");
        assert_eq!(ping(address), None, "{reason}");
        until(reason, || (failures(reason) > before).then_some(()));
    }
    // A root that is taken back is believed no more, and nobody else notices.
    let mut connected = Wire::connect(known);
    assert_eq!(connected.call("PING"), "+PONG");
    lab.write("roots.pem", &roots);
    until("the root is believed no more", || {
        ping(known).is_none().then_some(())
    });
    assert!(failures("unknown_authority") > 0);
    assert_eq!(connected.call("PING"), "+PONG");
    let of_mesh = lab.issued("client");
    let (_sidecar, address) = outbound(&of_mesh).expect("an Envoy");
    is_served(address);
}

#[test]
fn a_certificate_is_renewed_under_load_and_outlives_a_ca_that_is_down() {
    let Some(mut lab) = Lab::start() else { return };
    let client = lab.issued("client");
    let server = redis::Encrypted::start(
        &lab.issued("cache"),
        Some(&fs::read_to_string(lab.path("roots.pem")).expect("the roots")),
    );
    let manifests = manifests(server.address(), "cache");
    manifests.write("rule.yaml", &rule(""));
    let proxy = lab.proxy(&manifests, "20s");
    let mesh = proxy.address("default/edge/mesh");
    let Some(sidecar) = sidecar::of_client(&lab, &client, (mesh, "gateway"), (ANY, false)) else {
        return;
    };
    let outbound = sidecar.listener("outbound");
    is_served(outbound);
    let granted = |proxy: &Meltemi| {
        let name = "meltemi_workload_certificate_requests_total";
        let of = |outcome: &str| proxy.metric(name, &[&format!("outcome=\"{outcome}\"")]);
        (of("granted"), of("failed"))
    };
    let mut old = Wire::connect(outbound);
    let load = |old: &mut Wire, is_done: &dyn Fn() -> bool| {
        until("it is so, under load", || {
            assert_eq!(old.call("PING"), "+PONG");
            assert_eq!(ping(outbound).as_deref(), Some("+PONG"));
            is_done().then_some(())
        });
    };
    let first = granted(&proxy);
    load(&mut old, &|| granted(&proxy).0 >= first.0 + 2);
    assert_eq!(granted(&proxy).1, first.1, "it was never refused");

    // Down when the next is due: the last one counts until it ends.
    let secure = lab.kill_istiod();
    load(&mut old, &|| granted(&proxy).1 > first.1 + 1);
    assert_eq!(
        proxy.metric("meltemi_workload_certificate_available", &[]),
        1
    );
    // What has ended is not shown to anybody.
    until("the certificate is withdrawn", || {
        (proxy.metric("meltemi_workload_certificate_available", &[]) == 0).then_some(())
    });
    until("nobody is let in", || {
        ping(outbound).is_none().then_some(())
    });
    assert_eq!(old.call("PING"), "+PONG");
    lab.start_istiod_again(secure);
    is_served(outbound);
    assert_eq!(old.call("PING"), "+PONG");
}

#[test]
fn a_controller_may_have_its_certificate_of_the_mesh() {
    let Some(lab) = Lab::start() else { return };
    let servers = whoami::servers();
    whoami::apply(&lab.cluster, &servers);
    let account = controller_account(&lab.cluster);
    let create = [
        "create",
        "token",
        "meltemi-controller",
        "-n",
        "meltemi-system",
    ];
    let create = [&create[..], &["--audience", "istio-ca"]].concat();
    let token = lab.cluster.kubectl(&create);
    token.expect_success("a token");
    let token = lab.file("controller.token", token.stdout().trim());
    let (token, root) = (token.display().to_string(), lab.path("roots.pem"));
    let (root, ca) = (root.display().to_string(), lab.istiod().authority());
    let flags = [
        "--istio-ca",
        &ca,
        "--istio-ca-root",
        &root,
        "--istio-ca-token",
        &token,
    ];
    let controller = Encrypted::start(&account, ANY, &flags);

    let tokens = Tokens::of_new(&lab.cluster, "edge");
    tokens.create_pod("edge-1");
    let roots = fs::read_to_string(lab.path("roots.pem")).expect("the roots");
    let mounted = Mounted::new(&roots, &tokens.of_pod("edge-1", "meltemi"));
    let named = |id| ["--gateway", "default/edge", "--xds-name", id];
    let own = "spiffe://cluster.local/ns/meltemi-system/sa/meltemi-controller";
    let proxy = controller.proxy_with(&mounted, &named(own));
    whoami::routes_to(proxy.address("default/edge/redis"), "one");
    // Nobody else of the mesh is believed to be it, nor is it believed to be its host.
    let other = "spiffe://cluster.local/ns/default/sa/edge";
    for claims in [&named(other)[..], &["--gateway", "default/edge"]] {
        let misled = controller.proxy_with(&mounted, claims);
        until("the proxy says whom it met", || {
            let said = misled.process().said();
            let met = said.contains(own) && said.contains("was expected");
            met.then_some(())
        });
    }
    assert_eq!(
        lab.cluster.roots_of("default"),
        None,
        "it keeps no authority"
    );
}

/// A Gateway that sidecars lead to, and what it may stand before.
const LED_TO: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: mesh}
spec:
  gatewayClassName: meltemi
  addresses: [{value: 127.0.0.1}]
  listeners:
  - name: sidecars
    port: PORT
    protocol: istio.io/PROXY
    tls: {options: {gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL}}
";

/// Of the servers at this virtual address.
fn led_to(virtual_address: SocketAddr, server: SocketAddr, label: &str) -> String {
    let (ip, port) = (virtual_address.ip(), virtual_address.port());
    let service = redis::service("cache.demo", &[server]);
    let service = service.replace("number: 6379", &format!("number: {port}"));
    let labelled = format!("  name: cache\n  labels: {{{label}}}\n");
    let service = service.replace("  name: cache\n", &labelled);
    service.replace("spec:\n", &format!("spec:\n  addresses: [{ip}]\n"))
}

#[test]
fn sidecars_say_where_to_in_a_header_and_who_by_a_certificate() {
    let Some(lab) = Lab::start() else { return };
    let server = Server::start(&[]);
    let client = lab.issued("client");
    let virtual_address = SocketAddr::from(([127, 0, 66, 1], redis::free_port()));
    let manifests = Manifests::new();
    let port = redis::free_port().to_string();
    manifests.write("gateway.yaml", &LED_TO.replace("PORT", &port));
    let asks = led_to(
        virtual_address,
        server.address(),
        "meltemi.io/use-gateway: mesh",
    );
    manifests.write("service.yaml", &asks);
    let proxy = lab.proxy(&manifests, "24h");
    let gateway = proxy.address("default/mesh/sidecars");
    let led = (virtual_address, true);
    let Some(sidecar) = sidecar::of_client(&lab, &client, (gateway, "gateway"), led) else {
        return;
    };
    let outbound = sidecar.listener("outbound");
    assert_eq!(outbound, virtual_address);
    is_served(outbound);
    let line = lab.logged(&["sa/client"]);
    assert_eq!(
        line["principal"],
        "spiffe://cluster.local/ns/default/sa/client"
    );
    assert_eq!(
        line["service"],
        format!("default/mesh/cache.demo:{}", outbound.port())
    );

    // Who has a policy against it is told so, by the certificate alone.
    let deny = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: cache}\nspec:\n  \
                targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: mesh}]\n  action: DENY\n  \
                rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/client]}}]}]\n";
    manifests.write("policy.yaml", deny);
    until("the policy is in force", || {
        ping(outbound)
            .is_none_or(|it| it.starts_with('-'))
            .then_some(())
    });
    let other = lab.issued("other");
    let elsewhere = SocketAddr::from(([127, 0, 66, 1], redis::free_port()));
    let led = (elsewhere, true);
    let sidecar = sidecar::of_client(&lab, &other, (gateway, "gateway"), led).expect("an Envoy");
    // No service is there.
    assert_eq!(ping(sidecar.listener("outbound")), None);
    let both = led_to(elsewhere, server.address(), "meltemi.io/use-gateway: mesh");
    manifests.write("service.yaml", &both);
    is_served(elsewhere);
}
