//! Secrets of a cluster: read one by one, where a Role permits it, which the finding has ready.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use meltemi_tests::kubernetes::{
    ApiServer, Encrypted, Mounted, REDIS_GATEWAY as GATEWAY, Tokens, controller_account,
};
use meltemi_tests::redis::{Server, Wire, service};
use meltemi_tests::{Meltemi, until};

fn redis_service(secret: &str) -> String {
    format!(
        "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisService\nmetadata: {{name: cache, namespace: default}}\n\
         spec:\n  host: [one.demo]\n  gateways: [edge]\n  settings: {{auth: {{secret: {{name: {secret}}}}}}}\n"
    )
}

fn secret(name: &str, password: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: default}}\n\
         stringData: {{password: {password}}}\n"
    )
}

/// What a client is answered that shows a password; none where nobody does.
fn shown(address: SocketAddr, password: &str) -> Option<String> {
    let mut wire = Wire::try_connect(address)?;
    wire.try_call(&format!("AUTH {password}"))
}

fn takes(address: SocketAddr, password: &str) {
    until(&format!("{password} is taken"), || {
        (shown(address, password)? == "+OK").then_some(())
    });
}

/// The Role that the last finding about it asks for, with its binding.
fn role(controller: &Encrypted, secret: &str) -> String {
    until(&format!("the Role for {secret} is told"), || {
        let said = controller.process().said();
        let (_, finding) = said.rsplit_once("error[SecretNotPermitted]: ")?;
        let (_, role) = finding.split_once("\n\n")?;
        let (role, _) = role.split_once("\n\n")?;
        let is_whole = role.contains(secret) && role.contains("RoleBinding");
        is_whole.then(|| role.to_owned())
    })
}

/// Neither a Role that goes, nor a controller that starts anew, takes away what is known.
fn is_kept(
    cluster: &mut ApiServer,
    (controller, account): (Encrypted, &Path),
    (proxy, address): (&Meltemi, SocketAddr),
) -> Encrypted {
    let before = proxy.get("/config_dump").expect("the configuration").body;
    let listen = controller.address();
    drop(controller);
    let controller = Encrypted::start(account, listen, &[]);
    until("the new one serves", || {
        let said = controller.process().said();
        said.contains("all kinds are known").then_some(())
    });
    takes(address, "abracadabra");
    let delete = ["delete", "role,rolebinding", "meltemi-secrets"];
    cluster.kubectl(&delete).expect_success("they go");
    // Whoever watches by now may go on, until it asks again.
    cluster.kill();
    cluster.start_again();
    until("the Role is missed", || {
        let said = controller.process().said();
        said.contains("it may not be read any more, and stays as it was")
            .then_some(())
    });
    takes(address, "abracadabra");
    let after = proxy.get("/config_dump").expect("the configuration").body;
    let version = |dump: &str| {
        let dump: serde_json::Value = serde_json::from_str(dump).expect("JSON");
        dump["version"].clone()
    };
    assert_eq!(version(&after), version(&before));
    controller
}

#[test]
fn a_secret_is_read_once_its_role_is_there() {
    let Some(mut cluster) = ApiServer::with_definitions() else {
        return;
    };
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let account = controller_account(&cluster);
    let any = "127.0.0.1:0".parse().expect("an address");
    let controller = Encrypted::start(&account, any, &[]);
    let objects = [
        GATEWAY.to_owned(),
        service("one.demo", &[server.address()]),
        secret("first", "open-sesame"),
        secret("second", "abracadabra"),
        redis_service("first"),
    ];
    cluster.apply(&objects.join("---\n"));
    let tokens = Tokens::of_new(&cluster, "edge");
    tokens.create_pod("edge-1");
    let roots = until("the roots are published", || cluster.roots_of("default"));
    let mounted = Mounted::new(&roots, &tokens.of_pod("edge-1", "meltemi"));
    let proxy = controller.proxy(&mounted);
    let address = proxy.address("default/edge/redis");
    // Whoever may be let in is not known: nobody is.
    let first = role(&controller, "first");
    assert_ne!(shown(address, "open-sesame").as_deref(), Some("+OK"));

    // It takes effect without a restart, and so does a change of the Secret.
    cluster.apply(&first);
    takes(address, "open-sesame");
    let mut there = Wire::connect(address);
    assert_eq!(there.call("AUTH open-sesame"), "+OK");
    cluster.apply(&secret("first", "shibboleth"));
    takes(address, "shibboleth");
    assert_ne!(shown(address, "open-sesame").as_deref(), Some("+OK"));
    // Who was let in before stays.
    assert_eq!(there.call("SET k v"), "+OK");

    // Another one is not permitted by it: what was in force stays.
    let reads = |name: &str| {
        let mut kubectl = Command::new(cluster.programs().path("kubectl"));
        let kubectl = kubectl.arg("--kubeconfig").arg(&account);
        let field = format!("--field-selector=metadata.name={name}");
        let answer = kubectl
            .args(["get", "secrets", "-n", "default", &field])
            .output();
        answer.expect("kubectl runs").status.success()
    };
    assert!(reads("first") && !reads("second"));
    cluster.apply(&redis_service("second"));
    let second = role(&controller, "second");
    takes(address, "shibboleth");
    cluster.apply(&second);
    takes(address, "abracadabra");

    let controller = is_kept(&mut cluster, (controller, &account), (&proxy, address));

    // What is deleted is told, and stays while it is needed.
    cluster.apply(&second);
    cluster
        .kubectl(&["delete", "secret", "second"])
        .expect_success("it goes");
    until("it is told", || {
        let said = controller.process().said();
        said.contains("Secret default/second was deleted, and stays in force")
            .then_some(())
    });
    takes(address, "abracadabra");
}
