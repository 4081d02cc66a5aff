//! What became of Gateways of the Gateway API, for whoever keeps their workloads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_policy::Mismatches;

use super::expected::{Place, place_of_gateway, place_of_led};
use super::ledger::Resolved;
use super::mismatches;
use super::programmed::Answer;
use super::verdict;
use crate::manifest::{Kind, ObjectRef};
use crate::model::{Bind, LedService, Server, Via, Waypoint};

/// What became of each Gateway of the Gateway API, by namespace and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct News {
    gateways: BTreeMap<ObjectRef, GatewayNews>,
    /// Of those that sidecars are led to, also while one that was deleted drains.
    pub(crate) led: BTreeMap<ObjectRef, LedNews>,
}

/// What sidecars may be told of a Gateway.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LedNews {
    pub(crate) via: Option<Via>,
    /// Whether a proxy is ready that they would dial.
    pub(crate) is_ready: bool,
    /// Whether it serves anything, be it what has opted out a while ago.
    pub(crate) serves: bool,
    /// What asks for it, and what its proxies have of that.
    pub(crate) services: Vec<(LedService, Answer)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatewayNews {
    /// What its proxies have.
    pub(crate) answer: Answer,
    /// What was found about it, and about what asks for it.
    pub(crate) warnings: Option<String>,
    /// What it changes for the services that ask for it.
    pub(crate) plan: Option<String>,
    /// Of the listener of a waypoint, how many rules act behind it.
    pub(crate) attached: Option<(String, usize)>,
    /// Which ports of its services have clients that speak something else.
    pub(crate) mismatches: Option<String>,
    /// Proxies may still be on their way: what none says is no news yet.
    pub(crate) is_new: bool,
}

fn attached(gateway: &ObjectRef, resolved: &Resolved) -> Option<(String, usize)> {
    let model = &resolved.model;
    let waypoint = model
        .waypoints
        .iter()
        .find(|it| it.gateway.id == *gateway)?;
    let behind = model.servers.iter().filter(|it| it.source.id == *gateway);
    let rules: BTreeSet<_> = behind.flat_map(|server| &server.attached).collect();
    Some((waypoint.name.server.to_string(), rules.len()))
}

fn led_news(
    waypoint: &Waypoint,
    resolved: &Resolved,
    answers: &BTreeMap<Place, Answer>,
) -> LedNews {
    let (led, gateway) = (&waypoint.led, &waypoint.gateway.id);
    let model = &resolved.model;
    let is_ready = led.via.as_ref().is_some_and(|via| {
        let service = model.services.find(&via.host, &via.service.namespace);
        let port = service.and_then(|service| service.port(via.port));
        port.is_some_and(|port| port.endpoints.iter().any(|it| it.is_ready))
    });
    let is_gone = !resolved.objects.contains_key(gateway);
    let is_behind = |server: &Arc<Server>| {
        server.source.id == *gateway && matches!(server.bind, Bind::Service(_))
    };
    let services = led.services.iter().filter(|_| !is_gone);
    let services = services.map(|it| {
        let answer = answers.get(&place_of_led(&it.service, gateway));
        (it.clone(), answer.cloned().unwrap_or(Answer::Nowhere))
    });
    LedNews {
        via: led.via.clone(),
        is_ready,
        serves: !waypoint.passed.is_empty() || model.servers.iter().any(is_behind),
        services: services.collect(),
    }
}

impl News {
    /// `is_new`: that no proxy is there is no news yet.
    pub(super) fn of(
        resolved: &Resolved,
        answers: &BTreeMap<Place, Answer>,
        mismatches: &Mismatches,
        is_new: bool,
    ) -> Self {
        let mut mismatches = mismatches::told(mismatches, resolved);
        let gateways = resolved.objects.keys();
        let gateways = gateways.filter(|id| id.kind == Kind::KubernetesGateway);
        let news = gateways.map(|id| {
            let answer = match answers.get(&place_of_gateway(id.clone())) {
                Some(Answer::NoProxies) if is_new => Answer::NotYet,
                Some(answer) => answer.clone(),
                None => Answer::Nowhere,
            };
            let news = GatewayNews {
                answer,
                warnings: verdict::found(id, resolved),
                plan: resolved.plans.get(id).cloned(),
                attached: attached(id, resolved),
                mismatches: mismatches.remove(id),
                is_new,
            };
            (id.clone(), news)
        });
        let gateways = news.collect();
        let waypoints = resolved.model.waypoints.iter();
        let led = waypoints.filter(|it| it.sidecars.is_some());
        let led = led.map(|it| (it.gateway.id.clone(), led_news(it, resolved, answers)));
        Self {
            gateways,
            led: led.collect(),
        }
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&GatewayNews> {
        let id = ObjectRef::new(Kind::KubernetesGateway, namespace, name);
        self.gateways.get(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::Story;
    use super::*;

    const WORLD: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: mesh, namespace: shop}
spec:
  gatewayClassName: meltemi
  listeners:
  - name: sidecars
    port: 15089
    protocol: istio.io/PROXY
    tls: {options: {gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL}}
---
apiVersion: v1
kind: Service
metadata: {name: mesh, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{name: tcp-sidecars, port: 15089}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop, labels: {meltemi.io/use-gateway: mesh}}
spec: {clusterIP: 10.96.0.10, ports: [{name: tcp-metaprotocol-dubbo, port: 20880}]}
";

    const READY: &str = "\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: mesh-1, namespace: shop, labels: {kubernetes.io/service-name: mesh}}
addressType: IPv4
ports: [{name: tcp-sidecars, port: 15089}]
endpoints: [{addresses: [10.1.0.1], conditions: {ready: true}}]
";

    fn led(story: &mut Story) -> LedNews {
        let now = (story.now, "now");
        let turn = story.term.turn(&story.ledger, &story.clients, now);
        let news = turn.gateways.unwrap();
        assert_eq!(news.led.len(), 1);
        news.led.into_values().next().unwrap()
    }

    #[test]
    fn a_service_is_served_once_proxies_of_the_gateway_have_it() {
        let mut story = Story::empty();
        story.apply(WORLD);
        let before = led(&mut story);
        assert_eq!(before.via.as_ref().unwrap().port, 15089);
        assert!(!before.is_ready && before.serves);
        assert_eq!(before.services[0].1, Answer::NoProxies);
        story.apply(READY);
        assert!(led(&mut story).is_ready);

        let mut silent = story.proxy();
        assert_eq!(led(&mut story).services[0].1, Answer::Everywhere);
        // Of another service nothing is acknowledged yet.
        let users = WORLD
            .split("---\n")
            .last()
            .unwrap()
            .replace("orders", "users");
        story.apply(&users.replace("10.96.0.10", "10.96.0.11"));
        silent.hear(&story.resources);
        let answers = led(&mut story).services.into_iter();
        let answers: BTreeMap<_, _> = answers.map(|(it, answer)| (it.host, answer)).collect();
        let of = |name: &str| &answers[&format!("{name}.shop.svc.cluster.local")];
        assert_eq!(*of("orders"), Answer::Everywhere);
        assert_eq!(*of("users"), Answer::NotYet);
    }
}
