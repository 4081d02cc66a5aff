//! Meltemi before real servers, under a RedisService.

use std::fmt::Write;
use std::net::SocketAddr;

use super::{GATEWAY, Server, Wire, service};
use crate::manifests::Manifests;
use crate::meltemi::Meltemi;

/// A Gateway with one server for Redis, services of one server each, and one RedisService.
pub struct Proxied {
    meltemi: Meltemi,
    address: SocketAddr,
    manifests: Manifests,
    name: String,
}

impl Proxied {
    /// Runs it with these hosts, the first of which the RedisService is for; `spec` is the rest of
    /// its spec, unindented.
    #[must_use]
    pub fn start(hosts: &[(&str, &Server)], spec: &str) -> Self {
        let manifests = Manifests::new();
        manifests.write("gateway.yaml", GATEWAY);
        for (host, server) in hosts {
            let text = service(host, &[server.address()]);
            manifests.write(&format!("{host}.yaml"), &text);
        }
        let name = hosts.first().map_or("", |(host, _)| host);
        manifests.write("redis.yaml", &redis_service(name, spec));
        let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
        let address = meltemi.address("default/edge/redis");
        Self {
            meltemi,
            address,
            name: name.to_owned(),
            manifests,
        }
    }

    /// Changes the spec of the RedisService; it applies soon.
    pub fn change(&self, spec: &str) {
        self.manifests
            .write("redis.yaml", &redis_service(&self.name, spec));
    }

    #[must_use]
    pub fn connect(&self) -> Wire {
        Wire::connect(self.address)
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn meltemi(&self) -> &Meltemi {
        &self.meltemi
    }

    #[must_use]
    pub fn manifests(&self) -> &Manifests {
        &self.manifests
    }

    /// The body of an admin page.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn page(&self, path: &str) -> String {
        let answer = self.meltemi.get(path).expect("the admin address answers");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }
}

fn redis_service(host: &str, spec: &str) -> String {
    let mut text = format!(
        "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisService\nmetadata:\n  name: it\nspec:\n  \
         host: [{host}]\n  gateways: [edge]\n"
    );
    for line in spec.lines() {
        let _ = writeln!(text, "  {line}");
    }
    text
}
