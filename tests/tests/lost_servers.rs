//! One of two real servers is killed, or frozen, under load: what that costs callers of each protocol, who have
//! several calls on their way each. One story; what differs between protocols is in `lost_servers/protocols.rs`.

#[path = "lost_servers/load.rs"]
mod load;
#[path = "lost_servers/protocols.rs"]
mod protocols;

use meltemi_tests::{Manifests, Meltemi, until};
use serde_json::Value;

use load::{CLIENTS, DEPTH, Load};
use protocols::{Protocol, protocols};

/// Calls on their way at a time, of all clients.
const WINDOW: usize = CLIENTS * DEPTH;
/// So many more answers show that things go on.
const SOME: usize = 500;

/// A proxy before two servers, and clients that never pause.
struct Scene {
    // Clients end before who serves them.
    load: Load,
    meltemi: Meltemi,
    _manifests: Manifests,
    servers: [Option<Box<dyn protocols::Server>>; 2],
}

impl Scene {
    /// `treatment` is the route's, `policy` the DestinationRule's. Under load, when both servers have answered.
    fn of(protocol: &'static dyn Protocol, harmless: bool, treatment: &str, policy: &str) -> Self {
        let servers = ["a", "b"].map(|label| protocol.server(label));
        let ports = servers.each_ref().map(|server| server.port());
        let manifests = protocol.manifests(ports);
        let host = protocol.host();
        let idempotent = match harmless {
            true => "idempotent: true\n",
            false => "",
        };
        let mut router = format!(
            "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: it}}\nspec:\n  \
             hosts: [{host}]\n  gateways: [edge]\n  routes:\n  - name: all\n    \
             route: [{{ destination: {{ host: {host} }} }}]\n"
        );
        for line in idempotent.lines().chain(treatment.lines()) {
            router.push_str(&format!("    {line}\n"));
        }
        manifests.write("routes.yaml", &router);
        manifests.write(
            "rule.yaml",
            &format!(
                "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: it}}\nspec:\n  \
                 host: {host}\n  trafficPolicy: {policy}\n"
            ),
        );
        let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "2"]);
        let load = Load::start(protocol, meltemi.address(protocol.listener()), DEPTH);
        let scene = Self {
            load,
            meltemi,
            _manifests: manifests,
            servers: servers.map(Some),
        };
        scene.until_answered("a", 50);
        scene.until_answered("b", 50);
        scene
    }

    /// Waits until a server has answered so many more calls.
    fn until_answered(&self, label: &str, more: usize) {
        let before = self.load.answered(label);
        let (load, goal) = (&self.load, before + more);
        until(&format!("{label} answers {more} more calls"), || {
            (load.answered(label) >= goal).then_some(())
        });
    }

    /// What a page says of the first server.
    fn first(&self, field: &str) -> Value {
        let page = self.meltemi.get("/clusters").expect("the clusters");
        let page: Value = serde_json::from_str(&page.body).expect("JSON");
        let port = self.servers[0].as_ref().expect("it runs").port();
        let address = format!("127.0.0.1:{port}");
        let clusters = page["clusters"].as_object().expect("clusters by name");
        let mut endpoints = clusters
            .values()
            .flat_map(|cluster| cluster["endpoints"].as_array().into_iter().flatten());
        let first = endpoints.find(|endpoint| endpoint["address"] == *address);
        first.expect("an endpoint")[field].clone()
    }
}

const RETRIES: &str = "retries: { attempts: 3, retryOn: \"connect-failure,reset-before-bytes\" }\n";
/// All that fails may be repeated at a time.
const BUDGET: &str = "{retryBudget: {percent: 100, minRetryConcurrency: 1000}}";

#[test]
fn a_server_that_is_killed_costs_an_idempotent_caller_nothing() {
    for protocol in protocols() {
        let mut scene = Scene::of(protocol, true, RETRIES, BUDGET);
        drop(scene.servers[0].take());
        scene.until_answered("b", SOME);
        let errors = scene.load.stop();
        assert_eq!(errors, [""; 0], "{}", protocol.name());
    }
}

#[test]
fn a_server_that_is_killed_costs_others_what_it_had() {
    for protocol in protocols() {
        for treatment in [RETRIES, ""] {
            let mut scene = Scene::of(protocol, false, treatment, BUDGET);
            scene.servers[0].as_ref().expect("it runs").freeze();
            let mut had = Value::Null;
            until("what it has does not change any more", || {
                let before = std::mem::replace(&mut had, scene.first("active"));
                scene.until_answered("b", SOME);
                (before == had).then_some(())
            });
            let had = had.as_u64().expect("a number");
            drop(scene.servers[0].take());
            scene.until_answered("b", SOME);
            let errors = scene.load.stop();
            let told = u64::try_from(errors.len()).expect("a number");
            assert!(
                told <= had,
                "{}: it had {had}, {told} were told: {:?}",
                protocol.name(),
                errors.first()
            );
        }
    }
}

/// Nothing ends the wait for a frozen server here: those who do not wait for it go on all the same.
#[test]
fn a_server_that_is_frozen_stalls_nobody_else() {
    for protocol in protocols() {
        let scene = Scene::of(protocol, false, "", "{}");
        scene.servers[0].as_ref().expect("it runs").freeze();
        let before = scene.load.of_clients();
        let what = format!("{}: all go on that do not wait for it", protocol.name());
        until(&what, || {
            let now = scene.load.of_clients();
            let stalled = before
                .iter()
                .zip(&now)
                .filter(|(before, now)| *now < &(*before + 50));
            let stalled = stalled.count();
            // Whoever stands still has all its calls there.
            let had = scene.first("active").as_u64().expect("a number");
            let is_its_share = (stalled * DEPTH) as u64 <= had;
            (stalled < CLIENTS && is_its_share).then_some(())
        });
        scene.servers[0].as_ref().expect("it runs").thaw();
        scene.until_answered("a", 50);
        let errors = scene.load.stop();
        assert_eq!(errors, [""; 0], "{}", protocol.name());
    }
}

#[test]
fn a_server_that_is_frozen_costs_its_share_until_it_is_ejected() {
    let policy = "{outlierDetection: {consecutive5xxErrors: 3, interval: 1h, baseEjectionTime: 1h, \
                  maxEjectionPercent: 100}}";
    for protocol in protocols() {
        let mut scene = Scene::of(protocol, false, "timeout: 5s\n", policy);
        scene.servers[0].as_ref().expect("it runs").freeze();
        until("it is ejected", || {
            (scene.first("ejected") == true).then_some(())
        });
        // Who had something there goes on elsewhere, on the same connection.
        let before = scene.load.of_clients();
        until(&format!("{}: all go on", protocol.name()), || {
            let now = scene.load.of_clients();
            let mut both = before.iter().zip(&now);
            both.all(|(before, now)| *now >= before + SOME)
                .then_some(())
        });
        // Those that were there when it froze, and those that came until it was ejected.
        let errors = scene.load.stop();
        assert!(
            (1..=2 * WINDOW).contains(&errors.len()),
            "{}: {errors:?}",
            protocol.name()
        );
        let address = scene.meltemi.address(protocol.listener());
        scene.load = Load::start(protocol, address, DEPTH);
        scene.until_answered("b", SOME);
        let errors = scene.load.stop();
        assert_eq!(errors, [""; 0], "{}", protocol.name());
    }
}
