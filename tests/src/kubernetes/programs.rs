//! The programs that `scripts/install-k8s` builds and fetches.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The version in the `go.mod` of `tests/peers/k8s`.
const VERSION: &str = "1.36.1";

/// Where they are.
#[derive(Clone, Debug)]
pub struct Programs(PathBuf);

impl Programs {
    /// None where they are not installed, which is said, unless `MELTEMI_REQUIRE_PEERS=1`.
    ///
    /// # Panics
    /// When they are required and missing.
    #[must_use]
    pub fn find() -> Option<Self> {
        let cache = || match env::var_os("XDG_CACHE_HOME") {
            Some(cache) => Some(PathBuf::from(cache)),
            None => Some(PathBuf::from(env::var_os("HOME")?).join(".cache")),
        };
        let found = cache().map(|cache| Self(cache.join(format!("meltemi/k8s-{VERSION}"))));
        let found = found.filter(|programs| {
            let all = [
                "etcd",
                "kube-apiserver",
                "kubectl",
                "helm",
                "helm3",
                "istio-crds-1.31.yaml",
                "gateway-api-crds-1.6.0",
            ];
            all.iter().all(|name| programs.path(name).exists())
        });
        if found.is_none() {
            assert!(
                env::var_os("MELTEMI_REQUIRE_PEERS").is_none_or(|required| required != "1"),
                "no kube-apiserver: run scripts/install-k8s"
            );
            let _ = writeln!(
                std::io::stderr(),
                "skipped: no kube-apiserver; scripts/install-k8s builds one"
            );
        }
        found
    }

    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The CRDs of Istio.
    #[must_use]
    pub fn istio_crds(&self) -> PathBuf {
        self.path("istio-crds-1.31.yaml")
    }

    /// Those of the Gateway API that are read, of its standard channel.
    #[must_use]
    pub fn gateway_api_crds(&self) -> [PathBuf; 5] {
        [
            "gatewayclasses",
            "gateways",
            "grpcroutes",
            "httproutes",
            "referencegrants",
        ]
        .map(|plural| {
            let file = format!("gateway.networking.k8s.io_{plural}.yaml");
            self.path("gateway-api-crds-1.6.0").join(file)
        })
    }

    /// Our own, as they are checked in.
    #[must_use]
    pub fn own_crds() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/meltemi-crds/templates")
    }
}
