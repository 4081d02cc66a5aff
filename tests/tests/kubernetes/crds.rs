//! Our CRDs on a real API server: they install, take what people have, and refuse what is wrong in words that help.

use std::collections::BTreeSet;

use meltemi_controller::reference::{SURROUNDINGS, meta_router_examples};
use meltemi_controller::{AttributeDef, Controller, ProtocolSchema, Settings, SourceFile};
use meltemi_tests::kubernetes::{ApiServer, Programs};
use meltemi_tests::until;
use serde_json::{Value, json};

mod refusals;

/// What Aeraki's demonstrations use, field by field.
const AERAKI: &str = include_str!("crds/aeraki.yaml");

#[test]
fn the_api_server_takes_what_is_right_and_refuses_what_is_wrong() {
    let Some(server) = ApiServer::start() else {
        return;
    };
    // A CRD whose expressions may cost too much is refused, with the cost of each.
    server.install_crds(&Programs::own_crds());
    kinds_are_called_as_aeraki_calls_them(&server);
    server.create_namespaces(&["redis", "shop"]);
    server.apply(AERAKI);
    columns_show_what_a_person_looks_for(&server);
    each_example_applies(&server);
    refusals_name_the_remedy(&server);
    what_the_api_server_adds_changes_nothing(&server);
    too_many_routes_are_refused(&server);
}

fn kinds_are_called_as_aeraki_calls_them(server: &ApiServer) {
    let names = "custom-columns=:.spec.names.kind,:.spec.group,:.spec.names.shortNames,\
                 :.spec.names.categories,:.spec.scope";
    let listed = server.kubectl(&["get", "crd", "--no-headers", "-o", names]);
    let listed = listed.stdout();
    let found: BTreeSet<String> = listed
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "ApplicationProtocol metaprotocol.aeraki.io <none> [aeraki-io metaprotocol-aeraki-io] Cluster",
        "DubboAuthorizationPolicy dubbo.aeraki.io [dap] [aeraki-io dubbo-aeraki-io] Namespaced",
        "MetaRouter metaprotocol.aeraki.io <none> [aeraki-io metaprotocol-aeraki-io] Namespaced",
        "RedisDestination redis.aeraki.io [rd] [redis-aeraki-io] Namespaced",
        "RedisService redis.aeraki.io [rsvc] [redis-aeraki-io] Namespaced",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}

fn columns_show_what_a_person_looks_for(server: &ApiServer) {
    let rows = [
        (
            "metarouter/split",
            "shop",
            "NAME HOSTS PROTOCOL ACCEPTED PROGRAMMED AGE",
            "split greeter.shop dubbo True Unknown",
        ),
        (
            "rsvc/routing",
            "redis",
            "NAME HOSTS ACCEPTED PROGRAMMED AGE",
            r#"routing ["cluster.redis.svc.cluster.local"] True Unknown"#,
        ),
        (
            "rd/cluster",
            "redis",
            "NAME HOST MODE ACCEPTED PROGRAMMED AGE",
            "cluster cluster.redis.svc.cluster.local CLUSTER True Unknown",
        ),
        (
            "applicationprotocol/brpc",
            "shop",
            "NAME PROTOCOL CODEC ACCEPTED PROGRAMMED AGE",
            "brpc brpc aeraki.meta_protocol.codec.brpc True Unknown",
        ),
        (
            "dap/allow",
            "shop",
            "NAME ACTION ACCEPTED PROGRAMMED AGE",
            "allow ALLOW True Unknown",
        ),
    ];
    for (name, namespace, head, row) in rows {
        is_judged(server, name, namespace);
        let answer = server.kubectl(&["get", name, "-n", namespace]);
        answer.expect_success(name);
        let shown = answer.stdout();
        let lines: Vec<String> = shown
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines[0], head);
        assert!(lines[1].starts_with(row), "{shown}");
    }
}

/// As a controller writes it.
fn is_judged(server: &ApiServer, name: &str, namespace: &str) {
    let mut status = json!({"parents": [{
        "parentRef": {"name": "edge"},
        "controllerName": "meltemi.test/controller",
        "conditions": [
            condition("Accepted", "True"),
            condition("Programmed", "Unknown"),
        ],
    }]});
    if name.starts_with("metarouter/") {
        status["protocol"] = json!("dubbo");
    }
    let patch = json!({ "status": status }).to_string();
    let arguments = [
        "patch",
        name,
        "-n",
        namespace,
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ];
    let patched = server.kubectl(&arguments);
    patched.expect_success("the status is a subresource");
}

fn condition(kind: &str, status: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": "Test", "message": "",
        "lastTransitionTime": "2026-01-31T23:59:59Z",
    })
}

/// Every field of the reference, at every place, as the page shows it.
fn each_example_applies(server: &ApiServer) {
    let examples = meta_router_examples().into_iter();
    let manifests = examples.enumerate().map(|(number, example)| {
        let mut manifest: Value = serde_json::from_str(&example.manifest).expect("JSON");
        manifest["metadata"]["name"] = json!(format!("example-{number}"));
        manifest
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests.collect::<Vec<_>>()});
    server.apply(&list.to_string());
}

fn refusals_name_the_remedy(server: &ApiServer) {
    let mut wrong = vec![];
    for row in refusals::ROWS.iter().chain(&refusals::bounds()) {
        let manifest = refusals::manifest(row);
        let answer = server.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &manifest);
        let said = answer.stderr();
        if answer.is_success() || !said.contains(row.says) {
            wrong.push(format!(
                "{}\n  should say {:?} and says {said}",
                row.spec, row.says
            ));
        }
        // What is refused there is refused in a directory, too.
        let errors = check(&manifest);
        if errors.is_empty() != row.only_there {
            wrong.push(format!("{}: `check` says {errors:?}", row.spec));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `meltemi check` finds wrong with the manifest beside those of the reference.
fn check(manifest: &str) -> Vec<String> {
    let files = [
        ("surroundings.yaml", SURROUNDINGS),
        ("object.yaml", manifest),
    ];
    let files = files.map(|(name, text)| SourceFile {
        name: name.to_owned(),
        text: text.to_owned(),
    });
    let attribute = |name: &str| AttributeDef {
        name: name.to_owned(),
        description: String::new(),
    };
    let settings = Settings::new(vec![
        ProtocolSchema {
            id: "dubbo".to_owned(),
            attributes: vec![attribute("interface"), attribute("method")],
            open: true,
            service_attribute: Some("interface".to_owned()),
            lower_case: vec![],
        },
        ProtocolSchema {
            id: "redis".to_owned(),
            attributes: vec![attribute("command"), attribute("key")],
            open: false,
            service_attribute: None,
            lower_case: vec![],
        },
    ]);
    let report = Controller::open(&[], settings).load_files(files).report;
    let errors = report.diagnostics.iter().filter(|it| it.is_error());
    errors.map(ToString::to_string).collect()
}

/// The defaults that it writes into objects are what their absence means: as read back they say the same.
fn what_the_api_server_adds_changes_nothing(server: &ApiServer) {
    let read = server
        .kubectl(&["get", "metarouters", "-n", "default", "-o", "json"])
        .json();
    let items = read["items"].as_array().expect("a list");
    assert!(items.len() > 50, "{} examples", items.len());
    for item in items {
        let errors = check(&item.to_string());
        assert!(errors.is_empty(), "{item}: {errors:?}");
    }
}

fn too_many_routes_are_refused(server: &ApiServer) {
    let route = |number: usize| {
        json!({
            "match": {"attributes": {"method": {"exact": format!("m{number}")}}},
            "route": [{"destination": {"host": "greeter.shop"}}],
        })
    };
    let router = |count: usize| {
        let routes: Vec<_> = (0..count).map(route).collect();
        json!({
            "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
            "kind": "MetaRouter",
            "metadata": {"name": "many"},
            "spec": {"hosts": ["greeter.shop"], "routes": routes},
        })
    };
    let create = ["create", "--dry-run=server", "-f", "-"];
    let said = until("10,001 routes are refused", || {
        let refused = server.kubectl_with(&create, &router(10_001).to_string());
        (!refused.is_late()).then(|| refused.stderr())
    });
    assert!(said.contains("must have at most 10000 items"), "{said}");
}
