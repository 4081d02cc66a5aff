//! A Gateway of the Gateway API opens a listener, from its class to a client; its definitions come later, and go.

use std::net::{Ipv4Addr, SocketAddr};

use meltemi_tests::kubernetes::{ApiServer, Controller};
use meltemi_tests::redis::{Server, free_port, service};
use meltemi_tests::until;

use crate::whoami::{answered_by, servers};

fn gateway(port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: default}}\n\
         spec:\n  gatewayClassName: layer-seven\n  addresses: [{{type: IPAddress, value: 127.0.0.1}}]\n  \
         listeners:\n  - {{name: tcp-redis, port: {port}, protocol: TCP}}\n  \
         - {{name: web, port: 80, protocol: HTTP}}\n"
    )
}

fn class(controller: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: layer-seven}}\n\
         spec: {{controllerName: {controller}}}\n"
    )
}

const ROUTER: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: cache, namespace: default}
spec: {hosts: [one.demo], gateways: [default/edge]}
";

fn is_served(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    answered_by(address).as_deref() == Some("one")
}

fn serves(port: u16, expected: bool) {
    until(&format!("{port} is served: {expected}"), || {
        (is_served(port) == expected).then_some(())
    });
}

#[test]
fn a_gateway_of_a_class_of_ours_is_listened_on() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    if !Server::is_installed() {
        return;
    }
    let [server, _] = servers();
    cluster.apply(&service("one.demo", &[server.address()]));
    let controller = Controller::start(&cluster.kubeconfig());
    let _proxy = controller.proxy();
    let says = |text: &str| {
        until(&format!("the controller says {text:?}"), || {
            let said = controller.process().said();
            said.contains(text).then_some(())
        });
    };
    says("all kinds are known");

    let port = free_port();
    for crd in cluster.programs().gateway_api_crds() {
        cluster.install_crds(&crd);
    }
    cluster.apply(&[&*class("example.com/controller"), &*gateway(port), ROUTER].join("---\n"));
    // It is somebody else's, until its class says otherwise (which cannot be changed, but made anew).
    says("no server of the Gateway default/edge speaks redis");
    assert!(!is_served(port));
    let delete = ["delete", "gatewayclass", "layer-seven"];
    cluster.kubectl(&delete).expect_success("the class goes");
    cluster.apply(&class("meltemi.io/controller"));
    serves(port, true);
    says("`HTTP` is not served; the listener is not opened");

    // It moves, and goes with its definition.
    let other = free_port();
    cluster.apply(&gateway(other));
    serves(other, true);
    serves(port, false);
    let name = "crd/gateways.gateway.networking.k8s.io";
    cluster.kubectl(&["delete", name]).expect_success("it goes");
    serves(other, false);
}
