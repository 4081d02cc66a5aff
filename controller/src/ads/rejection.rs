//! What clients refuse.

use std::collections::HashMap;
use std::sync::Arc;

use meltemi_proto::google::rpc::Status;
use meltemi_proto::meltemi::config::v1 as proto;

/// A client refused a resource; it keeps the last version that it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The id of the client's node.
    pub node: String,
    pub type_url: String,
    pub name: String,
    pub version: Arc<str>,
    /// For people.
    pub reason: String,
}

/// What a NACK says of the resources of the response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) refused: Vec<Refused>,
    /// Resources of which it is unknown whether they were applied.
    pub(super) doubtful: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) name: String,
    pub(super) version: Arc<str>,
    pub(super) reason: String,
}

impl Refusal {
    /// Reads a NACK of the `sent` resources, versions by name.
    ///
    /// Meltemi's own client lists what it refused in the details, and has applied the rest. Of
    /// Envoy there is only the text: it refuses the resources whose names it mentions, or, if it
    /// mentions none, any of them; whether it applied the others depends on what was wrong.
    pub(super) fn of(error: &Status, sent: &HashMap<String, Arc<str>>) -> Self {
        let detailed: Vec<_> = error
            .details
            .iter()
            .filter_map(|detail| detail.unpack::<proto::Rejection>().ok())
            .filter_map(|rejection| {
                let version = sent.get(&rejection.name)?;
                (**version == rejection.version).then(|| Refused {
                    version: Arc::clone(version),
                    name: rejection.name,
                    reason: rejection.reason,
                })
            })
            .collect();
        if !detailed.is_empty() {
            return Self {
                refused: detailed,
                doubtful: Vec::new(),
            };
        }
        let mentioned = |name: &String| error.message.contains(name.as_str());
        let any = sent.keys().any(mentioned);
        let mut refusal = Self::default();
        for (name, version) in sent {
            if any && !mentioned(name) {
                refusal.doubtful.push(name.clone());
                continue;
            }
            refusal.refused.push(Refused {
                name: name.clone(),
                version: Arc::clone(version),
                reason: error.message.clone(),
            });
        }
        refusal
    }
}

impl Refused {
    pub(super) fn report(self, node: &str, type_url: &str) -> Rejection {
        Rejection {
            node: node.to_owned(),
            type_url: type_url.to_owned(),
            name: self.name,
            version: self.version,
            reason: self.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use meltemi_proto::Any;

    use super::*;

    /// The refused and the doubtful.
    fn read(error: &Status) -> (Vec<String>, Vec<String>) {
        let sent = ["a|1", "b|1", "c|1"].map(|name| (name.to_owned(), Arc::from("v")));
        let refusal = Refusal::of(error, &sent.into());
        let names = refusal.refused.into_iter().map(|refused| refused.name);
        let (mut names, mut doubtful): (Vec<_>, _) = (names.collect(), refusal.doubtful);
        names.sort();
        doubtful.sort();
        (names, doubtful)
    }

    #[test]
    fn details_win_over_text_and_text_over_nothing() {
        let detail = |name: &str, version: &str| {
            Any::pack(&proto::Rejection {
                name: name.into(),
                version: version.into(),
                reason: "why".into(),
            })
        };
        let status = |message: &str, details| Status {
            code: 3,
            message: message.into(),
            details,
        };
        let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        for (error, refused, doubtful) in [
            (
                status("b|1: bad", vec![detail("a|1", "v")]),
                &["a|1"][..],
                &[][..],
            ),
            (status("b|1: bad", vec![]), &["b|1"], &["a|1", "c|1"]),
            (status("bad", vec![]), &["a|1", "b|1", "c|1"], &[]),
            // A complaint about a version that was not sent says nothing about the one that was.
            (
                status("b|1", vec![detail("a|1", "w")]),
                &["b|1"],
                &["a|1", "c|1"],
            ),
        ] {
            assert_eq!(
                read(&error),
                (strings(refused), strings(doubtful)),
                "{error:?}"
            );
        }
    }
}
