//! A proxy for tests: it asks for everything there is, and takes what it is sent or does not.

use std::collections::BTreeSet;

use meltemi_policy::Mismatches;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::service::discovery::v3 as proto;
use meltemi_proto::google::rpc::Status;
use meltemi_proto::meltemi::config::v1::Service;
use prost::Name as _;

use super::{Clients, Slot};
use crate::ads::Resources;
use crate::ads::delta::DeltaStream;

/// Connected until it is dropped.
pub(crate) struct FakeProxy {
    slot: Slot<DeltaStream>,
    /// Names that it refuses.
    refuses: BTreeSet<String>,
    unanswered: Vec<proto::DeltaDiscoveryResponse>,
}

impl FakeProxy {
    pub(crate) fn connect(clients: &Clients, node: &str) -> Self {
        let proxy = Self {
            slot: clients.enter(),
            refuses: BTreeSet::new(),
            unanswered: vec![],
        };
        let types = [
            Listener::type_url(),
            Service::type_url(),
            RouteConfiguration::type_url(),
            Cluster::type_url(),
        ];
        for type_url in types {
            proxy.send(proto::DeltaDiscoveryRequest {
                node: Some(meltemi_proto::envoy::config::core::v3::Node {
                    id: node.to_owned(),
                    ..Default::default()
                }),
                type_url,
                resource_names_subscribe: vec!["*".to_owned()],
                ..Default::default()
            });
        }
        proxy
    }

    pub(crate) fn refusing(mut self, name: &str) -> Self {
        self.refuses.insert(name.to_owned());
        self
    }

    /// It says what its own clients speak.
    pub(crate) fn tell(&self, mismatches: Mismatches) {
        self.slot.told(mismatches);
        self.slot.answered(&[]);
    }

    /// It is sent what it does not have, and says nothing.
    pub(crate) fn hear(&mut self, resources: &Resources) {
        let responses = self.slot.state().respond(resources);
        self.unanswered.extend(responses);
    }

    /// It answers everything that it was sent.
    pub(crate) fn answer(&mut self) {
        for response in std::mem::take(&mut self.unanswered) {
            let names = response.resources.iter().map(|resource| &resource.name);
            let refused: Vec<_> = names.filter(|name| self.refuses.contains(*name)).collect();
            let error_detail = refused.first().map(|name| Status {
                message: format!("{name}: not as it likes it"),
                ..Status::default()
            });
            self.send(proto::DeltaDiscoveryRequest {
                type_url: response.type_url.clone(),
                response_nonce: response.nonce.clone(),
                error_detail,
                ..Default::default()
            });
        }
    }

    /// It answers what it was sent, and takes what comes then.
    pub(crate) fn take_after_answer(&mut self, resources: &Resources) {
        self.answer();
        self.take(resources);
    }

    /// It takes, or refuses, all there is.
    pub(crate) fn take(&mut self, resources: &Resources) {
        loop {
            self.hear(resources);
            if self.unanswered.is_empty() {
                return;
            }
            self.answer();
        }
    }

    fn send(&self, request: proto::DeltaDiscoveryRequest) {
        let rejections = self.slot.state().request(request);
        self.slot.answered(&rejections);
    }
}
