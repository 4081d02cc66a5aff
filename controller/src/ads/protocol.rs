//! What the stream of a client needs to know of the variant of the protocol that it speaks.

use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use meltemi_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use prost::{Message, Name};

use super::clients;
use super::delta::DeltaStream;
use super::rejection::Rejection;
use super::resources::Resources;
use super::sotw::SotwStream;

/// What both variants of the protocol have in common.
pub(super) trait Protocol: clients::Stream + Default + 'static {
    type Request: Message + Default + 'static;
    type Response: Message + 'static;

    /// Who asks, where the request says it.
    fn node(request: &Self::Request) -> Option<&core::Node>;

    fn request(&mut self, request: Self::Request) -> Vec<Rejection>;

    fn respond(&mut self, resources: &Resources) -> Vec<Self::Response>;

    /// Makes a response with secrets one that says that there are none. False: it has none.
    fn withhold_secrets(response: &mut Self::Response) -> bool;

    /// Says in a response how far it was read, where a client says that again.
    fn say_read(_response: &mut Self::Response, _read: &str) {}
}

impl Protocol for DeltaStream {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn node(request: &DeltaDiscoveryRequest) -> Option<&core::Node> {
        request.node.as_ref()
    }

    fn request(&mut self, request: DeltaDiscoveryRequest) -> Vec<Rejection> {
        self.request(request)
    }

    fn respond(&mut self, resources: &Resources) -> Vec<DeltaDiscoveryResponse> {
        self.respond(resources)
    }

    fn withhold_secrets(response: &mut DeltaDiscoveryResponse) -> bool {
        if response.type_url != Secret::type_url() || response.resources.is_empty() {
            return false;
        }
        let withheld = response.resources.drain(..).map(|secret| secret.name);
        response.removed_resources.extend(withheld);
        true
    }

    fn say_read(response: &mut DeltaDiscoveryResponse, read: &str) {
        let identifier = read.to_owned();
        response.control_plane = (!read.is_empty()).then_some(core::ControlPlane { identifier });
    }
}

impl Protocol for SotwStream {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn node(request: &DiscoveryRequest) -> Option<&core::Node> {
        request.node.as_ref()
    }

    fn request(&mut self, request: DiscoveryRequest) -> Vec<Rejection> {
        self.request(request)
    }

    fn respond(&mut self, resources: &Resources) -> Vec<DiscoveryResponse> {
        self.respond(resources)
    }

    fn withhold_secrets(response: &mut DiscoveryResponse) -> bool {
        let has_some = response.type_url == Secret::type_url() && !response.resources.is_empty();
        if has_some {
            response.resources.clear();
        }
        has_some
    }
}
