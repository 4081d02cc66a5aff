//! What a client library asks of an API server: kubectl is a process of its own for each question.

use std::collections::BTreeSet;
use std::path::Path;

use kube::api::{Api, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, TypeMeta};
use kube::{Client, Config, Error};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::wait::until;

/// As an administrator.
pub(super) struct Requests {
    runtime: Runtime,
    client: Client,
}

/// Whom fields belong to that a test has applied.
const MANAGER: &str = "kubectl";
/// Those that are in no namespace.
const OF_THE_CLUSTER: [&str; 9] = [
    "ApplicationProtocol",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "GatewayClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "ValidatingWebhookConfiguration",
];

impl Requests {
    /// Nobody need listen yet.
    pub(super) fn new(kubeconfig: &Path) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let client = runtime.block_on(async {
            let read = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(read, &options).await;
            Client::try_from(config.expect("it leads to an API server")).expect("a client")
        });
        Self { runtime, client }
    }

    /// Applies each of some manifests.
    pub(super) fn apply(&self, manifests: &str, subresource: Option<&str>) {
        let documents: Vec<Value> = serde_saphyr::from_multiple(manifests).expect("YAML");
        for document in documents {
            match document["kind"].as_str() {
                Some("List") => {
                    let items = document["items"].as_array().expect("a list");
                    items
                        .iter()
                        .for_each(|item| self.apply_one(item, subresource));
                }
                _ => self.apply_one(&document, subresource),
            }
        }
    }

    fn apply_one(&self, manifest: &Value, subresource: Option<&str>) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let types = TypeMeta {
            api_version: text(&manifest["apiVersion"]),
            kind: text(&manifest["kind"]),
        };
        let name = text(&manifest["metadata"]["name"]);
        let kind = GroupVersionKind::try_from(&types).expect("a kind");
        let resource = ApiResource::from_gvk(&kind);
        let namespace = manifest["metadata"]["namespace"].as_str();
        let api: Api<DynamicObject> = match OF_THE_CLUSTER.contains(&&*kind.kind) {
            true => Api::all_with(self.client.clone(), &resource),
            false => {
                let namespace = namespace.unwrap_or("default");
                Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
        };
        let params = PatchParams::apply(MANAGER).force().validation_strict();
        let patch = Patch::Apply(manifest);
        let what = format!("{} {name} applies", kind.kind);
        let applied = self.until_answered(&what, async || match subresource {
            None => api.patch(&name, &params, &patch).await,
            Some(subresource) => {
                api.patch_subresource(subresource, &name, &params, &patch)
                    .await
            }
        });
        if let Err(error) = applied {
            panic!("{what}: {error}\n{manifest}");
        }
    }

    /// Whatever it answers. A connection of before may be broken, as that of somebody else would.
    fn until_answered<T>(
        &self,
        what: &str,
        ask: impl AsyncFn() -> Result<T, Error>,
    ) -> Result<T, Error> {
        until(what, || match self.runtime.block_on(ask()) {
            Err(Error::Service(_) | Error::HyperError(_)) => None,
            answer => Some(answer),
        })
    }

    /// None where nothing is there.
    pub(super) fn get(&self, path: &str) -> Option<Value> {
        let answer = self.until_answered(path, async || {
            self.client.request::<Value>(request("GET", path)).await
        });
        match answer {
            Err(Error::Api(status)) if status.is_not_found() => None,
            answer => Some(answer.unwrap_or_else(|error| panic!("{path}: {error}"))),
        }
    }

    /// What is answered to something that is sent there.
    pub(super) fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.until_answered(path, async || {
            let request = http::Request::post(path).header("content-type", "application/json");
            let request = request.body(body.to_string().into_bytes());
            self.client.request(request.expect("a request")).await
        });
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Merges something into what is at a path. None where nothing is, or it is refused.
    pub(super) fn patch(&self, path: &str, body: &Value) -> Option<Value> {
        self.send("PATCH", path, body)
    }

    /// Deletes what is at a path, with options. None where nothing is, or it is refused.
    pub(super) fn delete(&self, path: &str, options: &Value) -> Option<Value> {
        self.send("DELETE", path, options)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let content = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let answer = self.until_answered(path, async || {
            let request = http::Request::builder().method(method).uri(path);
            let request = request.header("content-type", content);
            let request = request.body(body.to_string().into_bytes());
            self.client.request(request.expect("a request")).await
        });
        answer.ok()
    }

    /// The text there; none where nobody answers, or it is refused.
    pub(super) fn try_get(&self, path: &str) -> Option<String> {
        let answer = self.client.request_text(request("GET", path));
        self.runtime.block_on(answer).ok()
    }

    pub(super) fn delete_all(&self, path: &str) {
        let path = format!("{path}?gracePeriodSeconds=0");
        let answer = self.until_answered(&path, async || {
            self.client.request::<Value>(request("DELETE", &path)).await
        });
        answer.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// The paths of the kinds that are defined.
    pub(super) fn defined(&self) -> BTreeSet<String> {
        let definitions = self.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions");
        let definitions = definitions.expect("a list");
        let mut kinds = BTreeSet::new();
        for definition in definitions["items"].as_array().expect("a list") {
            let spec = &definition["spec"];
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let [group, plural] = [&spec["group"], &spec["names"]["plural"]].map(text);
            let versions = spec["versions"].as_array().expect("a list").iter();
            let versions = versions.filter(|version| version["served"] == true);
            kinds
                .extend(versions.map(|it| format!("/apis/{group}/{}/{plural}", text(&it["name"]))));
        }
        kinds
    }

    /// The paths of the kinds that clients are told of, but for those without a group.
    pub(super) fn told(&self) -> BTreeSet<String> {
        let groups = self.until_answered("the groups are told", async || {
            self.client.list_api_groups_aggregated().await
        });
        let mut kinds = BTreeSet::new();
        for group in groups.expect("groups").items {
            let name = group.metadata.and_then(|it| it.name).expect("a name");
            for version in group.versions {
                let path = format!("/apis/{name}/{}", version.version.expect("a version"));
                let plurals = version.resources.into_iter().filter_map(|it| it.resource);
                kinds.extend(plurals.map(|plural| format!("{path}/{plural}")));
            }
        }
        kinds
    }
}

fn request(method: &str, path: &str) -> http::Request<Vec<u8>> {
    let request = http::Request::builder().method(method).uri(path);
    request.body(vec![]).expect("a request")
}
