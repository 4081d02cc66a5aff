//! Nodes and what runs on them: what kubelets, kube-proxies and a network between nodes do, as far as it takes network
//! namespaces, processes and nftables. Pods come from the real controllers ([`Controllers`]), nodes are chosen by the real
//! scheduler.
//!
//! A pod has a network of its own with its address, its user, a root that cannot be written, its tokens and what else is
//! projected, its probes, its `preStop` and its grace period. What it asks for beyond that is refused.

mod asked;
mod controllers;
mod life;
mod namespace;
mod node;
mod services;
mod shared;
mod worker;
mod ztunnel;

use std::collections::BTreeMap;
use std::env;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use super::{ApiServer, Image};
use crate::process::Process;
use namespace::Namespace;
use node::Node;
use shared::Shared;
use worker::Pod;

pub use controllers::Controllers;
pub use ztunnel::{Captured, Via, Ztunnels};

/// Between two looks at what there is.
const PAUSE: Duration = Duration::from_millis(150);

/// Everything that runs on the nodes of a cluster; it ends with its owner.
pub struct Pods {
    shared: Arc<Shared>,
    /// By namespace and name.
    running: Arc<Mutex<Running>>,
    looks: Option<JoinHandle<()>>,
}

type Running = BTreeMap<String, Arc<Pod>>;

impl Pods {
    /// Whether this machine lets us have them; that it does not is said.
    ///
    /// # Panics
    /// When it does not, and `MELTEMI_REQUIRE_PEERS=1`.
    #[must_use]
    pub fn are_permitted() -> bool {
        let are_permitted = Namespace::is_permitted();
        let are_required = env::var_os("MELTEMI_REQUIRE_PEERS").is_some_and(|it| it == "1");
        assert!(are_permitted || !are_required, "{NOT_PERMITTED}");
        if !are_permitted {
            eprintln!("skipped: {NOT_PERMITTED}");
        }
        are_permitted
    }

    /// Nodes, each in its zone, called `node-1` and so on.
    ///
    /// # Panics
    /// When they cannot be made.
    #[must_use]
    pub fn start(
        cluster: &Arc<ApiServer>,
        zones: &[&str],
        images: BTreeMap<String, Image>,
        ztunnels: &Arc<Ztunnels>,
    ) -> Self {
        let api = cluster.port();
        let zones = (1..).zip(zones);
        let nodes = zones.map(|(number, zone)| Arc::new(Node::start(number, zone, api)));
        let nodes: Vec<_> = nodes.collect();
        for (index, node) in nodes.iter().enumerate() {
            nodes.iter().skip(index + 1).for_each(|it| node.connect(it));
            register(cluster, node);
        }
        let shared = Shared::new(Arc::clone(cluster), Arc::clone(ztunnels), images);
        let shared = Arc::new(shared);
        let running = Arc::<Mutex<Running>>::default();
        let looks = {
            let (shared, running) = (Arc::clone(&shared), Arc::clone(&running));
            thread::spawn(move || look(&shared, &running, &nodes))
        };
        Self {
            shared,
            running,
            looks: Some(looks),
        }
    }

    /// What the container of a pod runs, if it does.
    #[must_use]
    pub fn process(&self, namespace: &str, name: &str) -> Option<Arc<Process>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(&format!("{namespace}/{name}"))?.process()
    }

    /// # Panics
    /// When a pod could not be run, which has been said.
    pub fn run_well(&self) {
        assert!(!self.shared.has_failed(), "a pod could not be run");
    }

    /// The pods of a namespace whose names begin so, as the API server has them.
    #[must_use]
    pub fn named(&self, namespace: &str, beginning: &str) -> Vec<Value> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let beginning = format!("{namespace}/{beginning}");
        let named = running
            .iter()
            .filter(|(key, _)| key.starts_with(&beginning));
        named.filter_map(|(_, pod)| pod.newest()).collect()
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.shared.end();
        // One that has panicked has said so.
        let _ = self.looks.take().map(JoinHandle::join);
    }
}

const NOT_PERMITTED: &str = "pods need network namespaces, which root may make";

fn register(cluster: &ApiServer, node: &Node) {
    let [identity, status] = node.object();
    cluster.apply(&identity.to_string());
    cluster.apply_status(&status.to_string());
    // Admission has it that nothing is scheduled there until it is known to be ready.
    let path = format!("/api/v1/nodes/{}", node.name);
    let ready = cluster
        .requests
        .patch(&path, &json!({"spec": {"taints": null}}));
    ready.expect("the node is there");
}

/// Has each node do what the API server has for it, until it is over.
fn look(shared: &Arc<Shared>, running: &Mutex<Running>, nodes: &[Arc<Node>]) {
    let mut workers = vec![];
    while !shared.is_over() {
        let list = |path: &str| -> Vec<Value> {
            let list = shared.cluster.get(path).map(|mut it| it["items"].take());
            list.and_then(|it| it.as_array().cloned())
                .unwrap_or_default()
        };
        let services = list("/api/v1/services");
        shared.has_services(&services);
        let slices = list("/apis/discovery.k8s.io/v1/endpointslices");
        for node in nodes {
            node.program(&services, &slices);
        }
        let pods = list("/api/v1/pods");
        workers.extend(follow(shared, running, nodes, pods));
        thread::sleep(PAUSE);
    }
    for worker in workers {
        let _ = worker.join();
    }
}

/// Tells of each pod what it is now, and starts those that are new.
fn follow(
    shared: &Arc<Shared>,
    running: &Mutex<Running>,
    nodes: &[Arc<Node>],
    pods: Vec<Value>,
) -> Vec<JoinHandle<()>> {
    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
    let is_same = |one: &Value, other: &Value| one["metadata"]["uid"] == other["metadata"]["uid"];
    running.retain(|_, pod| {
        let newest = pod.newest();
        let newest = newest.and_then(|it| pods.iter().find(|pod| is_same(pod, &it)));
        pod.is_now(newest.cloned());
        newest.is_some()
    });
    let mut workers = vec![];
    for object in pods {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let key = format!("{}/{}", text("namespace"), text("name"));
        let node = nodes
            .iter()
            .find(|it| object["spec"]["nodeName"] == it.name);
        let Some(node) = node.filter(|_| !running.contains_key(&key)) else {
            continue;
        };
        let pod = Arc::new(Pod::default());
        pod.is_now(Some(object.clone()));
        running.insert(key, Arc::clone(&pod));
        let (shared, node) = (Arc::clone(shared), Arc::clone(node));
        workers.push(thread::spawn(move || {
            let _watched = shared.watched();
            worker::run(shared, node, pod, &object);
        }));
    }
    workers
}
