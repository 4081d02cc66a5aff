//! Exchanges recorded between clients and real servers.

use std::{fs, path::Path};

use serde_json::Value;

/// A recorded exchange on one connection.
pub struct Golden {
    pub name: String,
    /// What was sent and what came back, step by step.
    pub steps: Vec<Step>,
}

pub struct Step {
    pub send: Vec<u8>,
    pub recv: Vec<u8>,
}

impl Golden {
    pub fn sent(&self) -> Vec<u8> {
        self.steps
            .iter()
            .flat_map(|step| step.send.clone())
            .collect()
    }

    pub fn received(&self) -> Vec<u8> {
        self.steps
            .iter()
            .flat_map(|step| step.recv.clone())
            .collect()
    }
}

/// All of them, by name.
pub fn exchanges() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut exchanges: Vec<Golden> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| read(&path))
        .collect();
    exchanges.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(exchanges.len() > 40, "{} exchanges", exchanges.len());
    exchanges
}

pub fn exchange(name: &str) -> Golden {
    let mut all = exchanges().into_iter();
    all.find(|golden| golden.name == name).unwrap()
}

fn read(path: &Path) -> Golden {
    let facts: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut sent = bytes(&path.with_extension("c2s.hex"));
    let mut received = bytes(&path.with_extension("s2c.hex"));
    let mut steps = Vec::new();
    for step in facts["steps"].as_array().unwrap() {
        let take = |from: &mut Vec<u8>, count: &str| {
            let count = usize::try_from(step[count].as_u64().unwrap()).unwrap();
            from.drain(..count).collect()
        };
        let (send, recv) = (take(&mut sent, "send"), take(&mut received, "recv"));
        steps.push(Step { send, recv });
    }
    assert!(sent.is_empty() && received.is_empty(), "{}", path.display());
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    Golden { name, steps }
}

fn bytes(path: &Path) -> Vec<u8> {
    let text = fs::read_to_string(path).unwrap();
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
