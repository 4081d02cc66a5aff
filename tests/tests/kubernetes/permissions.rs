//! The controller may do what it does, and nothing else: whatever its roles permit is used, and without any of their
//! rules something fails.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use meltemi_tests::kubernetes::{
    ApiServer, Encrypted, Mounted, ROLES, SIDECAR_ROLE, Tokens, WAYPOINT_ROLE, controller_account,
    permit,
};
use meltemi_tests::redis::service;
use meltemi_tests::{PATIENCE, until};
use serde_json::{Value, json};

use crate::whoami::router;

mod led;
mod rule;

use rule::{Permission, Rule, rules};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const ACCOUNT: &str = "system:serviceaccount:meltemi-system:meltemi-controller";
/// The shortest life of a root: another one is made after 8 s.
const SHORT: [&str; 2] = ["--ca-lifetime", "16s"];
const SIDECARS: [&str; 1] = ["--sidecars"];
const WAYPOINT: [&str; 2] = ["--waypoint", "{image: i, controller: 'c:1'}"];

#[test]
fn the_reference_shows_the_rules_of_the_chart() {
    let page = include_str!("../../../docs/reference/cluster.md");
    let section = page.split("## What it may do\n").nth(1).expect("a section");
    let shown = section.split("```").nth(1).expect("the roles");
    let shown = shown.strip_prefix("yaml\n").expect("YAML");
    let shown: Vec<Value> = serde_saphyr::from_multiple(shown).expect("YAML");
    let mut shown: Vec<_> = shown.into_iter().map(|mut it| it["rules"].take()).collect();
    let mut expected = ROLES.map(|role| {
        let mut rules: Value = serde_saphyr::from_str(role.rules).expect("rules");
        rules["rules"].take()
    });
    shown.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(shown, expected);
}

/// A cluster with an object of each kind that has a status.
fn cluster() -> Option<(ApiServer, PathBuf)> {
    let cluster = ApiServer::with_definitions()?;
    for crd in cluster.programs().gateway_api_crds() {
        cluster.install_crds(&crd);
    }
    let account = controller_account(&cluster);
    cluster.apply(meltemi_tests::kubernetes::REDIS_GATEWAY);
    cluster.apply(&service(
        "one.demo",
        &["127.0.0.1:1".parse().expect("an address")],
    ));
    Some((cluster, account))
}

/// Each object has another status than before: what is right is wrong next time.
fn change(cluster: &ApiServer, round: usize) {
    let host = ["one.demo", "three.demo"][round % 2];
    cluster.apply(&router(host));
    for (group, kind, spec) in [
        (
            "metaprotocol",
            "ApplicationProtocol",
            format!("{{protocol: other{round}, codec: redis}}"),
        ),
        ("redis", "RedisService", format!("{{host: [{host}]}}")),
        ("redis", "RedisDestination", format!("{{host: {host}}}")),
        (
            "dubbo",
            "DubboAuthorizationPolicy",
            format!("{{action: {}}}", ["ALLOW", "DENY"][round % 2]),
        ),
    ] {
        let object = format!(
            "apiVersion: {group}.aeraki.io/v1alpha1\nkind: {kind}\nmetadata: {{name: other}}\nspec: {spec}\n"
        );
        cluster.apply(&object);
    }
    change_waypoint(cluster, round);
    led::change(cluster, round);
}

/// Each time its objects are others, and a class is gone.
fn change_waypoint(cluster: &ApiServer, round: usize) {
    let unscaled =
        "{horizontalPodAutoscaler: 'null', podDisruptionBudget: 'null', networkPolicy: 'null'}";
    let budget = "{podDisruptionBudget: 'spec: {minAvailable: 1}', \
                  networkPolicy: 'metadata: {annotations: {note: x}}'}";
    let [data, name] = [[budget, "one"], [unscaled, "two"]][round % 2];
    cluster.apply(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\ndata: {data}\n---\n\
         apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: l7, namespace: default}}\n\
         spec:\n  gatewayClassName: meltemi-waypoint\n  \
         infrastructure: {{labels: {{round: r{round}}}, \
         parametersRef: {{group: '', kind: ConfigMap, name: {name}}}}}\n  \
         listeners: [{{name: proxy, port: 15088, protocol: istio.io/PROXY}}]\n"
    ));
    let class = ["delete", "gatewayclass", "meltemi", "--ignore-not-found"];
    let deleted = cluster.kubectl(&[&class[..], &["--wait=false"]].concat());
    deleted.expect_success("the class is deleted");
}

/// What the controller asked, of what is there by a name: verb, group, resource, name, namespace.
fn asked(cluster: &ApiServer) -> Vec<(Permission, bool)> {
    let audit = cluster.audit();
    // Its last line may be under way.
    let events = audit
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_it = events.filter(|event| event["user"]["username"] == ACCOUNT);
    let asked = of_it.filter_map(|event| {
        let is_allowed = event["annotations"]["authorization.k8s.io/decision"] == "allow";
        Some((Permission::asked(&event)?, is_allowed))
    });
    asked.collect()
}

#[test]
fn what_the_controller_may_do_it_does_and_asks_for_nothing_else() {
    let Some((cluster, account)) = cluster() else {
        return;
    };
    let controller = Encrypted::start(&account, ANY, &[&SHORT[..], &WAYPOINT, &SIDECARS].concat());
    let tokens = Tokens::of_new(&cluster, "edge");
    tokens.create_pod("edge-1");
    let roots = until("the roots are published", || cluster.roots_of("default"));
    let mounted = Mounted::new(&roots, &tokens.of_pod("edge-1", "meltemi"));
    let _proxy = controller.proxy(&mounted);
    let _led_to = controller.proxy_with(&mounted, &["--gateway", led::GATEWAY]);
    let permitted: BTreeSet<Permission> = rules().iter().flat_map(Rule::permissions).collect();
    let (start, mut is_ended) = (Instant::now(), false);
    for round in 0.. {
        change(&cluster, round);
        thread::sleep(Duration::from_millis(500));
        let unused = unused(&permitted, &asked(&cluster));
        if unused.is_empty() {
            return;
        }
        // What it does at last.
        if !is_ended && unused.iter().all(|it| it.is_done_at_last()) {
            controller.process().signal("TERM");
            is_ended = true;
        }
        assert!(start.elapsed() < PATIENCE, "nobody needs {unused:?}");
    }
}

/// What nobody has asked for by now.
///
/// # Panics
/// When something else was asked for.
fn unused<'a>(
    permitted: &'a BTreeSet<Permission>,
    asked: &[(Permission, bool)],
) -> Vec<&'a Permission> {
    let is_beyond = |(asked, is_allowed): &&(Permission, bool)| {
        !is_allowed || !permitted.iter().any(|it| it.is_for(asked))
    };
    let beyond: Vec<_> = asked.iter().filter(is_beyond).collect();
    assert!(beyond.is_empty(), "it asks for more: {beyond:?}");
    let is_used = |it: &Permission| asked.iter().any(|(asked, _)| it.is_for(asked));
    permitted.iter().filter(|it| !is_used(it)).collect()
}

/// As if no controller had been there before.
fn forget(cluster: &ApiServer) {
    let delete = [
        "delete",
        "deployment,service,hpa,pdb,serviceaccount",
        "l7",
        "--ignore-not-found",
    ];
    let deleted = cluster.kubectl(&delete);
    deleted.expect_success("what the waypoint was made of is deleted");
    led::forget(cluster);
    for of_before in [
        "/apis/coordination.k8s.io/v1/namespaces/meltemi-system/leases",
        "/api/v1/namespaces/meltemi-system/secrets",
        "/api/v1/namespaces/default/configmaps",
    ] {
        cluster.delete_all(of_before);
    }
}

/// Whether the account may do this by now: the API server learns of a Role a little later than it takes it.
fn may(cluster: &ApiServer, permission: &Permission) -> bool {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "resourceAttributes": permission.attributes()},
    });
    let answer = cluster.post(
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        &review,
    );
    answer["status"]["allowed"] == true
}

#[test]
fn without_any_of_its_rules_something_fails() {
    let Some((cluster, account)) = cluster() else {
        return;
    };
    let tokens = Tokens::of_new(&cluster, "edge");
    tokens.create_pod("edge-1");
    let token = tokens.of_pod("edge-1", "meltemi");
    // What is for waypoints permits more of what is permitted without them, and so does what is for sidecars.
    permit(&cluster, WAYPOINT_ROLE, &json!([]));
    let (of_waypoints, others): (Vec<_>, Vec<_>) =
        rules().into_iter().partition(Rule::is_of_waypoints);
    for rule in others.iter().chain(&of_waypoints) {
        if rule.is_of_waypoints() {
            permit(&cluster, SIDECAR_ROLE, &json!([]));
        }
        let permissions = rule.permissions();
        permit(&cluster, rule.role, &rule.others);
        until("it may not", || {
            permissions
                .iter()
                .all(|it| !may(&cluster, it))
                .then_some(())
        });
        forget(&cluster);
        fails(&cluster, &account, rule, &token);
        permit(&cluster, rule.role, &rule.all);
        until("it may again", || {
            permissions.iter().all(|it| may(&cluster, it)).then_some(())
        });
    }
}

/// A controller is refused what the rule permits, and says so.
fn fails(cluster: &ApiServer, account: &Path, rule: &Rule, token: &str) {
    let waypoint = WAYPOINT.iter().filter(|_| rule.is_of_waypoints());
    let sidecars = SIDECARS.iter().filter(|_| rule.is_of_sidecars());
    let arguments = SHORT.iter().chain(waypoint).chain(sidecars);
    let arguments: Vec<_> = arguments.copied().collect();
    let controller = Encrypted::start(account, ANY, &arguments);
    let mut proxy = None;
    let start = Instant::now();
    for round in 0.. {
        change(cluster, round);
        thread::sleep(Duration::from_millis(300));
        let said = controller.process().said();
        if rule.is_missed_by(&said) {
            return;
        }
        if rule.is_about("tokenreviews") && proxy.is_none() {
            proxy = cluster.roots_of("default").map(|roots| {
                let mounted = Mounted::new(&roots, token);
                (controller.proxy(&mounted), mounted)
            });
        }
        let is_late = start.elapsed() > PATIENCE;
        assert!(!is_late, "nothing fails without {rule:?}: {said}");
    }
}
