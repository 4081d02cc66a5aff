//! redis-server, redis-py and ioredis.

use std::path::Path;

use meltemi_tests::redis::{self, Client as Library};
use meltemi_tests::{Manifests, Process, until};
use serde_json::json;

use super::peers::{Answer, Call, Client, Peers, Server};

const SERVICE: &str = "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata:
  name: story
spec:
  host: [story.test]
  gateways: [edge]
";

/// Who says where requests go.
pub(crate) enum Redis {
    MetaRouter,
    RedisService,
}

impl Redis {
    pub(crate) fn find(self) -> Option<Self> {
        (redis::Server::is_installed() && redis::peers().is_some()).then_some(self)
    }
}

impl Peers for Redis {
    fn protocol(&self) -> &'static str {
        "redis"
    }

    fn page(&self) -> &'static str {
        include_str!("../../../docs/protocols/redis.md")
    }

    fn gateway(&self) -> Manifests {
        let manifests = Manifests::redis_gateway();
        if matches!(self, Self::RedisService) {
            manifests.write("redis.yaml", SERVICE);
        }
        manifests
    }

    fn has_destinations(&self) -> bool {
        matches!(self, Self::MetaRouter)
    }

    fn server(&self, label: &str) -> Box<dyn Server> {
        let server = redis::Server::start(&[]);
        server
            .connect()
            .call(&format!("MSET label {label} count 0"));
        Box::new(server)
    }

    /// It could not save its data, and takes no more (`-MISCONF`).
    fn troubled(&self) -> Box<dyn Server> {
        let server = redis::Server::start(&["--save", "3600 1"]);
        let mut client = server.connect();
        let directory = client.call("CONFIG GET dir");
        let directory = directory.trim_matches(['[', ']', '{', '}']);
        let directory = directory.strip_prefix("dir ").expect("a directory");
        std::fs::create_dir(Path::new(directory).join("dump.rdb")).expect("it can be written");
        client.call("SET label troubled");
        client.call("BGSAVE");
        until("it could not save", || {
            let state = client.call("INFO persistence");
            state.contains("rdb_last_bgsave_status:err").then_some(())
        });
        Box::new(server)
    }

    fn clients(&self) -> Vec<(&'static str, Box<dyn Client>)> {
        let libraries = [
            ("redis-py", Library::redis_py()),
            ("ioredis", Library::ioredis("ioredis-5")),
        ];
        let client = |(name, library): (_, Option<_>)| -> (_, Box<dyn Client>) {
            let library = library.expect("it is installed");
            (name, Box::new(Caller { library, to: None }))
        };
        libraries.map(client).into()
    }

    fn attribute(&self, call: Call) -> (&'static str, &'static str) {
        match call {
            Call::Who => ("key", "label"),
            Call::Count => ("command", "incr"),
            Call::Counted => ("key", "count"),
            Call::Demand => ("key", "demand"),
        }
    }
}

impl Server for redis::Server {
    fn port(&self) -> u16 {
        self.address().port()
    }

    fn process(&self) -> &Process {
        self.process()
    }
}

struct Caller {
    library: Library,
    /// Where its next call connects.
    to: Option<u16>,
}

impl Client for Caller {
    fn connect(&mut self, port: u16) {
        self.to = Some(port);
    }

    fn begin(&mut self, call: Call) {
        let call = match call {
            Call::Who => json!([["GET", "label"]]),
            Call::Count => json!([["INCR", "count"]]),
            Call::Counted => json!([["GET", "count"]]),
            Call::Demand => json!([["SET", "demand", "it"]]),
        };
        self.library.order(self.to.take(), &call);
    }

    fn answer(&mut self) -> Answer {
        let answers = self.library.answers();
        let answer = answers.first().expect("an answer to the call");
        let text = |name: &str| answer[name].as_str().unwrap_or_default();
        match answer.get("class") {
            None => Answer::value(text("value")),
            Some(_) => Answer::Error {
                class: text("class").to_owned(),
                message: text("message").to_owned(),
            },
        }
    }
}
