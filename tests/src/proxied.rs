//! Meltemi before some providers, with the simplest of rules: any of them may answer any call.

use std::net::SocketAddr;
use std::process::ExitStatus;

use crate::manifests::{Endpoint, Manifests};
use crate::meltemi::Meltemi;

/// One service, `probe.test`, whose endpoints share a version and a locality.
pub struct Proxied {
    // Its directory must live as long as what watches it.
    _manifests: Manifests,
    meltemi: Meltemi,
}

impl Proxied {
    /// Runs it before the providers on these ports of loopback.
    pub fn to(ports: &[u16]) -> Self {
        let manifests = Manifests::dubbo_gateway();
        let endpoint = |port: &u16| Endpoint {
            port: *port,
            version: "v1",
            locality: "r1/z1/s1",
        };
        let endpoints: Vec<_> = ports.iter().map(endpoint).collect();
        manifests.service("probe.test", &endpoints);
        manifests.routes("probe.test", "");
        let meltemi = Meltemi::run(manifests.path());
        Self {
            _manifests: manifests,
            meltemi,
        }
    }

    /// Where it takes Dubbo calls.
    pub fn address(&self) -> SocketAddr {
        self.meltemi.address("default/edge/dubbo")
    }

    pub fn meltemi(&self) -> &Meltemi {
        &self.meltemi
    }

    /// Waits for its end, after a signal.
    pub fn wait(mut self) -> ExitStatus {
        self.meltemi.wait()
    }
}
