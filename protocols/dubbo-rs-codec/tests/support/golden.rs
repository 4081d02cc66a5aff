//! Frames recorded between real Dubbo peers, beside what Dubbo's own deserializer read in them.

use std::fs;
use std::path::Path;

use serde_json::Value;

pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) facts: Value,
}

impl Golden {
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.facts.get(field).and_then(Value::as_str)
    }
}

/// All recorded frames, by name.
pub(crate) fn frames() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut frames: Vec<Golden> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "hex"))
        .map(|path| {
            let facts = fs::read_to_string(path.with_extension("json")).unwrap();
            Golden {
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                bytes: from_hex(&fs::read_to_string(&path).unwrap()),
                facts: serde_json::from_str(&facts).unwrap(),
            }
        })
        .collect();
    frames.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(frames.len() == 93, "{} frames", frames.len());
    frames
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
