//! A server of Apache's Python library, and clients of three of its libraries.

use meltemi_tests::thrift::{self, Form, Language};
use meltemi_tests::{Manifests, Process};
use serde_json::{Value, json};

use super::peers::{Answer, Call, Client, Peers, Server};

const FORM: Form = Form::FRAMED_BINARY;
const TROUBLED: &str = "troubled";

pub(crate) struct Thrift(thrift::Peers);

impl Thrift {
    pub(crate) fn find() -> Option<Self> {
        thrift::Peers::find().map(Self)
    }
}

impl Peers for Thrift {
    fn protocol(&self) -> &'static str {
        "thrift"
    }

    fn page(&self) -> &'static str {
        include_str!("../../../docs/protocols/thrift.md")
    }

    fn gateway(&self) -> Manifests {
        Manifests::thrift_gateway()
    }

    fn server(&self, label: &str) -> Box<dyn Server> {
        Box::new(self.0.server(Language::Python, label, &[FORM]))
    }

    fn troubled(&self) -> Box<dyn Server> {
        self.server(TROUBLED)
    }

    fn clients(&self) -> Vec<(&'static str, Box<dyn Client>)> {
        let libraries = [
            ("Java", Language::Java),
            ("Python", Language::Python),
            ("Node", Language::Node),
        ];
        let client = |(name, language)| -> (_, Box<dyn Client>) {
            let client = self.0.client(language);
            (name, Box::new(Caller { client, to: None }))
        };
        libraries.map(client).into()
    }

    fn attribute(&self, call: Call) -> (&'static str, &'static str) {
        let method = match call {
            Call::Who => "label",
            Call::Count => "count",
            Call::Counted => "fired",
            Call::Demand => "failAt",
        };
        ("method", method)
    }
}

impl Server for thrift::Server {
    fn port(&self) -> u16 {
        self.port(FORM)
    }

    fn process(&self) -> &Process {
        self.process()
    }
}

struct Caller {
    client: thrift::Client,
    /// Where its next call connects.
    to: Option<u16>,
}

impl Client for Caller {
    fn connect(&mut self, port: u16) {
        self.to = Some(port);
    }

    fn begin(&mut self, call: Call) {
        let calls = match call {
            Call::Who => json!([["label"]]),
            Call::Count => json!([["count", "story"]]),
            Call::Counted => json!([["fired", "story"]]),
            Call::Demand => json!([["failAt", TROUBLED]]),
        };
        let order = match self.to.take() {
            Some(port) => thrift::Client::connecting(port, FORM, &calls),
            None => json!({ "calls": calls }),
        };
        self.client.order(&order);
    }

    fn answer(&mut self) -> Answer {
        let answers = self.client.answers();
        let answer = answers.first().expect("an answer to the call");
        if let Some(told) = answer.get("application") {
            return Answer::Error {
                class: format!("TApplicationException, type {}", told["type"]),
                message: told["message"].as_str().unwrap_or_default().to_owned(),
            };
        }
        match answer.get("value") {
            Some(Value::String(text)) => Answer::value(text),
            Some(Value::Null) => Answer::value(""),
            Some(value) => Answer::Value(value.to_string()),
            None => Answer::Error {
                class: "no exception of Thrift".to_owned(),
                message: answer.to_string(),
            },
        }
    }
}
