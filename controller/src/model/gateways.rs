//! The servers of all Gateways: what is listened on.

mod kubernetes;
mod selector;

#[cfg(feature = "kubernetes")]
pub(crate) use kubernetes::CONTROLLER;
pub(super) use kubernetes::{PROXY, is_waypoint, not_served, of_sidecars};

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::protocols::{self, PortName, Protocols};
use super::{Bind, Context, Findings, Server, ServerName, ServerPolicy, objects_of, tls};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::index::Objects;
use crate::manifest::{self, Located, Object, Spec};

/// The servers that can be opened, without rules yet.
pub(super) fn servers(
    objects: &Objects,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Vec<Server> {
    let mut servers: Vec<(Server, Place)> = vec![];
    let of_istio = objects_of!(objects, Gateway).flat_map(|(object, gateway)| {
        gateway
            .servers
            .iter()
            .map(move |it| (object, Cow::Borrowed(it)))
    });
    let of_kubernetes = kubernetes::servers(context, findings).into_iter();
    let of_kubernetes = of_kubernetes.map(|(object, server)| (object, Cow::Owned(server)));
    for (object, server) in of_istio.chain(of_kubernetes) {
        let Some(made) = make(object, &server, context, findings) else {
            continue;
        };
        let place = Place::of(&object.file, server.mark.at);
        let is_in_the_way = |(other, _): &&(Server, Place)| {
            let same_proxies = !context.settings.gateways_apart || other.source.id == object.id;
            same_proxies && overlap(&other.bind, &made.bind) && !other.is_told_from(&made)
        };
        if let Some((other, first)) = servers.iter().find(is_in_the_way) {
            let (message, remedy) = in_the_way(other, &made);
            let diagnostic = Diagnostic::error(Code::AddressInUse, message)
                .related("the first is here", first.clone())
                .remedy(remedy);
            findings.at(object, server.mark.at, diagnostic);
            findings.or_blame([other.source.id.clone()]);
            continue;
        }
        servers.push((made, place));
    }
    let mut checked = BTreeSet::new();
    for (made, _) in &servers {
        if let Spec::Gateway(gateway) = &made.source.spec
            && checked.insert(&made.source.id)
        {
            selector::check(&made.source, gateway, objects, findings);
        }
    }
    servers.into_iter().map(|(server, _)| server).collect()
}

fn make(
    object: &Arc<Object>,
    server: &manifest::Server,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Server> {
    let name = &server.port_name;
    let protocol = match context.protocols.of_port(&name.value) {
        PortName::Ours(protocol) => protocol,
        PortName::Unknown {
            named,
            did_you_mean,
        } => {
            let complaint = Protocols::complaint(named.as_deref(), did_you_mean.as_deref());
            findings.at(object, name.at, complaint);
            findings.needing(protocols::need(&name.value));
            return None;
        }
        PortName::Unserved { codec } => {
            let message = format!("no plugin implements the codec `{codec}`");
            not_opened(object, name, &message, findings);
            return None;
        }
        PortName::NotOurs => {
            let message = format!("`{}` names no protocol", name.value);
            not_opened(object, name, &message, findings);
            return None;
        }
    };
    let tls = match &server.tls {
        None => None,
        Some(tls) => Some(tls::with_clients(object, tls, context, findings)?),
    };
    let bind = match server.bind.strip_prefix("unix://") {
        Some(path) => Bind::Unix(path.to_owned()),
        None => Bind::Tcp(server.bind.parse().ok()?, server.port),
    };
    Some(Server {
        name: ServerName {
            namespace: object.id.namespace.clone(),
            gateway: object.id.name.clone(),
            server: server.name.value.clone(),
        },
        bind,
        server_names: server_names(server),
        most_per_source: most_per_source(object, findings)?,
        tls,
        policy: ServerPolicy {
            settings: context.protocols.settings(&protocol),
            ..ServerPolicy::default()
        },
        protocol,
        source: object.clone(),
        authorization: vec![],
        allowed: server.allowed.clone(),
        rules: vec![],
        attached: BTreeSet::new(),
    })
}

fn not_opened(object: &Object, name: &Located<String>, reason: &str, findings: &mut Findings) {
    let message = format!("{reason}; the server is not opened");
    let diagnostic = Diagnostic::warning(Code::UnknownProtocol, message);
    let remedy = "name the port tcp-metaprotocol-NAME, for instance tcp-metaprotocol-dubbo";
    findings.at(object, name.at, diagnostic.remedy(remedy));
    findings.needing(protocols::need(&name.value));
}

/// On a Gateway: how many connections one source may have to each of its servers.
const MOST_PER_SOURCE: &str = "meltemi.io/max-connections-per-source";

/// None where what it says cannot be read: that is said.
fn most_per_source(object: &Object, findings: &mut Findings) -> Option<Option<NonZeroU32>> {
    let Some(given) = object.metadata.annotations.get(MOST_PER_SOURCE) else {
        return Some(None);
    };
    if let Ok(most) = given.value.parse() {
        return Some(Some(most));
    }
    let message = format!(
        "`{MOST_PER_SOURCE}: {}` is no number of connections",
        given.value
    );
    let diagnostic = Diagnostic::error(Code::InvalidValue, message);
    let remedy = "write a whole number from 1 on, in quotes, or remove it: then there is no bound";
    findings.at(object, given.at, diagnostic.remedy(remedy));
    None
}

fn server_names(server: &manifest::Server) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    for name in &server.server_names {
        if !names.contains(&name.value) {
            names.push(name.value.clone());
        }
    }
    names
}

/// Why the second is not opened, and what helps.
fn in_the_way(first: &Server, second: &Server) -> (String, &'static str) {
    if first.bind != second.bind || first.tls.is_none() || second.tls.is_none() {
        return (
            format!("{} binds this address already", first.name),
            "give it another port, or another `bind`; servers with `tls` may share one, where clients ask for \
             different `hosts`",
        );
    }
    let mut names = second.server_names.iter();
    let shared = names.find(|it| first.server_names.contains(it));
    let whom = shared.map_or_else(
        || "whatever no other is for".to_owned(),
        |name| format!("`{name}`"),
    );
    (
        format!(
            "{} is for clients that ask for {whom} at this address already",
            first.name
        ),
        "name other `hosts` (of the Gateway API: another `hostname`), or give it another port",
    )
}

/// Whether one cannot be bound while the other is.
fn overlap(a: &Bind, b: &Bind) -> bool {
    match (a, b) {
        (Bind::Unix(a), Bind::Unix(b)) => a == b,
        (Bind::Tcp(a, a_port), Bind::Tcp(b, b_port)) => {
            let same_family = a.is_ipv4() == b.is_ipv4();
            let wildcard = a.is_unspecified() || b.is_unspecified();
            *a_port != 0 && a_port == b_port && (a == b || (same_family && wildcard))
        }
        _ => false,
    }
}
