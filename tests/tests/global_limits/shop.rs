//! A Redis behind Meltemi, and a rate limit service beside it.

use std::net::SocketAddr;

use meltemi_tests::redis::{self, Server, Wire};
use meltemi_tests::{Manifests, Meltemi};

pub(crate) const REDIS: &str = "default/edge/redis";
pub(crate) const LIMITED: &str = "-ERR proxy: a rate limit was reached";
pub(crate) const UNDECIDED: &str = "-ERR proxy: the rate limit service did not decide in time";
pub(crate) const UNREACHABLE: &str = "-ERR proxy: the rate limit service cannot be reached";
pub(crate) const MISTAKEN: &str = "-ERR proxy: the rate limit service answered with an error";

/// What the service counts: five of each key for `get`, three in all for `set`. A year, so that none
/// ends while a test runs.
pub(crate) const CONFIG: &str = "\
domain: shop
descriptors:
- key: command
  value: get
  descriptors:
  - key: key
    rate_limit: { unit: year, requests_per_unit: 5 }
- key: command
  value: set
  descriptors:
  - key: key
    value: stock
    rate_limit: { unit: year, requests_per_unit: 3 }
- key: method
  rate_limit: { unit: year, requests_per_unit: 7 }
";

/// By the command and the key together.
pub(crate) const BY_KEY: &str = "descriptors: [{ property: command, descriptorKey: command }, { property: key, descriptorKey: key }]";

/// Long enough for a machine that has much else to do.
pub(crate) const PATIENT: &str = "requestTimeout: 60s";

pub(crate) struct Shop {
    _server: Server,
    pub(crate) manifests: Manifests,
    pub(crate) meltemi: Meltemi,
}

impl Shop {
    /// `limit` is what the global limit says besides its domain and its service.
    pub(crate) fn start(service: SocketAddr, limit: &str, arguments: &[&str]) -> Self {
        let server = Server::start(&[]);
        let manifests = redis::manifests(&[server.address()]);
        manifests.write("ratelimit.yaml", &service_entry(&[service]));
        manifests.write("routes.yaml", &router("cache.demo", limit));
        let meltemi = Meltemi::run_with(manifests.path(), arguments);
        Self {
            _server: server,
            manifests,
            meltemi,
        }
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.meltemi.address(REDIS))
    }

    /// What was counted under one of the limit's names.
    pub(crate) fn count(&self, name: &str) -> u64 {
        count(&self.meltemi, name)
    }

    /// Requests without their last answer.
    pub(crate) fn in_flight(&self) -> u64 {
        metric(&self.meltemi, "meltemi_requests_in_flight{")
    }
}

pub(crate) fn count(meltemi: &Meltemi, name: &str) -> u64 {
    let line = format!("meltemi_global_rate_limit_{name}_total{{limit=\"default/shop\"}}");
    metric(meltemi, &line)
}

/// The sum of what stands behind the lines that begin so.
fn metric(meltemi: &Meltemi, name: &str) -> u64 {
    let page = meltemi.get("/metrics").expect("the metrics").body;
    let lines = page.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}

pub(crate) fn router(host: &str, limit: &str) -> String {
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata:\n  name: shop\nspec:\n  \
         hosts: [{host}]\n  gateways: [edge]\n  globalRateLimit: {{ domain: shop, \
         rateLimitService: 'outbound|8081||ratelimit.infra', {limit} }}\n"
    )
}

/// The rate limit service as a person would define it.
pub(crate) fn service_entry(endpoints: &[SocketAddr]) -> String {
    let endpoints: String = endpoints
        .iter()
        .map(|it| {
            format!(
                "  - {{ address: {}, ports: {{ grpc: {} }} }}\n",
                it.ip(),
                it.port()
            )
        })
        .collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: ratelimit\nspec:\n  \
         hosts: [ratelimit.infra]\n  ports: [{{ number: 8081, name: grpc, protocol: GRPC }}]\n  \
         resolution: STATIC\n  endpoints:\n{endpoints}"
    )
}
