//! Status as kubectl shows it.

use meltemi_tests::kubernetes::ApiServer;
use meltemi_tests::until;
use serde_json::Value;

const META: &str = "/apis/metaprotocol.aeraki.io/v1alpha1";
const REDIS: &str = "/apis/redis.aeraki.io/v1alpha1";
const DUBBO: &str = "/apis/dubbo.aeraki.io/v1alpha1";

pub(crate) struct Seen<'a>(pub(crate) &'a ApiServer);

impl Seen<'_> {
    /// `kind/name`, in `default` unless ` -n` and another namespace follow.
    pub(crate) fn object(&self, name: &str) -> Value {
        let (name, namespace) = name.split_once(" -n ").unwrap_or((name, "default"));
        let (kind, name) = name.split_once('/').expect("a kind and a name");
        let path = match kind {
            "applicationprotocol" => format!("{META}/applicationprotocols/{name}"),
            "metarouter" => format!("{META}/namespaces/{namespace}/metarouters/{name}"),
            "dubboauthorizationpolicy" => {
                format!("{DUBBO}/namespaces/{namespace}/dubboauthorizationpolicies/{name}")
            }
            _ => format!("{REDIS}/namespaces/{namespace}/{kind}s/{name}"),
        };
        self.0.get(&path).expect("it is there")
    }

    pub(crate) fn version(&self, name: &str) -> Value {
        self.object(name)["metadata"]["resourceVersion"].clone()
    }

    pub(crate) fn status(&self, name: &str) -> Value {
        self.object(name)["status"].clone()
    }

    /// One of ours; none where it is not there.
    pub(crate) fn condition(&self, name: &str, kind: &str) -> Option<Value> {
        let status = self.status(name);
        let mut entries = status["parents"].as_array()?.iter();
        let entry = entries.find(|entry| entry["controllerName"] == "meltemi.io/controller")?;
        let mut conditions = entry["conditions"].as_array()?.iter();
        conditions
            .find(|condition| condition["type"] == kind)
            .cloned()
    }

    /// Waits until a condition has this status.
    pub(crate) fn waits(&self, name: &str, kind: &str, status: &str) {
        let what = format!("{kind} of {name} is {status}: {}", self.status(name));
        until(&what, || {
            (self.condition(name, kind)?["status"] == status).then_some(())
        });
    }

    /// Waits until a condition has this status and reason, and these words in its message.
    pub(crate) fn has(&self, name: &str, kind: &str, wanted: (&str, &str), words: &[&str]) {
        let (status, reason) = wanted;
        until(
            &format!("{kind} of {name} is {wanted:?}: {}", self.status(name)),
            || {
                let condition = self.condition(name, kind)?;
                (condition["status"] == status && condition["reason"] == reason).then_some(())
            },
        );
        let condition = self.condition(name, kind).expect("a condition");
        let message = condition["message"].as_str().expect("a message");
        for word in words {
            assert!(message.contains(word), "{word} in: {message}");
        }
    }

    /// Waits until there is an Event of the MetaRouter `cache`.
    pub(crate) fn hears(&self, kind: &str, reason: &str) {
        until(&format!("an Event says {kind} {reason}"), || {
            let asked = ["events", "--for=metarouter.metaprotocol.aeraki.io/cache"];
            let events = self.0.kubectl(&asked).stdout();
            let mut events = events.lines().map(|line| line.split_whitespace());
            events.find_map(|mut words| {
                let is_it = words.nth(1) == Some(kind) && words.next() == Some(reason);
                is_it.then_some(())
            })
        });
    }

    pub(crate) fn patch_status(&self, name: &str, status: &Value) {
        let patch = serde_json::json!({ "status": status }).to_string();
        let arguments = [
            "patch",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.0
            .kubectl(&arguments)
            .expect_success("the status is patched");
    }
}
