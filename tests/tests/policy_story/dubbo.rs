//! Java's providers and consumers, of both generations.

use meltemi_tests::dubbo::{self, Caller, Generation, Provider};
use meltemi_tests::{Manifests, Process};
use serde_json::Value;

use super::peers::{Answer, Call, Client, Peers, Server};

/// The longest message of a provider that cannot answer more.
const PAYLOAD: &str = "4096";

pub(crate) struct Dubbo(dubbo::Peers);

impl Dubbo {
    pub(crate) fn find() -> Option<Self> {
        dubbo::Peers::find().map(Self)
    }

    fn provider(&self, label: &str, arguments: &[&str]) -> Box<dyn Server> {
        let arguments = [&["--offer", "plain"], arguments].concat();
        // Both serve in each story.
        let generation = match label {
            "a" => Generation::V3_3_6,
            _ => Generation::V2_7_23,
        };
        Box::new(self.0.provider_with(generation, label, &arguments))
    }
}

impl Peers for Dubbo {
    fn protocol(&self) -> &'static str {
        "dubbo"
    }

    fn page(&self) -> &'static str {
        include_str!("../../../docs/protocols/dubbo.md")
    }

    fn gateway(&self) -> Manifests {
        Manifests::dubbo_gateway()
    }

    fn server(&self, label: &str) -> Box<dyn Server> {
        self.provider(label, &[])
    }

    fn troubled(&self) -> Box<dyn Server> {
        self.provider("troubled", &["--payload", PAYLOAD])
    }

    fn clients(&self) -> Vec<(&'static str, Box<dyn Client>)> {
        let libraries = [
            ("Dubbo 3.3.6", Generation::V3_3_6),
            ("Dubbo 2.7.23", Generation::V2_7_23),
        ];
        let client = |(name, generation)| -> (_, Box<dyn Client>) {
            let (caller, port, last) = (self.0.caller(generation), 0, 0);
            (name, Box::new(Consumer { caller, port, last }))
        };
        libraries.map(client).into()
    }

    fn attribute(&self, call: Call) -> (&'static str, &'static str) {
        let method = match call {
            Call::Who => "who",
            Call::Count => "fire",
            Call::Counted => "fired",
            Call::Demand => "blob",
        };
        ("method", method)
    }
}

impl Server for Provider {
    fn port(&self) -> u16 {
        self.port()
    }

    fn process(&self) -> &Process {
        self.process()
    }
}

struct Consumer {
    caller: Caller,
    port: u16,
    last: u64,
}

impl Client for Consumer {
    fn connect(&mut self, port: u16) {
        self.port = port;
    }

    fn begin(&mut self, call: Call) {
        let call = match call {
            Call::Who => "who",
            Call::Count => "fire story",
            Call::Counted => "fired story",
            Call::Demand => "blob 8000",
        };
        self.last = self.caller.order(self.port, call);
    }

    fn answer(&mut self) -> Answer {
        let answer = self.caller.answer(self.last);
        let text = |name: &str| answer[name].as_str().unwrap_or_default();
        if answer.get("class").is_none() {
            return Answer::value(text("value"));
        }
        let code = answer.get("code").and_then(Value::as_i64);
        let code = code.map_or_else(String::new, |code| format!(", code {code}"));
        Answer::Error {
            class: format!("{}{code}, cause {}", text("class"), text("cause")),
            message: text("message").to_owned(),
        }
    }
}
