//! Redis: which RedisService decides a server, and what it says there.

use std::sync::Arc;

use meltemi_policy::{AttributeMatch, Condition, Precedence, Text};

use super::attachment::Attachment;
use super::secrets::{Credentials, credentials};
use super::services::Service;
use super::{
    Alternative, Context, Fault, Findings, Mirror, RemovePrefix, Rule, Server, ServerPolicy,
    Setting, SettingValue, WeightedCluster, objects_of,
};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::index::Objects;
use crate::manifest::{self, Destination, MetaRouter, Object, RedisRoute, RedisService, Spec};

mod destinations;

pub(super) use destinations::Destinations;

/// The plugin that these kinds are about.
pub(super) const PLUGIN: &str = "redis";
/// The attribute that prefixes are compared with.
const KEY: &str = "key";
/// The plugin's setting that `enableHashtagging` is.
const HASH_TAGS: &str = "hashTags";
/// What an injected error says.
const FAULT_TEXT: &str = "fault injected";

/// Attaches each RedisService to the servers that it names; the oldest counts.
pub(super) fn attach(
    objects: &Objects,
    context: &Context<'_>,
    servers: &mut [Server],
    findings: &mut Findings,
) {
    let mut services: Vec<_> = objects_of!(objects, RedisService).collect();
    services.sort_by_cached_key(|(object, _)| precedence(object));
    for (object, spec) in services {
        let rules = Rules {
            object,
            spec,
            context,
        };
        rules.attach(objects, servers, findings);
    }
}

fn precedence(object: &Object) -> Precedence {
    let id = &object.id;
    Precedence::new(0, object.metadata.created, &id.namespace, &id.name)
}

/// Where a RedisService says where requests go, a MetaRouter must not; who gets copies it may.
pub(super) fn refuse_destinations(
    object: &Object,
    router: &MetaRouter,
    server: &Server,
    findings: &mut Findings,
) {
    let destinations = router.routes.iter().flat_map(|route| &route.destinations);
    for destination in destinations {
        let host = &destination.host;
        let message = format!(
            "a MetaRouter names no destination on {}, whose RedisService says where requests go: \
             `{}` has no effect",
            server.name, host.value
        );
        let diagnostic = Diagnostic::error(Code::UnexpectedDestination, message);
        let remedy = "leave `route` out, and name the destination in a RedisService, by the \
                      prefix of the key";
        findings.at(object, host.at, diagnostic.remedy(remedy));
    }
}

struct Rules<'a> {
    object: &'a Arc<Object>,
    spec: &'a RedisService,
    context: &'a Context<'a>,
}

impl Rules<'_> {
    fn attach(&self, objects: &Objects, servers: &mut [Server], findings: &mut Findings) {
        let credentials = self.spec.settings.auth.as_ref().map(|auth| {
            let found = credentials(self.object, auth, objects, findings);
            found.ok_or(Unauthenticated)
        });
        let credentials = credentials.transpose();
        for (i, host) in self.spec.hosts.iter().enumerate() {
            let attachment = Attachment {
                object: self.object,
                host,
                gateways: &self.spec.gateways,
                plugin: Some(PLUGIN),
                context: self.context,
            };
            if i == 0 {
                attachment.check_destinations(self.destinations(), findings);
            }
            let Some(service) = attachment.service(findings) else {
                continue;
            };
            for i in attachment.servers(service, objects, servers, findings) {
                let Some(server) = servers.get_mut(i) else {
                    continue;
                };
                if !self.is_first(server, findings) {
                    continue;
                }
                // Without what clients have to show, nobody is served.
                if let Ok(credentials) = &credentials {
                    let rules = self.rules(&attachment, service, server, findings);
                    server.rules = rules.into_iter().map(Arc::new).collect();
                    self.decide(&mut server.policy, credentials.as_ref());
                }
                server.policy.source = Some(self.object.clone());
                server.attached.insert(self.object.id.clone());
            }
        }
    }

    /// All hosts that it names besides its own.
    fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.spec.routes.iter().flat_map(|route| {
            let mirrors = route.mirrors.iter().map(|mirror| &mirror.destination);
            std::iter::once(&route.destination).chain(mirrors)
        })
    }

    /// Whether no RedisService decides the server yet; through another of its hosts it may itself.
    fn is_first(&self, server: &Server, findings: &mut Findings) -> bool {
        let Some(first) = &server.policy.source else {
            return true;
        };
        if first.id == self.object.id {
            return false;
        }
        let message = format!(
            "{} decides the server {} already, and {} cannot as well",
            first.id, server.name, self.object.id
        );
        let diagnostic = Diagnostic::error(Code::SecondRedisService, message)
            .related("the first is here", Place::of(&first.file, first.at))
            .remedy("write the routes of both into one of them, or give one another server");
        findings.at(self.object, self.object.at, diagnostic);
        findings.or_blame([first.id.clone()]);
        false
    }

    /// The longest prefix first, and what takes the rest last.
    fn rules(
        &self,
        attachment: &Attachment<'_>,
        service: &Service,
        server: &Server,
        findings: &mut Findings,
    ) -> Vec<Rule> {
        let of = |destination: &Destination, findings: &mut Findings| {
            attachment.cluster(destination, service, server, findings)
        };
        if self.spec.routes.is_empty() {
            let own = Destination {
                host: attachment.host.clone(),
                subset: None,
                port: None,
                weight: 100,
                fallbacks: vec![],
            };
            return vec![Rule {
                destinations: vec![WeightedCluster::only(of(&own, findings))],
                timeout: self.spec.settings.op_timeout,
                ..Rule::of(self.object)
            }];
        }
        let routes = self.in_order().into_iter();
        let rules = routes.map(|(i, route)| {
            let mirrors = route.mirrors.iter();
            let mirrors = mirrors.map(|mirror| Mirror {
                cluster: of(&mirror.destination, findings),
                percentage: mirror.percentage,
                exclude_idempotent: mirror.exclude_read_commands,
            });
            let mirrors = mirrors.collect();
            let prefix = route.prefix.as_ref().map(|prefix| prefix.value.clone());
            let removed = prefix.clone().filter(|_| route.remove_prefix);
            Rule {
                route: Some(i),
                name: prefix.clone().unwrap_or_default(),
                alternatives: vec![Alternative::Of(
                    prefix
                        .map(|prefix| self.condition(prefix))
                        .into_iter()
                        .collect(),
                )],
                destinations: vec![WeightedCluster::only(of(&route.destination, findings))],
                timeout: self.spec.settings.op_timeout,
                remove_prefix: removed.map(|prefix| RemovePrefix {
                    attribute: KEY.to_owned(),
                    prefix,
                }),
                mirrors,
                ..Rule::of(self.object)
            }
        });
        rules.collect()
    }

    /// Of several routes without a prefix the last counts, as in Aeraki.
    fn in_order(&self) -> Vec<(usize, &RedisRoute)> {
        let length = |route: &RedisRoute| route.prefix.as_ref().map(|prefix| prefix.value.len());
        let routes = || self.spec.routes.iter().enumerate();
        let mut ordered: Vec<_> = routes().filter(|(_, r)| r.prefix.is_some()).collect();
        ordered.sort_by_key(|(_, route)| std::cmp::Reverse(length(route)));
        ordered.extend(routes().rfind(|(_, r)| r.prefix.is_none()));
        ordered
    }

    fn condition(&self, prefix: String) -> AttributeMatch {
        let ignore_case = self.spec.settings.case_insensitive;
        let value = prefix;
        AttributeMatch::new(KEY, Condition::Prefix(Text { value, ignore_case }))
    }

    /// What the RedisService says of a server, beyond where requests go.
    fn decide(&self, policy: &mut ServerPolicy, credentials: Option<&Credentials>) {
        let settings = &self.spec.settings;
        let has_hash_tags = policy.settings.iter().any(|s| s.name == HASH_TAGS);
        let mut put = |name: &str, value| Setting::new(name, value).put(&mut policy.settings);
        if let Some(Credentials { username, password }) = credentials {
            if let Some(username) = username {
                put("username", username.clone());
            }
            put("password", password.clone());
        }
        let plain = |value: &str| SettingValue::Plain(value.to_owned());
        if let Some(read_policy) = settings.read_policy {
            put("readPolicy", plain(read_policy));
        }
        // What Aeraki reads into a RedisService that says nothing, not what the plugin would.
        let unsaid = (!has_hash_tags).then_some(false);
        if let Some(hash_tags) = settings.hash_tags.or(unsaid) {
            put(HASH_TAGS, plain(&hash_tags.to_string()));
        }
        if let Some(redirection) = settings.redirection {
            put("enableRedirection", plain(&redirection.to_string()));
        }
        policy.faults = self.spec.faults.iter().map(fault).collect();
        policy.operation_metrics = settings.command_stats;
        policy.slow_request = settings.slow_command_threshold;
        policy.buffering = settings.buffering;
        policy.max_unknown_nodes = settings.max_unknown_connections;
    }
}

/// What clients have to show is not known.
struct Unauthenticated;

fn fault(fault: &manifest::Fault) -> Fault {
    let commands = fault.commands.iter();
    Fault {
        percentage: fault.percentage,
        operations: commands.map(|c| c.to_ascii_lowercase()).collect(),
        delay: fault.delay,
        error: fault.is_error.then(|| FAULT_TEXT.to_owned()),
    }
}

#[cfg(test)]
mod tests;
