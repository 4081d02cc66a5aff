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

/// Two Redis services, and one that gets copies.
const REDIS_SERVICES: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cache}
spec:
  hosts: [cache.shop]
  ports: [{number: 6379, name: tcp-redis}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: sessions}
spec:
  hosts: [sessions.shop]
  ports: [{number: 6379, name: tcp-redis}, {number: 6380, name: tcp-redis-b}]
  resolution: STATIC
  endpoints: [{address: 10.0.1.1}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: copies}
spec:
  hosts: [copies.shop]
  ports: [{number: 6400, name: tcp-redis}]
  resolution: STATIC
  endpoints: [{address: 10.0.2.1}]
";

const REDIS_GATEWAY: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  servers:
  - {port: {number: 6379, name: tcp-redis}}
";

pub(crate) const REDIS_SERVICE: &str = "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: cache}
spec:
  host: [cache.shop]
  gateways: [edge]
  settings:
    opTimeout: 1.5s
    auth:
      secret: {name: clients}
  redis:
  - match: {key: {prefix: 'a:'}}
    route: {host: cache.shop}
  - match: {key: {prefix: 'a:session:', removePrefix: true}}
    route: {host: sessions.shop, port: 6380}
    mirror:
    - route: {host: copies.shop}
      percentage: {value: 12.5}
      excludeReadCommands: true
  - route: {host: cache.shop}
  faults:
  - {type: ERROR, percentage: {value: 1}, delay: 20ms, commands: [GET, SeT]}
";

const REDIS_DESTINATION: &str = "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata: {name: sessions}
spec:
  host: sessions.shop
  trafficPolicy:
    connectionPool:
      tcp: {maxConnections: 7, tcpKeepalive: {time: 1m, probes: 3}}
      redis:
        auth:
          secret: {name: servers, passwordField: pw}
";

/// What no output may show.
pub(crate) const SECRETS: [&str; 3] = ["hunter2", "Tr0ub4dor", "VHIwdWI0ZG9y"];

const REDIS_SECRETS: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: clients}
stringData: {username: app, password: hunter2}
---
apiVersion: v1
kind: Secret
metadata: {name: servers}
type: Opaque
data:
  pw: VHIwdWI0ZG9y
";

/// Manifests in a directory of their own, one file for each kind.
pub(crate) struct Fixture {
    dir: TempDir,
}

impl Fixture {
    pub(crate) fn valid() -> Self {
        Self::of(&[
            ("service.yaml", SERVICE),
            ("rule.yaml", RULE),
            ("gateway.yaml", GATEWAY),
            ("router.yaml", ROUTER),
        ])
    }

    /// A RedisService with all that belongs to it; for [`redis_settings`].
    pub(crate) fn redis() -> Self {
        Self::of(&[
            ("service.yaml", REDIS_SERVICES),
            ("gateway.yaml", REDIS_GATEWAY),
            ("redis.yaml", REDIS_SERVICE),
            ("destination.yaml", REDIS_DESTINATION),
            ("secret.yaml", REDIS_SECRETS),
        ])
    }

    fn of(files: &[(&str, &str)]) -> Self {
        let fixture = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for (name, text) in files {
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
    Settings::new(vec![
        ProtocolSchema {
            id: "dubbo".to_owned(),
            attributes: attributes(&["interface", "method", "version", "group", "serialization"]),
            open: true,
            service_attribute: Some("interface".to_owned()),
            lower_case: vec![],
        },
        ProtocolSchema {
            id: "closed".to_owned(),
            attributes: attributes(&["method"]),
            open: false,
            service_attribute: None,
            lower_case: vec![],
        },
    ])
}

/// A protocol of that name, with what a rule can match on.
pub(crate) fn redis_settings() -> Settings {
    Settings::new(vec![ProtocolSchema {
        id: "redis".to_owned(),
        attributes: attributes(&["command", "key", "db"]),
        open: false,
        service_attribute: None,
        lower_case: vec!["command".to_owned()],
    }])
}

fn attributes(names: &[&str]) -> Vec<AttributeDef> {
    let define = |name: &&str| AttributeDef {
        name: (*name).to_owned(),
        description: String::new(),
    };
    names.iter().map(define).collect()
}
