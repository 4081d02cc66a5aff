//! Which of several rules for one listener comes first.

use std::cmp::Reverse;

/// Orders MetaRouters: the smallest is tried first.
///
/// Higher priority first, then the older object, then by namespace and name, so that the order is
/// total and does not depend on the order of arrival. Objects without a creation time (from files)
/// come after those that have one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    // Compared in the order of declaration.
    priority: Reverse<i32>,
    undated: bool,
    created: Option<i64>,
    namespace: String,
    name: String,
}

impl Precedence {
    /// `created` is the creation time in seconds since the epoch.
    pub fn new(priority: i32, created: Option<i64>, namespace: &str, name: &str) -> Self {
        Self {
            priority: Reverse(priority),
            undated: created.is_none(),
            created,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_then_age_then_name() {
        let sorted = [
            Precedence::new(10, Some(9), "z", "z"),
            Precedence::new(0, Some(1), "z", "z"),
            Precedence::new(0, Some(2), "a", "b"),
            Precedence::new(0, Some(2), "b", "a"),
            Precedence::new(0, None, "a", "a"),
            Precedence::new(0, None, "a", "b"),
            Precedence::new(-1, Some(0), "a", "a"),
        ];
        assert!(sorted.is_sorted_by(|a, b| a < b));
    }
}
