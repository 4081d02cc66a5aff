//! Presence, never absence: whatever breaks between the controller and what it reads, nothing is withdrawn, what changed
//! meanwhile arrives, and traffic goes on without an error.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use meltemi_tests::kubernetes::{ApiServer, Controller};
use meltemi_tests::redis::{Server, Wire, service};
use meltemi_tests::{Meltemi, PATIENCE, until};
use serde_json::{Value, json};

use crate::whoami::{self, NAMES, answered_by, router, routes_to};

/// A cluster with a router to one of two servers, a controller and a proxy.
struct Lab {
    proxy: Meltemi,
    address: SocketAddr,
    controller: Controller,
    servers: [Server; 2],
    // Another test may have it next: whoever asks it has to be gone by then.
    cluster: ApiServer,
}

impl Lab {
    /// None where something is not installed.
    fn start() -> Option<Self> {
        let cluster = ApiServer::with_definitions()?;
        if !Server::is_installed() {
            return None;
        }
        let servers = whoami::servers();
        let controller = Controller::start(&cluster.kubeconfig());
        let proxy = controller.proxy();
        whoami::apply(&cluster, &servers);
        let address = proxy.address("default/edge/redis");
        let lab = Self {
            cluster,
            servers,
            controller,
            proxy,
            address,
        };
        lab.routes_to("one");
        Some(lab)
    }

    fn routes_to(&self, name: &str) {
        routes_to(self.address, name);
    }

    fn says(&self, text: &str) {
        self.tells(text, |said| said.contains(text));
    }

    /// Waits until what the controller has said is so.
    fn tells(&self, what: &str, mut is_so: impl FnMut(&str) -> bool) {
        let said = || self.controller.process().said();
        let start = Instant::now();
        while !is_so(&said()) {
            let is_late = start.elapsed() > PATIENCE;
            assert!(!is_late, "it does not say {what:?}: {}", said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The version of the configuration in force, and how often it changed.
    fn configuration(&self) -> (String, u64) {
        let page = self.proxy.get("/config_dump").expect("the configuration");
        let page: Value = serde_json::from_str(&page.body).expect("JSON");
        let version = page["version"].as_str().expect("a version").to_owned();
        (
            version,
            self.proxy.metric("meltemi_config_updates_total", &[]),
        )
    }
}

/// Clients that ask without a pause: one on a connection that it keeps, one on a new one each time.
struct Traffic {
    is_over: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Traffic {
    fn start(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicUsize::new(0));
        let client = |is_new: bool| {
            let (is_over, answers) = (is_over.clone(), answers.clone());
            thread::spawn(move || {
                let mut wrong = vec![];
                let mut wire = Wire::connect(address);
                while !is_over.load(Ordering::Relaxed) {
                    if is_new {
                        wire = Wire::connect(address);
                    }
                    match wire.try_call("GET whoami") {
                        Some(answer) if NAMES.contains(&answer.as_str()) => {}
                        other => wrong.push(format!("{other:?}")),
                    }
                    answers.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(2));
                }
                wrong
            })
        };
        let clients = [true, false].map(client).into();
        Self {
            is_over,
            answers,
            clients,
        }
    }

    fn ends_without_an_error(self) {
        let asked = self.answers.load(Ordering::Relaxed);
        until("they ask to the end", || {
            (self.answers.load(Ordering::Relaxed) > asked + 10).then_some(())
        });
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            let wrong = client.join().expect("a client");
            assert!(wrong.is_empty(), "{} wrong answers: {wrong:?}", wrong.len());
        }
        assert!(asked > 100, "{asked} answers");
    }
}

/// Somebody who changes the router all the time, as long as anybody listens.
struct Changes {
    is_over: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    writer: JoinHandle<()>,
}

impl Changes {
    fn start(cluster: &ApiServer) -> Self {
        let (kubectl, kubeconfig) = (cluster.programs().path("kubectl"), cluster.kubeconfig());
        let is_over = Arc::new(AtomicBool::new(false));
        let made = Arc::new(AtomicUsize::new(0));
        let (end, count) = (is_over.clone(), made.clone());
        let writer = thread::spawn(move || {
            let patch = |to: &str| {
                let hosts = json!({"spec": {"hosts": [format!("{to}.demo")]}});
                let mut command = Command::new(&kubectl);
                command
                    .arg("--kubeconfig")
                    .arg(&kubeconfig)
                    .args(["patch", "metarouter", "cache", "--type=merge"])
                    .args(["--request-timeout=2s", "-p", &hosts.to_string()]);
                command.output().is_ok_and(|output| output.status.success())
            };
            for to in NAMES.iter().cycle() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                if patch(to) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self {
            is_over,
            made,
            writer,
        }
    }

    /// Waits until some more were made.
    fn go_on(&self) {
        let before = self.made.load(Ordering::Relaxed);
        until("changes are made", || {
            (self.made.load(Ordering::Relaxed) > before + 3).then_some(())
        });
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.writer.join().expect("the writer ends");
    }
}

const DEAF: &str = "the API server cannot be heard";

#[test]
fn an_api_server_and_a_store_that_die_amid_changes_cost_nothing() {
    let Some(mut lab) = Lab::start() else { return };
    let traffic = Traffic::start(lab.address);

    let changes = Changes::start(&lab.cluster);
    changes.go_on();
    lab.cluster.kill();
    lab.says(DEAF);
    lab.cluster.start_again();
    changes.go_on();
    changes.end();
    lab.says("the API server is heard again");
    for name in NAMES {
        lab.cluster.apply(&router(&format!("{name}.demo")));
        lab.routes_to(name);
    }

    let changes = Changes::start(&lab.cluster);
    changes.go_on();
    lab.cluster.kill_store();
    // Not even to the end of a write that was under way.
    changes.end();
    let version = lab.configuration();
    assert!(
        !lab.cluster
            .kubectl(&["get", "--raw", "/readyz"])
            .is_success(),
        "kube-apiserver does not miss its store"
    );
    // Who comes now is served what there was.
    let later = lab.controller.proxy();
    let address = later.address("default/edge/redis");
    until("a later proxy serves", || answered_by(address));
    assert_eq!(lab.configuration(), version);
    lab.cluster.start_store_again();
    for name in NAMES {
        lab.cluster.apply(&router(&format!("{name}.demo")));
        lab.routes_to(name);
    }
    traffic.ends_without_an_error();
}

#[test]
fn what_changed_while_nobody_could_tell_arrives_and_what_was_deleted_goes() {
    let Some(mut lab) = Lab::start() else { return };
    let traffic = Traffic::start(lab.address);
    lab.cluster
        .apply(&service("gone.demo", &[lab.servers[0].address()]));
    let is_there = |proxy: &Meltemi| {
        let page = proxy.get("/config_dump").expect("the configuration");
        page.body.contains("gone.demo")
    };
    let rule = router("gone.demo").replace("name: cache", "name: gone");
    let route = "  priority: 1\n  routes:\n  - match: {attributes: {key: {exact: gone}}}\n    \
                 route: [{destination: {host: gone.demo}}]\n";
    lab.cluster.apply(&format!("{rule}{route}"));
    until("the third service is served", || {
        is_there(&lab.proxy).then_some(())
    });

    // The controller is not there while all of it happens, and etcd forgets that it did.
    lab.controller.process().signal("STOP");
    lab.cluster.kill();
    lab.cluster.start_again();
    lab.cluster.apply(&router("two.demo"));
    let delete = ["delete", "metarouter/gone", "serviceentry/gone"];
    lab.cluster.kubectl(&delete).expect_success("they go");
    lab.cluster.compact();
    lab.cluster.kill();
    lab.cluster.start_again();
    assert_eq!(answered_by(lab.address).as_deref(), Some("one"));
    lab.controller.process().signal("CONT");
    lab.routes_to("two");
    until("the third service is gone", || {
        (!is_there(&lab.proxy)).then_some(())
    });
    lab.says("all is read anew");
    traffic.ends_without_an_error();
}

/// What a later version of the definition allows, this one cannot read; what was in force stays.
fn cannot_be_read(lab: &Lab) {
    let name = "crd/metarouters.metaprotocol.aeraki.io";
    let schema = json!([{
        "op": "replace",
        "path": "/spec/versions/0/schema/openAPIV3Schema",
        "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }]);
    let patch = ["patch", name, "--type=json", "-p", &schema.to_string()];
    lab.cluster
        .kubectl(&patch)
        .expect_success("the schema is open");
    let strange = [
        router("one.demo").replace("hosts: [one.demo]", "hosts: {all: true}"),
        router("one.demo").replace("gateways: [edge]", "gateways: 5"),
        router("one.demo").replace("gateways: [edge]", "gateways: [edge]\n  routes: all"),
        // Of what is in force: without the part that is dropped it can be read.
        router("two.demo").replace("gateways: [edge]", "gateways: [edge]\n  someday: {soon: 1}"),
    ];
    for (strange, said) in strange
        .iter()
        .zip(["hosts", "gateways", "routes", "someday"])
    {
        // A watch that an API server opened under the old definition drops what that did not know, and ends a second
        // later. Each try is another object: one that changes nothing is no event, so nobody would see it again.
        let mut tries = 0;
        lab.tells(&format!("the mistake of {said}"), |told| {
            tries += 1;
            let named = format!("name: cache, annotations: {{try: '{tries}'}}");
            let strange = strange.replace("name: cache", &named);
            let taken = lab.cluster.kubectl_with(&["replace", "-f", "-"], &strange);
            taken.expect_success("it is replaced");
            let mut errors = told.split("\nerror[").skip(1);
            errors.any(|error| error.contains(said) && error.contains("default/cache"))
        });
        assert_eq!(answered_by(lab.address).as_deref(), Some("two"));
    }
}

#[test]
fn a_definition_that_goes_and_an_object_that_cannot_be_read_withdraw_nothing() {
    let Some(lab) = Lab::start() else { return };
    let traffic = Traffic::start(lab.address);

    // What is in force needs the ServiceEntries that go with their definition.
    let name = "crd/serviceentries.networking.istio.io";
    lab.cluster
        .kubectl(&["delete", name])
        .expect_success("it goes");
    lab.says("ServiceEntry default/one was deleted, and stays in force while it is needed");
    lab.says("the API server does not know the kind yet");
    lab.cluster
        .install_crds(&lab.cluster.programs().istio_crds());
    for (name, server) in NAMES.iter().zip(&lab.servers) {
        lab.cluster
            .apply(&service(&format!("{name}.demo"), &[server.address()]));
    }
    lab.cluster.apply(&router("two.demo"));
    lab.routes_to("two");

    cannot_be_read(&lab);
    // Others are not affected, nor is it once it can be read.
    lab.cluster
        .apply(&service("two.demo", &[lab.servers[0].address()]));
    lab.routes_to("one");
    lab.cluster
        .apply(&service("two.demo", &[lab.servers[1].address()]));
    lab.routes_to("two");
    lab.cluster
        .kubectl_with(&["replace", "-f", "-"], &router("one.demo"))
        .expect_success("it is mended");
    lab.routes_to("one");
    traffic.ends_without_an_error();
}

#[test]
fn a_controller_that_starts_anew_changes_nothing() {
    let Some(mut lab) = Lab::start() else { return };
    let traffic = Traffic::start(lab.address);
    let before = lab.configuration();
    let accepted = |proxy: &Meltemi| proxy.metric("meltemi_config_responses_accepted_total", &[]);
    for _ in 0..3 {
        lab.controller = lab.controller.restarted();
        lab.says("a client connected");
        lab.says("all kinds are known");
        assert_eq!(lab.configuration(), before);
    }
    // While it is away the proxy tells for how long nobody has vouched for what it has.
    lab.controller.process().signal("KILL");
    let age = || lab.proxy.metric("meltemi_config_age_seconds", &[]);
    let first = until("the configuration ages", || {
        Some(age()).filter(|it| *it > 0)
    });
    until("it ages further", || (age() > first).then_some(()));
    assert_eq!(lab.configuration(), before);
    // Nor one that starts before its API server does.
    lab.cluster.kill();
    lab.controller = lab.controller.restarted();
    lab.says("a client connected");
    lab.says(DEAF);
    lab.proxy.counts("meltemi_config_age_seconds", &[], 0);
    assert_eq!(lab.configuration(), before);
    lab.cluster.start_again();
    lab.says("all kinds are known");
    let answered = accepted(&lab.proxy);
    lab.cluster
        .apply(&service("one.demo", &[lab.servers[1].address()]));
    lab.routes_to("two");
    assert!(
        accepted(&lab.proxy) > answered,
        "it is served by the new one"
    );
    let (_, updates) = lab.configuration();
    assert_eq!(updates, before.1 + 1, "that was the only change");
    traffic.ends_without_an_error();
}
