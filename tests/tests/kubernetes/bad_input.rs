//! Objects of any size and name: what is wrong with them is said of them, and nobody else is affected.

use std::net::SocketAddr;

use meltemi_tests::kubernetes::{ApiServer, Controller, controller_account};
use meltemi_tests::redis::{Server, Wire};
use meltemi_tests::until;
use serde_json::{Value, json};

use crate::status::seen::Seen;
use crate::whoami::{self, answered_by, routes_to};

/// A MetaRouter from the Gateway `edge` that comes before others.
fn router(name: &str, routes: Vec<Value>) -> String {
    let router = json!({
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "MetaRouter",
        "metadata": {"name": name},
        "spec": {"hosts": ["two.demo"], "gateways": ["edge"], "priority": 10, "routes": routes},
    });
    router.to_string()
}

fn route(key: &Value) -> Value {
    json!({
        "match": {"attributes": {"key": key}},
        "route": [{"destination": {"host": "two.demo"}}],
    })
}

/// As people create what is too large for `kubectl apply`, which keeps a copy in an annotation.
fn create(cluster: &ApiServer, manifest: &str) {
    until("it is created", || {
        let created = cluster.kubectl_with(&["create", "-f", "-"], manifest);
        if created.is_late() {
            return None;
        }
        created.expect_success("it is created");
        Some(())
    });
}

#[test]
fn objects_of_any_size_are_judged_and_cost_nobody_else_anything() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    if !Server::is_installed() {
        return;
    }
    let servers = whoami::servers();
    assert_eq!(servers[1].connect().call("SET k9999 the-last"), "+OK");
    whoami::apply(&cluster, &servers);
    let controller = Controller::start(&controller_account(&cluster));
    let proxy = controller.proxy();
    let address = proxy.address("default/edge/redis");
    routes_to(address, "one");
    let seen = Seen(&cluster);

    let exact = |number: usize| route(&json!({"exact": format!("k{number}")}));
    create(&cluster, &router("many", (0..10_000).map(exact).collect()));
    seen.waits("metarouter/many", "Accepted", "True");
    seen.waits("metarouter/many", "Programmed", "True");
    let asked = |key: &str| Wire::try_connect(address)?.try_call(&format!("GET {key}"));
    assert_eq!(asked("k9999").as_deref(), Some("the-last"));
    assert_eq!(answered_by(address).as_deref(), Some("one"));

    // Half a megabyte, of which the last thing is wrong.
    let long = |number: usize| route(&json!({"exact": format!("{number:01000}")}));
    let mut routes: Vec<_> = (0..500).map(long).collect();
    routes.push(route(&json!({"regex": "(k"})));
    create(&cluster, &router("heavy", routes));
    let words = ["spec.routes[500].match", "`(k` is no regular expression"];
    seen.has(
        "metarouter/heavy",
        "Accepted",
        ("False", "InvalidRegex"),
        &words,
    );

    // All of it is wrong: what is said has an end.
    let nowhere = |number: usize| {
        let mut route = route(&json!({"exact": "k"}));
        route["route"][0]["destination"]["subset"] = json!(format!("v{number}"));
        route
    };
    create(&cluster, &router("lost", (0..3000).map(nowhere).collect()));
    let words = ["spec.routes[0].route[0].destination", "v0"];
    seen.has(
        "metarouter/lost",
        "ResolvedRefs",
        ("False", "UnknownSubset"),
        &words,
    );
    let condition = seen
        .condition("metarouter/lost", "Accepted")
        .expect("a condition");
    assert!(
        condition["message"]
            .as_str()
            .is_some_and(|it| it.len() <= 4096)
    );

    assert_eq!(asked("k9999").as_deref(), Some("the-last"));
    assert_eq!(answered_by(address).as_deref(), Some("one"));
    seen.has("metarouter/cache", "Accepted", ("True", "Accepted"), &[]);
    seen.waits("metarouter/cache", "Programmed", "True");
}

/// The longest name of a namespace, and of another object.
const LONGEST: (usize, usize) = (63, 253);

#[test]
fn names_may_be_whatever_a_cluster_allows() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    if !Server::is_installed() {
        return;
    }
    let servers = whoami::servers();
    let controller = Controller::start(&controller_account(&cluster));
    let seen = Seen(&cluster);
    let (namespace, long) = ("0".repeat(LONGEST.0), "n".repeat(LONGEST.1));
    cluster.create_namespaces(&[&format!("'{namespace}'")]);
    let place = Place(&namespace);
    cluster.apply(&place.gateway("0.e--d.9"));
    cluster.apply(&place.service("0", "one.demo", servers[0].address()));
    cluster.apply(&place.service("0.a--b.1", "two.demo", servers[1].address()));
    let claim = format!("{namespace}/0.e--d.9");
    let proxy = controller.proxy_with(&["--gateway", &claim]);
    let names = ["0", "9.9", "a.b-c.0--d", "x-1", &long];
    for name in names {
        cluster.apply(&place.router(name, "one.demo", name));
        let object = format!("metarouter/{name} -n {namespace}");
        seen.waits(&object, "Accepted", "True");
        seen.waits(&object, "Programmed", "True");
    }
    // Each is right, or wrong, for itself.
    let object = format!("metarouter/{long} -n {namespace}");
    cluster.apply(&place.router(&long, "nowhere.demo", "whoami"));
    seen.has(
        &object,
        "Accepted",
        ("False", "UnknownHost"),
        &["nowhere.demo"],
    );
    cluster.apply(&place.router(&long, "two.demo", "whoami"));
    routes_to(proxy.address(&format!("{claim}/redis")), "two");
    seen.waits(&object, "Programmed", "True");
    for name in &names[..4] {
        let object = format!("metarouter/{name} -n {namespace}");
        seen.has(&object, "Accepted", ("True", "Accepted"), &[]);
    }
}

/// Objects of a namespace.
struct Place<'a>(&'a str);

impl Place<'_> {
    fn object(&self, (api, kind): (&str, &str), name: &str, spec: &Value) -> String {
        let metadata = json!({"name": name, "namespace": self.0});
        json!({"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}).to_string()
    }

    fn gateway(&self, name: &str) -> String {
        let spec = json!({"servers": [{
            "name": "redis", "bind": "127.0.0.1", "hosts": ["*"],
            "port": {"number": 0, "name": "tcp-redis", "protocol": "TCP"},
        }]});
        self.object(("networking.istio.io/v1", "Gateway"), name, &spec)
    }

    fn service(&self, name: &str, host: &str, address: SocketAddr) -> String {
        let spec = json!({
            "hosts": [host], "location": "MESH_INTERNAL", "resolution": "STATIC",
            "ports": [{"number": 6379, "name": "tcp-redis", "protocol": "TCP"}],
            "endpoints": [{"address": address.ip(), "ports": {"tcp-redis": address.port()}}],
        });
        self.object(("networking.istio.io/v1", "ServiceEntry"), name, &spec)
    }

    /// What has this key goes to a host.
    fn router(&self, name: &str, host: &str, key: &str) -> String {
        let spec = json!({"hosts": [host], "gateways": ["0.e--d.9"], "routes": [{
            "name": name,
            "match": {"attributes": {"key": {"exact": key}}},
            "route": [{"destination": {"host": host}}],
        }]});
        self.object(
            ("metaprotocol.aeraki.io/v1alpha1", "MetaRouter"),
            name,
            &spec,
        )
    }
}
