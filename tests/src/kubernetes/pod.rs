//! A Pod of a Deployment that runs: what a controller manager and a kubelet would do, as far as it takes a command line, a
//! user, files and probes. Its addresses are those of this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ApiServer;
use super::container::{self, Image};
use crate::http;
use crate::process::Process;
use crate::wait::until;

/// A loopback address that no other test has, for ports that are given.
#[must_use]
pub fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let number = u8::try_from(NEXT.fetch_add(1, Ordering::Relaxed) % 100).unwrap_or_default();
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 100 + number, high, low.max(1))
}

/// A running Pod; it ends with its owner.
pub struct Pod {
    name: String,
    process: Process,
    container: Value,
    address: Ipv4Addr,
    _files: TempDir,
}

impl Pod {
    /// Has the API server take a Pod of a Deployment, and runs its one container. `names` resolve to addresses of this
    /// machine.
    ///
    /// # Panics
    /// When the Pod is refused, or asks for what is not there.
    #[must_use]
    pub fn start(
        cluster: &ApiServer,
        (namespace, deployment): (&str, &str),
        address: Ipv4Addr,
        names: &[(&str, Ipv4Addr)],
    ) -> Self {
        let of = ("deployment", namespace, deployment);
        Self::start_of(cluster, of, address, names)
    }

    /// The same of a Job.
    ///
    /// # Panics
    /// When the Pod is refused, or asks for what is not there.
    #[must_use]
    pub fn start_of_job(cluster: &ApiServer, (namespace, job): (&str, &str)) -> Self {
        Self::start_of(cluster, ("job", namespace, job), Ipv4Addr::LOCALHOST, &[])
    }

    fn start_of(
        cluster: &ApiServer,
        (kind, namespace, name): (&str, &str, &str),
        address: Ipv4Addr,
        names: &[(&str, Ipv4Addr)],
    ) -> Self {
        let get = ["get", kind, name, "-n", namespace, "-o", "json"];
        let template = cluster.kubectl(&get).json()["spec"]["template"].take();
        let pod = created(cluster, namespace, name, template);
        let asks = pod["spec"]["containers"][0].clone();
        let names = names
            .iter()
            .map(|(name, address)| ((*name).to_owned(), *address));
        let files = container::files(cluster, &pod, &names.collect::<Vec<_>>());
        let image = Image::of(container::image_name(&pod)).expect("an image of ours");
        let mut command = container::command(&pod, &image, files.path(), None);
        let port = cluster.port().to_string();
        command
            .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("KUBERNETES_SERVICE_PORT", port);
        Self {
            name: pod["metadata"]["name"]
                .as_str()
                .expect("its name")
                .to_owned(),
            process: Process::spawn(name, &mut command),
            container: asks,
            address,
            _files: files,
        }
    }

    /// Waits until its readiness probe passes.
    ///
    /// # Panics
    /// When it does not, or is not there.
    pub fn is_ready(&self) {
        let probe = &self.container["readinessProbe"]["httpGet"];
        let ports = self.container["ports"].as_array().expect("ports");
        let mut named = ports.iter().filter(|port| port["name"] == probe["port"]);
        let port = named.next().and_then(|port| port["containerPort"].as_u64());
        let port = port.and_then(|port| port.try_into().ok());
        let address = SocketAddr::new(self.address.into(), port.expect("the port of the probe"));
        let path = probe["path"].as_str().expect("the path of the probe");
        until(&format!("{address}{path} says that it is ready"), || {
            assert!(
                !self.process.has_ended(),
                "it ended: {}",
                self.process.said()
            );
            http::get(address, path)
                .ok()
                .filter(|answer| answer.status == 200)
        });
    }

    /// An answer of one of its ports.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get(&self, port: u16, path: &str) -> http::Response {
        let address = SocketAddr::new(IpAddr::V4(self.address), port);
        http::get(address, path).expect("an answer")
    }

    /// As the API server calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// As a controller manager makes it: the admission of its namespace has its say.
fn created(cluster: &ApiServer, namespace: &str, deployment: &str, template: Value) -> Value {
    let mut pod = template;
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["generateName"] = json!(format!("{deployment}-"));
    pod["metadata"]["namespace"] = json!(namespace);
    let create = ["create", "-f", "-", "-o", "json"];
    let answer = cluster.kubectl_with(&create, &pod.to_string());
    answer.expect_success("a Pod of the Deployment");
    let told = answer.stderr();
    assert!(!told.contains("Warning"), "{told}");
    answer.json()
}
