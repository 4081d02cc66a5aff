//! Meltemi before some servers, under the rules of a chapter.

use std::fmt::Write;

use meltemi_tests::{Endpoint, Manifests, Meltemi, until};
use serde_json::Value;
use tempfile::NamedTempFile;

use super::peers::{Call, Peers, Server};

const HOST: &str = "story.test";
/// The host of [`Rules::mirror`].
pub(crate) const COPIES: &str = "copies.test";
pub(crate) const CLUSTER: &str = "outbound|20880||story.test";

/// What a chapter writes into the manifests; by default nothing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rules<'a> {
    /// The MetaRouter's; without any, everything goes to the servers.
    pub(crate) routes: &'a [Route<'a>],
    /// A line of the MetaRouter, beside its routes.
    pub(crate) router: &'a str,
    /// The DestinationRule's `trafficPolicy`, beside the balancer.
    pub(crate) policy: &'a str,
    /// A further manifest.
    pub(crate) beside: &'a str,
    /// A port of loopback where [`COPIES`] are.
    pub(crate) mirror: Option<u16>,
}

/// A route to the servers: which call it is for, where it is not for all, and its further lines.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a>(pub(crate) Option<Call>, pub(crate) &'a str);

/// As a chapter looks at it.
pub(crate) struct Proxied {
    meltemi: Meltemi,
    log: NamedTempFile,
    // Its directory must live as long as what watches it.
    _manifests: Manifests,
    port: u16,
}

impl Proxied {
    /// Runs it before servers on these ports, which take turns.
    pub(crate) fn run(peers: &dyn Peers, ports: &[u16], rules: Rules<'_>) -> Self {
        let manifests = peers.gateway();
        manifests.service(HOST, &endpoints(ports));
        let balancer = "loadBalancer: {simple: ROUND_ROBIN}";
        manifests.policy(HOST, &format!("{{{balancer}, {}}}", rules.policy));
        if let Some(port) = rules.mirror {
            manifests.service(COPIES, &endpoints(&[port]));
        }
        manifests.write("routes.yaml", &rules.manifest(peers));
        if !rules.beside.is_empty() {
            manifests.write("beside.yaml", rules.beside);
        }
        let log = NamedTempFile::new().expect("a temporary file");
        let path = log.path().to_str().expect("a path");
        let arguments = ["--workers", "2", "--access-log", path];
        let meltemi = Meltemi::run_with(manifests.path(), &arguments);
        let server = format!("default/edge/{}", peers.protocol());
        let port = meltemi.address(&server).port();
        Self {
            meltemi,
            log,
            _manifests: manifests,
            port,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        self.meltemi.metric(name, labels)
    }

    /// Unanswered requests at a server.
    pub(crate) fn waiting_at(&self, server: &dyn Server) -> u64 {
        self.meltemi.endpoint(server.port(), "active")
    }

    /// Requests so far that have been answered, by whomever.
    pub(crate) fn answered(&self) -> u64 {
        self.metric("meltemi_requests_total", &[])
    }

    /// How many lines of the access log have exactly these attempts: a port, and what came of it.
    pub(crate) fn logged(&self, attempts: &[(u16, &str)]) -> usize {
        let log = std::fs::read_to_string(self.log.path()).expect("the access log");
        let lines = log.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let asked = line["attempts"].as_array()?.iter();
            let asked = asked.map(|it| Some((it["endpoint"].as_str()?, it["result"].as_str()?)));
            let asked: Vec<_> = asked.collect::<Option<_>>()?;
            let are_these = asked.len() == attempts.len()
                && asked.iter().zip(attempts).all(|(asked, (port, result))| {
                    asked.0.ends_with(&format!(":{port}")) && asked.1 == *result
                });
            are_these.then_some(())
        });
        lines.count()
    }

    /// Waits until so many lines have.
    pub(crate) fn logs(&self, attempts: &[(u16, &str)], wanted: usize) {
        until(
            &format!("{wanted} lines of the log say {attempts:?}"),
            || (self.logged(attempts) >= wanted).then_some(()),
        );
    }
}

impl Rules<'_> {
    fn manifest(&self, peers: &dyn Peers) -> String {
        let mut text = format!(
            "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata:\n  name: story\nspec:\n  \
             hosts: [{HOST}]\n  gateways: [edge]\n  {}\n  routes:\n",
            self.router
        );
        for (n, Route(call, lines)) in self.routes.iter().enumerate() {
            let _ = writeln!(text, "  - name: r{n}");
            if let Some(call) = call {
                let _ = writeln!(text, "    match: {}", matching(peers, *call));
            }
            if peers.has_destinations() {
                let _ = writeln!(text, "    route: [{{destination: {{host: {HOST}}}}}]");
            }
            for line in lines.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        text
    }
}

/// The `match` for a call.
pub(crate) fn matching(peers: &dyn Peers, call: Call) -> String {
    let (attribute, value) = peers.attribute(call);
    format!("{{attributes: {{{attribute}: {{exact: {value}}}}}}}")
}

fn endpoints(ports: &[u16]) -> Vec<Endpoint<'static>> {
    let endpoint = |port: &u16| Endpoint {
        port: *port,
        version: "v1",
        locality: "r1/z1/s1",
    };
    ports.iter().map(endpoint).collect()
}
