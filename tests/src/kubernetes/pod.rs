//! A Pod of a Deployment that runs: what a controller manager and a kubelet would do, as far as it takes a command line, a
//! user, files and probes. Its addresses are those of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ApiServer;
use super::controller::controller_binary;
use crate::http;
use crate::meltemi::binary;
use crate::process::Process;
use crate::wait::until;

/// Runs in a mount namespace of its own, with a root that cannot be written, as the user that its Pod asks for and without any
/// capability. `$1` has what is mounted, `$2` is the program, `$3` its user.
const CONTAINER: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir /run/secrets
cp -r "$1/mounts/." /run/secrets
chown -R "$3:$3" /run/secrets
touch /run/program
mount --bind "$2" /run/program
mount --bind "$1/hosts" /etc/hosts
mount -o remount,bind,ro /
user=$3
shift 3
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
  /run/program "$@"
"#;

/// Where volumes are mounted that can be.
const SECRETS: &str = "/var/run/secrets/";

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
        let container = pod["spec"]["containers"][0].clone();
        let files = TempDir::with_prefix("meltemi-pod-").expect("a temporary directory");
        let hosts = names
            .iter()
            .map(|(name, address)| format!("{address} {name}\n"));
        let hosts = format!("127.0.0.1 localhost\n{}", hosts.collect::<String>());
        fs::write(files.path().join("hosts"), hosts).expect("it can be written");
        mount(cluster, &pod, &files.path().join("mounts"));
        let mut command = command(&pod, files.path());
        let port = cluster.port().to_string();
        command
            .envs(environment(&pod))
            .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("KUBERNETES_SERVICE_PORT", port);
        Self {
            name: text(&pod["metadata"]["name"], "the name").to_owned(),
            process: Process::spawn(name, &mut command),
            container,
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

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{what} is missing"))
}

/// What it has mounted: its volumes, and the token for the API server unless it wants none.
fn mount(cluster: &ApiServer, pod: &Value, mounts: &Path) {
    fs::create_dir_all(mounts).expect("a directory");
    let namespace = text(&pod["metadata"]["namespace"], "the namespace");
    let spec = &pod["spec"];
    if spec["automountServiceAccountToken"] != false {
        let directory = mounts.join("kubernetes.io/serviceaccount");
        fs::create_dir_all(&directory).expect("a directory");
        let write = |name: &str, text: &str| {
            fs::write(directory.join(name), text).expect("it can be written");
        };
        write("namespace", namespace);
        write("token", &token(cluster, pod, None));
        fs::copy(cluster.path("ca.crt"), directory.join("ca.crt")).expect("it can be copied");
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for mounted in list(&spec["containers"][0]["volumeMounts"]) {
        let at = text(&mounted["mountPath"], "where it is mounted");
        let directory = mounts.join(at.strip_prefix(SECRETS).expect("a path of secrets"));
        fs::create_dir_all(&directory).expect("a directory");
        let volumes = list(&spec["volumes"]);
        let volume = volumes.iter().find(|it| it["name"] == mounted["name"]);
        let volume = volume.expect("the volume that is mounted");
        for source in list(&volume["projected"]["sources"]) {
            project(cluster, pod, &source, &directory);
        }
    }
}

fn project(cluster: &ApiServer, pod: &Value, source: &Value, directory: &Path) {
    if let Some(audience) = source["serviceAccountToken"]["audience"].as_str() {
        let path = text(&source["serviceAccountToken"]["path"], "the token's path");
        let token = token(cluster, pod, Some(audience));
        fs::write(directory.join(path), token).expect("it can be written");
        return;
    }
    let name = text(&source["configMap"]["name"], "the ConfigMap's name");
    let namespace = text(&pod["metadata"]["namespace"], "the namespace");
    // A Pod waits for it.
    let data = until(
        &format!("there is the ConfigMap {namespace}/{name}"),
        || {
            let get = ["get", "configmap", name, "-n", namespace, "-o", "json"];
            let answer = cluster.kubectl(&get);
            answer.is_success().then(|| answer.json()["data"].take())
        },
    );
    let items = source["configMap"]["items"].as_array().expect("items");
    for item in items {
        let (key, path) = (text(&item["key"], "a key"), text(&item["path"], "a path"));
        fs::write(directory.join(path), text(&data[key], key)).expect("it can be written");
    }
}

/// For the API server unless there is an audience.
fn token(cluster: &ApiServer, pod: &Value, audience: Option<&str>) -> String {
    let metadata = &pod["metadata"];
    let account = text(&pod["spec"]["serviceAccountName"], "the service account");
    let namespace = text(&metadata["namespace"], "the namespace");
    let mut create = vec!["create", "token", account, "-n", namespace];
    create.extend(["--bound-object-kind", "Pod", "--bound-object-name"]);
    create.push(text(&metadata["name"], "the name"));
    create.extend(audience.iter().flat_map(|it| ["--audience", it]));
    let answer = cluster.kubectl(&create);
    answer.expect_success("a token");
    answer.stdout().trim().to_owned()
}

fn environment(pod: &Value) -> BTreeMap<String, String> {
    let variables = pod["spec"]["containers"][0]["env"].as_array();
    let variables = variables.into_iter().flatten().map(|variable| {
        let name = text(&variable["name"], "the name of a variable");
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some(path) => {
                let field = path.strip_prefix("metadata.").expect("a field of metadata");
                &pod["metadata"][field]
            }
            None => &variable["value"],
        };
        (name.to_owned(), text(value, name).to_owned())
    });
    variables.collect()
}

/// What its container runs: the program is the last part of the image's name.
fn command(pod: &Value, files: &Path) -> Command {
    let container = &pod["spec"]["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
    let user = pod["spec"]["securityContext"]["runAsUser"].as_u64();
    let image = text(&container["image"], "the image");
    let program = match image.rsplit('/').next().and_then(|it| it.split(':').next()) {
        Some("meltemi-controller") => controller_binary(),
        Some("meltemi") => binary().to_owned(),
        other => panic!("no program for {other:?}"),
    };
    let environment = environment(pod);
    let arguments = container["args"].as_array().into_iter().flatten();
    let arguments = arguments.map(|argument| {
        let argument = text(argument, "an argument").to_owned();
        let known = environment.iter();
        known.fold(argument, |it, (name, value)| {
            it.replace(&format!("$({name})"), value)
        })
    });
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            CONTAINER,
            "sh",
        ])
        .arg(files)
        .arg(program)
        .arg(user.expect("the user").to_string())
        .args(arguments);
    command
}
