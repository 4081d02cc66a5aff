//! One state-of-the-world stream: every response holds all that the client asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use meltemi_proto::envoy::service::discovery::v3 as proto;

use super::clients::{Held, Stream};
use super::rejection::{Refusal, Refused, Rejection};
use super::resources::{Resource, digest};
use super::{Resources, empty_is_wildcard, rank, resent_with};

const WILDCARD: &str = "*";

/// The server's side of one state-of-the-world stream.
#[derive(Debug, Default)]
pub(super) struct SotwStream {
    node: String,
    nonce: u64,
    types: BTreeMap<(usize, String), Subscription>,
}

/// One type on one stream.
#[derive(Debug, Default)]
struct Subscription {
    wildcard: bool,
    names: BTreeSet<String>,
    /// Asked for explicitly, so answered even if nothing changed.
    owed: bool,
    /// What the last response held, and its nonce.
    last: Option<(String, BTreeMap<String, Resource>)>,
    in_flight: bool,
    /// The last version of each resource that the client took, which stands in for one that it
    /// refuses: to leave it out would withdraw it.
    good: HashMap<String, Resource>,
    refused: HashMap<String, Arc<str>>,
}

impl SotwStream {
    /// Takes a request in; what it refuses is returned.
    pub(super) fn request(&mut self, request: proto::DiscoveryRequest) -> Vec<Rejection> {
        if let Some(node) = request.node {
            self.node = node.id;
        }
        let type_url = request.type_url;
        let key = (rank(&type_url), type_url.clone());
        let subscription = self.types.entry(key).or_default();
        if !subscription.answers(&request.response_nonce) {
            // Written before the client saw the last response; its answer to that one follows.
            return Vec::new();
        }
        let refused = subscription.acknowledge(request.error_detail.as_ref());
        subscription.want(request.resource_names, empty_is_wildcard(&type_url));
        refused
            .into_iter()
            .map(|refused| refused.report(&self.node, &type_url))
            .collect()
    }

    /// The responses that are due, at most one of each type.
    pub(super) fn respond(&mut self, resources: &Resources) -> Vec<proto::DiscoveryResponse> {
        let mut responses = Vec::new();
        let mut resend = BTreeSet::new();
        for ((_, type_url), subscription) in &mut self.types {
            subscription.owed |= resend.contains(type_url) && subscription.last.is_some();
            if subscription.in_flight {
                continue;
            }
            self.nonce += 1;
            if let Some(response) = subscription.respond(type_url, resources, self.nonce) {
                resend.extend(resent_with(type_url));
                responses.push(response);
            }
        }
        responses
    }
}

impl Stream for SotwStream {
    fn node_id(&self) -> &str {
        &self.node
    }

    fn each(&self, type_url: &str, seen: &mut dyn FnMut(&str, Held)) {
        let key = (rank(type_url), type_url.to_owned());
        let Some(subscription) = self.types.get(&key) else {
            return;
        };
        let last = subscription.last.iter().flat_map(|(_, last)| last);
        last.for_each(|(name, resource)| seen(name, subscription.held(name, resource)));
        let refused = subscription.refused.iter();
        for (name, version) in refused.filter(|(name, _)| !subscription.has_sent(name)) {
            let refused = Some(version.clone());
            seen(
                name,
                Held {
                    refused,
                    ..Held::default()
                },
            );
        }
    }

    fn type_urls(&self) -> Vec<String> {
        self.types
            .keys()
            .map(|(_, type_url)| type_url.clone())
            .collect()
    }
}

impl Subscription {
    fn has_sent(&self, name: &str) -> bool {
        self.last
            .as_ref()
            .is_some_and(|(_, last)| last.contains_key(name))
    }

    /// What became of the version that the last response held.
    fn held(&self, name: &str, last: &Resource) -> Held {
        let good = self.good.get(name).map(|good| &good.version);
        Held {
            acknowledged: good.cloned(),
            sent: (self.in_flight && good != Some(&last.version)).then(|| last.version.clone()),
            refused: self.refused.get(name).cloned(),
        }
    }

    fn answers(&self, nonce: &str) -> bool {
        match &self.last {
            // A nonce from before a reconnection means nothing to this stream.
            None => true,
            Some((last, _)) => nonce == last,
        }
    }

    fn want(&mut self, names: Vec<String>, empty_is_wildcard: bool) {
        let first = self.last.is_none() && self.names.is_empty() && !self.wildcard;
        let names: BTreeSet<_> = names.into_iter().collect();
        let wildcard = names.contains(WILDCARD)
            || (names.is_empty() && empty_is_wildcard && (first || self.wildcard));
        self.owed |= first || (wildcard && !self.wildcard) || !names.is_subset(&self.names);
        self.wildcard = wildcard;
        self.names = names;
    }

    /// Ends the response in flight and returns what was refused of it.
    fn acknowledge(&mut self, error: Option<&meltemi_proto::google::rpc::Status>) -> Vec<Refused> {
        let Some((_, last)) = self.last.as_ref().filter(|_| self.in_flight) else {
            return Vec::new();
        };
        self.in_flight = false;
        let fresh = last.iter().filter(|(name, resource)| {
            self.good.get(*name).map(|good| &good.version) != Some(&resource.version)
        });
        let fresh = fresh.map(|(name, resource)| (name.clone(), Arc::clone(&resource.version)));
        let refusal = error.map_or_else(Refusal::default, |error| {
            Refusal::of(error, &fresh.collect())
        });
        for refused in &refusal.refused {
            let version = Arc::clone(&refused.version);
            self.refused.insert(refused.name.clone(), version);
        }
        for (name, resource) in last {
            let refused = self.refused.get(name) == Some(&resource.version);
            if !refused && !refusal.doubtful.contains(name) {
                self.good.insert(name.clone(), resource.clone());
            }
        }
        self.good.retain(|name, _| last.contains_key(name));
        refusal.refused
    }

    /// The whole state, if the client does not have it, now in flight.
    fn respond(
        &mut self,
        type_url: &str,
        resources: &Resources,
        nonce: u64,
    ) -> Option<proto::DiscoveryResponse> {
        let state = self.state(type_url, resources);
        let unchanged = match &self.last {
            Some((_, last)) => *last == state,
            None => self.names.is_empty() && !self.wildcard,
        };
        if unchanged && !self.owed {
            return None;
        }
        self.owed = false;
        self.in_flight = true;
        self.refused.retain(|name, version| {
            let current = resources.get(type_url, name);
            current.is_some_and(|resource| resource.version == *version)
        });
        let nonce = nonce.to_string();
        let response = proto::DiscoveryResponse {
            version_info: digest(state.iter().map(|(name, r)| (name.as_str(), r))),
            resources: state
                .values()
                .map(|resource| resource.body.clone())
                .collect(),
            type_url: type_url.to_owned(),
            nonce: nonce.clone(),
            ..proto::DiscoveryResponse::default()
        };
        self.last = Some((nonce, state));
        Some(response)
    }

    fn state(&self, type_url: &str, resources: &Resources) -> BTreeMap<String, Resource> {
        let wanted = resources
            .of_type(type_url)
            .filter(|(name, _)| self.wildcard || self.names.contains(*name));
        wanted
            .filter_map(|(name, resource)| {
                let resource = match self.refused.get(name) {
                    Some(version) if *version == resource.version => self.good.get(name)?,
                    _ => resource,
                };
                Some((name.to_owned(), resource.clone()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
