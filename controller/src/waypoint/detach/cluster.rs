//! What the API server tells of waypoints, and what it is told.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::core::ApiResource;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::stage::{Seen, Stage};
use super::{Detach, Id};
use crate::leads::manager;
use crate::manifest::Kind;
use crate::schema::Settings;
use crate::source::kubernetes::resource;
use crate::waypoint::class;
use crate::waypoint::gateway::{DETACH, Waypoint};
use crate::waypoint::objects::{GATEWAY_NAME, MANAGED_BY};
use crate::waypoint::part::Part;

const NOT_FOUND: u16 = 404;
/// As whom it writes what the controller does not: that a Gateway was taken out.
const MANAGER: &str = "meltemi-detach";

pub(super) struct Cluster {
    client: Client,
    /// Where it looks; everywhere without.
    pub(super) namespace: Option<String>,
    /// The class of the waypoints.
    pub(super) class: String,
    /// Who else writes to their Gateways.
    controller: String,
}

/// A Gateway that is there.
pub(super) struct Found {
    uid: String,
    pub(super) seen: Seen,
    /// Uids of its parts.
    parts: BTreeMap<Part, String>,
}

impl Cluster {
    pub(super) fn new(client: Client, arguments: &Detach) -> Self {
        let mut settings = Settings::new(vec![]);
        settings.revision = Some(arguments.revision.clone());
        Self {
            client,
            namespace: arguments.scope(),
            class: class::waypoint_name(&arguments.revision),
            controller: settings.manager(),
        }
    }

    /// Those of the class.
    pub(super) async fn waypoints(&self) -> kube::Result<BTreeSet<Id>> {
        let gateways = self.gateways().await?;
        Ok(gateways.iter().map(id).collect())
    }

    async fn gateways(&self) -> kube::Result<Vec<Waypoint>> {
        let gateways = listed(&self.objects(&gateway()), "").await?;
        let own = gateways.iter();
        let own = own.filter(|it| it.data["spec"]["gatewayClassName"] == self.class.as_str());
        Ok(own.filter_map(Waypoint::of).collect())
    }

    /// Each of them, with what there is of it.
    pub(super) async fn see(&self) -> kube::Result<BTreeMap<Id, Found>> {
        let gateways = self.gateways().await?.into_iter();
        let mut found: BTreeMap<_, _> = gateways.map(|it| (id(&it), Found::of(&it))).collect();
        let (label, ours) = MANAGED_BY;
        for part in Part::ALL {
            let parts = self.objects(&part.resource());
            for object in listed(&parts, &format!("{label}={ours}")).await? {
                if let Some(found) = owner(&object, &mut found) {
                    found.seen.parts.push(part);
                    found
                        .parts
                        .extend(object.metadata.uid.map(|uid| (part, uid)));
                }
            }
        }
        let pods: Api<Pod> = self.api();
        for pod in listed(&pods, GATEWAY_NAME).await? {
            let labels = pod.metadata.labels.unwrap_or_default();
            let of = Id {
                namespace: pod.metadata.namespace.unwrap_or_default(),
                name: labels.get(GATEWAY_NAME).cloned().unwrap_or_default(),
            };
            if let Some(found) = found.get_mut(&of) {
                found.seen.pods += 1;
            }
        }
        Ok(found)
    }

    /// Says of a Gateway, where it is there, that it was taken out, and since when.
    pub(super) async fn mark(&self, id: &Id) -> kube::Result<()> {
        let Some(uid) = self.uid(id).await? else {
            return Ok(());
        };
        let annotations = json!({ DETACH: crate::status::now() });
        self.apply((id, &uid), MANAGER, Some(annotations)).await
    }

    /// Takes back what a Gateway says because sidecars were led to it.
    pub(super) async fn forget_led_to(&self, id: &Id) -> kube::Result<()> {
        let Some(uid) = self.uid(id).await? else {
            return Ok(());
        };
        let of = (id, uid.as_str());
        let params = PatchParams::apply(&manager(&self.controller)).force();
        let nothing = Patch::Apply(body(of));
        let gateway = self.gateway(id);
        gateway.patch_status(&id.name, &params, &nothing).await?;
        self.apply(of, MANAGER, None).await
    }

    /// None: there is no such Gateway.
    async fn uid(&self, id: &Id) -> kube::Result<Option<String>> {
        let named = ListParams::default().fields(&format!("metadata.name={}", id.name));
        let found = self.gateway(id).list(&named).await?;
        Ok(found.items.into_iter().find_map(|it| it.metadata.uid))
    }

    /// Does what comes next; there may be nothing to do but wait.
    pub(super) async fn act(&self, id: &Id, found: &Found, stage: &Stage) -> kube::Result<()> {
        let uid = found.uid.as_str();
        match stage {
            Stage::Announce => {
                let annotations = json!({ DETACH: crate::status::now() });
                self.apply((id, uid), MANAGER, Some(annotations)).await
            }
            Stage::Withdraw => {
                let body = json!({"metadata": {"uid": uid}, "status": {"addresses": null}});
                let (gateway, params) = (self.gateway(id), PatchParams::default());
                let patch = Patch::Merge(body);
                gateway
                    .patch_status(&id.name, &params, &patch)
                    .await
                    .map(drop)
            }
            Stage::End(parts) => self.delete((id, found), parts).await,
            Stage::Clear(parts) => {
                self.delete((id, found), parts).await?;
                // Where connections arrive is of no use to who comes next.
                self.apply((id, uid), &self.controller, None).await
            }
            Stage::Farewell(_) | Stage::Drain(_) | Stage::Out => Ok(()),
        }
    }

    /// Takes back whatever a Gateway says because of us: nobody of ours reads or writes it any more.
    pub(super) async fn forget(&self, id: &Id) -> kube::Result<()> {
        let Some(found) = self.see_one(id).await? else {
            return Ok(());
        };
        let of = (id, found.uid.as_str());
        self.apply(of, &self.controller, None).await?;
        let nothing = Patch::Apply(body(of));
        let params = PatchParams::apply(&self.controller).force();
        let gateway = self.gateway(id);
        gateway.patch_status(&id.name, &params, &nothing).await?;
        self.apply(of, MANAGER, None).await
    }

    async fn see_one(&self, id: &Id) -> kube::Result<Option<Found>> {
        let gateways = self.gateways().await?;
        let found = gateways.iter().find(|it| self::id(it) == *id);
        Ok(found.map(Found::of))
    }

    /// Has the Gateway these annotations of a manager, and nothing else of the same.
    async fn apply(
        &self,
        of: (&Id, &str),
        manager: &str,
        annotations: Option<Value>,
    ) -> kube::Result<()> {
        let mut body = body(of);
        // Whoever applies an empty list of them has it.
        if let Some(annotations) = annotations {
            body["metadata"]["annotations"] = annotations;
        }
        let (id, _) = of;
        let params = PatchParams::apply(manager).force();
        let (gateway, patch) = (self.gateway(id), Patch::Apply(body));
        gateway.patch(&id.name, &params, &patch).await.map(drop)
    }

    /// Those that are the Gateway's; what is gone already is no error.
    async fn delete(&self, (id, found): (&Id, &Found), parts: &[Part]) -> kube::Result<()> {
        for part in parts {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &id.namespace, &part.resource());
            delete(&api, &id.name, found.parts.get(part).cloned()).await?;
        }
        Ok(())
    }

    fn gateway(&self, id: &Id) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &id.namespace, &gateway())
    }

    pub(super) fn objects(&self, resource: &ApiResource) -> Api<DynamicObject> {
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    pub(super) fn in_namespace(
        &self,
        namespace: &str,
        resource: &ApiResource,
    ) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    /// In the whole cluster, wherever it looks else.
    pub(super) fn everywhere(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), resource)
    }
}

impl Found {
    fn of(waypoint: &Waypoint) -> Self {
        let since = waypoint.detached.as_ref();
        Self {
            uid: waypoint.uid.clone(),
            seen: Seen {
                since: since.and_then(|since| since.parse::<Timestamp>().ok()),
                is_published: waypoint.is_published(),
                ..Seen::default()
            },
            parts: BTreeMap::new(),
        }
    }
}

/// What is applied of a Gateway: this one, and no other of its name.
fn body((id, uid): (&Id, &str)) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": id.name, "namespace": id.namespace, "uid": uid},
    })
}

fn gateway() -> ApiResource {
    resource::of(Kind::KubernetesGateway, "v1")
}

fn id(waypoint: &Waypoint) -> Id {
    Id {
        namespace: waypoint.namespace.clone(),
        name: waypoint.name.clone(),
    }
}

/// The Gateway that an object is a part of.
fn owner<'a>(object: &DynamicObject, found: &'a mut BTreeMap<Id, Found>) -> Option<&'a mut Found> {
    let of = Id {
        namespace: object.metadata.namespace.clone()?,
        name: object.metadata.name.clone()?,
    };
    let owners = object.metadata.owner_references.iter().flatten();
    let found = found.get_mut(&of)?;
    let is_own = owners.into_iter().any(|owner| owner.uid == found.uid);
    is_own.then_some(found)
}

/// None of a kind that nobody has defined.
pub(super) async fn listed<K>(api: &Api<K>, labels: &str) -> kube::Result<Vec<K>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let params = ListParams::default().labels(labels);
    match api.list(&params).await {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Ok(vec![]),
        Err(error) => Err(error),
    }
}

/// What is gone already is no error. With a uid, no other of that name.
pub(super) async fn delete<K>(api: &Api<K>, name: &str, uid: Option<String>) -> kube::Result<()>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let params = DeleteParams {
        preconditions: uid.map(|uid| Preconditions {
            uid: Some(uid),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api.delete(name, &params).await {
        Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Ok(()),
        other => other.map(drop),
    }
}
