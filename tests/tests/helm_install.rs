//! The charts on a real API server, with restricted Pod Security: install, a route, upgrade, rollback, uninstall. What
//! they have run is run as they say, with the permissions that they give and none beyond.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use meltemi_tests::kubernetes::{ApiServer, Helm, Pod, Programs, own_address, uninstall};
use meltemi_tests::redis::{Server, Wire, service};
use meltemi_tests::{binary, until};
use serde_json::Value;

/// The namespace of the release `meltemi`.
const SYSTEM: (&str, &str) = ("meltemi-system", "meltemi");
const RESTRICTED: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: NAME
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/warn: restricted
";

/// For clients of `shop`; the rule is the first route of the documentation.
const RULES: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  selector: {istio: edge}
  servers:
  - name: redis
    bind: 127.0.0.1
    port: {number: 0, name: tcp-redis, protocol: TCP}
    hosts: ['*']
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: cache, namespace: shop}
spec: {hosts: [one.demo], gateways: [edge]}
";

struct Lab {
    cluster: ApiServer,
    server: Server,
    address: Ipv4Addr,
}

impl Lab {
    fn start() -> Option<Self> {
        let cluster = ApiServer::start()?;
        if !Server::is_installed() {
            return None;
        }
        cluster.install_crds(&cluster.programs().istio_crds());
        for namespace in ["istio-system", "meltemi-system", "shop"] {
            cluster.apply(&RESTRICTED.replace("NAME", namespace));
        }
        let server = Server::start(&[]);
        assert_eq!(server.connect().call("SET whoami one"), "+OK");
        let address = own_address();
        Some(Self {
            cluster,
            server,
            address,
        })
    }

    /// What the charts' values have to say on this machine, where each test has an address of its own.
    fn here(&self) -> String {
        format!("bindAddress={}", self.address)
    }

    fn is_accepted(&self) {
        let get = ["get", "metarouter", "cache", "-n", "shop", "-o", "json"];
        until("the rule is programmed", || {
            let router = self.cluster.kubectl(&get).json();
            let conditions = router["status"]["parents"][0]["conditions"].as_array()?;
            let is_true = |it: &&Value| it["type"] == "Programmed" && it["status"] == "True";
            conditions.iter().find(is_true).map(|_| ())
        });
    }

    /// All objects that there are, but for what an API server makes of itself and tells of others.
    fn objects(&self) -> BTreeSet<String> {
        let resources = ["api-resources", "--verbs=list", "-o", "name"];
        let resources = self.cluster.kubectl(&resources).stdout();
        let told = ["events", "events.events.k8s.io", "componentstatuses"];
        let resources: Vec<_> = resources.lines().filter(|it| !told.contains(it)).collect();
        let listed = self.cluster.kubectl(&[
            "get",
            &resources.join(","),
            "-A",
            "--ignore-not-found",
            "-o",
            "custom-columns=:.apiVersion,:.kind,:.metadata.namespace,:.metadata.name",
            "--no-headers",
        ]);
        listed.expect_success("everything is listed");
        let listed = listed.stdout();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let own = |line: &String| line.contains("apiserver-") || line.contains("ContainerRuntime");
        listed
            .lines()
            .map(words)
            .filter(|line| !own(line))
            .collect()
    }
}

/// The charts, and what the rule of [`RULES`] needs.
fn install(lab: &Lab, helm: &Helm) {
    let here = lab.here();
    let system = ["-n", "meltemi-system"];
    let _ = helm.prints(&[&["install", "meltemi-crds", "meltemi-crds"], &system[..]].concat());
    let controller = ["install", "meltemi", "meltemi", "--set", &here];
    let notes = helm.prints(&[&controller[..], &system].concat());
    for next in ["rollout status", "helm install edge", "kubectl get"] {
        assert!(notes.contains(next), "{notes}");
    }
    lab.cluster.apply(RULES);
    let host = service("one.demo", &[lab.server.address()]);
    let host = host.replace("metadata:\n", "metadata:\n  namespace: shop\n");
    lab.cluster.apply(&host);
    let admin = format!("extraArgs={{--admin={}:0}}", lab.address);
    let ports = "service.ports[0].name=tcp-redis,service.ports[0].port=6379";
    let values = [here.as_str(), admin.as_str(), ports];
    let values = values.iter().flat_map(|value| ["--set", value]);
    let edge = ["install", "edge", "meltemi-gateway", "-n", "shop"];
    let edge: Vec<_> = edge.into_iter().chain(values).collect();
    let notes = helm.prints(&edge);
    assert!(notes.contains("Gateway shop/edge"), "{notes}");
}

fn is_answered(address: SocketAddr) {
    let mut wire = Wire::try_connect(address).expect("a connection");
    assert_eq!(wire.try_call("GET whoami").as_deref(), Some("one"));
}

/// What is installed runs, and a request comes through it.
fn serves(lab: &Lab) {
    let deployment = ("meltemi-system", "meltemi-controller");
    let mut controller = Pod::start(&lab.cluster, deployment, lab.address, &[]);
    controller.is_ready();
    let names = [("meltemi-controller.meltemi-system.svc", lab.address)];
    let mut proxy = Pod::start(&lab.cluster, ("shop", "edge"), lab.address, &names);
    proxy.is_ready();
    let (address, _) = proxy.process().line(0, "where it listens", |line| {
        let address = line.strip_prefix("listening shop/edge/redis ")?;
        address.parse().ok()
    });
    is_answered(address);
    lab.is_accepted();
    let said = controller.process().said();
    for refused in ["orbidden", "cannot be"] {
        assert!(!said.contains(refused), "{said}");
    }
    // What others may ask is whether it is ready, and what it counts.
    assert_eq!(proxy.get(15021, "/metrics").status, 200);
    for page in ["/config_dump", "/drain", "/"] {
        assert_eq!(proxy.get(15021, page).status, 404, "{page}");
    }
    // A controller that ends is no reason to end for its proxies.
    for pod in [&mut controller, &mut proxy] {
        is_answered(address);
        pod.process().signal("TERM");
        assert!(pod.process().wait().success());
    }
}

#[test]
fn what_is_installed_serves_and_leaves_no_trace() {
    let Some(lab) = Lab::start() else {
        return;
    };
    // What the API server makes for itself it makes after it is ready.
    let before = until("it has its own Service", || {
        let objects = lab.objects();
        let is_there = |it: &str| objects.iter().any(|object| object.contains(it));
        (is_there("Service default kubernetes") && is_there("IPAddress")).then_some(objects)
    });
    let [_, helm] = Helm::versions_on(&lab.cluster);
    install(&lab, &helm);
    serves(&lab);
    let _ = helm.prints(&["uninstall", "edge", "-n", "shop"]);
    removed(&lab.cluster, "metadata.name!=none");
    let uninstalled = uninstall(&lab.cluster, &helm, SYSTEM, |hook| {
        hook.says("has no pod any more");
    });
    uninstalled.expect_success("it is uninstalled");
    let _ = helm.prints(&["uninstall", "meltemi-crds", "-n", "meltemi-system"]);
    // What people wrote is still there, with its definition.
    let kept = ["get", "metarouter", "cache", "-n", "shop"];
    lab.cluster
        .kubectl(&kept)
        .expect_success("the rule is kept");
    leaves_no_trace(&lab, &before);
}

/// Pods that have ended, as a cluster removes them.
fn removed(cluster: &ApiServer, which: &str) {
    let delete = ["delete", "pod", "-A", "--field-selector", which, "--force"];
    cluster.kubectl(&delete).expect_success("pods are removed");
}

fn leaves_no_trace(lab: &Lab, before: &BTreeSet<String>) {
    lab.cluster
        .kubectl_with(&["delete", "-f", "-"], RULES)
        .expect_success("the rules are deleted");
    let host = ["delete", "serviceentry,pod", "--all", "-A", "--force"];
    lab.cluster
        .kubectl(&host)
        .expect_success("the peers are deleted");
    let crds = Programs::own_crds();
    let crds = ["delete", "-f", crds.to_str().expect("a path in UTF-8")];
    lab.cluster
        .kubectl(&crds)
        .expect_success("the definitions are deleted");
    let after = lab.objects();
    let left: Vec<_> = after.difference(before).collect();
    assert!(left.is_empty(), "{left:?}");
    let gone: Vec<_> = before.difference(&after).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

fn arguments(cluster: &ApiServer) -> Vec<String> {
    let deployment = cluster.installed_controller();
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    let arguments = arguments.as_array().expect("arguments").iter();
    arguments
        .map(|it| it.as_str().expect("text").to_owned())
        .collect()
}

fn replicas(cluster: &ApiServer) -> Value {
    cluster.installed_controller()["spec"]["replicas"].clone()
}

#[test]
fn each_helm_installs_upgrades_and_rolls_back() {
    let Some(lab) = Lab::start() else {
        return;
    };
    for helm in Helm::versions_on(&lab.cluster) {
        let run = |arguments: &[&str]| {
            let _ = helm.prints(&[arguments, &["-n", "meltemi-system"]].concat());
        };
        run(&["install", "meltemi", "meltemi"]);
        let first = arguments(&lab.cluster);
        let scaled = [
            "--set",
            "autoscaling.enabled=true,podDisruptionBudget.minAvailable=1",
        ];
        let upgrade = [
            "upgrade",
            "meltemi",
            "meltemi",
            "--set",
            "secrets[0].namespace=shop,tlsNames={a.example}",
        ];
        run(&[&upgrade[..], &scaled].concat());
        assert!(arguments(&lab.cluster).contains(&"--tls-name=a.example".to_owned()));
        // Whoever scales is not overruled.
        let scale = [
            "scale",
            "deployment/meltemi-controller",
            "--replicas=4",
            "-n",
            "meltemi-system",
        ];
        lab.cluster.kubectl(&scale).expect_success("it is scaled");
        run(&[&upgrade[..], &scaled, &["--set", "logLevel=debug"]].concat());
        assert_eq!(replicas(&lab.cluster), 4);
        let role = [
            "get",
            "rolebinding",
            "meltemi-controller-secrets",
            "-n",
            "shop",
        ];
        lab.cluster
            .kubectl(&role)
            .expect_success("Secrets of shop may be read");
        run(&["rollback", "meltemi", "1"]);
        assert_eq!(arguments(&lab.cluster), first);
        assert!(!lab.cluster.kubectl(&role).is_success(), "it is taken back");
        a_revision_stands_beside_it(&lab, &helm);
        assert_eq!(arguments(&lab.cluster), first);
        a_hook_that_cannot_run_deletes_nothing(&lab, &helm);
        without_its_hook_it_goes_at_once(&lab, &helm);
    }
}

fn a_revision_stands_beside_it(lab: &Lab, helm: &Helm) {
    let (system, _) = SYSTEM;
    let install = ["install", "canary", "meltemi", "-n", system];
    let _ = helm.prints(&[&install[..], &["--set", "revision=canary"]].concat());
    let uninstalled = uninstall(&lab.cluster, helm, (system, "canary"), |hook| {
        hook.says("the Secret meltemi-ca is kept");
    });
    uninstalled.expect_success("it is uninstalled");
}

fn without_its_hook_it_goes_at_once(lab: &Lab, helm: &Helm) {
    let (system, release) = SYSTEM;
    let _ = helm.prints(&["uninstall", release, "-n", system, "--no-hooks"]);
    // Of a hook that has failed its log stays, and by some versions of helm what it may do.
    let kinds = "job,serviceaccount,role,rolebinding,clusterrole,clusterrolebinding";
    let of_hook = ["delete", kinds, "-A", "-l", "app=meltemi-uninstall"];
    let deleted = lab.cluster.kubectl(&of_hook);
    deleted.expect_success("as the documentation has it removed");
    assert!(deleted.stdout().contains("meltemi-controller-uninstall"));
    let left = "serviceaccount,role,rolebinding,deployment";
    let left = ["get", left, "-n", system, "-o", "name"];
    assert_eq!(lab.cluster.kubectl(&left).stdout(), "");
}

/// Its image cannot be pulled, say, until its time is over.
fn a_hook_that_cannot_run_deletes_nothing(lab: &Lab, helm: &Helm) {
    let failed = uninstall(&lab.cluster, helm, SYSTEM, |hook| hook.fails());
    assert!(!failed.is_success(), "{}", failed.stdout());
    let first = replicas(&lab.cluster);
    assert_eq!(first, 2, "the controller goes on");
}

#[test]
fn the_first_route_of_the_documentation_is_taken() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let [_, helm] = Helm::versions_on(&lab.cluster);
    let _ = helm.prints(&["install", "meltemi-crds", "meltemi-crds", "-n", "default"]);
    let page = include_str!("../../docs/install.md");
    let (_, section) = page.split_once("## The first route\n").expect("a section");
    let (_, manifests) = section.split_once("```yaml\n").expect("manifests");
    let (manifests, _) = manifests.split_once("```").expect("their end");
    until("the definitions are served", || {
        let apply = ["apply", "-f", "-"];
        let answer = lab.cluster.kubectl_with(&apply, manifests);
        answer.is_success().then_some(())
    });
    let mut check = Command::new(binary());
    check
        .args(["check", "-n", "shop", "--kubeconfig"])
        .arg(lab.cluster.kubeconfig());
    let checked = check.output().expect("meltemi starts");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{said}");
    assert!(
        !said.contains("NotAttached") && !said.contains("UnknownGateway"),
        "{said}"
    );
}
