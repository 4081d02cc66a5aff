//! Which endpoints a DestinationRule subset selects.

use std::collections::BTreeMap;

/// Whether an endpoint has every label of the selector; an empty selector selects all.
pub fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn every_label_must_be_equal() {
        let endpoint = labels(&[("app", "demo"), ("version", "v1")]);
        for (selector, expected) in [
            (labels(&[]), true),
            (labels(&[("version", "v1")]), true),
            (labels(&[("version", "v1"), ("app", "demo")]), true),
            (labels(&[("version", "v2")]), false),
            (labels(&[("version", "v1"), ("tier", "a")]), false),
            (labels(&[("tier", "")]), false),
        ] {
            assert_eq!(selects(&selector, &endpoint), expected, "{selector:?}");
        }
    }
}
