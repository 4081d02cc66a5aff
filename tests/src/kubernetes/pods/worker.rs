//! One pod on its node: carries out what its [`Life`] says, and tells the API server what became of it.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::life::{Action, Life, Shown};
use super::namespace::Namespace;
use super::node::Node;
use super::shared::Shared;
use super::ztunnel::Client;
use crate::http;
use crate::kubernetes::container;
use crate::process::Process;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What others know of a pod.
#[derive(Default)]
pub(super) struct Pod {
    /// As the API server has it; none where it has it no more.
    newest: Mutex<Option<Value>>,
    process: Mutex<Option<Arc<Process>>>,
}

impl Pod {
    pub(super) fn is_now(&self, object: Option<Value>) {
        *lock(&self.newest) = object;
    }

    pub(super) fn newest(&self) -> Option<Value> {
        lock(&self.newest).clone()
    }

    /// What its container runs, while it does.
    pub(super) fn process(&self) -> Option<Arc<Process>> {
        lock(&self.process).clone()
    }
}

struct Worker {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    node: Arc<Node>,
    network: Arc<Namespace>,
    address: Ipv4Addr,
    /// Where the API server has it.
    path: String,
    files: Option<TempDir>,
    told: Option<Shown>,
}

/// Runs a pod until it is gone.
pub(super) fn run(shared: Arc<Shared>, node: Arc<Node>, pod: Arc<Pod>, object: &Value) {
    let text = |field: &str| object["metadata"][field].as_str().expect("an object's own");
    let (namespace, name) = (text("namespace"), text("name"));
    let mut life = Life::new(object, Instant::now())
        .unwrap_or_else(|why| panic!("{namespace}/{name} cannot be run here: {why}"));
    let (network, address) = node.attach(name);
    let network = Arc::new(network);
    shared.ztunnels.joined(address, &network);
    let mut worker = Worker {
        path: format!("/api/v1/namespaces/{namespace}/pods/{name}"),
        files: None,
        told: None,
        shared,
        pod,
        node,
        network,
        address,
    };
    worker.captured(object);
    while worker.turn(&mut life) {
        thread::sleep(PAUSE);
    }
    // Who has it besides has its last words.
    worker.signal("KILL");
    *lock(&worker.pod.process) = None;
    worker.shared.ztunnels.left(address);
}

impl Worker {
    /// False where there is nothing left to be done.
    fn turn(&mut self, life: &mut Life) -> bool {
        let newest = lock(&self.pod.newest).clone();
        let Some(object) = newest.filter(|_| !self.shared.is_over()) else {
            return false;
        };
        let now = Instant::now();
        let metadata = &object["metadata"];
        if !metadata["deletionTimestamp"].is_null() {
            let grace = metadata["deletionGracePeriodSeconds"].as_u64();
            life.deleted(Duration::from_secs(grace.unwrap_or_default()), now);
        }
        let status = self.pod.process().and_then(|it| it.status());
        if let Some(status) = status {
            *lock(&self.pod.process) = None;
            life.ended(status.success(), now);
        }
        while let Some(action) = life.due(now) {
            self.act(life, action, &object);
        }
        self.tell(life.shown(), &object);
        true
    }

    fn act(&mut self, life: &mut Life, action: Action, object: &Value) {
        match action {
            Action::Start => self.start(object),
            Action::AskReady => {
                let is_good = self.ask(life, action);
                life.told_ready(is_good);
            }
            Action::AskAlive => {
                let is_good = self.ask(life, action);
                if life.told_alive(is_good).is_some() {
                    self.signal("KILL");
                }
            }
            Action::Terminate => self.signal("TERM"),
            Action::Kill => self.signal("KILL"),
            Action::Remove => {
                let uid = &object["metadata"]["uid"];
                let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
                let _ = self.shared.cluster.requests.delete(&self.path, &options);
            }
        }
    }

    fn signal(&self, name: &str) {
        if let Some(process) = self.pod.process().filter(|it| it.status().is_none()) {
            process.signal(name);
        }
    }

    fn start(&mut self, object: &Value) {
        let mut pod = object.clone();
        pod["status"]["podIP"] = json!(self.address.to_string());
        let name = container::image_name(&pod).to_owned();
        let image = self.shared.image(&name);
        let names = self.shared.names(&pod, self.address);
        let files = container::files(&self.shared.cluster, &pod, &names);
        let network = Some(self.network.path());
        let mut command = container::command(&pod, &image, files.path(), network);
        command
            .env("KUBERNETES_SERVICE_HOST", "10.96.0.1")
            .env("KUBERNETES_SERVICE_PORT", "443");
        let process = Process::spawn(&name, &mut command);
        *lock(&self.pod.process) = Some(Arc::new(process));
        self.files = Some(files);
    }

    /// As a kubelet does it, from its node.
    fn ask(&self, life: &Life, action: Action) -> bool {
        let Some(check) = life.check(action) else {
            return true;
        };
        let address = SocketAddr::new(self.address.into(), check.port);
        self.node.namespace.inside(|| match &check.path {
            Some(path) => {
                let answer = http::get_within(address, path, check.timeout);
                answer.is_ok_and(|answer| (200..400).contains(&answer.status))
            }
            None => TcpStream::connect_timeout(&address, check.timeout).is_ok(),
        })
    }

    /// Has a ztunnel take its connections, where it is of the mesh.
    fn captured(&self, object: &Value) {
        if !self.shared.is_of_mesh(object) {
            return;
        }
        let text = |value: &Value| value.as_str().unwrap_or("default").to_owned();
        let namespace = text(&object["metadata"]["namespace"]);
        let account = text(&object["spec"]["serviceAccountName"]);
        self.shared.ztunnels.capture(Client {
            name: text(&object["metadata"]["name"]),
            identity: format!("spiffe://cluster.local/ns/{namespace}/sa/{account}"),
            region: "eu".to_owned(),
            zone: self.node.zone.clone(),
            node: self.node.name.clone(),
            network: Arc::clone(&self.network),
        });
        let annotations = json!({"ambient.istio.io/redirection": "enabled"});
        let annotated = json!({"metadata": {"annotations": annotations}});
        let _ = self.shared.cluster.requests.patch(&self.path, &annotated);
    }

    fn tell(&mut self, shown: Shown, object: &Value) {
        if self.told == Some(shown) {
            return;
        }
        let status = self.status(shown, object);
        let path = format!("{}/status", self.path);
        // Where it is gone, nobody asks.
        let _ = self.shared.cluster.requests.patch(&path, &status);
        self.told = Some(shown);
    }

    fn status(&self, shown: Shown, object: &Value) -> Value {
        let is_over = matches!(shown.phase, "Succeeded" | "Failed");
        let state = match (shown.phase, is_over) {
            (_, true) => {
                let code = u8::from(shown.phase == "Failed");
                json!({"terminated": {"exitCode": code}})
            }
            ("Pending", _) => json!({"waiting": {"reason": "ContainerCreating"}}),
            _ => json!({"running": {}}),
        };
        let container = &object["spec"]["containers"][0];
        let condition = |kind: &str, is_so: bool| {
            let status = if is_so { "True" } else { "False" };
            json!({"type": kind, "status": status})
        };
        json!({"status": {
            "phase": shown.phase,
            "hostIP": self.node.address().to_string(),
            "podIP": self.address.to_string(),
            "podIPs": [{"ip": self.address.to_string()}],
            "conditions": [
                condition("PodScheduled", true),
                condition("Initialized", true),
                condition("ContainersReady", shown.is_ready),
                condition("Ready", shown.is_ready),
            ],
            "containerStatuses": [{
                "name": container["name"], "image": container["image"], "imageID": "",
                "ready": shown.is_ready, "restartCount": shown.restarts, "state": state,
            }],
        }})
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
