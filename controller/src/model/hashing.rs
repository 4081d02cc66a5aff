//! Whether what is hashed of requests is there, and anybody looks at it.

use std::borrow::Borrow;

use super::protocols::schema;
use super::services::Port;
use super::{Clusters, Context, Findings, Server, attributes};
use crate::diagnostic::{Code, Diagnostic};
use crate::manifest::{ConsistentHash, Object, Spec};
/// The attribute that a DestinationRule names has to be one of the port's protocol.
pub(super) fn check(
    object: &Object,
    hash: &ConsistentHash,
    port: &Port,
    context: &Context<'_>,
    findings: &mut Findings,
) {
    let protocol = port.protocol.as_ref();
    let schema = protocol.and_then(|spoken| schema(context.settings, &spoken.plugin));
    let key = hash.key.as_ref();
    let named = key.and_then(|key| Some((key.value.attribute()?.as_str(), key.at)));
    if let (Some(schema), Some(named)) = (schema, named) {
        attributes::check_name(object, named, (schema, context.settings), findings);
    }
}

/// Says of each route with a `hashPolicy` that none of its destinations hashes.
pub(super) fn check_routes(
    servers: &[impl Borrow<Server>],
    clusters: &Clusters,
    findings: &mut Findings,
) {
    let mut said = vec![];
    let servers = servers.iter().map(Borrow::<Server>::borrow);
    for rule in servers.flat_map(|server| &server.rules) {
        let (source, number) = match &rule.treated_by {
            Some((source, number)) => (source, *number),
            None => (&rule.source, rule.route),
        };
        let Spec::MetaRouter(router) = &source.spec else {
            continue;
        };
        let route = number.and_then(|number| router.routes.get(number));
        let Some(first) = route.and_then(|route| route.hash_policy.first()) else {
            continue;
        };
        let hashes = |name| {
            let cluster = clusters.get(name);
            cluster.is_none_or(|it| it.hash.is_some() && it.topology.is_none())
        };
        let asked = rule.destinations.iter();
        let mut asked = asked.flat_map(|to| std::iter::once(&to.cluster).chain(&to.fallbacks));
        if asked.any(hashes) || said.contains(&(&source.id, first.at)) {
            continue;
        }
        said.push((&source.id, first.at));
        let message = "this `hashPolicy` has no effect: no destination of the route hashes";
        let diagnostic = Diagnostic::warning(Code::NoHash, message);
        let remedy =
            "give the host a DestinationRule with `loadBalancer.consistentHash: {maglev: {}}`";
        findings.at(source, first.at, diagnostic.remedy(remedy));
    }
}
