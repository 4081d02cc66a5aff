//! Meltemi before some Thrift servers.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::manifests::{Endpoint, Manifests};
use crate::meltemi::Meltemi;

/// The service of the tests.
pub const HOST: &str = "probe.test";

/// The service [`HOST`] behind the Gateway `edge`.
pub struct Proxied {
    pub manifests: Manifests,
    pub meltemi: Meltemi,
}

impl Proxied {
    /// Runs it before servers on these ports of loopback, any of which may answer any call.
    pub fn to(ports: &[u16]) -> Self {
        let endpoints: Vec<_> = ports.iter().map(|port| ("v1", *port)).collect();
        Self::with_routes(&endpoints, "")
    }

    /// Runs it before servers of these versions, each a subset. `routes` is the MetaRouter's list.
    pub fn with_routes(servers: &[(&str, u16)], routes: &str) -> Self {
        Self::before(Manifests::thrift_gateway(), servers, routes)
    }

    /// [`Self::to`], where the protocol has settings.
    pub fn with_settings(ports: &[u16], settings: &[(&str, &str)]) -> Self {
        let manifests = Manifests::thrift_gateway();
        write_settings(&manifests, settings);
        let endpoints: Vec<_> = ports.iter().map(|port| ("v1", *port)).collect();
        Self::before(manifests, &endpoints, "")
    }

    /// Gives the protocol other settings.
    pub fn settings(&self, settings: &[(&str, &str)]) {
        write_settings(&self.manifests, settings);
    }

    fn before(manifests: Manifests, servers: &[(&str, u16)], routes: &str) -> Self {
        let endpoints = servers.iter().map(|&(version, port)| Endpoint {
            port,
            version,
            locality: "r1/z1/s1",
        });
        let endpoints: Vec<_> = endpoints.collect();
        manifests.service(HOST, &endpoints);
        manifests.routes(HOST, routes);
        let meltemi = Meltemi::run(manifests.path());
        Self { manifests, meltemi }
    }

    /// Where it takes calls.
    pub fn address(&self) -> SocketAddr {
        self.meltemi.address("default/edge/thrift")
    }

    pub fn port(&self) -> u16 {
        self.address().port()
    }

    /// [`Meltemi::metric`].
    pub fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        self.meltemi.metric(name, labels)
    }

    /// [`Meltemi::counts`].
    pub fn counts(&self, name: &str, labels: &[&str], wanted: u64) {
        self.meltemi.counts(name, labels, wanted);
    }

    /// The connections that it has to the endpoint on a port of loopback.
    pub fn connections_to(&self, port: u16) -> u64 {
        self.meltemi.endpoint(port, "connections")
    }

    /// The most memory that it ever had, in bytes (`VmHWM` of proc(5)).
    ///
    /// # Panics
    /// When it has ended.
    pub fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.meltemi.process().pid());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kibibytes = kibibytes.and_then(|number| number.trim().parse::<u64>().ok());
        kibibytes.expect("a size in kB") * 1024
    }
}

fn write_settings(manifests: &Manifests, settings: &[(&str, &str)]) {
    let mut text = String::from(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\nmetadata:\n  name: thrift\n\
         spec:\n  protocol: thrift\n  codec: thrift\n  settings:\n",
    );
    for (name, value) in settings {
        let _ = writeln!(text, "    {name}: '{value}'");
    }
    manifests.write("protocol.yaml", &text);
}
