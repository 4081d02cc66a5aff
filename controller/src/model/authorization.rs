//! Which policies each server, and each port that is passed on, is under.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_policy::authorization::{Action, Clause, Condition, Patterns, Policy, Subject};

use super::hop::LOCAL;
use super::{Bind, Bound, Context, Findings, Hop, Server, Waypoint, objects_of};
use crate::diagnostic::{Code, Diagnostic};
use crate::manifest::{
    AuthorizationPolicy, Kind, Object, ObjectRef, Spec, TargetRef, Targets, nearest,
};
use crate::schema::ProtocolSchema;

mod backends;

/// The protocol that policies of Aeraki are about.
const DUBBO: &str = "dubbo";

/// A policy as one server is under it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AppliedPolicy {
    pub(crate) source: ObjectRef,
    pub(crate) policy: Policy,
}

/// Something that clients use: a server, or a port that is passed on.
struct Used<'a> {
    name: String,
    gateway: &'a Object,
    bound: Option<&'a Bound>,
    /// Its servers see the Gateway in the place of the client, and nobody but the Gateway their policies' clients: as whom
    /// they see it.
    hop: Option<&'a Hop>,
    /// None: its bytes are passed on.
    schema: Option<&'a ProtocolSchema>,
    speaks_dubbo: bool,
    /// Of the services that it is for.
    namespaces: BTreeSet<Arc<str>>,
    verifies_clients: bool,
}

/// Puts servers, and what waypoints pass on, under their policies.
pub(super) fn attach(
    context: &Context<'_>,
    (servers, waypoints): (&mut [Server], &mut [Waypoint]),
    findings: &mut Findings,
) {
    let istio = objects_of!(context.objects, AuthorizationPolicy);
    let dubbo = objects_of!(
        context.objects,
        DubboAuthorizationPolicy,
        AuthorizationPolicy
    );
    let policies: Vec<_> = istio.chain(dubbo).collect();
    let led = waypoints.iter().filter(|it| it.sidecars.is_some());
    let hops: BTreeMap<_, _> = led
        .map(|it| (it.gateway.id.clone(), it.hop.clone()))
        .collect();
    for (object, policy) in policies {
        let policy = Attaching {
            object,
            policy,
            context,
        };
        let mut under = vec![];
        for server in servers.iter_mut() {
            let used = Used::server(server, hops.get(&server.source.id), context);
            let applied = policy.applied(&used, findings);
            under.extend(applied.is_some().then(|| used.seen()));
            server.authorization.extend(applied);
        }
        for waypoint in waypoints.iter_mut() {
            for passed in &mut waypoint.passed {
                let used = Used::passed(&waypoint.gateway, &passed.name.to_string(), &passed.bound);
                let applied = policy.applied(&used, findings);
                under.extend(applied.is_some().then(|| used.seen()));
                passed.authorization.extend(applied);
            }
        }
        policy.tell(&under, findings);
    }
}

/// What is told of something that is under a policy.
struct Seen {
    name: String,
    gateway: ObjectRef,
    verifies_clients: bool,
}

impl<'a> Used<'a> {
    fn server(server: &'a Server, hop: Option<&'a Hop>, context: &'a Context<'_>) -> Self {
        let plugin = &server.protocol.plugin;
        let mut schemas = context.settings.protocols.iter();
        let bound = match &server.bind {
            Bind::Service(bound) => Some(bound),
            Bind::Tcp(..) | Bind::Unix(_) => None,
        };
        Self {
            name: server.name.to_string(),
            gateway: &server.source,
            bound,
            hop,
            schema: schemas.find(|schema| schema.id == *plugin),
            speaks_dubbo: plugin == DUBBO,
            namespaces: namespaces(server, bound, context),
            verifies_clients: server.verifies_clients(),
        }
    }

    fn passed(gateway: &'a Object, name: &str, bound: &'a Bound) -> Self {
        Self {
            name: name.to_owned(),
            gateway,
            bound: Some(bound),
            hop: None,
            schema: None,
            speaks_dubbo: false,
            namespaces: [bound.namespace.clone()].into(),
            verifies_clients: true,
        }
    }

    fn seen(&self) -> Seen {
        Seen {
            name: self.name.clone(),
            gateway: self.gateway.id.clone(),
            verifies_clients: self.verifies_clients,
        }
    }
}

/// Whether a server is under the same policies, whatever else of its rules is other than before.
#[cfg(feature = "kubernetes")]
pub(super) fn is_as_before((was, now): (&Server, &Server), context: &Context<'_>) -> bool {
    let mut by_namespace = context.objects.of_kind(Kind::DubboAuthorizationPolicy);
    let of = |server: &Server| {
        let bound = match &server.bind {
            Bind::Service(bound) => Some(bound),
            Bind::Tcp(..) | Bind::Unix(_) => None,
        };
        namespaces(server, bound, context)
    };
    by_namespace.next().is_none() || of(was) == of(now)
}

/// Those of the services that its rules lead to, and, at a Gateway that clients dial themselves, its own.
fn namespaces(server: &Server, bound: Option<&Bound>, context: &Context<'_>) -> BTreeSet<Arc<str>> {
    if let Some(bound) = bound {
        return [bound.namespace.clone()].into();
    }
    let mut namespaces = BTreeSet::from([server.source.id.namespace.clone()]);
    for rule in &server.rules {
        let from = &rule.source.id.namespace;
        let services = rule.clusters();
        let services = services.filter_map(|name| context.services.find(&name.host, from));
        namespaces.extend(services.map(|service| service.namespace.clone()));
    }
    namespaces
}

/// A policy that is looked for something to be for.
struct Attaching<'a> {
    object: &'a Arc<Object>,
    policy: &'a AuthorizationPolicy,
    context: &'a Context<'a>,
}

impl Attaching<'_> {
    /// The policy as this is under it. None: it is not.
    fn applied(&self, used: &Used<'_>, findings: &mut Findings) -> Option<AppliedPolicy> {
        if !self.is_for(used) {
            return None;
        }
        let mut policy = match &self.policy.targets {
            Targets::Workloads(_) => {
                backends::said_of_clients(&self.policy.policy, used, self.context)?
            }
            _ => self.policy.policy.clone(),
        };
        let trust_domains: Vec<_> = self.context.mesh.trust_domains().collect();
        rename(&mut policy, &trust_domains);
        if let Some(schema) = used.schema {
            lower(&mut policy, schema);
            self.check_attributes(&mut policy, schema, findings);
        }
        Some(AppliedPolicy {
            source: self.object.id.clone(),
            policy,
        })
    }

    fn is_for(&self, used: &Used<'_>) -> bool {
        let own = &self.object.id.namespace;
        let is_root = **own == *self.context.settings.root_namespace;
        match &self.policy.targets {
            Targets::Workloads(labels) => backends::are_selected(used, labels, self),
            Targets::Dubbo => used.speaks_dubbo && (is_root || used.namespaces.contains(own)),
            Targets::Unreadable => {
                let is_at_home = used.bound.is_some_and(|bound| bound.namespace == *own);
                is_at_home || used.gateway.id.namespace == *own && self.is_targetable(used)
            }
            Targets::Named(targets) => targets.iter().any(|target| self.names(target, used)),
        }
    }

    /// Istio's own Gateways cannot be named.
    fn is_targetable(&self, used: &Used<'_>) -> bool {
        used.gateway.id.kind == Kind::KubernetesGateway
    }

    fn names(&self, target: &TargetRef, used: &Used<'_>) -> bool {
        let own = &self.object.id.namespace;
        let name = target.name.value.as_str();
        let is = |id: &ObjectRef| id.namespace == *own && *id.name == *name;
        let is_of_kind = |kind: Kind| target.kind.is_none_or(|named| named == kind);
        let names_service = used
            .bound
            .is_some_and(|bound| is(&bound.service) && is_of_kind(bound.service.kind));
        let names_gateway =
            self.is_targetable(used) && is(&used.gateway.id) && is_of_kind(Kind::KubernetesGateway);
        names_service || names_gateway || self.names_class(target, used)
    }

    /// In the root namespace alone, as in Istio.
    fn names_class(&self, target: &TargetRef, used: &Used<'_>) -> bool {
        let is_root = *self.object.id.namespace == *self.context.settings.root_namespace;
        let Spec::KubernetesGateway(gateway) = &used.gateway.spec else {
            return false;
        };
        is_root
            && target.kind == Some(Kind::GatewayClass)
            && gateway.class.value == target.name.value
    }

    /// What the protocol's messages do not have counts against a request, and is told.
    fn check_attributes(
        &self,
        policy: &mut Policy,
        schema: &ProtocolSchema,
        findings: &mut Findings,
    ) {
        for attribute in &self.policy.attributes {
            let known = || schema.attributes.iter().map(|it| it.name.as_str());
            let name = attribute.value.as_str();
            let near = nearest(name, known());
            if known().any(|it| it == name) || (near.is_none() && schema.open) {
                continue;
            }
            leave_out(policy, name);
            let hint = near.map(|near| format!("; did you mean `{near}`?"));
            let then = match policy.action {
                Action::Deny => "there its rules deny as if it were not written",
                Action::Allow | Action::Audit => "there its rule never holds",
            };
            let message = format!(
                "unknown attribute `{name}` of protocol {}{}: {then}",
                schema.id,
                hint.unwrap_or_default()
            );
            let diagnostic = Diagnostic::warning(Code::UnknownAttribute, message);
            let names = known().collect::<Vec<_>>().join(", ");
            let remedy = format!("its attributes are {names}");
            findings.blameless(self.object, attribute.at, diagnostic.remedy(remedy));
        }
    }

    /// Says what is wrong with it, if it is for anything here.
    fn tell(&self, under: &[Seen], findings: &mut Findings) {
        let missing = self.tell_missing(findings);
        let is_ours = !under.is_empty() || missing;
        if is_ours || matches!(self.policy.targets, Targets::Dubbo) {
            for told in &self.policy.told {
                findings.push(told.clone().or_general_remedy(), vec![]);
            }
        }
        if self.policy.is_closed && !under.is_empty() {
            self.tell_closed(under, findings);
        }
        self.tell_unproven(under, findings);
    }

    fn tell_closed(&self, under: &[Seen], findings: &mut Findings) {
        let names: Vec<_> = under.iter().map(|it| it.name.as_str()).collect();
        let message = format!(
            "nobody may use {}: this policy cannot be read, or asks for what is not done",
            names.join(", ")
        );
        let diagnostic = Diagnostic::error(Code::PolicyClosed, message);
        findings.blameless(self.object, self.object.at, diagnostic);
        let gateways: BTreeSet<_> = under.iter().map(|it| &it.gateway).collect();
        let gateways = gateways.into_iter();
        for gateway in gateways.filter_map(|id| self.context.objects.get(id)) {
            let message = format!(
                "{} closes what is behind it: it cannot be read",
                self.object.id
            );
            let diagnostic = Diagnostic::warning(Code::PolicyClosed, message);
            findings.blameless(gateway, gateway.at, diagnostic);
        }
    }

    /// Says where nobody proves to be whom it asks for.
    fn tell_unproven(&self, under: &[Seen], findings: &mut Findings) {
        let unproven = under.iter().filter(|it| !it.verifies_clients);
        let names: Vec<_> = unproven.map(|it| it.name.as_str()).collect();
        if names.is_empty() || !self.policy.policy.asks_for_identity() {
            return;
        }
        let message = format!(
            "this policy asks who clients are, and {} asks none for a certificate: all of them are nobody",
            names.join(", ")
        );
        let diagnostic = Diagnostic::warning(Code::IdentityUnavailable, message);
        let remedy =
            "let the Gateway ask for certificates (`tls.mode: MUTUAL`), or stand behind a waypoint";
        findings.blameless(self.object, self.object.at, diagnostic.remedy(remedy));
    }

    /// Says which of its targets are not there. Whether any is not.
    fn tell_missing(&self, findings: &mut Findings) -> bool {
        let Targets::Named(targets) = &self.policy.targets else {
            return false;
        };
        let mut is_missing = false;
        for target in targets {
            let Some(why) = self.why_missing(target) else {
                continue;
            };
            is_missing = true;
            let diagnostic = Diagnostic::warning(Code::UnknownTarget, why);
            findings.blameless(self.object, target.name.at, diagnostic);
        }
        is_missing
    }

    fn why_missing(&self, target: &TargetRef) -> Option<String> {
        let own = &self.object.id.namespace;
        let kind = target.kind?;
        let is_class = kind == Kind::GatewayClass;
        if is_class && **own != *self.context.settings.root_namespace {
            let root = &self.context.settings.root_namespace;
            return Some(format!(
                "a policy for a GatewayClass acts in the root namespace {root} alone"
            ));
        }
        let namespace = if is_class { "" } else { own };
        let id = ObjectRef::new(kind, namespace, &target.name.value);
        let is_own_class = is_class && target.name.value.starts_with("meltemi");
        let is_there = is_own_class || self.context.objects.contains_key(&id);
        (!is_there).then(|| format!("there is no {id}"))
    }
}

/// The principals of one trust domain of the mesh are those of all of them, as Istio has it (`MigrateTrustDomain`); the local
/// one is its own, whatever that is called.
fn rename(policy: &mut Policy, trust_domains: &[&str]) {
    for condition in conditions(policy) {
        if let Subject::Principal(patterns) = &mut condition.subject {
            let texts: Vec<_> = patterns.texts().collect();
            let of_mesh = texts.iter().filter_map(|text| {
                let (trust_domain, rest) = text.split_once('/')?;
                let is_ours = trust_domain == LOCAL || trust_domains.contains(&trust_domain);
                is_ours.then_some((trust_domain, rest))
            });
            let own = of_mesh.flat_map(|(written, rest)| {
                let others = trust_domains.iter().filter(move |it| **it != written);
                others.map(move |it| format!("{it}/{rest}"))
            });
            let own: Vec<_> = own.collect();
            *patterns = Patterns::new(texts.iter().chain(&own).map(String::as_str));
        }
    }
}

/// Values that are told in lower case are compared so, however people write them: what denies must not miss one.
fn lower(policy: &mut Policy, schema: &ProtocolSchema) {
    for condition in conditions(policy) {
        if let Subject::Attribute(name, patterns) = &mut condition.subject
            && schema.lower_case.contains(name)
        {
            let texts: Vec<_> = patterns.texts().map(|it| it.to_ascii_lowercase()).collect();
            *patterns = Patterns::new(texts.iter().map(String::as_str));
        }
    }
}

fn conditions(policy: &mut Policy) -> impl Iterator<Item = &mut Condition> {
    let clauses = policy.rules.iter_mut().flat_map(|rule| &mut rule.clauses);
    clauses.flat_map(|clause| clause.any.iter_mut().flatten())
}

/// An attribute that no message has: what denies is as if it were not asked for, what allows never holds.
fn leave_out(policy: &mut Policy, name: &str) {
    let asks = |condition: &Condition| matches!(&condition.subject, Subject::Attribute(it, _) if it == name);
    let denies = policy.action == Action::Deny;
    let clauses = policy.rules.iter_mut().flat_map(|rule| &mut rule.clauses);
    clauses.for_each(|Clause { any }| match denies {
        true => any.iter_mut().for_each(|all| all.retain(|it| !asks(it))),
        false => any.retain(|all| !all.iter().any(asks)),
    });
}
