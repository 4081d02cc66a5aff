//! What a kubelet makes of a pod's one container: a process with its files, its user, its environment and its arguments.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Instance;
use super::controller::controller_binary;
use crate::meltemi::binary;
use crate::wait::until;

/// Runs in a mount namespace of its own, with a root that cannot be written, as the user that its Pod asks for and without any
/// capability; it ends with us. `$1` has what is mounted, `$2` is the image's program or directory, `$3` the user, `$4` what
/// the machine is called.
const CONTAINER: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir /run/secrets
cp -r "$1/mounts/." /run/secrets
chown -R "$3:$3" /run/secrets
if [ -d "$2" ]; then mkdir /run/image; else touch /run/image; fi
mount --bind "$2" /run/image
mount --bind "$1/hosts" /etc/hosts
echo "$4" >/proc/sys/kernel/hostname
mount -o remount,bind,ro /
user=$3
shift 4
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
  --pdeathsig KILL "$@"
"#;

/// Where volumes are mounted that can be.
const SECRETS: &str = "/var/run/secrets/";

/// What stands for an image.
#[derive(Clone, Debug)]
pub struct Image {
    /// A program or a directory, which is at `/run/image`.
    pub path: PathBuf,
    /// What is run, before the container's own arguments.
    pub entry: Vec<String>,
}

impl Image {
    /// Ours, by its name without registry and tag.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let path = match name {
            "meltemi-controller" => controller_binary(),
            "meltemi" => binary().to_owned(),
            _ => return None,
        };
        let entry = vec!["/run/image".to_owned()];
        Some(Self { path, entry })
    }
}

/// The last part of the image's name, without its tag.
pub(super) fn image_name(pod: &Value) -> &str {
    let image = text(&pod["spec"]["containers"][0]["image"], "the image");
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split(':').next().unwrap_or_default()
}

/// What it finds in its files, which go with their owner.
pub(super) fn files(cluster: &Instance, pod: &Value, names: &[(String, Ipv4Addr)]) -> TempDir {
    let files = TempDir::with_prefix("meltemi-pod-").expect("a temporary directory");
    let hosts = names
        .iter()
        .map(|(name, address)| format!("{address} {name}\n"));
    let hosts = format!("127.0.0.1 localhost\n{}", hosts.collect::<String>());
    fs::write(files.path().join("hosts"), hosts).expect("it can be written");
    mount(cluster, pod, &files.path().join("mounts"));
    files
}

/// What it has mounted: its volumes, and the token for the API server unless it wants none.
fn mount(cluster: &Instance, pod: &Value, mounts: &Path) {
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

fn project(cluster: &Instance, pod: &Value, source: &Value, directory: &Path) {
    if let Some(audience) = source["serviceAccountToken"]["audience"].as_str() {
        let path = text(&source["serviceAccountToken"]["path"], "the token's path");
        let token = token(cluster, pod, Some(audience));
        fs::write(directory.join(path), token).expect("it can be written");
        return;
    }
    let name = text(&source["configMap"]["name"], "the ConfigMap's name");
    let namespace = text(&pod["metadata"]["namespace"], "the namespace");
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
    // A Pod waits for it.
    let data = until(
        &format!("there is the ConfigMap {namespace}/{name}"),
        || Some(cluster.get(&path)?["data"].take()),
    );
    let items = source["configMap"]["items"].as_array().expect("items");
    for item in items {
        let (key, path) = (text(&item["key"], "a key"), text(&item["path"], "a path"));
        fs::write(directory.join(path), text(&data[key], key)).expect("it can be written");
    }
}

/// Bound to the pod; for the API server unless there is an audience.
fn token(cluster: &Instance, pod: &Value, audience: Option<&str>) -> String {
    let metadata = &pod["metadata"];
    let account = pod["spec"]["serviceAccountName"].as_str();
    let namespace = text(&metadata["namespace"], "the namespace");
    let path = format!(
        "/api/v1/namespaces/{namespace}/serviceaccounts/{}/token",
        account.unwrap_or("default")
    );
    let bound = json!({
        "apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"],
    });
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"audiences": audience.map_or_else(Vec::new, |it| vec![it]), "boundObjectRef": bound},
    });
    let answer = cluster.post(&path, &request);
    text(&answer["status"]["token"], "the token").to_owned()
}

fn environment(pod: &Value) -> BTreeMap<String, String> {
    let variables = pod["spec"]["containers"][0]["env"].as_array();
    let variables = variables.into_iter().flatten().map(|variable| {
        let name = text(&variable["name"], "the name of a variable");
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some(path) => pod
                .pointer(&format!("/{}", path.replace('.', "/")))
                .unwrap_or_else(|| panic!("the pod has no {path}")),
            None => &variable["value"],
        };
        (name.to_owned(), text(value, name).to_owned())
    });
    variables.collect()
}

/// What its container runs, in a network namespace where one is given.
pub(super) fn command(pod: &Value, image: &Image, files: &Path, network: Option<&Path>) -> Command {
    let container = &pod["spec"]["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
    let user = pod["spec"]["securityContext"]["runAsUser"].as_u64();
    let environment = environment(pod);
    let arguments = container["args"].as_array().into_iter().flatten();
    let arguments = arguments.map(|argument| {
        let argument = text(argument, "an argument").to_owned();
        let known = environment.iter();
        known.fold(argument, |it, (name, value)| {
            it.replace(&format!("$({name})"), value)
        })
    });
    let mut command = match network {
        Some(path) => {
            let mut command = Command::new("nsenter");
            command
                .arg(format!("--net={}", path.display()))
                .arg("unshare");
            command
        }
        None => Command::new("unshare"),
    };
    command
        .args(["--mount", "--uts", "--propagation", "private"])
        .args(["sh", "-c", CONTAINER, "sh"])
        .arg(files)
        .arg(&image.path)
        .arg(user.expect("the user").to_string())
        .arg(text(&pod["metadata"]["name"], "the name"))
        .args(&image.entry)
        .args(arguments)
        .envs(&environment);
    command
}

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{what} is missing"))
}
