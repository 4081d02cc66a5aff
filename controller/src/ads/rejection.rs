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

/// Which of the `sent` resources a NACK refuses, as name, version and reason.
///
/// Meltemi's own client lists them in the details. Of Envoy there is only the text: it refuses the
/// resources whose names it mentions, or, if it mentions none, any of them.
pub(super) fn refused(
    error: &Status,
    sent: &HashMap<String, Arc<str>>,
) -> Vec<(String, Arc<str>, String)> {
    let detailed: Vec<_> = error
        .details
        .iter()
        .filter_map(|detail| detail.unpack::<proto::Rejection>().ok())
        .filter_map(|rejection| {
            let version = sent.get(&rejection.name)?;
            (**version == rejection.version).then(|| {
                let version = Arc::clone(version);
                (rejection.name, version, rejection.reason)
            })
        })
        .collect();
    if !detailed.is_empty() {
        return detailed;
    }
    let all = |(name, version): (&String, &Arc<str>)| {
        (name.clone(), Arc::clone(version), error.message.clone())
    };
    let mentioned: Vec<_> = sent
        .iter()
        .filter(|(name, _)| error.message.contains(name.as_str()))
        .map(all)
        .collect();
    match mentioned.is_empty() {
        true => sent.iter().map(all).collect(),
        false => mentioned,
    }
}

#[cfg(test)]
mod tests {
    use meltemi_proto::Any;

    use super::*;

    fn names(error: &Status) -> Vec<String> {
        let sent = ["a|1", "b|1", "c|1"].map(|name| (name.to_owned(), Arc::from("v")));
        let mut names: Vec<_> = refused(error, &sent.into())
            .into_iter()
            .map(|(name, _, _)| name)
            .collect();
        names.sort();
        names
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
        assert_eq!(
            names(&status("b|1: bad", vec![detail("a|1", "v")])),
            ["a|1"]
        );
        assert_eq!(names(&status("b|1: bad, c|1: bad", vec![])), ["b|1", "c|1"]);
        assert_eq!(names(&status("bad", vec![])), ["a|1", "b|1", "c|1"]);
        // A complaint about a version that was not sent says nothing about the one that was.
        assert_eq!(
            names(&status("b|1: bad", vec![detail("a|1", "w")])),
            ["b|1"]
        );
    }
}
