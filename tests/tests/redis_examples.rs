//! The manifests of `examples/redis`, over real servers.

use std::fs;
use std::path::Path;
use std::process::Command;

use meltemi_tests::redis::{Server, Wire};
use meltemi_tests::{Manifests, Meltemi, binary, until};

const SERVER: &str = "default/redis/tcp-redis";

/// The passwords of the example, and what one of them is changed to.
const SECRETS: [&str; 3] = ["open-sesame", "only the proxy knows", "swordfish"];

struct Example {
    cache: Server,
    sessions: Server,
    standby: Server,
    manifests: Manifests,
    meltemi: Meltemi,
}

impl Example {
    fn start() -> Self {
        let cache = Server::start(&[]);
        let sessions = Server::start(&["--requirepass", "only the proxy knows"]);
        let standby = Server::start(&[]);
        let manifests = Manifests::new();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/redis");
        for entry in fs::read_dir(example).expect("the example is there") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str());
            let text = fs::read_to_string(&path).expect("it can be read");
            manifests.write(name.expect("a name"), &text);
        }
        let example = Self::edited(&manifests, [&cache, &sessions, &standby]);
        manifests.write("service.yaml", &example);
        let gateway = read(&manifests, "gateway.yaml");
        let gateway = gateway.replace("number: 16379", "number: 0");
        let gateway = gateway.replace("    - port:", "    - bind: 127.0.0.1\n      port:");
        manifests.write("gateway.yaml", &gateway);
        let meltemi = Meltemi::run(manifests.path());
        Self {
            cache,
            sessions,
            standby,
            manifests,
            meltemi,
        }
    }

    /// The services, at the ports that the system chose.
    fn edited(manifests: &Manifests, servers: [&Server; 3]) -> String {
        let [cache, sessions, standby] = servers.map(|s| s.address().port().to_string());
        read(manifests, "service.yaml")
            .replace(
                "TCP\n  resolution",
                &format!("TCP\n      targetPort: {cache}\n  resolution"),
            )
            .replace("targetPort: 6380", &format!("targetPort: {sessions}"))
            .replace("targetPort: 6381", &format!("targetPort: {standby}"))
    }

    fn connect(&self) -> Wire {
        Wire::connect(self.meltemi.address(SERVER))
    }

    fn client(&self) -> Wire {
        let mut client = self.connect();
        assert_eq!(client.call("AUTH app open-sesame"), "+OK");
        client
    }
}

fn read(manifests: &Manifests, name: &str) -> String {
    fs::read_to_string(manifests.path().join(name)).expect("it was written")
}

#[test]
fn keys_go_where_their_prefix_says_and_writes_are_copied() {
    if !Server::is_installed() {
        return;
    }
    let example = Example::start();
    let refused = example.connect().call("GET a");
    assert!(refused.starts_with("-NOAUTH"), "{refused}");
    let wrong = example.connect().call("AUTH app sesame");
    assert!(wrong.starts_with("-WRONGPASS"), "{wrong}");

    let mut client = example.client();
    assert_eq!(client.call("SET a 1"), "+OK");
    assert_eq!(client.call("SET session:42 hello"), "+OK");
    assert_eq!(client.call("GET a"), "1");
    assert_eq!(client.call("MGET session:42 session:43"), "[hello (nil)]");
    assert_eq!(example.cache.connect().call("KEYS *"), "[a]");
    let mut sessions = example.sessions.connect();
    sessions.send(b"*2\r\n$4\r\nAUTH\r\n$20\r\nonly the proxy knows\r\n");
    assert_eq!(sessions.reply(), "+OK");
    assert_eq!(sessions.call("KEYS *"), "[42]");
    let mut standby = example.standby.connect();
    until("the write is copied", || {
        (standby.call("KEYS *") == "[a]").then_some(())
    });
}

#[test]
fn a_password_that_changes_counts_for_new_clients_and_is_shown_nowhere() {
    if !Server::is_installed() {
        return;
    }
    let example = Example::start();
    let mut client = example.client();
    assert_eq!(client.call("SET a 1"), "+OK");
    let secrets = read(&example.manifests, "secret.yaml");
    let changed = secrets.replace("open-sesame", "swordfish");
    example.manifests.write("secret.yaml", &changed);
    until("the new password is asked for", || {
        (example.connect().call("AUTH app swordfish") == "+OK").then_some(())
    });
    let broken = changed.replace("stringData:", "strngData:");
    example.manifests.write("secret.yaml", &broken);
    until("the mistake is reported", || {
        let said = example.meltemi.process().said();
        said.contains("did you mean `stringData`?").then_some(())
    });
    // What was valid before stays in force.
    assert_eq!(example.connect().call("AUTH app swordfish"), "+OK");

    let mut shown = vec![("its output", example.meltemi.process().said())];
    for page in ["/config_dump", "/clusters", "/listeners", "/metrics"] {
        let answer = example.meltemi.get(page).expect("the page is there");
        assert_eq!(answer.status, 200, "{page}");
        shown.push((page, answer.body));
    }
    for (place, text) in &shown {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} is in {place}: {text}");
        }
    }
    let (_, dump) = &shown[1];
    assert!(dump.contains("[redacted]"), "{dump}");
}

#[test]
fn a_setting_that_redis_does_not_have_is_an_error() {
    let manifests = Manifests::new();
    manifests.write(
        "protocol.yaml",
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
         metadata: {name: redis}\nspec: {protocol: redis, codec: redis, settings: {depth: 12}}\n",
    );
    let check = Command::new(binary())
        .args(["check", "-f"])
        .arg(manifests.path())
        .output()
        .expect("it runs");
    assert_eq!(check.status.code(), Some(1));
    let said = [check.stdout, check.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    for word in ["protocol.yaml:4:", "`depth`", "readPolicy"] {
        assert!(said.contains(word), "no {word} in {said}");
    }
}
