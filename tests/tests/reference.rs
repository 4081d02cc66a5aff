//! The examples of the reference, by the commands that a reader would try them with.

use std::process::Command;

use meltemi_controller::reference::{SURROUNDINGS, meta_router_examples};
use meltemi_tests::{Manifests, Meltemi, binary};

#[test]
fn each_example_is_valid_and_runs() {
    let manifests = Manifests::new();
    manifests.write("surroundings.yaml", SURROUNDINGS);
    for example in meta_router_examples() {
        let path = &example.path;
        manifests.write("router.yaml", &example.manifest);
        let mut check = Command::new(binary());
        check.args(["check", "-f"]).arg(manifests.path());
        let checked = check.output().expect("the binary runs");
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success(), "{path}: {said}");
        // Ready, which it is when everything was accepted by the data plane too.
        let meltemi = Meltemi::run(manifests.path());
        let dump = meltemi.get("/config_dump").expect("the admin page");
        let dump: serde_json::Value = serde_json::from_str(&dump.body).expect("JSON");
        assert_eq!(dump["refused"], serde_json::json!([]), "{path}");
        let owner = "MetaRouter/default/example";
        // This listener asks nobody for a certificate, so that the route is for nobody.
        let is_for_nobody = path == "spec.routes.matches.source.principal";
        let is_there = dump["routes"].to_string().contains(owner);
        assert!(is_there != is_for_nobody, "{path}: {}", dump["routes"]);
    }
}
