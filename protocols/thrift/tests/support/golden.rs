//! Exchanges recorded between real Thrift peers: what a client sent, what its server answered.

use std::{fs, path::Path};

use meltemi_codec::kit::{Corpus, Sample};
use serde_json::Value;

/// A recorded exchange.
pub struct Golden {
    pub name: String,
    pub request: Vec<u8>,
    /// Empty where there was none.
    pub response: Vec<u8>,
    pub facts: Value,
}

impl Golden {
    pub fn text(&self, field: &str) -> Option<&str> {
        self.facts.get(field).and_then(Value::as_str)
    }

    pub fn transport(&self) -> &str {
        self.text("transport").unwrap()
    }

    pub fn protocol(&self) -> &str {
        self.text("protocol").unwrap()
    }

    pub fn is_unanswered(&self) -> bool {
        self.response.is_empty()
    }

    /// Whether the message says that it is one-way. Go's client sends a CALL, which nobody answers.
    pub fn is_oneway(&self) -> bool {
        self.is_unanswered() && !self.name.starts_with("go-")
    }

    /// The method that was called, after the exchange's name.
    pub fn method(&self) -> &str {
        let (_, what) = self.name.split_once(self.protocol()).unwrap();
        match &what[1..] {
            "app-exception" | "declared-exception" => "storm",
            "keyvalues" | "string" => "echoString",
            "list" => "echoList",
            "mux" => "echoI32",
            "oneway" => "fire",
            "struct" => "echoLeaf",
            "unknown-method" => "notThere",
            "void" => "ping",
            method => method,
        }
    }

    /// The request, with what is known of it.
    pub fn asked(&self) -> Sample {
        let mut sample = Sample::new(&self.name, self.request.clone())
            .knows("method", self.method())
            .knows("transport", self.transport())
            .knows("protocol", self.protocol())
            .knows("type", if self.is_oneway() { "oneway" } else { "call" });
        if let Some(service) = self.text("multiplexed") {
            sample = sample.knows("service", service);
        }
        if self.name.ends_with("keyvalues") {
            sample = sample
                .knows("tenant", "blue")
                .knows("header.tenant", "blue");
        }
        match self.is_oneway() {
            true => sample.one_way(),
            false => sample,
        }
    }

    /// The answer.
    pub fn answered(&self) -> Option<Sample> {
        let sample = Sample::new(format!("{}-answer", self.name), self.response.clone());
        (!self.is_unanswered()).then(|| sample.answers(&self.name))
    }
}

/// All of them, by name.
pub fn exchanges() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let hex = |path: &Path, direction| from_hex(&read(&path.with_extension(direction)));
    let mut exchanges: Vec<Golden> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
        .map(|path| Golden {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            request: hex(&path, "c2s.hex"),
            response: hex(&path, "s2c.hex"),
            facts: serde_json::from_str(&read(&path)).unwrap(),
        })
        .collect();
    exchanges.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(exchanges.len() > 80, "{} exchanges", exchanges.len());
    exchanges
}

/// One of them.
pub fn exchange(name: &str) -> Golden {
    exchanges().into_iter().find(|it| it.name == name).unwrap()
}

/// Those of a transport and a protocol, as one connection.
pub fn corpus(transport: &str, protocol: &str) -> Corpus {
    let mut corpus = Corpus::new();
    for golden in exchanges() {
        if (golden.transport(), golden.protocol()) == (transport, protocol) {
            corpus = corpus.request(golden.asked());
            if let Some(answer) = golden.answered() {
                corpus = corpus.response(answer);
            }
        }
    }
    corpus
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
