//! What else is in the cluster, and changes what our objects mean: an Aeraki, and definitions that are not ours. Looked at
//! from time to time; what cannot be seen stays as it was.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::Change;
use crate::crd;
use crate::leader::Leadership;
use crate::model::CONTROLLER;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);

/// As its manifests and its chart label it.
const AERAKI: &str = "app=aeraki";
/// What its webhook is asked about.
const AERAKI_GROUP: &str = "metaprotocol.aeraki.io";

/// By the API server.
const LONGEST_NOTE: usize = 1024;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// Its Deployment, or its webhook.
    pub(crate) aeraki: Option<String>,
    pub(crate) outdated: Vec<Outdated>,
}

/// A definition that lacks something of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outdated {
    pub(crate) name: String,
    pub(crate) uid: String,
    /// At least one.
    pub(crate) lacking: Vec<String>,
}

impl Outdated {
    fn event(&self) -> Event {
        let note = self.message();
        let end = note.floor_char_boundary(LONGEST_NOTE);
        Event {
            type_: EventType::Warning,
            reason: "CRDsOutdated".to_owned(),
            note: note.get(..end).map(str::to_owned),
            action: "Compare".to_owned(),
            secondary: None,
        }
    }

    fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("apiextensions.k8s.io/v1".to_owned()),
            kind: Some("CustomResourceDefinition".to_owned()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }

    /// What it is and what to do about it, in a sentence.
    pub(crate) fn message(&self) -> String {
        const SHOWN: usize = 5;
        let shown = self.lacking.iter().take(SHOWN).cloned().collect::<Vec<_>>();
        let more = match self.lacking.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!(
            "the definition {} is not that of this controller: the API server drops or refuses {}{more}; apply the chart \
             meltemi-crds of this version",
            self.name,
            shown.join(", ")
        )
    }
}

/// Looks until nobody hears it any more. The first look is told whatever it sees.
pub(super) async fn look_on(
    (client, root_namespace): (Client, String),
    changes: mpsc::Sender<Change>,
) {
    let mut seen: Option<Surroundings> = None;
    let mut said = false;
    loop {
        let before = seen.clone().unwrap_or_default();
        let now = match timeout(PATIENCE, look(&client, &root_namespace)).await {
            Ok(Ok(now)) => now,
            Ok(Err(error)) => {
                if !std::mem::replace(&mut said, true) {
                    warn!(%error, "what else is in the cluster cannot be seen, and counts as it was");
                }
                before.clone()
            }
            Err(_) => before.clone(),
        };
        if seen.as_ref() != Some(&now) {
            tell(&before, &now);
            if changes
                .send(Change::Surroundings(now.clone()))
                .await
                .is_err()
            {
                return;
            }
            seen = Some(now);
        }
        tokio::select! {
            () = changes.closed() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn tell(before: &Surroundings, now: &Surroundings) {
    match (&before.aeraki, &now.aeraki) {
        (None, Some(aeraki)) => warn!(
            aeraki,
            "Aeraki is here, too: rules count in namespaces with the label meltemi.io/enabled"
        ),
        (Some(_), None) => info!("Aeraki is gone: rules count in every namespace"),
        _ => {}
    }
    for outdated in now
        .outdated
        .iter()
        .filter(|it| !before.outdated.contains(it))
    {
        warn!(reason = "CRDsOutdated", "{}", outdated.message());
    }
    for outdated in &before.outdated {
        if !now.outdated.iter().any(|it| it.name == outdated.name) {
            info!(
                definition = outdated.name,
                "the definition has what this controller needs"
            );
        }
    }
}

/// What is there at one moment.
pub(crate) async fn look(client: &Client, root_namespace: &str) -> kube::Result<Surroundings> {
    Ok(Surroundings {
        aeraki: aeraki(client, root_namespace).await?,
        outdated: outdated(client).await?,
    })
}

/// Its Deployment is looked for in the root namespace alone: whoever may write there decides about the mesh anyway. One that is
/// elsewhere has its webhook.
async fn aeraki(client: &Client, root_namespace: &str) -> kube::Result<Option<String>> {
    let labelled = ListParams::default().labels(AERAKI);
    let deployments = Api::<Deployment>::namespaced(client.clone(), root_namespace);
    let deployments = deployments.list(&labelled).await?;
    // One that was scaled down does nothing.
    let all = deployments.items.into_iter();
    let mut running = all.filter(|it| it.spec.replicas != Some(0));
    if let Some(deployment) = running.next() {
        let metadata = deployment.metadata;
        let (namespace, name) = (metadata.namespace, metadata.name);
        let whole = [namespace, name].map(Option::unwrap_or_default).join("/");
        return Ok(Some(format!("Deployment {whole}")));
    }
    let all = ListParams::default();
    let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    for configuration in validating.list(&all).await? {
        let webhooks = configuration.webhooks.into_iter().flatten();
        if asks(webhooks.map(|it| it.rules)) {
            let name = configuration.metadata.name.unwrap_or_default();
            return Ok(Some(format!("ValidatingWebhookConfiguration {name}")));
        }
    }
    let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone());
    for configuration in mutating.list(&all).await? {
        let webhooks = configuration.webhooks.into_iter().flatten();
        if asks(webhooks.map(|it| it.rules)) {
            let name = configuration.metadata.name.unwrap_or_default();
            return Ok(Some(format!("MutatingWebhookConfiguration {name}")));
        }
    }
    Ok(None)
}

/// Whether one of these webhooks asks about Aeraki's kinds. One for all groups asks about everything, and is somebody else's.
fn asks(webhooks: impl Iterator<Item = Option<Vec<RuleWithOperations>>>) -> bool {
    let mut groups = webhooks
        .flatten()
        .flatten()
        .flat_map(|rule| rule.api_groups)
        .flatten();
    groups.any(|group| group == AERAKI_GROUP)
}

/// Tells people of each definition that lacks something, by an Event on it, while this process leads.
pub(crate) async fn announce(
    client: Client,
    mut leadership: Leadership,
    mut seen: watch::Receiver<Option<Surroundings>>,
) {
    let recorder = Recorder::new(client, Reporter::from(CONTROLLER));
    let mut told: Vec<Outdated> = vec![];
    while leadership.begun().await.is_ok() {
        let now = seen.borrow_and_update().clone();
        let now = now.map(|seen| seen.outdated).unwrap_or_default();
        for outdated in now.iter().filter(|it| !told.contains(it)) {
            let written = recorder
                .publish(&outdated.event(), &outdated.reference())
                .await;
            if let Err(error) = written {
                warn!(name = outdated.name, %error, "an Event cannot be written");
            }
        }
        told = now;
        if seen.changed().await.is_err() {
            return;
        }
    }
}

async fn outdated(client: &Client) -> kube::Result<Vec<Outdated>> {
    let resource = ApiResource {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
    };
    let definitions = Api::<DynamicObject>::all_with(client.clone(), &resource);
    let mut found = vec![];
    for own in crd::definitions() {
        let name = own["metadata"]["name"].as_str().unwrap_or_default();
        // What is not there is a kind that the API server does not know, which is told.
        let Some(installed) = definitions.get_opt(name).await? else {
            debug!(name, "there is no such definition");
            continue;
        };
        let uid = installed.metadata.uid.clone().unwrap_or_default();
        let lacking = crd::lacking(&own, &installed.data);
        if !lacking.is_empty() {
            found.push(Outdated {
                name: name.to_owned(),
                uid,
                lacking,
            });
        }
    }
    Ok(found)
}
