//! The two proxies before the same servers, and what they say of them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use meltemi_tests::redis::service;
use meltemi_tests::{Envoy, Manifests, Meltemi};
use serde_json::{Value, json};

/// How the endpoints of a cluster are ejected: for an interval at the first, three at the most.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) interval: Duration,
    /// So many failures in a row; 0: never for those.
    pub(crate) consecutive: u32,
    pub(crate) percent: u32,
    /// The factor of a standard deviation, in thousandths.
    pub(crate) success: Option<u32>,
    /// The threshold of the percentage of failures.
    pub(crate) failure: Option<u32>,
}

impl Rule {
    fn times(&self) -> [String; 2] {
        [1, 3].map(|times| format!("{}s", (self.interval * times).as_secs()))
    }

    /// `outlierDetection` of a DestinationRule.
    fn ours(&self) -> Value {
        let [interval, longest] = self.times();
        let mut rule = json!({
            "interval": interval, "baseEjectionTime": interval, "maxEjectionTime": longest,
            "consecutive5xxErrors": self.consecutive, "maxEjectionPercent": self.percent,
        });
        if let Some(factor) = self.success {
            rule["successRate"] = json!({"stdevFactor": factor});
        }
        if let Some(threshold) = self.failure {
            rule["failurePercentage"] = json!({"threshold": threshold, "requestVolume": 100});
        }
        rule
    }

    /// `outlier_detection` of a cluster.
    fn envoys(&self) -> Value {
        let [interval, longest] = self.times();
        let is_on = |on: bool| if on { 100 } else { 0 };
        json!({
            "interval": interval, "base_ejection_time": interval, "max_ejection_time": longest,
            "consecutive_5xx": self.consecutive.max(1),
            "enforcing_consecutive_5xx": is_on(self.consecutive > 0),
            "max_ejection_percent": self.percent,
            "always_eject_one_host": true,
            "enforcing_success_rate": is_on(self.success.is_some()),
            "success_rate_stdev_factor": self.success,
            "enforcing_failure_percentage": is_on(self.failure.is_some()),
            "failure_percentage_threshold": self.failure,
            "failure_percentage_request_volume": 100,
        })
    }
}

/// A cluster's name, its rule and its servers.
pub(crate) type Ruled<'a> = (&'static str, &'a Rule, &'a [SocketAddr]);

pub(crate) struct Proxies {
    envoy: Envoy,
    meltemi: Meltemi,
    _manifests: Manifests,
}

impl Proxies {
    pub(crate) fn start(binary: &Path, clusters: &[Ruled<'_>]) -> Self {
        let manifests = Manifests::new();
        for ruled in clusters {
            manifests.write(&format!("{}.yaml", ruled.0), &manifest(ruled));
        }
        let listeners = clusters.iter().map(|it| listener(it.0));
        let bootstrap = json!({
            "node": {"id": "envoy", "cluster": "test"},
            "static_resources": {
                "clusters": clusters.iter().map(cluster).collect::<Vec<_>>(),
                "listeners": listeners.collect::<Vec<_>>(),
            },
        });
        Self {
            envoy: Envoy::start(binary, bootstrap),
            meltemi: Meltemi::run_with(manifests.path(), &["--workers", "1"]),
            _manifests: manifests,
        }
    }

    /// Envoy and Meltemi.
    pub(crate) fn sides<'a>(
        &'a self,
        cluster: &'static str,
        servers: &'a [SocketAddr],
    ) -> [Side<'a>; 2] {
        let side = |name, address| Side {
            name,
            address,
            proxies: self,
            cluster,
            servers,
        };
        let ours = self.meltemi.address(&format!("default/{cluster}/it"));
        [
            side("envoy", self.envoy.listener(cluster)),
            side("meltemi", ours),
        ]
    }
}

/// One of the proxies before one of the clusters.
pub(crate) struct Side<'a> {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    proxies: &'a Proxies,
    cluster: &'static str,
    servers: &'a [SocketAddr],
}

impl Side<'_> {
    fn is_envoy(&self) -> bool {
        self.name == "envoy"
    }

    /// What Envoy says of the cluster, line by line without its name.
    fn said_by_envoy(&self) -> Vec<String> {
        let text = self.proxies.envoy.text("/clusters");
        let own = text.lines().filter_map(|line| {
            let (cluster, rest) = line.split_once("::")?;
            (cluster == self.cluster).then(|| rest.to_owned())
        });
        own.collect()
    }

    /// The servers that it leaves out.
    pub(crate) fn ejected(&self) -> BTreeSet<usize> {
        let left_out: Vec<String> = match self.is_envoy() {
            true => {
                let lines = self.said_by_envoy().into_iter();
                let flag = "::health_flags::/failed_outlier_check";
                lines
                    .filter_map(|line| Some(line.strip_suffix(flag)?.to_owned()))
                    .collect()
            }
            false => {
                let page = self.proxies.meltemi.get("/clusters").expect("its page");
                let page: Value = serde_json::from_str(&page.body).expect("JSON");
                let cluster = &page["clusters"][format!("outbound|6379||{}.test", self.cluster)];
                let endpoints = cluster["endpoints"].as_array().expect("endpoints").iter();
                let ejected = endpoints.filter(|it| it["ejected"] == true);
                ejected
                    .filter_map(|it| Some(it["address"].as_str()?.to_owned()))
                    .collect()
            }
        };
        let server = |it: &String| self.servers.iter().position(|at| at.to_string() == *it);
        left_out.iter().filter_map(server).collect()
    }

    /// The rates of success of those who were ejected for them, and where others decided, the mean of
    /// all and the threshold. Envoy says so until the next interval is over.
    pub(crate) fn figures(&self, rule: &Rule, ejected: &BTreeSet<usize>) -> Vec<f64> {
        let of_all = rule.success.is_some();
        match self.is_envoy() {
            true => self.figures_of_envoy(ejected, of_all),
            false => self.figures_of_meltemi(ejected),
        }
    }

    fn figures_of_envoy(&self, ejected: &BTreeSet<usize>, of_all: bool) -> Vec<f64> {
        let lines = self.said_by_envoy();
        let value = |name: String| -> f64 {
            let mut values = lines.iter().filter_map(|it| it.strip_prefix(&name));
            let value = values.next().unwrap_or_else(|| panic!("{name}: {lines:?}"));
            value.parse().expect("a number")
        };
        let of_servers = ejected.iter().map(|server| self.servers[*server]);
        let mut figures: Vec<f64> = of_servers
            .map(|server| value(format!("{server}::success_rate::")))
            .collect();
        if of_all {
            let of_all = ["average", "ejection_threshold"];
            figures.extend(of_all.map(|name| value(format!("outlier::success_rate_{name}::"))));
        }
        figures
    }

    fn figures_of_meltemi(&self, ejected: &BTreeSet<usize>) -> Vec<f64> {
        let log = self.proxies.meltemi.process().said();
        let lines = log.lines().filter(|line| line.contains("endpoint ejected"));
        let lines: Vec<&str> = lines.collect();
        let of = |server: &SocketAddr| {
            let address = format!("address={server} ");
            let line = lines.iter().find(|line| line.contains(&address));
            *line.unwrap_or_else(|| panic!("{server} is not in\n{log}"))
        };
        let value = |line: &str, name: &str| -> Option<f64> {
            let (_, rest) = line.split_once(&format!("{name}: "))?;
            rest.split([',', ' ']).next()?.parse().ok()
        };
        let of_servers: Vec<&str> = ejected.iter().map(|it| of(&self.servers[*it])).collect();
        let rates = of_servers.iter().map(|it| value(it, "rate"));
        let of_all = ["average", "threshold"].map(|name| value(of_servers.first()?, name));
        rates
            .map(|rate| rate.expect("a rate"))
            .chain(of_all.into_iter().flatten())
            .collect()
    }
}

fn manifest((name, rule, servers): &Ruled<'_>) -> String {
    let policy = json!({
        "loadBalancer": {"simple": "ROUND_ROBIN"}, "outlierDetection": rule.ours(),
    });
    format!(
        "{}---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}}}\n\
         spec: {{host: {name}.test, trafficPolicy: {policy}}}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\nspec:\n  \
         servers: [{{name: it, bind: 127.0.0.1, port: {{number: 0, name: tcp-redis}}}}]\n---\n\
         apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: {name}}}\n\
         spec: {{hosts: [{name}.test], gateways: [{name}]}}\n",
        service(&format!("{name}.test"), servers)
    )
}

fn cluster((name, rule, servers): &Ruled<'_>) -> Value {
    let endpoint = |server: &SocketAddr| {
        json!({"endpoint": {"address": {"socket_address": {
            "address": server.ip().to_string(), "port_value": server.port()}}}})
    };
    let endpoints: Vec<_> = servers.iter().map(endpoint).collect();
    json!({
        "name": name, "type": "STATIC", "lb_policy": "ROUND_ROBIN",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "outlier_detection": rule.envoys(),
    })
}

fn listener(cluster: &str) -> Value {
    const PROXY: &str = "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy";
    json!({
        "name": cluster,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.redis_proxy",
            "typed_config": {
                "@type": format!("type.googleapis.com/{PROXY}"),
                "stat_prefix": "it", "settings": {"op_timeout": "10s"},
                "prefix_routes": {"catch_all_route": {"cluster": cluster}},
            },
        }]}],
    })
}
