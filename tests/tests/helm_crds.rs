//! Our definitions beside those that are there: from an Aeraki, by kubectl or by helm, running or uninstalled. Whichever way
//! is gone, no rule is lost, and afterwards nothing of ours is dropped.

use std::fs;
use std::path::PathBuf;

use meltemi_tests::kubernetes::{ApiServer, Controller, Helm, Programs};
use meltemi_tests::{get, until};
use serde_json::{Value, json};
use tempfile::TempDir;

const METAROUTERS: &str = "metarouters.metaprotocol.aeraki.io";

const OLD_ROUTER: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: old, namespace: default}
spec:
  hosts: [old.demo]
  routes: [{name: all, route: [{destination: {host: old.demo}}]}]
";

/// Aeraki's does not know how long a request may take.
const NEW_ROUTER: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: new, namespace: default}
spec:
  hosts: [new.demo]
  routes: [{name: all, timeout: 3s, route: [{destination: {host: new.demo}}]}]
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Kubectl,
    Helm,
    /// By helm, and uninstalled; what helm keeps is there.
    Uninstalled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    TakeOwnership,
    Annotated,
    ServerSide,
}

/// Where people may be, and with which versions of helm: 3, 4.
const ROWS: &[(Before, Way, [bool; 2])] = &[
    (Before::Kubectl, Way::TakeOwnership, [true, true]),
    (Before::Kubectl, Way::Annotated, [false, true]),
    (Before::Kubectl, Way::ServerSide, [false, true]),
    (Before::Helm, Way::TakeOwnership, [false, true]),
    (Before::Helm, Way::Annotated, [true, false]),
    (Before::Uninstalled, Way::TakeOwnership, [true, false]),
    (Before::Uninstalled, Way::Annotated, [false, true]),
];

struct Lab {
    cluster: ApiServer,
    /// Names of the definitions.
    names: Vec<String>,
    /// A chart as Aeraki's.
    aeraki: TempDir,
}

impl Lab {
    fn start() -> Option<Self> {
        let cluster = ApiServer::start()?;
        let files = fs::read_dir(Programs::own_crds()).expect("the chart");
        let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        files.sort();
        let read = |file: &PathBuf| {
            let file = file.to_str().expect("a path in UTF-8");
            let create = ["create", "--dry-run=client", "-o", "json", "-f", file];
            cluster.kubectl(&create).json()
        };
        let items: Vec<Value> = files.iter().map(read).collect();
        let names = items
            .iter()
            .map(|it| it["metadata"]["name"].as_str().expect("a name").to_owned());
        let aeraki = TempDir::with_prefix("aeraki-").expect("a temporary directory");
        fs::create_dir(aeraki.path().join("templates")).expect("a directory");
        let chart = "apiVersion: v2\nname: aeraki\nversion: 1.4.2\n";
        fs::write(aeraki.path().join("Chart.yaml"), chart).expect("it can be written");
        for (number, own) in items.iter().enumerate() {
            let path = aeraki.path().join(format!("templates/{number}.yaml"));
            fs::write(path, as_of_aeraki(own).to_string()).expect("it can be written");
        }
        Some(Self {
            names: names.collect(),
            cluster,
            aeraki,
        })
    }

    fn aeraki(&self) -> &str {
        self.aeraki.path().to_str().expect("a path in UTF-8")
    }

    fn all(&self, verb: &[&str], more: &[&str]) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let answer = self.cluster.kubectl(&[verb, &names, more].concat());
        answer.expect_success(verb[0]);
    }

    fn prepare(&self, helm: &Helm, before: Before) {
        match before {
            Before::Kubectl => {
                let templates = format!("{}/templates", self.aeraki());
                let applied = self.cluster.kubectl(&["apply", "-f", &templates]);
                applied.expect_success("they apply");
            }
            Before::Helm | Before::Uninstalled => {
                let _ = helm.prints(&["install", "aeraki", self.aeraki()]);
            }
        }
        self.all(
            &[
                "wait",
                "crd",
                "--for",
                "condition=established",
                "--timeout=60s",
            ],
            &[],
        );
        until("an old rule is taken", || {
            let create = ["create", "-f", "-"];
            self.cluster
                .kubectl_with(&create, OLD_ROUTER)
                .is_success()
                .then_some(())
        });
        if before == Before::Uninstalled {
            let _ = helm.prints(&["uninstall", "aeraki"]);
        }
    }

    fn uid(&self, what: &[&str]) -> String {
        let answer = self
            .cluster
            .kubectl(&[&["get"], what, &["-o", "jsonpath={.metadata.uid}"]].concat());
        answer.expect_success("it is there");
        answer.stdout()
    }

    fn take(&self, helm: &Helm, way: Way) {
        let install = ["install", "meltemi-crds", "meltemi-crds", "-n", "default"];
        match way {
            Way::TakeOwnership => {
                // Helm 4 applies as kubectl does on the server's side: what others manage it takes when it is told to.
                let force: &[&str] = if helm.is_three() {
                    &[]
                } else {
                    &["--force-conflicts"]
                };
                let _ = helm.prints(&[&install[..], &["--take-ownership"], force].concat());
            }
            Way::Annotated => {
                self.all(
                    &["annotate", "--overwrite", "crd"],
                    &[
                        "meta.helm.sh/release-name=meltemi-crds",
                        "meta.helm.sh/release-namespace=default",
                    ],
                );
                self.all(
                    &["label", "--overwrite", "crd"],
                    &["app.kubernetes.io/managed-by=Helm"],
                );
                let force: &[&str] = if helm.is_three() {
                    &[]
                } else {
                    &["--force-conflicts"]
                };
                let _ = helm.prints(&[&install[..], force].concat());
            }
            Way::ServerSide => {
                self.cluster
                    .apply(&helm.prints(&["template", "meltemi-crds"]));
            }
        }
    }

    /// What of it the API server keeps.
    fn is_taken_whole(&self) {
        let apply = ["apply", "--server-side", "-f", "-", "-o", "json"];
        until("a new rule is taken with all its fields", || {
            let answer = self.cluster.kubectl_with(&apply, NEW_ROUTER);
            let is_whole = |it: Value| it["spec"]["routes"][0]["timeout"] == "3s";
            (answer.is_success() && is_whole(answer.json())).then_some(())
        });
    }

    fn reset(&self) {
        // A definition that is deleted before its objects can be listed stays until the API server looks again, which
        // takes minutes.
        for name in &self.names {
            until(&format!("{name} is served"), || {
                let listed = self.cluster.kubectl(&["get", name, "-A"]);
                listed.is_success().then_some(())
            });
        }
        self.all(&["delete", "crd"], &[]);
    }
}

/// Without what is ours: schemas as loose as Aeraki's, which drop what they do not know.
fn as_of_aeraki(own: &Value) -> Value {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let route = json!({"type": "object", "properties": {
        "name": {"type": "string"}, "match": any, "route": {"type": "array", "items": any},
    }});
    let mut crd = own.clone();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {
                "hosts": texts, "routes": {"type": "array", "items": route},
            }},
            "status": any,
        },
    });
    crd["spec"]["versions"][0]["additionalPrinterColumns"] = json!([]);
    crd
}

#[test]
fn no_rule_is_lost_whoever_made_the_definitions() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let of_router = ["metarouter", "old", "-n", "default"];
    for helm in Helm::versions_on(&lab.cluster) {
        let of_this = |row: &&(Before, Way, [bool; 2])| row.2[usize::from(!helm.is_three())];
        for (before, way, _) in ROWS.iter().filter(of_this) {
            lab.prepare(&helm, *before);
            let uids = || (lab.uid(&["crd", METAROUTERS]), lab.uid(&of_router));
            let first = uids();
            // Whoever installs without thinking is told, and nothing is another than before.
            let refused = helm.run(&["install", "meltemi-crds", "meltemi-crds", "-n", "default"]);
            assert!(!refused.is_success(), "{before:?}");
            assert_eq!(uids(), first, "{before:?}");
            lab.take(&helm, *way);
            assert_eq!(uids(), first, "{before:?} {way:?}");
            lab.is_taken_whole();
            if *way != Way::ServerSide {
                let _ = helm.prints(&["upgrade", "meltemi-crds", "meltemi-crds", "-n", "default"]);
                let _ = helm.prints(&["rollback", "meltemi-crds", "1", "-n", "default"]);
                let _ = helm.prints(&["uninstall", "meltemi-crds", "-n", "default"]);
            }
            if *before == Before::Helm {
                let _ = helm.prints(&["uninstall", "aeraki"]);
            }
            assert_eq!(uids(), first, "{before:?} {way:?}: kept");
            lab.is_taken_whole();
            lab.reset();
        }
    }
}

#[test]
fn definitions_that_drop_something_are_told_of_until_they_do_not() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let [_, helm] = Helm::versions_on(&lab.cluster);
    lab.prepare(&helm, Before::Kubectl);
    // Where the one that writes Events has its Lease.
    let namespace = ["create", "namespace", "meltemi-system"];
    lab.cluster
        .kubectl(&namespace)
        .expect_success("a namespace");
    let controller = Controller::start(&lab.cluster.kubeconfig());
    let metric = "meltemi_controller_outdated_definitions{definition=\"metarouters.metaprotocol.aeraki.io\"}";
    let counts = || {
        let page = get(controller.admin(), "/metrics").ok()?;
        Some(page.body.contains(metric))
    };
    until("it is counted", || counts().filter(|counts| *counts));
    let said = controller.process().said();
    let is_told = |line: &&str| line.contains("CRDsOutdated") && line.contains("metarouters.");
    let line = said.lines().find(is_told).expect("a line of the log");
    assert!(
        line.contains("spec.gateways") && line.contains("meltemi-crds"),
        "{line}"
    );
    until("there is an Event", || {
        let get = ["get", "events", "-n", "default", "-o", "json"];
        let events = lab.cluster.kubectl(&get).json();
        let events = events["items"].as_array()?.clone();
        let mut told = events.iter().filter(|it| it["reason"] == "CRDsOutdated");
        told.find(|it| it["involvedObject"]["name"] == METAROUTERS)
            .map(|_| ())
    });
    lab.take(&helm, Way::ServerSide);
    until("it is not counted any more", || {
        counts().filter(|counts| !counts)
    });
}
