//! TLS of clients at a Gateway's servers: real clients of OpenSSL, and that nobody is served without.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "downstream_tls/clients.rs"]
mod clients;
#[path = "downstream_tls/crowds.rs"]
mod crowds;
#[path = "downstream_tls/identities.rs"]
mod identities;
#[path = "downstream_tls/logged.rs"]
mod logged;
#[path = "downstream_tls/names.rs"]
mod names;
#[path = "downstream_tls/refused.rs"]
mod refused;
#[path = "downstream_tls/rotation.rs"]
mod rotation;
#[path = "downstream_tls/stalled.rs"]
mod stalled;

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::{Command, Output};

use meltemi_tests::certificates::{Authority, Pair};
use meltemi_tests::redis::{Server, manifests};
use meltemi_tests::{Initiator, Manifests, Meltemi};

/// What clients call the Gateway.
const NAME: &str = "edge.demo";

/// A Meltemi with TLS before Redis servers.
struct Edge {
    manifests: Manifests,
    meltemi: Meltemi,
    address: SocketAddr,
}

impl Edge {
    /// With files of the proxy beside the manifests: their names and texts; `{dir}` in the server's `tls`
    /// is where they are.
    fn start(servers: &[SocketAddr], tls: &str, files: &[(&str, &str)]) -> Self {
        let manifests = prepared(servers, tls, files);
        let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
        let address = meltemi.address("default/edge/redis");
        Self {
            manifests,
            meltemi,
            address,
        }
    }

    /// Where clients in plaintext are taken to it.
    fn initiator(
        &self,
        authority: &Authority,
        own: Option<&Pair>,
        version: &str,
    ) -> Option<Initiator> {
        Initiator::start(self.address, (NAME, authority.pem()), own, version)
    }

    fn page(&self, path: &str) -> String {
        self.meltemi.get(path).unwrap().body
    }

    /// The number of a metric with this in its labels.
    fn metric(&self, name: &str, label: &str) -> u64 {
        let page = self.page("/metrics");
        let mut lines = page.lines().filter(|line| line.starts_with(name));
        let line = lines.find(|line| line.contains(label)).unwrap_or_default();
        line.rsplit(' ').next().unwrap().parse().unwrap_or(0)
    }

    fn failures(&self, reason: &str) -> u64 {
        self.metric(
            "meltemi_downstream_tls_failures_total",
            &format!("reason=\"{reason}\""),
        )
    }

    /// What redis-cli says with these options.
    fn redis_cli(&self, options: &[&str], command: &[&str]) -> Output {
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", "127.0.0.1", "-p", &self.address.port().to_string()]);
        cli.args(["--tls", "--sni", NAME])
            .args(options)
            .args(command);
        cli.output().unwrap()
    }

    fn path(&self, file: &str) -> String {
        self.manifests.path().join(file).display().to_string()
    }
}

fn prepared(servers: &[SocketAddr], tls: &str, files: &[(&str, &str)]) -> Manifests {
    let manifests = manifests(servers);
    for (name, text) in files {
        manifests.write(name, text);
    }
    manifests.write("gateway.yaml", &gateway(tls, &manifests));
    manifests
}

fn gateway(tls: &str, manifests: &Manifests) -> String {
    let tls = tls.replace("{dir}", &manifests.path().display().to_string());
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: edge\nspec:\n  servers:\n    \
         - name: redis\n      bind: 127.0.0.1\n      \
         port: {{ number: 0, name: tcp-redis, protocol: TLS }}\n      hosts: ['*']\n      \
         tls: {{ {tls} }}\n"
    )
}

/// A Secret with these fields.
fn secret(name: &str, fields: &[(&str, &str)]) -> String {
    let mut text =
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n");
    for (field, value) in fields {
        let _ = writeln!(text, "  {field}: |");
        for line in value.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// The files of a server with this certificate, which lets in clients of an authority.
fn files<'a>(own: &'a Pair, clients: &'a Authority) -> [(&'static str, &'a str); 3] {
    [
        ("server.crt", &own.certificate),
        ("server.key", &own.key),
        ("ca.crt", clients.pem()),
    ]
}

const SIMPLE: &str =
    "mode: SIMPLE, serverCertificate: '{dir}/server.crt', privateKey: '{dir}/server.key'";
const MUTUAL: &str = "mode: MUTUAL, serverCertificate: '{dir}/server.crt', \
                      privateKey: '{dir}/server.key', caCertificates: '{dir}/ca.crt'";

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// One Redis before which it stands, where redis-server is installed.
fn redis() -> Option<Server> {
    Server::is_installed().then(|| Server::start(&[]))
}
