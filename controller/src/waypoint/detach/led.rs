//! Gateways that sidecars are led to: what these are told goes, first where to and, when all have heard of that, how.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use tokio::time::sleep;

use super::cluster::{Cluster, delete};
use super::{Id, PAUSE};
use crate::leads::{GATEWAY, REVISION};
use crate::model::MANAGED_BY;
use crate::source::kubernetes::resource;
use crate::waypoint::term::Lead;

/// A kind that is not defined, or that whoever asks may not read: none of it was written by us.
const UNREAD: [u16; 2] = [403, 404];

/// What sidecars are told, by the Gateway that they are led to.
pub(super) struct Led<'a> {
    cluster: &'a Cluster,
    revision: &'a str,
    told: BTreeMap<Id, Vec<(Lead, DynamicObject)>>,
}

impl<'a> Led<'a> {
    pub(super) async fn look(cluster: &'a Cluster, revision: &'a str) -> kube::Result<Self> {
        let mut led = Self {
            cluster,
            revision,
            told: BTreeMap::new(),
        };
        for lead in Lead::ALL {
            for object in led.list(lead).await? {
                if let Some(gateway) = gateway(&object) {
                    led.told.entry(gateway).or_default().push((lead, object));
                }
            }
        }
        let scope = cluster.namespace.as_deref();
        led.told
            .retain(|id, _| scope.is_none_or(|scope| id.namespace == scope));
        Ok(led)
    }

    /// Those that something is told of.
    pub(super) fn gateways(&self) -> BTreeSet<Id> {
        self.told.keys().cloned().collect()
    }

    /// Has sidecars led past these Gateways, and keeps a controller from leading them there again.
    pub(super) async fn withdraw(
        &self,
        asked: &BTreeSet<Id>,
        tell: &mut impl FnMut(fmt::Arguments<'_>),
    ) -> kube::Result<()> {
        for id in asked {
            self.cluster.mark(id).await?;
            self.remove(id, Lead::VirtualService).await?;
            tell(format_args!(
                "{id}  is taken out: sidecars are led past it, and it serves for whoever has not heard of it yet"
            ));
        }
        Ok(())
    }

    /// Once all have heard of that. False: it is not over in time.
    pub(super) async fn end(
        &self,
        asked: &BTreeSet<Id>,
        (since, farewell, until): (Timestamp, Duration, Instant),
        tell: &mut impl FnMut(fmt::Arguments<'_>),
    ) -> kube::Result<bool> {
        let farewell = SignedDuration::try_from(farewell).unwrap_or(SignedDuration::MAX);
        let is_over = || Timestamp::now().duration_since(since) >= farewell;
        while !asked.is_empty() && !is_over() {
            if Instant::now() >= until {
                tell(format_args!(
                    "how sidecars dial Gateways is not taken back in time: run it again to go on"
                ));
                return Ok(false);
            }
            sleep(PAUSE).await;
        }
        for id in asked {
            self.remove(id, Lead::DestinationRule).await?;
            tell(format_args!(
                "{id}  is out: nothing is told to sidecars any more"
            ));
        }
        Ok(true)
    }

    async fn remove(&self, id: &Id, which: Lead) -> kube::Result<()> {
        let told = self.told.get(id).into_iter().flatten();
        for (_, object) in told.filter(|(lead, _)| *lead == which) {
            let metadata = &object.metadata;
            let namespace = metadata.namespace.as_deref().unwrap_or_default();
            let api: Api<DynamicObject> = self.cluster.in_namespace(namespace, &resource(which));
            let name = metadata.name.as_deref().unwrap_or_default();
            delete(&api, name, metadata.uid.clone()).await?;
        }
        Ok(())
    }

    async fn list(&self, lead: Lead) -> kube::Result<Vec<DynamicObject>> {
        let (label, value) = MANAGED_BY;
        let own = format!("{label}={value},{REVISION}={}", self.revision);
        let params = ListParams::default().labels(&own);
        let resource = resource(lead);
        // What leads to a Gateway may stand in any namespace; whoever may not look there looks where he may.
        let places = [
            self.cluster.everywhere(&resource),
            self.cluster.objects(&resource),
        ];
        for api in places {
            match api.list(&params).await {
                Ok(list) => return Ok(list.items),
                Err(kube::Error::Api(status)) if UNREAD.contains(&status.code) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(vec![])
    }
}

fn resource(lead: Lead) -> kube::core::ApiResource {
    resource::of(lead.kind(), "v1")
}

fn gateway(object: &DynamicObject) -> Option<Id> {
    let annotations = object.metadata.annotations.as_ref()?;
    let (namespace, name) = annotations.get(GATEWAY)?.split_once('/')?;
    Some(Id {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}
