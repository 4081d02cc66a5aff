//! What a cluster holds at one moment, for those who ask once.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use kube::api::{ListParams, ObjectList};
use kube::{Api, Client};
use thiserror::Error;

use super::object::Watched;
use super::secrets::stand_in;
use super::{kinds, permission, resource, scope};
use crate::manifest::{Decoded, Kind, ObjectRef, OutOfReach};
use crate::schema::Settings;

/// Objects of one answer: a list of tens of thousands comes in parts.
const PAGE: u32 = 500;
/// Kinds that are asked for at a time.
const AT_A_TIME: usize = 4;

const FORBIDDEN: u16 = 403;
const NOT_FOUND: u16 = 404;

#[derive(Debug, Error)]
pub(crate) enum ListError {
    #[error(
        "the objects of kind {kind} may not be listed: {message}; what it takes to read a cluster is in docs/reference/cluster.md"
    )]
    Forbidden { kind: Kind, message: String },
    #[error("the objects of kind {kind} cannot be listed")]
    Failed {
        kind: Kind,
        #[source]
        source: kube::Error,
    },
}

/// All objects of a cluster that are read, and the kinds that it does not know.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) objects: Vec<Decoded>,
    pub(crate) unknown: Vec<Kind>,
}

/// Reads each kind in the newest version that is served.
pub(crate) async fn list(client: &Client, settings: &Settings) -> Result<Listed, ListError> {
    let lists = stream::iter(kinds(true))
        .map(|kind| async move { Ok((kind, of_kind(client, settings, kind).await?)) })
        .buffered(AT_A_TIME);
    let lists: Vec<(Kind, Option<Vec<Decoded>>)> = lists.try_collect().await?;
    let mut listed = Listed::default();
    for (kind, objects) in lists {
        match objects {
            Some(objects) => listed.objects.extend(objects),
            None => listed.unknown.push(kind),
        }
    }
    Ok(listed)
}

/// Those of these Secrets that are there; in the place of one that may not be read stands that it may not.
pub(crate) async fn list_secrets(
    client: &Client,
    named: &BTreeSet<ObjectRef>,
) -> Result<Vec<Decoded>, ListError> {
    let kind = Kind::Secret;
    let version = kind.versions().first().unwrap_or(&"v1");
    let resource = resource::of(kind, version);
    let mut found = vec![];
    for id in named {
        let api = Api::<Watched>::namespaced_with(client.clone(), &id.namespace, &resource);
        match api.get_opt(&id.name).await {
            Ok(Some(secret)) => found.push(secret.decode(kind, &resource)),
            Ok(None) => {}
            Err(kube::Error::Api(status)) if status.code == FORBIDDEN => {
                let role = permission::manifests(&id.namespace, &[&id.name], None);
                found.push(stand_in(id, OutOfReach::NotPermitted(role)));
            }
            Err(source) => return Err(ListError::Failed { kind, source }),
        }
    }
    Ok(found)
}

/// None: the API server does not know the kind.
async fn of_kind(
    client: &Client,
    settings: &Settings,
    kind: Kind,
) -> Result<Option<Vec<Decoded>>, ListError> {
    for version in kind.versions() {
        let resource = resource::of(kind, version);
        let (api, fields) = scope(client, settings, kind, &resource);
        let mut parameters = ListParams::default().limit(PAGE);
        parameters.field_selector = fields;
        match pages(&api, parameters).await {
            Ok(objects) => {
                let objects = objects.into_iter();
                return Ok(Some(objects.map(|it| it.decode(kind, &resource)).collect()));
            }
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => {}
            // Whoever may not read them is told of the rest.
            Err(kube::Error::Api(status))
                if status.code == FORBIDDEN && kind == Kind::VirtualService =>
            {
                return Ok(None);
            }
            Err(kube::Error::Api(status)) if status.code == FORBIDDEN => {
                let message = status.message.clone();
                return Err(ListError::Forbidden { kind, message });
            }
            Err(source) => return Err(ListError::Failed { kind, source }),
        }
    }
    Ok(None)
}

async fn pages(
    api: &Api<Watched>,
    mut parameters: ListParams,
) -> Result<Vec<Watched>, kube::Error> {
    let mut objects = vec![];
    loop {
        let ObjectList {
            items, metadata, ..
        } = api.list(&parameters).await?;
        objects.extend(items);
        match metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(objects),
        }
    }
}
