//! Certificates of a mesh: the CA is that of a real istiod, peers have theirs of it, too.

mod issued;
mod sidecar;

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use meltemi_tests::certificates::{Authority, Pair};
use meltemi_tests::kubernetes::{ApiServer, Encrypted, Istiod, Mounted, Tokens, controller_account};
use meltemi_tests::redis::{self, Server, Wire};
use meltemi_tests::{Manifests, Meltemi, until};
use serde_json::Value;
use tempfile::TempDir;

use crate::whoami;
use issued::issued;

/// A cluster with an istiod, and the files that a pod would have mounted.
pub(super) struct Lab {
    cluster: ApiServer,
    istiod: Option<Istiod>,
    files: TempDir,
    written: Cell<u32>,
}

impl Lab {
    fn start() -> Option<Self> {
        let cluster = ApiServer::with_definitions()?;
        if !Istiod::is_installed(cluster.programs()) || !Server::is_installed() {
            return None;
        }
        for crd in cluster.programs().gateway_api_crds() {
            cluster.install_crds(&crd);
        }
        cluster.create_namespaces(&["istio-system"]);
        let program = Istiod::program(cluster.programs());
        let istiod = Istiod::start(&program, &cluster.kubeconfig(), &[]);
        let roots = until("istiod tells the roots of its mesh", || {
            let path = "/api/v1/namespaces/default/configmaps/istio-ca-root-cert";
            let roots = cluster.get(path)?["data"]["root-cert.pem"].take();
            roots.as_str().map(str::to_owned)
        });
        let lab = Self {
            cluster,
            istiod: Some(istiod),
            files: TempDir::with_prefix("meltemi-mesh-").expect("a temporary directory"),
            written: Cell::new(0),
        };
        lab.write("roots.pem", &roots);
        lab.write("gateway.token", &lab.token("gateway"));
        Some(lab)
    }

    fn istiod(&self) -> &Istiod {
        self.istiod.as_ref().expect("it runs")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// In one step, as a kubelet does it.
    fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).expect("it can be written");
        fs::rename(new, self.path(name)).expect("it can be renamed");
    }

    /// One of its own.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let number = self.written.get() + 1;
        self.written.set(number);
        let name = format!("{number}-{name}");
        self.write(&name, text);
        self.path(&name)
    }

    /// Of a new service account, as it would be mounted into its pods.
    fn token(&self, account: &str) -> String {
        let created = self.cluster.kubectl(&["create", "serviceaccount", account]);
        created.expect_success("a service account");
        let create = ["create", "token", account, "--audience", "istio-ca"];
        let created = self.cluster.kubectl(&create);
        created.expect_success("a token");
        created.stdout().trim().to_owned()
    }

    /// What istiod gives a new service account.
    fn issued(&self, account: &str) -> Pair {
        issued(self, &self.token(account))
    }

    /// A proxy of the account `gateway`, whose certificates live for so long.
    fn proxy(&self, manifests: &Manifests, lifetime: &str) -> Meltemi {
        let path = |name: &str| self.path(name).display().to_string();
        let (root, token, log) = (path("roots.pem"), path("gateway.token"), path("access.log"));
        let authority = self.istiod().authority();
        let arguments = ["--workers", "1", "--ca-address", &authority];
        let files = [
            "--ca-root",
            &root,
            "--ca-token",
            &token,
            "--access-log",
            &log,
        ];
        let lifetime = ["--certificate-lifetime", lifetime];
        Meltemi::run_with(
            manifests.path(),
            &[&arguments[..], &files, &lifetime].concat(),
        )
    }

    /// Waits for a line of the access log with all these words.
    fn logged(&self, words: &[&str]) -> Value {
        until(&format!("the access log has {words:?}"), || {
            let log = fs::read_to_string(self.path("access.log")).ok()?;
            let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
            serde_json::from_str(log.lines().find(has_all)?).ok()
        })
    }
}

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
fn manifests(server: std::net::SocketAddr, account: &str) -> Manifests {
    let manifests = redis::manifests(&[]);
    manifests.write("gateway.yaml", GATEWAY);
    change_account(&manifests, server, account);
    manifests
}

fn change_account(manifests: &Manifests, server: std::net::SocketAddr, account: &str) {
    let service = redis::service("cache.demo", &[server]);
    let service = format!("{service}      serviceAccount: {account}\n");
    manifests.write("service.yaml", &service);
}

fn ping(address: std::net::SocketAddr) -> Option<String> {
    Wire::try_connect(address)?.try_call("PING")
}

fn is_served(address: std::net::SocketAddr) {
    until("it is served", || (ping(address)? == "+PONG").then_some(()));
}

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
    let sidecar = sidecar::of_client(&lab, &client, (mesh, "gateway"), false).expect("an Envoy");
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
        let sidecar = sidecar::of_client(&lab, own, (mesh, "gateway"), false);
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
    let Some(sidecar) = sidecar::of_client(&lab, &client, (mesh, "gateway"), false) else {
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

    // Down when the next is due, and back before it has ended.
    lab.istiod = None;
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
}

#[test]
fn a_controller_may_have_its_certificate_of_the_mesh() {
    let Some(lab) = Lab::start() else { return };
    let servers = whoami::servers();
    whoami::apply(&lab.cluster, &servers);
    let account = controller_account(&lab.cluster);
    let create = ["create", "token", "meltemi-controller", "-n", "meltemi-system"];
    let create = [&create[..], &["--audience", "istio-ca"]].concat();
    let token = lab.cluster.kubectl(&create);
    token.expect_success("a token");
    let token = lab.file("controller.token", token.stdout().trim());
    let (token, root) = (token.display().to_string(), lab.path("roots.pem"));
    let (root, ca) = (root.display().to_string(), lab.istiod().authority());
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let flags = ["--istio-ca", &ca, "--istio-ca-root", &root, "--istio-ca-token", &token];
    let controller = Encrypted::start(&account, listen, &flags);

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
    assert_eq!(lab.cluster.roots_of("default"), None, "it keeps no authority");
}
