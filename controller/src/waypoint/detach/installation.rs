//! The controller itself, and what it has written: gone once the waypoints are out, so that an uninstall leaves nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Instant;

use anyhow::{Context as _, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::sleep;

use super::cluster::{Cluster, delete, listed};
use super::{Detach, Id, PAUSE};
use crate::authority::{CONFIG_MAP, SECRET};
use crate::manifest::Kind;
use crate::schema::Settings;
use crate::source::kubernetes::resource;
use crate::status::{REPLICA_OF, replica_label};
use crate::waypoint::class;

/// What helm writes on what it installs.
const RELEASE: &str = "meta.helm.sh/release-name";
/// What the chart's Deployments of controllers have in common.
const CONTROLLERS: &str = "app=meltemi-controller";

pub(super) struct Installation {
    client: Client,
    namespace: String,
    revision: String,
    /// Of its Deployment, and of its Lease.
    name: String,
}

/// Where other controllers are that need what this one has written, too.
struct Others {
    in_namespace: bool,
    anywhere: bool,
}

impl Installation {
    pub(super) fn new(client: Client, arguments: &Detach) -> Self {
        let mut settings = Settings::new(vec![]);
        settings.revision = Some(arguments.revision.clone());
        Self {
            client,
            namespace: arguments.uninstall.controller_namespace.clone(),
            revision: arguments.revision.clone(),
            name: settings.manager(),
        }
    }

    /// Whether helm has installed it.
    pub(super) async fn is_of(&self, release: &str) -> anyhow::Result<()> {
        let (name, namespace) = (&self.name, &self.namespace);
        let deployment = self.deployments().get_opt(name).await;
        let deployment = deployment.context("the controller's Deployment cannot be read")?;
        let annotations = deployment.and_then(|it| it.metadata.annotations);
        let found = annotations.and_then(|mut all| all.remove(RELEASE));
        if found.as_deref() != Some(release) {
            bail!(
                "the Deployment {namespace}/{name} is none that helm has installed as {release}, so nothing is done: manifests \
                 for `kubectl apply` are rendered by `helm template --no-hooks`; what is to go goes by `meltemi detach --all \
                 --uninstall`, and then `helm uninstall --no-hooks`"
            );
        }
        Ok(())
    }

    pub(super) fn tell(&self, tell: &mut impl FnMut(fmt::Arguments<'_>)) {
        let Self {
            namespace, name, ..
        } = self;
        tell(format_args!(
            "Deployment {namespace}/{name} would have no pods any more; the Leases, the authority, its roots and the \
             GatewayClasses of the controller would go"
        ));
    }

    /// False: it is not all gone in time.
    pub(super) async fn remove(
        &self,
        (cluster, waypoints, led_to): (&Cluster, &BTreeSet<Id>, &BTreeSet<Id>),
        until: Instant,
        tell: &mut impl FnMut(fmt::Arguments<'_>),
    ) -> anyhow::Result<bool> {
        let Self {
            namespace, name, ..
        } = self;
        let ended = self.end(until).await;
        if !ended.with_context(|| format!("the controller {namespace}/{name} cannot be ended"))? {
            tell(format_args!(
                "the controller {namespace}/{name} has not ended in time: run it again to go on"
            ));
            return Ok(false);
        }
        tell(format_args!(
            "the controller {namespace}/{name} has no pod any more"
        ));
        for id in waypoints {
            let forgotten = cluster.forget(id).await;
            forgotten
                .with_context(|| format!("what the Gateway {id} says cannot be taken back"))?;
        }
        for id in led_to {
            let forgotten = cluster.forget_led_to(id).await;
            forgotten
                .with_context(|| format!("what the Gateway {id} says cannot be taken back"))?;
        }
        self.remove_leases()
            .await
            .context("its Leases cannot be removed")?;
        let others = self
            .others()
            .await
            .context("whether there are others cannot be told")?;
        self.remove_authority(&others, tell)
            .await
            .context("its authority cannot be removed")?;
        let classes = self.remove_classes(cluster, tell).await;
        classes.context("its GatewayClasses cannot be removed")?;
        Ok(true)
    }

    /// Has its pods end, and waits for it.
    async fn end(&self, until: Instant) -> kube::Result<bool> {
        let deployments = self.deployments();
        let Some(deployment) = deployments.get_opt(&self.name).await? else {
            return Ok(true);
        };
        let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
        deployments
            .patch_scale(&self.name, &PatchParams::default(), &none)
            .await?;
        let selector = deployment.spec.selector.match_labels;
        let selector = selector.unwrap_or_default().into_iter();
        let selector: Vec<_> = selector
            .map(|(label, value)| format!("{label}={value}"))
            .collect();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        while !listed(&pods, &selector.join(",")).await?.is_empty() {
            if Instant::now() >= until {
                return Ok(false);
            }
            sleep(PAUSE).await;
        }
        Ok(true)
    }

    async fn remove_leases(&self) -> kube::Result<()> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let of_replicas = format!("{REPLICA_OF}={}", replica_label(&self.name));
        let of_replicas = listed(&leases, &of_replicas).await?.into_iter();
        let names = of_replicas.filter_map(|lease| lease.metadata.name);
        for name in names.chain([self.name.clone()]) {
            delete(&leases, &name, None).await?;
        }
        Ok(())
    }

    async fn others(&self) -> kube::Result<Others> {
        let deployments: Api<Deployment> = Api::all(self.client.clone());
        let controllers = listed(&deployments, CONTROLLERS).await?;
        let is_other = |it: &&Deployment| {
            let place = (
                it.metadata.namespace.as_deref(),
                it.metadata.name.as_deref(),
            );
            place != (Some(&self.namespace), Some(&self.name))
        };
        let others: Vec<_> = controllers.iter().filter(is_other).collect();
        Ok(Others {
            anywhere: !others.is_empty(),
            in_namespace: others
                .iter()
                .any(|it| it.metadata.namespace.as_ref() == Some(&self.namespace)),
        })
    }

    async fn remove_authority(
        &self,
        others: &Others,
        tell: &mut impl FnMut(fmt::Arguments<'_>),
    ) -> kube::Result<()> {
        if others.anywhere {
            tell(format_args!(
                "the ConfigMaps {CONFIG_MAP} are kept: there is another controller"
            ));
        } else {
            let maps: Api<ConfigMap> = Api::all(self.client.clone());
            let named = ListParams::default().fields(&format!("metadata.name={CONFIG_MAP}"));
            for map in maps.list(&named).await? {
                let namespace = map.metadata.namespace.unwrap_or_default();
                let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &namespace);
                delete(&maps, CONFIG_MAP, None).await?;
            }
        }
        if others.in_namespace {
            tell(format_args!(
                "the Secret {SECRET} is kept: another controller of the namespace has the same authority"
            ));
            return Ok(());
        }
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        delete(&secrets, SECRET, None).await
    }

    /// Those that no Gateway names.
    async fn remove_classes(
        &self,
        cluster: &Cluster,
        tell: &mut impl FnMut(fmt::Arguments<'_>),
    ) -> kube::Result<()> {
        let classes = cluster.everywhere(&resource::of(Kind::GatewayClass, "v1"));
        let gateways = cluster.everywhere(&resource::of(Kind::KubernetesGateway, "v1"));
        let gateways = listed(&gateways, "").await?;
        let own = listed(&classes, "").await?.into_iter();
        let own = own.filter(|it| class::is_kept(it) && class::is_of(it, &self.revision));
        for class in own {
            let name = class.metadata.name.unwrap_or_default();
            let mut of_class = gateways.iter();
            let named = of_class.find(|it| it.data["spec"]["gatewayClassName"] == name.as_str());
            match named {
                None => delete(&classes, &name, class.metadata.uid).await?,
                Some(gateway) => tell(format_args!(
                    "the GatewayClass {name} is kept: the Gateway {}/{} is of it; when there is none any more: kubectl delete \
                     gatewayclass {name}",
                    gateway.metadata.namespace.as_deref().unwrap_or_default(),
                    gateway.metadata.name.as_deref().unwrap_or_default(),
                )),
            }
        }
        Ok(())
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}
