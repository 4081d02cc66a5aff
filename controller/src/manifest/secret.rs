//! `Secret`: values that other objects name and nobody may see.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::decode::{Decoder, Fields};

/// Bytes that are never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hidden<T>(pub(crate) T);

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Secret {
    /// By field, decoded.
    pub(crate) data: BTreeMap<String, Hidden<Vec<u8>>>,
}

/// Why a Secret that a cluster may have is not known.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    not(feature = "kubernetes"),
    expect(dead_code, reason = "files that are there can be read")
)]
pub(crate) enum OutOfReach {
    Unread,
    /// With the Role that permits it, as YAML.
    NotPermitted(String),
}

/// Decodes `data` and `stringData`, of which the latter wins, as in Kubernetes. No finding shows a
/// value.
pub(super) fn decode(d: &mut Decoder, object: &Fields<'_>) -> Secret {
    let mut data = BTreeMap::new();
    for entry in object.map(d, "data") {
        let path = format!("data.{}", entry.key);
        let Some(text) = d.string(&path, &entry.value) else {
            continue;
        };
        // As Kubernetes, which reads them with Go's decoder: line ends do not count.
        let text: String = text.value.split(['\r', '\n']).collect();
        match STANDARD.decode(text) {
            Ok(value) => drop(data.insert(entry.key.clone(), Hidden(value))),
            Err(_) => {
                let message = format!("`{path}` is not base64");
                let remedy = "encode the value, or write it as it is under `stringData`";
                d.invalid(entry.at, message, remedy);
            }
        }
    }
    for entry in object.map(d, "stringData") {
        let path = format!("stringData.{}", entry.key);
        if let Some(text) = d.string(&path, &entry.value) {
            data.insert(entry.key.clone(), Hidden(text.value.into_bytes()));
        }
    }
    Secret { data }
}
