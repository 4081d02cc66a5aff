//! Manifests in a temporary directory, as a person would write them.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// A directory of manifests, gone when dropped.
pub struct Manifests {
    directory: TempDir,
    /// The name of the services' ports, which tells their protocol.
    port: &'static str,
}

/// One endpoint of a `ServiceEntry`, on loopback.
pub struct Endpoint<'a> {
    pub port: u16,
    /// The label `version`, which the subsets select.
    pub version: &'a str,
    /// `region/zone/subzone`.
    pub locality: &'a str,
}

impl Default for Manifests {
    fn default() -> Self {
        Self::new()
    }
}

impl Manifests {
    /// An empty directory.
    ///
    /// # Panics
    /// When there is no temporary directory.
    #[must_use]
    pub fn new() -> Self {
        Self::of("tcp-metaprotocol-dubbo")
    }

    fn of(port: &'static str) -> Self {
        let directory = TempDir::with_prefix("meltemi-manifests-").expect("a temporary directory");
        Self { directory, port }
    }

    /// With a Gateway `edge` whose one server speaks Dubbo on a port of the system's choice.
    ///
    /// # Panics
    /// When there is no temporary directory.
    pub fn dubbo_gateway() -> Self {
        let manifests = Self::new();
        manifests.write("protocol.yaml", APPLICATION_PROTOCOL);
        manifests.write("gateway.yaml", GATEWAY);
        manifests
    }

    /// With a Gateway `edge` whose one server speaks Thrift on a port of the system's choice.
    ///
    /// # Panics
    /// When there is no temporary directory.
    pub fn thrift_gateway() -> Self {
        Self::gateway("tcp-thrift", "thrift")
    }

    /// With a Gateway `edge` whose one server speaks Redis on a port of the system's choice.
    ///
    /// # Panics
    /// When there is no temporary directory.
    #[must_use]
    pub fn redis_gateway() -> Self {
        Self::gateway("tcp-redis", "redis")
    }

    fn gateway(port: &'static str, protocol: &str) -> Self {
        let manifests = Self::of(port);
        let gateway = GATEWAY.replace("tcp-metaprotocol-dubbo", manifests.port);
        let gateway = gateway.replace("name: dubbo", &format!("name: {protocol}"));
        manifests.write("gateway.yaml", &gateway);
        manifests
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file as an editor does: whole, by a rename.
    ///
    /// # Panics
    /// When the directory cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        let draft = self.path().join(format!(".{name}.draft"));
        fs::write(&draft, text).expect("a temporary directory can be written");
        fs::rename(&draft, self.path().join(name)).expect("a rename within a directory");
    }

    /// The service `HOST` with these endpoints, and a subset for each of their versions.
    pub fn service(&self, host: &str, endpoints: &[Endpoint<'_>]) {
        let mut text = format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: {name}\nspec:\n  \
             hosts: [{host}]\n  ports:\n    - {{ number: 20880, name: {port}, protocol: TCP }}\n  \
             location: MESH_INTERNAL\n  resolution: STATIC\n  endpoints:\n",
            name = name_of(host),
            port = self.port
        );
        for endpoint in endpoints {
            let _ = write!(
                text,
                "    - address: 127.0.0.1\n      ports: {{ {}: {} }}\n      \
                 labels: {{ version: {} }}\n      locality: {}\n",
                self.port, endpoint.port, endpoint.version, endpoint.locality
            );
        }
        self.write(&format!("{}-service.yaml", name_of(host)), &text);

        let mut versions: Vec<_> = endpoints.iter().map(|endpoint| endpoint.version).collect();
        versions.sort_unstable();
        versions.dedup();
        let mut text = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: {name}\nspec:\n  \
             host: {host}\n  trafficPolicy:\n    outlierDetection: {{ consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 1s }}\n  \
             subsets:\n",
            name = name_of(host)
        );
        for version in versions {
            let _ = writeln!(
                text,
                "    - {{ name: {version}, labels: {{ version: {version} }} }}"
            );
        }
        self.write(&format!("{}-subsets.yaml", name_of(host)), &text);
    }

    /// A DestinationRule of `host` in the place of the one that came with the service: this `trafficPolicy`, a YAML
    /// mapping on one line, and no subsets.
    pub fn policy(&self, host: &str, policy: &str) {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: {name}\nspec:\n  \
             host: {host}\n  trafficPolicy: {policy}\n",
            name = name_of(host)
        );
        self.write(&format!("{}-subsets.yaml", name_of(host)), &text);
    }

    /// A MetaRouter of `host` on the Gateway; `routes` is the YAML list, one item a line, unindented.
    pub fn routes(&self, host: &str, routes: &str) {
        let mut text = format!(
            "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata:\n  name: {name}\nspec:\n  \
             hosts: [{host}]\n  gateways: [edge]\n",
            name = name_of(host)
        );
        if !routes.is_empty() {
            text.push_str("  routes:\n");
            for line in routes.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        self.write(&format!("{}-routes.yaml", name_of(host)), &text);
    }

    /// [`Self::routes`] with one route that splits by weight over subsets.
    pub fn split(&self, host: &str, weights: &[(&str, u32)]) {
        let mut text = String::from("- name: split\n  route:\n");
        for (subset, weight) in weights {
            let _ = writeln!(
                text,
                "    - {{ destination: {{ host: {host}, subset: {subset} }}, weight: {weight} }}"
            );
        }
        self.routes(host, &text);
    }
}

fn name_of(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

const APPLICATION_PROTOCOL: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: ApplicationProtocol
metadata:
  name: dubbo
spec:
  protocol: dubbo
  codec: aeraki.meta_protocol.codec.dubbo
";

const GATEWAY: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: edge
spec:
  servers:
    - name: dubbo
      bind: 127.0.0.1
      port: { number: 0, name: tcp-metaprotocol-dubbo, protocol: TCP }
      hosts: ['*']
";
