//! A small, valid set of manifests for tests, to be spoilt one thing at a time.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::schema::{AttributeDef, ProtocolSchema, Settings};

pub(crate) const SERVICE: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: greeter}
spec:
  hosts: [greeter.shop]
  ports:
  - {number: 20880, name: tcp-metaprotocol-dubbo, protocol: TCP}
  resolution: STATIC
  endpoints:
  - {address: 10.0.0.1, locality: eu/a, labels: {version: v1}}
  - {address: 10.0.0.2, locality: eu/b, labels: {version: v2}}
";

pub(crate) const RULE: &str = "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: greeter}
spec:
  host: greeter.shop
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 3}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
";

pub(crate) const GATEWAY: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  servers:
  - {port: {number: 20880, name: tcp-metaprotocol-dubbo, protocol: TCP}, hosts: ['*']}
";

pub(crate) const ROUTER: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: greeter}
spec:
  hosts: [greeter.shop]
  gateways: [edge]
  routes:
  - name: hello
    match:
      attributes:
        method: {exact: sayHello}
    route:
    - destination: {host: greeter.shop, subset: v2}
  - name: rest
    route:
    - destination: {host: greeter.shop, subset: v1}
      weight: 90
    - destination: {host: greeter.shop, subset: v2}
      weight: 10
";

/// Manifests in a directory of their own, one file for each kind.
pub(crate) struct Fixture {
    dir: TempDir,
}

impl Fixture {
    pub(crate) fn valid() -> Self {
        let fixture = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for (name, text) in [
            ("service.yaml", SERVICE),
            ("rule.yaml", RULE),
            ("gateway.yaml", GATEWAY),
            ("router.yaml", ROUTER),
        ] {
            fixture.write(name, text);
        }
        fixture
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir.path().join(name)).unwrap();
    }

    /// Replaces text in a file; it has to be there.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.dir.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name} has no `{from}`");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        vec![self.dir.path().to_owned()]
    }

    /// Text without the directory's name, which differs from run to run.
    pub(crate) fn anonymous(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.dir.path().display()), "")
            .replace(&self.dir.path().display().to_string(), "DIR")
    }
}

/// Dubbo's attributes; any other is an attachment. And a protocol that has no others.
pub(crate) fn settings() -> Settings {
    let attributes = |names: &[&str]| {
        let define = |name: &&str| AttributeDef {
            name: (*name).to_owned(),
            description: String::new(),
        };
        names.iter().map(define).collect::<Vec<_>>()
    };
    Settings::new(vec![
        ProtocolSchema {
            id: "dubbo".to_owned(),
            attributes: attributes(&["interface", "method", "version", "group", "serialization"]),
            open: true,
            service_attribute: Some("interface".to_owned()),
        },
        ProtocolSchema {
            id: "closed".to_owned(),
            attributes: attributes(&["method"]),
            open: false,
            service_attribute: None,
        },
    ])
}
