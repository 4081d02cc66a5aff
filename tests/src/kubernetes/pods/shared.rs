//! What all pods of a cluster have in common.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::Value;

use super::ztunnel::Ztunnels;
use crate::kubernetes::{ApiServer, Image};

const MODE: &str = "istio.io/dataplane-mode";

pub(super) struct Shared {
    pub(super) cluster: Arc<ApiServer>,
    pub(super) ztunnels: Arc<Ztunnels>,
    /// Beside our own, by their names without registry and tag.
    images: BTreeMap<String, Image>,
    services: Mutex<Vec<Value>>,
    is_over: AtomicBool,
    has_failed: Arc<AtomicBool>,
}

/// Whoever drops it while it panics has failed.
pub(super) struct Watched(Arc<AtomicBool>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.fetch_or(thread::panicking(), Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(
        cluster: Arc<ApiServer>,
        ztunnels: Arc<Ztunnels>,
        images: BTreeMap<String, Image>,
    ) -> Self {
        Self {
            cluster,
            ztunnels,
            images,
            services: Mutex::default(),
            is_over: AtomicBool::new(false),
            has_failed: Arc::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn watched(&self) -> Watched {
        Watched(Arc::clone(&self.has_failed))
    }

    /// Whether a pod could not be run.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    pub(super) fn image(&self, name: &str) -> Image {
        let image = self.images.get(name).cloned().or_else(|| Image::of(name));
        image.unwrap_or_else(|| panic!("no image is called {name}"))
    }

    pub(super) fn has_services(&self, services: &[Value]) {
        *self.services.lock().unwrap_or_else(PoisonError::into_inner) = services.to_vec();
    }

    /// What a pod can call: itself, and Services as DNS has them.
    pub(super) fn names(&self, pod: &Value, own: Ipv4Addr) -> Vec<(String, Ipv4Addr)> {
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let here = text(&pod["metadata"]["namespace"]);
        let named = services.iter().filter_map(|service| {
            let address = service["spec"]["clusterIP"].as_str()?.parse().ok()?;
            let metadata = &service["metadata"];
            let (name, namespace) = (text(&metadata["name"]), text(&metadata["namespace"]));
            let suffixes = ["", ".svc", ".svc.cluster.local"];
            let names = suffixes.map(|suffix| format!("{name}.{namespace}{suffix}"));
            let short = (namespace == here).then_some(name);
            let names = names.into_iter().chain(short);
            Some(names.map(move |name| (name, address)))
        });
        let own = (text(&pod["metadata"]["name"]), own);
        named.flatten().chain([own]).collect()
    }

    /// As istio-cni has it: by the pod's own label, else its namespace's.
    pub(super) fn is_of_mesh(&self, pod: &Value) -> bool {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let own = pod["metadata"]["labels"][MODE].as_str().map(str::to_owned);
        let mode = own.or_else(|| {
            let namespace = self
                .cluster
                .get(&format!("/api/v1/namespaces/{namespace}"))?;
            Some(namespace["metadata"]["labels"][MODE].as_str()?.to_owned())
        });
        mode.is_some_and(|mode| mode == "ambient")
    }
}
