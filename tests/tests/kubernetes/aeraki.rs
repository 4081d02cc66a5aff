//! Beside an Aeraki, and beside another controller: whose rules are whose.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use meltemi_tests::kubernetes::{ApiServer, Controller, REDIS_GATEWAY, controller_account};
use meltemi_tests::redis::{Server, Wire, service};
use meltemi_tests::{binary, until};
use serde_json::Value;

use crate::status::seen::Seen;

const AERAKI: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: aeraki, namespace: istio-system, labels: {app: aeraki}}
spec:
  selector: {matchLabels: {app: aeraki}}
  template:
    metadata: {labels: {app: aeraki}}
    spec: {containers: [{name: aeraki, image: aeraki}]}
";

/// It is asked, and nobody answers: whoever ignores that goes on.
const WEBHOOK: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: aeraki-istio-system}
webhooks:
- name: validate.aeraki.io
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  timeoutSeconds: 1
  clientConfig: {url: 'https://127.0.0.1:9/validate'}
  rules:
  - {apiGroups: [metaprotocol.aeraki.io], apiVersions: ['*'], operations: [CREATE], resources: [metarouters]}
";

fn router(revision: Option<&str>) -> String {
    let labels = revision.map_or_else(String::new, |it| {
        format!(", labels: {{istio.io/rev: {it}}}")
    });
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: cache, namespace: default{labels}}}\n\
         spec: {{hosts: [one.demo], gateways: [edge]}}\n"
    )
}

struct Lab {
    cluster: ApiServer,
    _server: Server,
}

impl Lab {
    fn start() -> Option<Self> {
        let cluster = ApiServer::with_definitions()?;
        if !Server::is_installed() {
            return None;
        }
        let server = Server::start(&[]);
        assert_eq!(server.connect().call("SET whoami one"), "+OK");
        cluster.apply(REDIS_GATEWAY);
        cluster.apply(&service("one.demo", &[server.address()]));
        cluster.apply(&router(None));
        Some(Self {
            cluster,
            _server: server,
        })
    }

    fn accepted(&self) -> Option<String> {
        let get = ["get", "metarouter", "cache", "-n", "default", "-o", "json"];
        let router = self.cluster.kubectl(&get).json();
        let conditions = router["status"]["parents"][0]["conditions"].as_array()?;
        let accepted = conditions.iter().find(|it| it["type"] == "Accepted")?;
        accepted["reason"].as_str().map(str::to_owned)
    }

    fn becomes(&self, reason: &str) {
        until(&format!("it is {reason}"), || {
            self.accepted().filter(|it| it == reason).map(|_| ())
        });
    }

    fn kubectl(&self, arguments: &[&str]) {
        let answer = self.cluster.kubectl(arguments);
        answer.expect_success(&arguments.join(" "));
    }
}

fn is_served(address: SocketAddr, is_served: bool) {
    until(&format!("whether it is served is {is_served}"), || {
        let answer = Wire::try_connect(address)?.try_call("GET whoami")?;
        ((answer == "one") == is_served).then_some(())
    });
}

/// Its webhook alone is as good as itself.
fn is_known_by_its_webhook(lab: &Lab, account: &Path) {
    lab.cluster.apply(WEBHOOK);
    lab.kubectl(&[
        "scale",
        "deployment/aeraki",
        "-n",
        "istio-system",
        "--replicas=0",
    ]);
    until("the webhook is what is seen", || {
        let restarted = Controller::start(account);
        let said = restarted.process();
        let is_seen = || {
            said.said()
                .contains("ValidatingWebhookConfiguration aeraki-istio-system")
        };
        until("what is there is told", || {
            said.said().contains("Aeraki is here, too").then_some(())
        });
        is_seen().then_some(())
    });
}

#[test]
fn beside_an_aeraki_rules_count_where_a_namespace_is_handed_over() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let account = controller_account(&lab.cluster);
    let controller = Controller::start(&account);
    let proxy = controller.proxy();
    let address = proxy.address("default/edge/redis");
    is_served(address, true);
    lab.becomes("Accepted");

    lab.cluster.apply(AERAKI);
    lab.becomes("NotEnabled");
    is_served(address, false);
    let mut check = Command::new(binary());
    let check = check
        .args(["check", "--kubeconfig"])
        .arg(&account)
        .output()
        .expect("meltemi starts");
    let said = String::from_utf8_lossy(&check.stdout).into_owned()
        + &String::from_utf8_lossy(&check.stderr);
    assert_eq!(check.status.code(), Some(1), "{said}");
    assert!(
        said.contains("error[NotEnabled]") && said.contains("kubectl label namespace default"),
        "{said}"
    );

    lab.kubectl(&["label", "namespace", "default", "meltemi.io/enabled=true"]);
    is_served(address, true);
    lab.becomes("Accepted");
    lab.kubectl(&["label", "namespace", "default", "meltemi.io/enabled-"]);
    lab.becomes("NotEnabled");
    is_known_by_its_webhook(&lab, &account);
    lab.kubectl(&[
        "delete",
        "validatingwebhookconfiguration",
        "aeraki-istio-system",
    ]);
    lab.becomes("Accepted");
    is_served(address, true);
    let said = controller.process().said();
    assert!(!said.contains("cannot be seen"), "{said}");
}

#[test]
fn each_rule_is_one_revision_s() {
    let Some(lab) = Lab::start() else {
        return;
    };
    lab.kubectl(&["create", "namespace", "meltemi-system"]);
    let admin = lab.cluster.kubeconfig();
    let stable = Controller::start(&admin);
    let canary =
        Controller::start_with(&admin, &["--revision", "canary", "--lease-name", "canary"]);
    let (of_stable, of_canary) = (stable.proxy(), canary.proxy());
    let [of_stable, of_canary] =
        [&of_stable, &of_canary].map(|it| it.address("default/edge/redis"));
    is_served(of_stable, true);
    is_served(of_canary, false);
    lab.becomes("Accepted");
    lab.cluster.apply(&router(Some("canary")));
    is_served(of_canary, true);
    is_served(of_stable, false);
    lab.becomes("Accepted");
    // A namespace says it for all of its objects that do not.
    lab.cluster.apply(&router(None));
    is_served(of_stable, true);
    lab.kubectl(&["label", "namespace", "default", "meltemi.io/rev=canary"]);
    is_served(of_canary, true);
    is_served(of_stable, false);
    // Which Istio injects its sidecars is another matter.
    lab.kubectl(&[
        "label",
        "namespace",
        "default",
        "meltemi.io/rev-",
        "istio.io/rev=1-31",
    ]);
    is_served(of_stable, true);
}

/// As its demonstration of brpc has it, where the kind is of the cluster.
const OF_A_NAMESPACE: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: ApplicationProtocol
metadata: {name: brpc, namespace: istio-system}
spec: {protocol: brpc, codec: aeraki.meta_protocol.codec.brpc}
";

#[test]
fn a_protocol_that_names_a_namespace_is_taken_as_it_is() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    let _controller = Controller::start(&controller_account(&cluster));
    let seen = Seen(&cluster);
    let apply = || {
        let applied = cluster.kubectl_with(&["apply", "-f", "-"], OF_A_NAMESPACE);
        applied.expect_success("it applies");
    };
    apply();
    seen.waits("applicationprotocol/brpc", "Accepted", "True");
    let protocol = seen.object("applicationprotocol/brpc");
    assert_eq!(protocol["metadata"]["namespace"], Value::Null);
    // Whoever applies it again changes nothing of it.
    apply();
    let again = seen.object("applicationprotocol/brpc");
    assert_eq!(again["spec"], protocol["spec"]);
    let generation = |it: &Value| it["metadata"]["generation"].clone();
    assert_eq!(generation(&again), generation(&protocol));
}
