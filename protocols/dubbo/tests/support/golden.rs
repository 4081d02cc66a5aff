//! Frames recorded between real Dubbo peers, with what Dubbo's own deserializer read in them.

use std::{fs, path::Path};

use meltemi_codec::kit::{Corpus, Sample};
use serde_json::Value;

/// A recorded frame.
pub struct Golden {
    pub name: String,
    pub bytes: Vec<u8>,
    pub facts: Value,
}

impl Golden {
    pub fn text(&self, field: &str) -> Option<&str> {
        self.facts.get(field).and_then(Value::as_str)
    }

    fn serialization(&self) -> &'static str {
        match self.facts["serialization_id"].as_u64() {
            Some(2) => "hessian2",
            Some(3) => "java",
            Some(8) => "kryo",
            Some(23) => "fastjson2",
            other => panic!("{}: serialization {other:?}", self.name),
        }
    }
}

/// All of them, by name.
pub fn frames() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dubbo-rs-codec/tests/golden");
    let mut frames: Vec<Golden> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .map(|path| Golden {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            bytes: from_hex(&fs::read_to_string(&path).unwrap()),
            facts: serde_json::from_str(&fs::read_to_string(path.with_extension("json")).unwrap())
                .unwrap(),
        })
        .collect();
    frames.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(frames.len() > 80, "{} recorded frames", frames.len());
    frames
}

/// One recorded frame.
pub fn frame(name: &str) -> Golden {
    let mut frames = frames().into_iter();
    frames.find(|frame| frame.name == name).unwrap()
}

/// All of them as one connection, in each direction.
pub fn corpus() -> Corpus {
    let mut corpus = Corpus::new();
    for golden in frames() {
        let to_provider = golden.text("direction") == Some("consumer-to-provider");
        let sample = sample(&golden);
        corpus = if to_provider {
            corpus.request(sample)
        } else {
            corpus.response(sample)
        };
    }
    assert!(!corpus.requests.is_empty() && !corpus.responses.is_empty());
    corpus
}

fn sample(golden: &Golden) -> Sample {
    let mut sample = Sample::new(&golden.name, golden.bytes.clone());
    match golden.text("kind") {
        Some("oneway") => sample = sample.one_way(),
        Some("response") => {
            let (call, _) = golden.name.rsplit_once("-response").unwrap();
            sample = sample.answers(&format!("{call}-request"));
        }
        _ => {}
    }
    let readable = ["hessian2", "fastjson2"];
    let serialization = golden.serialization();
    if golden.text("path").is_none() {
        return sample;
    }
    sample = sample.knows("serialization", serialization);
    if !readable.contains(&serialization) {
        return sample;
    }
    for (attribute, field) in [
        ("interface", "service"),
        ("method", "method"),
        ("version", "version"),
        ("dubbo", "dubbo_version"),
    ] {
        let value = golden.text(field).unwrap();
        if !["", "$invoke"].contains(&value) {
            sample = sample.knows(attribute, value);
        }
    }
    for (name, value) in golden.facts["attachments"].as_object().unwrap() {
        let value = value.as_str().unwrap();
        if name != "version" || !value.is_empty() {
            sample = sample.knows(name, value);
        }
    }
    sample
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
