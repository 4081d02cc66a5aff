//! Which localities a rule speaks of.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Locality;

/// `region`, `region/zone` or `region/zone/subzone`, of which the last may be `*`.
///
/// What is left out or `*` is any, as in Istio's `LocalityMatch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalityPattern {
    /// From the region on; fewer than three leave the rest open.
    parts: Vec<String>,
    written: String,
}

/// The text is no pattern of localities.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    #[error("`{0}` has more than three parts")]
    TooLong(String),
    #[error("`{0}` has an empty region, zone or subzone")]
    EmptyPart(String),
    #[error("`*` in `{0}` is not the whole of the last part")]
    Wildcard(String),
}

impl LocalityPattern {
    pub fn covers(&self, locality: &Locality) -> bool {
        let places = [&locality.region, &locality.zone, &locality.subzone];
        self.parts
            .iter()
            .zip(places)
            .all(|(part, place)| part == place)
    }

    /// Whether every locality of the other one is one of this.
    pub fn covers_all_of(&self, other: &Self) -> bool {
        other.parts.starts_with(&self.parts)
    }
}

impl FromStr for LocalityPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let mut parts: Vec<_> = text.split('/').map(str::to_owned).collect();
        if parts.len() > 3 {
            return Err(PatternError::TooLong(text.to_owned()));
        }
        if parts.iter().any(String::is_empty) {
            return Err(PatternError::EmptyPart(text.to_owned()));
        }
        parts.pop_if(|last| last == "*");
        if parts.iter().any(|part| part.contains('*')) {
            return Err(PatternError::Wildcard(text.to_owned()));
        }
        Ok(Self {
            parts,
            written: text.to_owned(),
        })
    }
}

impl fmt::Display for LocalityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_open_is_any() {
        for (pattern, locality, covered) in [
            ("*", "", true),
            ("*", "r/z/s", true),
            ("r", "r/z/s", true),
            ("r/*", "r/z/s", true),
            ("r/*", "q/z/s", false),
            ("r/z", "r/z/s", true),
            ("r/z/*", "r/z", true),
            ("r/z/*", "r/y/s", false),
            ("r/z/s", "r/z/s", true),
            ("r/z/s", "r/z/t", false),
            ("r/z/s", "r/z", false),
        ] {
            let parsed: LocalityPattern = pattern.parse().unwrap();
            let locality: Locality = locality.parse().unwrap();
            assert_eq!(parsed.covers(&locality), covered, "{pattern} {locality}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
        type Error = fn(String) -> PatternError;
        for (text, error) in [
            ("", PatternError::EmptyPart as Error),
            ("r//s", PatternError::EmptyPart),
            ("r/", PatternError::EmptyPart),
            ("r/z/s/t", PatternError::TooLong),
            ("*/z", PatternError::Wildcard),
            ("r/*/*", PatternError::Wildcard),
            ("r/z*", PatternError::Wildcard),
        ] {
            assert_eq!(text.parse::<LocalityPattern>(), Err(error(text.to_owned())));
        }
    }

    #[test]
    fn wider_patterns_cover_narrower_ones() {
        for (wide, narrow, covered) in [
            ("*", "r", true),
            ("r", "*", false),
            ("r", "r/*", true),
            ("r/*", "r", true),
            ("r", "r/z/s", true),
            ("r/z", "r/y/s", false),
            ("r/z/s", "r/z", false),
        ] {
            let pattern = |text: &str| text.parse::<LocalityPattern>().unwrap();
            assert_eq!(pattern(wide).covers_all_of(&pattern(narrow)), covered);
        }
    }
}
