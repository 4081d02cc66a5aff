//! etcd, where kube-apiserver keeps everything.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::bound;
use crate::process::Process;
use crate::wait::until;

/// It keeps its port when it is started again.
pub(super) struct Store {
    process: Option<Process>,
    program: PathBuf,
    directory: PathBuf,
    port: u16,
    peers: u16,
}

/// What an API server had there at one time: keys in base64, with what they hold.
pub(super) struct Contents(BTreeMap<String, Held>);

struct Held {
    value: Value,
    /// When it was written last.
    revision: Value,
}

/// The keys of an API server, and the first one behind them. Any other key is etcd's business.
const ALL: (&str, &str) = ("/registry/", "/registry0");
/// What it writes by itself all the time: that it is alive.
const ALIVE: &str = "/registry/leases/kube-system/";
/// Operations of a transaction, of which etcd takes 128.
const AT_ONCE: usize = 100;

impl Store {
    pub(super) fn new(program: PathBuf, directory: &Path, [port, peers]: [u16; 2]) -> Self {
        Self {
            process: None,
            program,
            directory: directory.to_owned(),
            port,
            peers,
        }
    }

    /// False where it ended.
    pub(super) fn start(&mut self) -> bool {
        let url = |port: u16| format!("http://{}", SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let (clients, peers) = (url(self.port), url(self.peers));
        let mut command = bound::command(&self.program, Some(&self.directory));
        command
            .arg("--data-dir")
            .arg(self.directory.join("etcd"))
            .args(["--unsafe-no-fsync", "--log-level", "warn"])
            .args(["--listen-client-urls", &clients])
            .args(["--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers])
            .args(["--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("default={peers}")]);
        let process = bound::spawn("etcd", &mut command, &self.directory);
        let healthy = until("etcd is healthy", || {
            let answer = || crate::http::get(self.address(), "/health").ok();
            match process.has_ended() {
                true => Some(false),
                false => answer().filter(|it| it.status == 200).map(|_| true),
            }
        });
        self.process = Some(process);
        healthy
    }

    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    pub(super) fn runs(&self) -> bool {
        self.process.is_some()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn ask(&self, path: &str, body: &Value) -> Value {
        let answer = crate::http::post(self.address(), path, &body.to_string());
        let answer = answer.expect("etcd answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// Lets it forget what was before: a watch cannot go on from there any more.
    pub(super) fn compact(&self) {
        // A key in base64.
        let now = self.ask("/v3/kv/range", &json!({ "key": "AA==" }));
        let revision = &now["header"]["revision"];
        let compaction = json!({ "revision": revision, "physical": true });
        self.ask("/v3/kv/compaction", &compaction);
    }

    /// All that is there.
    pub(super) fn contents(&self) -> Contents {
        Contents(self.range(false))
    }

    fn range(&self, keys_only: bool) -> BTreeMap<String, Held> {
        let [from, to] = [ALL.0, ALL.1].map(|key| BASE64_STANDARD.encode(key));
        let range = json!({ "key": from, "range_end": to, "keys_only": keys_only });
        let mut answer = self.ask("/v3/kv/range", &range);
        let Value::Array(found) = answer["kvs"].take() else {
            return BTreeMap::new();
        };
        let held = |mut entry: Value| {
            let key = entry["key"].as_str().expect("a key").to_owned();
            let name = BASE64_STANDARD.decode(&key).expect("base64");
            let held = Held {
                value: entry["value"].take(),
                revision: entry["mod_revision"].take(),
            };
            (!name.starts_with(ALIVE.as_bytes())).then_some((key, held))
        };
        found.into_iter().filter_map(held).collect()
    }

    /// Writes back what was there, and nothing else. Whoever watches is told.
    pub(super) fn restore(&self, contents: &mut Contents) {
        let now = self.range(true);
        let gone: Vec<_> = now
            .keys()
            .filter(|key| !contents.0.contains_key(*key))
            .collect();
        for keys in gone.chunks(AT_ONCE) {
            let deletion = |key| json!({ "request_delete_range": { "key": key } });
            let deletions: Vec<_> = keys.iter().map(deletion).collect();
            self.ask("/v3/kv/txn", &json!({ "success": deletions }));
        }
        for (key, held) in &mut contents.0 {
            if now.get(key).is_some_and(|it| it.revision == held.revision) {
                continue;
            }
            let put = self.ask("/v3/kv/put", &json!({ "key": key, "value": held.value }));
            held.revision = put["header"]["revision"].clone();
        }
    }
}
