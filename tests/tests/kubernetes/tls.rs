//! TLS and tokens between a controller and its proxies, over the keys and the authority of a real API server.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use meltemi_tests::certificates::Authority;
use meltemi_tests::kubernetes::{
    ApiServer, Controller, Encrypted, Mounted, Tokens, controller_account,
};
use meltemi_tests::redis::{self, Server, Wire, service};
use meltemi_tests::{Meltemi, until};
use serde_json::json;

use crate::whoami::{self, router, routes_to};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A cluster whose Gateway leads to a server that answers `one`, or where it is changed `two`.
struct Lab {
    cluster: ApiServer,
    _servers: [Server; 2],
}

impl Lab {
    fn start() -> Option<Self> {
        let cluster = ApiServer::with_definitions()?;
        if !Server::is_installed() {
            return None;
        }
        let servers = whoami::servers();
        whoami::apply(&cluster, &servers);
        Some(Self {
            cluster,
            _servers: servers,
        })
    }

    fn route_to(&self, name: &str) {
        self.cluster.apply(&router(&format!("{name}.demo")));
    }

    /// With an account of its own.
    fn controller(&self) -> Encrypted {
        Encrypted::start(&controller_account(&self.cluster), ANY, &[])
    }

    /// Of the account `edge`, which a pod `edge-1` has.
    fn tokens(&self) -> Tokens<'_> {
        let tokens = Tokens::of_new(&self.cluster, "edge");
        tokens.create_pod("edge-1");
        tokens
    }

    fn roots(&self) -> String {
        until("the roots are published", || {
            self.cluster.roots_of("default")
        })
    }
}

fn is_answered_by(proxy: &Meltemi, name: &str) {
    routes_to(proxy.address("default/edge/redis"), name);
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

#[test]
fn a_proxy_is_served_for_the_token_of_its_pod_and_for_nothing_else() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let controller = lab.controller();
    let tokens = lab.tokens();
    let token = tokens.of_pod("edge-1", "meltemi");
    let mounted = Mounted::new(&lab.roots(), &token);
    let proxy = controller.proxy(&mounted);
    is_answered_by(&proxy, "one");
    controller.says(&["a client is let in", "default/edge-1 (edge)", "127.0.0.1:"]);

    // Another one shows one token after the other, and is served for the last.
    let refused = [
        ("garbage".to_owned(), "no token of a service account"),
        (
            tokens.of_pod("edge-1", "api"),
            r#"audience ["api"], not for "meltemi""#,
        ),
        (tokens.unbound("meltemi"), "not bound to a pod"),
        (
            tokens.changed(&token, true, |claims| claims["exp"] = json!(now() - 60)),
            "the token has expired",
        ),
        (
            tokens.changed(&token, true, |claims| {
                claims["iss"] = json!("https://other")
            }),
            "of issuer",
        ),
        (
            tokens.changed(&token, false, |_| {}),
            "signature of the token is wrong",
        ),
        (
            // Its signature is right: only the API server knows that there is no such pod.
            tokens.changed(&token, true, |claims| {
                claims["kubernetes.io"]["pod"]["uid"] = json!("another");
            }),
            "the API server does not accept the token",
        ),
    ];
    let other = Mounted::new(&lab.roots(), &refused[0].0);
    let late = controller.proxy(&other);
    for (token, reason) in &refused {
        other.change_token(token);
        controller.says(&["a client is refused", "node=\"meltemi-", "peer=", reason]);
    }
    assert!(late.get("/ready").is_none_or(|answer| answer.status != 200));
    other.change_token(&token);
    is_answered_by(&late, "one");

    let said = controller.process().said();
    let shown = refused.iter().skip(1).map(|(token, _)| token);
    for shown in shown.chain([&token]) {
        let signature = shown.rsplit('.').next().expect("three parts");
        assert!(!said.contains(signature), "a token is in the log");
    }
}

#[test]
fn a_token_lets_its_pod_be_nobody_else_and_only_while_it_is_there() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let controller = lab.controller();
    let tokens = lab.tokens();
    let mounted = Mounted::new(&lab.roots(), &tokens.of_pod("edge-1", "meltemi"));
    let proxy = controller.proxy(&mounted);
    is_answered_by(&proxy, "one");
    for (claims, reason) in [
        (
            &["--gateway", "other/edge"][..],
            "a Gateway of namespace other",
        ),
        (
            &["--gateway", "default/edge", "--pod", "default/edge-2"],
            "pod default/edge-2",
        ),
        (&[], "names no Gateway"),
    ] {
        let _refused = controller.proxy_with(&mounted, claims);
        controller.says(&["a client is refused", "default/edge-1 (edge)", reason]);
    }

    // A pod that is gone is not let in any more, by the same token; who was let in stays.
    let delete = ["delete", "pod", "edge-1", "--grace-period=0", "--force"];
    lab.cluster.kubectl(&delete).expect_success("it is deleted");
    // The API server goes by what it knew for 10 s more.
    until("it is refused", || {
        let before = decisions(&controller);
        let _gone = controller.proxy(&mounted);
        until("it is decided", || {
            (decisions(&controller) > before).then_some(())
        });
        let said = controller.process().said();
        said.contains("token has been invalidated").then_some(())
    });
    lab.route_to("two");
    is_answered_by(&proxy, "two");
}

/// How often somebody was let in or refused.
fn decisions(controller: &Encrypted) -> usize {
    controller.process().said().matches("a client is ").count()
}

#[test]
fn without_the_api_server_tokens_stand_for_themselves() {
    let Some(mut lab) = Lab::start() else {
        return;
    };
    let controller = lab.controller();
    let tokens = lab.tokens();
    let token = tokens.of_pod("edge-1", "meltemi");
    let wrong = tokens.changed(&token, false, |_| {});
    let mounted = Mounted::new(&lab.roots(), &token);
    is_answered_by(&controller.proxy(&mounted), "one");
    lab.cluster.kill();
    is_answered_by(&controller.proxy(&mounted), "one");
    mounted.change_token(&wrong);
    let _refused = controller.proxy(&mounted);
    controller.says(&["a client is refused", "signature of the token is wrong"]);
}

#[test]
fn where_no_keys_are_told_the_api_server_decides() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let kubeconfig = controller_account(&lab.cluster);
    let delete = [
        "delete",
        "clusterrolebinding",
        "system:service-account-issuer-discovery",
    ];
    let deleted = lab.cluster.kubectl(&delete);
    deleted.expect_success("the keys are hidden");
    let controller = Encrypted::start(&kubeconfig, ANY, &[]);
    let tokens = lab.tokens();
    let token = tokens.of_pod("edge-1", "meltemi");
    let mounted = Mounted::new(&lab.roots(), &tokens.changed(&token, false, |_| {}));
    let proxy = controller.proxy(&mounted);
    controller.says(&["does not tell the keys", "orbidden"]);
    let denied = "the API server does not accept the token";
    controller.says(&["a client is refused", denied]);
    mounted.change_token(&tokens.of_pod("edge-1", "api"));
    controller.says(&["a client is refused", denied, "audience"]);
    mounted.change_token(&token);
    is_answered_by(&proxy, "one");
    controller.says(&["a client is let in", "default/edge-1 (edge)"]);

    // Where it may not be asked, either, nobody is let in, and it is said what is missing.
    let rule = r#"[{"op": "replace", "path": "/rules", "value": []}]"#;
    let patch = [
        "patch",
        "clusterrole",
        "meltemi-controller",
        "--type=json",
        "-p",
        rule,
    ];
    lab.cluster
        .kubectl(&patch)
        .expect_success("it may do nothing");
    let _refused = controller.proxy(&mounted);
    controller.says(&["a client is refused", "nobody can check", "tokenreviews"]);
}

/// The authority's certificate that signs, in base64.
fn signs(cluster: &ApiServer) -> Option<String> {
    let secret = cluster.get("/api/v1/namespaces/meltemi-system/secrets/meltemi-ca")?;
    secret["data"]["ca.crt"].as_str().map(str::to_owned)
}

#[test]
fn replicas_have_one_authority_and_it_outlives_them() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let kubeconfig = controller_account(&lab.cluster);
    let tokens = lab.tokens();
    let token = tokens.of_pod("edge-1", "meltemi");
    // All at once, so that each may believe that it makes the first root.
    let replicas: Vec<_> = (0..3)
        .map(|_| Encrypted::start(&kubeconfig, ANY, &["--proxy-namespace", "kube-public"]))
        .collect();
    let mounted = Mounted::new(&lab.roots(), &token);
    for replica in &replicas {
        is_answered_by(&replica.proxy(&mounted), "one");
    }
    let roots = lab.roots();
    assert_eq!(roots.matches("BEGIN CERTIFICATE").count(), 1);
    until("a namespace that was named is told", || {
        (lab.cluster.roots_of("kube-public")? == roots).then_some(())
    });

    let before = signs(&lab.cluster).expect("a root");
    drop(replicas);
    let successor = Encrypted::start(&kubeconfig, ANY, &[]);
    is_answered_by(&successor.proxy(&mounted), "one");
    assert_eq!(signs(&lab.cluster).as_ref(), Some(&before));

    // What somebody deletes is written again as it was; what somebody spoils is left alone, and told.
    let delete = ["delete", "secret", "meltemi-ca", "-n", "meltemi-system"];
    lab.cluster.kubectl(&delete).expect_success("it is deleted");
    until("the Secret is written again", || {
        (signs(&lab.cluster)? == before).then_some(())
    });
    let spoil = r#"{"data": {"ca.key": ""}}"#;
    let patch = [
        "patch",
        "secret",
        "meltemi-ca",
        "-n",
        "meltemi-system",
        "-p",
        spoil,
    ];
    lab.cluster.kubectl(&patch).expect_success("it is spoiled");
    successor.says(&["meltemi-system cannot be used", "ca.crt"]);
    is_answered_by(&successor.proxy(&mounted), "one");
}

#[test]
fn a_root_is_followed_by_another_under_a_connected_proxy() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let kubeconfig = controller_account(&lab.cluster);
    let tokens = lab.tokens();
    let token = tokens.of_pod("edge-1", "meltemi");
    let lifetime = ["--ca-lifetime", "40s"];
    let controller = Encrypted::start(&kubeconfig, ANY, &lifetime);
    let first = signs_first(&lab);
    let mounted = Mounted::new(&lab.roots(), &token);
    let proxy = controller.proxy(&mounted);
    is_answered_by(&proxy, "one");

    // The next root is told before it signs.
    let both = until("the next root is published", || {
        let roots = lab.roots();
        (roots.matches("BEGIN CERTIFICATE").count() == 2).then_some(roots)
    });
    assert_eq!(signs(&lab.cluster).as_ref(), Some(&first));
    mounted.change_roots(&both);
    let second = until("the next root signs", || {
        signs(&lab.cluster).filter(|root| *root != first)
    });
    // Who is connected stays so, and who comes with the roots of before is served, too.
    lab.route_to("two");
    is_answered_by(&proxy, "two");
    is_answered_by(&controller.proxy(&mounted), "two");

    // In the end the first one is gone; a proxy whose connection breaks finds its way by what it was told meanwhile.
    let alone = until("the first root is gone", || {
        let roots = lab.roots();
        (roots.matches("BEGIN CERTIFICATE").count() == 1).then_some(roots)
    });
    assert_eq!(signs(&lab.cluster), Some(second));
    assert!(both.contains(alone.trim()), "it is the second");
    mounted.change_roots(&alone);
    let address = controller.address();
    drop(controller);
    lab.route_to("one");
    let _controller = Encrypted::start(&kubeconfig, address, &[]);
    is_answered_by(&proxy, "one");
}

fn signs_first(lab: &Lab) -> String {
    until("there is a root", || signs(&lab.cluster))
}

#[test]
fn a_proxy_believes_only_whom_it_was_told_to() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let controller = lab.controller();
    let tokens = lab.tokens();
    let token = tokens.of_pod("edge-1", "meltemi");
    let stranger = Authority::new("stranger");
    let mounted = Mounted::new(stranger.pem(), &token);
    let proxy = controller.proxy(&mounted);
    until("the proxy says why it does not connect", || {
        let said = proxy.process().said();
        said.contains("UnknownIssuer").then_some(())
    });
    assert!(!controller.process().said().contains("a client is"));
    mounted.change_roots(&lab.roots());
    is_answered_by(&proxy, "one");
}

/// Of the controller, to read the Secret `servers`.
const READER: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: meltemi-secrets, namespace: default}
rules:
- {apiGroups: [''], resources: [secrets], resourceNames: [servers, servers-cacert], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: meltemi-secrets, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: meltemi-secrets}
subjects: [{kind: ServiceAccount, name: meltemi-controller, namespace: meltemi-system}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: three, namespace: default}
spec:
  host: three.demo
  trafficPolicy: {tls: {mode: SIMPLE, credentialName: servers, sni: three.demo}}
";

/// What clients have to show.
const PASSWORD: &str = "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: cache, namespace: default}
spec:
  host: [three.demo]
  gateways: [edge]
  settings: {auth: {plain: {password: open-sesame}}}
";

#[test]
fn a_secret_goes_to_who_shows_a_token_and_to_nobody_in_plaintext() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let kubeconfig = controller_account(&lab.cluster);
    let authority = Authority::new("servers");
    let server = redis::Encrypted::start(&authority.issue("three", &["three.demo"]), None);
    lab.cluster.apply(PASSWORD);
    lab.cluster
        .apply(&service("three.demo", &[server.address()]));
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "servers", "namespace": "default"},
        "stringData": {"cacert": authority.pem()},
    });
    lab.cluster.apply(&secret.to_string());
    lab.cluster.apply(READER);
    lab.cluster
        .kubectl(&["delete", "metarouter", "cache"])
        .expect_success("it goes");
    let tokens = lab.tokens();
    let controller = Encrypted::start(&kubeconfig, ANY, &[]);
    let mounted = Mounted::new(&lab.roots(), &tokens.of_pod("edge-1", "meltemi"));
    let proxy = controller.proxy(&mounted);
    let address = proxy.address("default/edge/redis");
    let asked = |address| {
        let mut wire = Wire::try_connect(address)?;
        wire.try_call("AUTH open-sesame")?;
        wire.try_call("SET k v")
    };
    until("the server is reached", || {
        (asked(address)? == "+OK").then_some(())
    });

    let plaintext = Controller::start(&kubeconfig);
    let proxy = plaintext.proxy_with(&["--gateway", "default/edge"]);
    let address = proxy.address("default/edge/redis");
    until("the secret is withheld", || {
        let said = plaintext.process().said();
        said.contains("secrets are not sent on a connection")
            .then_some(())
    });
    until("the proxy misses it", || {
        let said = proxy.process().said();
        said.contains("the control plane gives no secret")
            .then_some(())
    });
    // Neither the certificates nor the password are there: nobody is served.
    assert_ne!(asked(address).as_deref(), Some("+OK"));
    let dump = proxy.get("/config_dump").expect("the configuration").body;
    let dump: serde_json::Value = serde_json::from_str(&dump).expect("JSON");
    assert_eq!(dump["services"], json!({}));
}
