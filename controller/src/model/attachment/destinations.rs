//! Where routes lead: hosts, ports and subsets.

use meltemi_policy::{ClusterName, host};

use super::super::destination_rules::MergedRule;
use super::super::services::{Port, Service};
use super::super::{Findings, Need, Server, WeightedCluster};
use super::Attachment;
use crate::diagnostic::{Code, Diagnostic};
use crate::manifest::{Destination, Located};

impl Attachment<'_> {
    /// The cluster of a destination, and those that are asked in its place.
    pub(in super::super) fn weighted(
        &self,
        destination: &Destination,
        service: &Service,
        server: &Server,
        findings: &mut Findings,
    ) -> WeightedCluster {
        let mut named = vec![self.cluster(destination, service, server, findings)];
        for fallback in &destination.fallbacks {
            let cluster = self.cluster(fallback, service, server, findings);
            if let Some(before) = named.iter().position(|other| *other == cluster) {
                let diagnostic = asked_before(&cluster, before);
                findings.at(self.object, fallback.host.at, diagnostic);
                continue;
            }
            named.push(cluster);
        }
        let fallbacks = named.split_off(1);
        WeightedCluster {
            weight: destination.weight,
            fallbacks,
            ..WeightedCluster::only(named.remove(0))
        }
    }

    /// A destination that a route lists twice has the fallbacks that it has first.
    pub(in super::super) fn settle_fallbacks(
        &self,
        written: &[Destination],
        named: &mut [WeightedCluster],
        findings: &mut Findings,
    ) {
        let mut settled: Vec<WeightedCluster> = vec![];
        for (to, written) in named.iter().zip(written) {
            let Some(fallback) = written.fallbacks.first() else {
                continue;
            };
            match settled.iter().find(|other| other.cluster == to.cluster) {
                None => settled.push(to.clone()),
                Some(other) if other.fallbacks == to.fallbacks => {}
                Some(_) => {
                    let message = format!(
                        "this `fallback` has no effect: the route lists {} before, with another",
                        to.cluster
                    );
                    let diagnostic = Diagnostic::warning(Code::NotInForce, message);
                    let remedy = "list the destination once, with the sum of its weights";
                    findings.at(self.object, fallback.host.at, diagnostic.remedy(remedy));
                }
            }
        }
        for to in named {
            if let Some(first) = settled.iter().find(|other| other.cluster == to.cluster) {
                to.fallbacks.clone_from(&first.fallbacks);
            }
        }
    }

    /// The cluster of a destination, seen from a server.
    pub(in super::super) fn cluster(
        &self,
        destination: &Destination,
        service: &Service,
        server: &Server,
        findings: &mut Findings,
    ) -> ClusterName {
        let subset = destination
            .subset
            .as_ref()
            .map(|s| s.value.clone())
            .unwrap_or_default();
        let target = self
            .context
            .services
            .find(&destination.host.value, self.namespace());
        let port = match target {
            Some(target) => self.port(destination, target, server, findings),
            None => destination.port.as_ref().map(|p| p.value),
        };
        // Where the port cannot be told there is no such cluster, whatever its name.
        let any = service
            .ports
            .iter()
            .find(|p| p.protocol.as_ref() == Some(&server.protocol));
        let port = port.or(any.map(|p| p.number)).unwrap_or(1);
        let host = match target {
            Some(target) => target.host.clone(),
            None => host::expand(&destination.host.value, self.namespace()),
        };
        ClusterName { port, subset, host }
    }

    /// The port of a destination: as written, else the one with the server's number, else the only
    /// one of the server's protocol.
    fn port(
        &self,
        destination: &Destination,
        target: &Service,
        server: &Server,
        findings: &mut Findings,
    ) -> Option<u16> {
        if let Some(written) = &destination.port {
            if target.port(written.value).is_some() {
                return Some(written.value);
            }
            let message = format!("{} has no port {}", target.host, written.value);
            let diagnostic = Diagnostic::error(Code::UnknownPort, message)
                .remedy(format!("its ports are {}", target.port_list()));
            findings.at(self.object, written.at, diagnostic);
            findings.or_blame([target.source.id.clone()]);
            return None;
        }
        if let Some(same) = server.bind.port().and_then(|number| target.port(number)) {
            return Some(same.number);
        }
        let spoken = |p: &&Port| p.protocol.as_ref() == Some(&server.protocol);
        let mut candidates = target.ports.iter().filter(spoken);
        if let (Some(only), None) = (candidates.next(), candidates.next()) {
            return Some(only.number);
        }
        let message = format!(
            "which port of {} is meant cannot be told: its ports are {}",
            target.host,
            target.port_list()
        );
        let diagnostic = Diagnostic::error(Code::UnknownPort, message)
            .remedy("write `port: {number: N}` beside `host`");
        findings.at(self.object, destination.host.at, diagnostic);
        findings.or_blame([target.source.id.clone(), server.source.id.clone()]);
        None
    }

    /// Hosts and subsets, whatever the server.
    pub(in super::super) fn check_destinations<'d>(
        &self,
        destinations: impl Iterator<Item = &'d Destination>,
        findings: &mut Findings,
    ) {
        for destination in destinations {
            let Located { value: named, at } = &destination.host;
            let Some(target) = self.context.services.find(named, self.namespace()) else {
                let near = self.context.services.nearest(named);
                let message = format!("no service has the host {named}{near}");
                let diagnostic = Diagnostic::warning(Code::UnknownHost, message);
                let remedy = "nothing gets there until a ServiceEntry defines the host";
                findings.at(self.object, *at, diagnostic.remedy(remedy));
                findings.needing(self.host_needs(named));
                continue;
            };
            let Some(subset) = &destination.subset else {
                continue;
            };
            let rule = self.context.rules.of(target);
            if rule.is_some_and(|rule| rule.subset(&subset.value).is_some()) {
                continue;
            }
            let near = rule
                .map(|r| r.nearest_subset(&subset.value))
                .unwrap_or_default();
            let message = format!(
                "no DestinationRule defines the subset `{}` of {}{near}",
                subset.value, target.host
            );
            let diagnostic = Diagnostic::error(Code::UnknownSubset, message);
            let remedy = match rule.map(MergedRule::subset_list) {
                Some(subsets) if !subsets.is_empty() => format!("its subsets are {subsets}"),
                _ => format!("define it in a DestinationRule of {}", target.host),
            };
            findings.at(self.object, subset.at, diagnostic.remedy(remedy));
            let rules = rule.into_iter().flat_map(|rule| rule.sources());
            findings.or_blame(rules.map(|rule| rule.id.clone()));
            findings.needing([Need::Subset {
                host: target.host.clone(),
                name: subset.value.clone(),
            }]);
        }
    }
}

/// Of a fallback that is the destination (`before` is 0) or one of the fallbacks before it.
fn asked_before(cluster: &ClusterName, before: usize) -> Diagnostic {
    let (message, remedy) = match before {
        0 => (
            format!("the fallback {cluster} is the destination that it stands in for"),
            "name another host, subset or port, or remove it".to_owned(),
        ),
        number => (
            format!("the fallback {cluster} is listed twice"),
            format!("remove it: it is the fallback number {number} of the list already"),
        ),
    };
    Diagnostic::error(Code::InvalidValue, message).remedy(remedy)
}
