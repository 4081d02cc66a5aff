//! One delta stream: which resources its client wants, has and refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use meltemi_proto::envoy::service::discovery::v3 as proto;

use super::clients::{Held, Stream};
use super::rejection::{Refusal, Refused, Rejection};
use super::resources::Seen;
use super::sorted::Sorted;
use super::{Resource, Resources, empty_is_wildcard, rank, resent_with};

const WILDCARD: &str = "*";

/// The server's side of one delta stream.
#[derive(Debug, Default)]
pub(super) struct DeltaStream {
    node: String,
    nonce: u64,
    /// By rank and type URL, the order in which they are answered.
    types: BTreeMap<(usize, String), Subscription>,
}

/// What the client has of one resource, as far as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Version(Arc<str>),
    Absent,
}

/// One type on one stream.
#[derive(Debug, Default)]
struct Subscription {
    wildcard: bool,
    /// As the resources of these names have them, where there are any: there may be thousands, for each of hundreds of clients.
    names: Sorted<Arc<str>>,
    /// The same.
    told: Sorted<Arc<str>, Told>,
    /// Asked for explicitly, so answered even if nothing changed.
    owed: BTreeSet<String>,
    /// A wildcard was asked for, so an answer is owed even if there is nothing.
    owed_wildcard: bool,
    refused: HashMap<String, Arc<str>>,
    in_flight: Option<InFlight>,
    /// What the client was told everything of, but for what is owed; none: there may be more.
    caught_up: Option<Seen>,
}

/// What to say of one name.
enum Answer<'r> {
    Resource(&'r Resource),
    Absent,
    Nothing,
    Later,
}

#[derive(Debug)]
struct InFlight {
    nonce: String,
    sent: HashMap<String, Arc<str>>,
}

impl DeltaStream {
    /// Takes a request in; what it refuses is returned.
    pub(super) fn request(&mut self, request: proto::DeltaDiscoveryRequest) -> Vec<Rejection> {
        if let Some(node) = request.node {
            self.node = node.id;
        }
        let type_url = request.type_url;
        let key = (rank(&type_url), type_url.clone());
        let first = !self.types.contains_key(&key);
        let subscription = self.types.entry(key).or_default();
        if !request.resource_names_unsubscribe.is_empty() {
            subscription.caught_up = None;
        }
        if first {
            let versions = request.initial_resource_versions.into_iter();
            subscription.told = versions
                .map(|(name, version)| (name.into(), Told::Version(version.into())))
                .collect();
            if request.resource_names_subscribe.is_empty() && empty_is_wildcard(&type_url) {
                subscription.subscribe(WILDCARD.to_owned(), first);
            }
        }
        for name in request.resource_names_subscribe {
            subscription.subscribe(name, first);
        }
        for name in &request.resource_names_unsubscribe {
            subscription.unsubscribe(name);
        }
        if first {
            subscription.forget_unwanted();
        }
        subscription
            .acknowledge(&request.response_nonce, request.error_detail)
            .into_iter()
            .map(|refused| refused.report(&self.node, &type_url))
            .collect()
    }

    /// The responses that are due, at most one of each type.
    pub(super) fn respond(&mut self, resources: &Resources) -> Vec<proto::DeltaDiscoveryResponse> {
        let mut responses = Vec::new();
        let mut resend: Vec<(String, BTreeSet<String>)> = Vec::new();
        let mut settled = true;
        for ((_, type_url), subscription) in &mut self.types {
            for (_, names) in resend.iter().filter(|(url, _)| url == type_url) {
                subscription.owe(names);
            }
            if subscription.in_flight.is_none()
                && let Some(mut response) = subscription.respond(type_url, resources, settled)
            {
                self.nonce += 1;
                let nonce = self.nonce.to_string();
                if let Some(in_flight) = &mut subscription.in_flight {
                    in_flight.nonce.clone_from(&nonce);
                    if let Some(url) = resent_with(type_url) {
                        resend.push((url, in_flight.sent.keys().cloned().collect()));
                    }
                }
                response.nonce = nonce;
                responses.push(response);
            }
            settled &= subscription.in_flight.is_none();
        }
        responses
    }
}

impl Stream for DeltaStream {
    fn node_id(&self) -> &str {
        &self.node
    }

    fn each(&self, type_url: &str, seen: &mut dyn FnMut(&str, Held)) {
        let key = (rank(type_url), type_url.to_owned());
        let told = self.types.get(&key).into_iter();
        for (subscription, (name, told)) in told.flat_map(|s| s.told.iter().map(move |t| (s, t))) {
            if let Told::Version(version) = told {
                seen(name, subscription.held(name, version));
            }
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
    /// What became of the version that the client was told of last.
    fn held(&self, name: &str, version: &Arc<str>) -> Held {
        let version = Some(version.clone());
        let in_flight = self.in_flight.as_ref();
        let is_sent = in_flight.is_some_and(|in_flight| in_flight.sent.contains_key(name));
        match self.refused.get(name) == version.as_ref() {
            true => Held {
                refused: version,
                ..Held::default()
            },
            false if is_sent => Held {
                sent: version,
                ..Held::default()
            },
            false => Held {
                acknowledged: version,
                ..Held::default()
            },
        }
    }

    fn subscribe(&mut self, name: String, first: bool) {
        if name == WILDCARD {
            self.wildcard = true;
            self.owed_wildcard = true;
            self.caught_up = None;
            // What is under way to a client that had left it comes to one that wants all, and is kept there.
            let sent = self.in_flight.iter().flat_map(|it| it.sent.keys());
            let forgotten = sent.filter(|name| !self.told.contains(name.as_str()));
            self.owed.extend(forgotten.cloned());
            return;
        }
        // What a reconnecting client says it has need not be repeated.
        if !first || !self.told.contains(name.as_str()) {
            self.owed.insert(name.clone());
        }
        self.names.insert(name.into(), ());
    }

    fn unsubscribe(&mut self, name: &str) {
        if name == WILDCARD {
            self.wildcard = false;
            self.owed_wildcard = false;
            self.forget_unwanted();
            return;
        }
        self.names.remove(name);
        if self.wildcard {
            // The protocol leaves it open whether the client dropped it.
            self.owed.insert(name.to_owned());
        } else {
            self.owed.remove(name);
            self.told.remove(name);
        }
    }

    fn forget_unwanted(&mut self) {
        if !self.wildcard {
            self.told.retain(|name| self.names.contains(name));
            self.owed.retain(|name| self.names.contains(&**name));
        }
    }

    fn owe(&mut self, names: &BTreeSet<String>) {
        let wanted = names
            .iter()
            .filter(|name| self.told.contains(name.as_str()));
        self.owed.extend(wanted.cloned());
    }

    /// Ends the response in flight, if `nonce` is its own, and returns what was refused.
    fn acknowledge(
        &mut self,
        nonce: &str,
        error: Option<meltemi_proto::google::rpc::Status>,
    ) -> Vec<Refused> {
        let Some(in_flight) = self.in_flight.take_if(|in_flight| in_flight.nonce == nonce) else {
            return Vec::new();
        };
        let Some(error) = error else {
            return Vec::new();
        };
        self.caught_up = None;
        let refusal = Refusal::of(&error, &in_flight.sent);
        for refused in &refusal.refused {
            let version = Arc::clone(&refused.version);
            self.refused.insert(refused.name.clone(), version);
        }
        // They come again, without what spoilt the response.
        for name in &refusal.doubtful {
            self.told.remove(name.as_str());
        }
        refusal.refused
    }

    /// The response that brings the client up to date, now in flight with an empty nonce. Nothing
    /// is said to be absent before types of lower rank have `settled`: the client may still act on
    /// a rule that names it.
    fn respond(
        &mut self,
        type_url: &str,
        resources: &Resources,
        settled: bool,
    ) -> Option<proto::DeltaDiscoveryResponse> {
        let now = resources.seen(type_url);
        let is_same = self.caught_up.as_ref().is_some_and(|it| it.is_same(&now));
        if is_same && self.owed.is_empty() && !self.owed_wildcard {
            return None;
        }
        let mut response = proto::DeltaDiscoveryResponse {
            type_url: type_url.to_owned(),
            ..proto::DeltaDiscoveryResponse::default()
        };
        self.refused.retain(|name, version| {
            let current = resources.get(type_url, name);
            current.is_none_or(|resource| resource.version == *version)
        });
        let mut sent = HashMap::new();
        let due = self.due((type_url, &now), resources);
        self.caught_up = Some(now);
        for name in due {
            match self.answer(&name, resources.get(type_url, &name), settled) {
                Answer::Later => {
                    self.caught_up = None;
                    continue;
                }
                Answer::Nothing => {}
                Answer::Absent => {
                    self.tell(name.as_str().into(), Told::Absent);
                    response.removed_resources.push(name.clone());
                }
                Answer::Resource(resource) => {
                    let version = Arc::clone(&resource.version);
                    response.resources.push(proto::Resource {
                        name: name.clone(),
                        version: version.to_string(),
                        resource: Some(resource.body.clone()),
                        ..proto::Resource::default()
                    });
                    if let Some((shared, _)) = resources.shared(type_url, &name) {
                        self.tell(shared.clone(), Told::Version(Arc::clone(&version)));
                    }
                    sent.insert(name.clone(), version);
                }
            }
            self.owed.remove(&name);
        }
        let empty = response.resources.is_empty() && response.removed_resources.is_empty();
        if empty && !std::mem::take(&mut self.owed_wildcard) {
            return None;
        }
        response.system_version_info = resources.type_version(type_url);
        self.owed_wildcard = false;
        self.flies(sent);
        Some(response)
    }

    /// These were sent, with a nonce that is still to be given.
    fn flies(&mut self, sent: HashMap<String, Arc<str>>) {
        self.names.fit();
        self.told.fit();
        let nonce = String::new();
        self.in_flight = Some(InFlight { nonce, sent });
    }

    /// The name takes the place of one that is the same.
    fn tell(&mut self, name: Arc<str>, told: Told) {
        if self.names.contains(&name) {
            self.names.insert(name.clone(), ());
        }
        self.told.insert(name, told);
    }

    fn answer<'r>(&self, name: &str, resource: Option<&'r Resource>, settled: bool) -> Answer<'r> {
        let told = self.told.get(name);
        match resource {
            Some(resource) if self.refused.get(name) != Some(&resource.version) => {
                Answer::Resource(resource)
            }
            // Asked for anew: the client has no good version to keep and waits for an answer.
            Some(_) if told.is_none() => Answer::Absent,
            Some(_) => Answer::Nothing,
            None if !settled => Answer::Later,
            None => Answer::Absent,
        }
    }

    /// The names whose state the client was not told, or asked for again.
    fn due(&self, (type_url, now): (&str, &Seen), resources: &Resources) -> BTreeSet<String> {
        let mut due = self.owed.clone();
        let differs = |name: &str| match (resources.get(type_url, name), self.told.get(name)) {
            (Some(resource), Some(Told::Version(told))) => resource.version != *told,
            (Some(_), Some(Told::Absent) | None) => true,
            (None, Some(Told::Version(_))) => true,
            (None, Some(Told::Absent)) => false,
            (None, None) => self.names.contains(name),
        };
        if let Some(was) = &self.caught_up {
            let changed = now.changed_since(was);
            let changed = changed.iter().map(|name| &**name);
            let is_wanted = |name: &&str| {
                self.wildcard || self.names.contains(*name) || self.told.contains(*name)
            };
            let changed = changed.filter(is_wanted).filter(|name| differs(name));
            due.extend(changed.map(str::to_owned));
            return due;
        }
        let named = self.names.keys().map(|name| &**name);
        let told = self.told.keys().map(|name| &**name);
        due.extend(
            named
                .chain(told)
                .filter(|name| differs(name))
                .map(str::to_owned),
        );
        if self.wildcard {
            let all = resources.of_type(type_url).map(|(name, _)| name);
            due.extend(all.filter(|name| differs(name)).map(str::to_owned));
        }
        due
    }
}

#[cfg(test)]
mod tests;
