//! Services behind waypoints whose clients do not speak what their ports are named for, as proxies say.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_policy::{Foreign, Mismatches};

use super::ledger::Resolved;
use crate::ads::Clients;
use crate::manifest::ObjectRef;
use crate::model::{Bind, Bound, Server};

/// More than these are counted, and told by the metrics of proxies.
const MOST: usize = 5;

/// What all clients of the ADS server say.
pub(super) fn of(clients: &Clients) -> Mismatches {
    let mut all = Mismatches::new();
    clients.each(|client| add(client.mismatches(), &mut all));
    all
}

pub(super) fn add(more: &Mismatches, all: &mut Mismatches) {
    for (service, spoken) in more {
        let known = all.entry(service.clone()).or_default();
        known.extend(spoken);
    }
}

/// What is said of each Gateway. Of a port that is named for something else by now nothing is.
pub(super) fn told(mismatches: &Mismatches, resolved: &Resolved) -> BTreeMap<ObjectRef, String> {
    let mut facts = BTreeMap::<_, BTreeSet<_>>::new();
    if mismatches.is_empty() {
        return BTreeMap::new();
    }
    for server in resolved.model.servers.iter() {
        let spoken = mismatches.get(&server.name.to_string());
        if let (Bind::Service(bound), Some(spoken)) = (&server.bind, spoken) {
            let of_gateway = facts.entry(server.source.id.clone()).or_default();
            of_gateway.insert(fact(server, bound, spoken, resolved));
        }
    }
    let told = facts
        .into_iter()
        .map(|(gateway, facts)| (gateway, line(facts)));
    told.collect()
}

fn line(facts: BTreeSet<String>) -> String {
    let more = facts.len().saturating_sub(MOST);
    let said: Vec<_> = facts.into_iter().take(MOST).collect();
    let said = said.join("; ");
    match more {
        0 => said,
        more => format!(
            "{said}; and {more} more, by the metric meltemi_downstream_protocol_mismatches_total"
        ),
    }
}

fn fact(server: &Server, bound: &Bound, spoken: &BTreeSet<Foreign>, resolved: &Resolved) -> String {
    let services = resolved.model.services.iter();
    let ports = services
        .filter(|service| bound.is_of(service))
        .flat_map(|service| &service.ports);
    let port = ports.into_iter().find(|port| port.number == bound.port);
    let name = port.map_or("", |port| port.name.as_str());
    let words: Vec<_> = spoken.iter().map(ToString::to_string).collect();
    format!(
        "clients of port {} `{name}` of {} speak {}, and not {}: these are passed on as TCP, and no rule acts on them ({})",
        bound.port,
        bound.service,
        words.join(" and "),
        server.protocol.application,
        remedy(spoken),
    )
}

fn remedy(spoken: &BTreeSet<Foreign>) -> &'static str {
    let is_http = |it: &Foreign| matches!(it, Foreign::Http1 | Foreign::Http2);
    if spoken.contains(&Foreign::Tls) {
        "have them speak it without TLS of their own, since the mesh encrypts; or name the port tls-…"
    } else if spoken.iter().all(is_http) {
        "name the port http-…, or let them dial the port that is for HTTP"
    } else {
        "name the port for what is spoken there, or tcp-…; or let them dial the port that is for it"
    }
}

#[cfg(test)]
mod tests {
    use super::super::replicas::Peers;
    use super::super::story::Story;
    use super::*;

    const NAME: &str = "shop/way/cache.shop.svc.cluster.local:20880";

    /// A waypoint, and a service behind it whose port has this name.
    fn manifests(port: &str) -> String {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: way, namespace: shop}}\n\
             spec: {{gatewayClassName: meltemi-waypoint, \
             listeners: [{{name: proxy, port: 15088, protocol: istio.io/PROXY}}]}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: cache, namespace: shop, \
             labels: {{istio.io/use-waypoint: way}}}}\n\
             spec: {{clusterIPs: [10.96.0.10], ports: [{{name: {port}, port: 20880}}]}}\n"
        )
    }

    fn said(story: &mut Story) -> Option<String> {
        let turn = story
            .term
            .turn(&story.ledger, &story.clients, (story.now, "now"));
        let news = turn.gateways?.get("shop", "way")?.clone();
        news.mismatches
    }

    #[test]
    fn what_a_proxy_says_is_told_with_the_port_and_a_remedy() {
        let mut story = Story::empty();
        story.apply(&manifests("tcp-metaprotocol-dubbo"));
        assert_eq!(said(&mut story), None);
        let (one, other) = (story.proxy(), story.proxy());
        one.tell([(NAME.to_owned(), [Foreign::Http1].into())].into());
        other.tell([(NAME.to_owned(), [Foreign::Http2].into())].into());
        assert_eq!(
            said(&mut story).as_deref(),
            Some(
                "clients of port 20880 `tcp-metaprotocol-dubbo` of Service shop/cache speak HTTP/1 and HTTP/2, and not \
                 dubbo: these are passed on as TCP, and no rule acts on them (name the port http-…, or let them dial the \
                 port that is for HTTP)"
            )
        );
        drop(other);
        one.tell([(NAME.to_owned(), [Foreign::Tls].into())].into());
        assert!(said(&mut story).unwrap().contains("speak TLS, and not"));
        // Whatever they still say of it, a port that is named for something else has no such clients.
        story.apply(&manifests("http"));
        assert_eq!(said(&mut story), None);
        story.apply(&manifests("tcp-metaprotocol-dubbo"));
        one.tell(Mismatches::new());
        assert_eq!(said(&mut story), None);
        one.tell([("shop/way/nobody:1".to_owned(), [Foreign::Tls].into())].into());
        assert_eq!(said(&mut story), None);
    }

    #[test]
    fn proxies_of_other_replicas_are_heard_too() {
        let mut story = Story::empty();
        story.apply(&manifests("tcp-metaprotocol-dubbo"));
        let told: Mismatches = [(NAME.to_owned(), [Foreign::Other].into())].into();
        story.term.heard(Peers::of_one_that_says(told));
        assert!(said(&mut story).unwrap().contains("another protocol"));
    }
}
