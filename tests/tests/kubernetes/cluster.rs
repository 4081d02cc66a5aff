//! A cluster as the source: kubectl on one end, a client of a real proxy on the other.

use meltemi_tests::kubernetes::REDIS_GATEWAY as GATEWAY;
use meltemi_tests::kubernetes::{ApiServer, Controller, Programs, controller_account};
use meltemi_tests::redis::{Server, service};
use meltemi_tests::{Meltemi, until};
use serde_json::Value;

use crate::whoami::{answered_by, router, routes_to, servers};

#[test]
fn what_is_applied_is_served_and_what_is_not_heard_changes_nothing() {
    let Some(mut cluster) = ApiServer::start() else {
        return;
    };
    if !Server::is_installed() {
        return;
    }
    let [one, two] = servers();
    cluster.install_crds(&Programs::own_crds());
    // Istio comes later, as it may in a cluster.
    let controller = Controller::start(&controller_account(&cluster));
    let proxy = controller.proxy();
    until("the controller knows all there is", || {
        controller
            .process()
            .said()
            .contains("all kinds are known")
            .then_some(())
    });
    cluster.install_crds(&cluster.programs().istio_crds());
    cluster.apply(GATEWAY);
    cluster.apply(&service("one.demo", &[one.address()]));
    cluster.apply(&service("two.demo", &[two.address()]));
    cluster.apply(&router("one.demo"));
    let address = proxy.address("default/edge/redis");
    routes_to(address, "one");

    // An edit takes effect, and one that is wrong does not: what was in force stays.
    cluster.apply(&router("two.demo"));
    routes_to(address, "two");
    cluster.apply(&router("three.demo"));
    until("the mistake is told", || {
        let said = controller.process().said();
        (said.contains("UnknownHost") && said.contains("MetaRouter default/cache")).then_some(())
    });
    assert_eq!(answered_by(address).as_deref(), Some("two"));
    cluster.apply(&router("two.demo"));

    // While nobody answers, everything stays as it is.
    cluster.kill();
    until("the controller hears nobody", || {
        let said = controller.process().said();
        said.contains("the API server cannot be heard")
            .then_some(())
    });
    assert_eq!(answered_by(address).as_deref(), Some("two"));
    let later = controller.proxy();
    routes_to(later.address("default/edge/redis"), "two");
    cluster.start_again();
    cluster.apply(&router("one.demo"));
    routes_to(address, "one");

    // What is deleted goes.
    let deleted = cluster.kubectl(&["delete", "metarouter", "cache"]);
    deleted.expect_success("it is deleted");
    until("nobody is asked any more", || {
        let answer = answered_by(address)?;
        (!["one", "two"].contains(&answer.as_str())).then_some(())
    });
}

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: default}
spec:
  ports: [{name: tcp-redis, port: 6379, targetPort: redis}]
";

fn slice(name: &str, family: &str, endpoints: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}, namespace: default, labels: {{kubernetes.io/service-name: cache}}}}\n\
         addressType: {family}\nports: [{{name: tcp-redis, port: 7000, protocol: TCP}}]\n\
         endpoints: [{endpoints}]\n"
    )
}

fn endpoint(address: &str, pod: &str, conditions: &str) -> String {
    format!(
        "{{addresses: ['{address}'], conditions: {{{conditions}}}, nodeName: node-a, \
         targetRef: {{kind: Pod, name: {pod}, namespace: default}}}}"
    )
}

const NODE: &str = "\
apiVersion: v1
kind: Node
metadata:
  name: node-a
  labels:
    topology.kubernetes.io/region: eu
    topology.kubernetes.io/zone: eu-a
    topology.istio.io/subzone: rack-7
";

fn pod(name: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default, labels: {{{labels}}}}}\n\
         spec: {{nodeName: node-a, containers: [{{name: c, image: i}}]}}\n"
    )
}

/// Address and locality of each endpoint of the Service.
fn endpoints(proxy: &Meltemi) -> Option<Vec<(String, String)>> {
    let page: Value = serde_json::from_str(&proxy.get("/clusters")?.body).ok()?;
    let cluster = &page["clusters"]["outbound|6379||cache.default.svc.cluster.local"];
    let mut endpoints: Vec<_> = cluster["endpoints"]
        .as_array()?
        .iter()
        .map(|endpoint| {
            let text = |name: &str| endpoint[name].as_str().unwrap_or_default().to_owned();
            (text("address"), text("locality"))
        })
        .collect();
    endpoints.sort();
    Some(endpoints)
}

fn has_endpoints(proxy: &Meltemi, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(address, locality)| ((*address).to_owned(), (*locality).to_owned()))
        .collect();
    until(&format!("the endpoints are {expected:?}"), || {
        (endpoints(proxy)? == expected).then_some(())
    });
}

#[test]
fn endpoints_are_those_of_the_slices_where_their_nodes_are() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    let objects = [
        GATEWAY.to_owned(),
        SERVICE.to_owned(),
        NODE.to_owned(),
        pod("a", ""),
        pod("b", "istio-locality: us.us-b"),
        router("cache"),
        slice(
            "four",
            "IPv4",
            &[
                endpoint("10.0.0.1", "a", "ready: true"),
                endpoint("10.0.0.2", "b", "ready: true"),
            ]
            .join(", "),
        ),
        slice("six", "IPv6", &endpoint("fd00::1", "a", "ready: true")),
    ];
    cluster.apply(&objects.join("---\n"));
    let controller = Controller::start(&cluster.kubeconfig());
    let proxy = controller.proxy();
    // The port is that of the slice, the pod of two families is one, and a pod may say itself where it is.
    has_endpoints(
        &proxy,
        &[
            ("10.0.0.1:7000", "eu/eu-a/rack-7"),
            ("10.0.0.2:7000", "us/us-b"),
        ],
    );
    // One that is not ready is left out.
    let four = [
        endpoint("10.0.0.1", "a", "ready: false"),
        endpoint("10.0.0.2", "b", "ready: true"),
    ];
    cluster.apply(
        &[
            slice("four", "IPv4", &four.join(", ")),
            slice("six", "IPv6", ""),
        ]
        .join("---\n"),
    );
    has_endpoints(&proxy, &[("10.0.0.2:7000", "us/us-b")]);
    // Where all are on their way out, those count that still answer.
    let leaving = "ready: false, serving: true, terminating: true";
    let gone = "ready: false, serving: false, terminating: true";
    let four = [
        endpoint("10.0.0.1", "a", leaving),
        endpoint("10.0.0.2", "b", gone),
    ];
    cluster.apply(&slice("four", "IPv4", &four.join(", ")));
    has_endpoints(&proxy, &[("10.0.0.1:7000", "eu/eu-a/rack-7")]);
}
