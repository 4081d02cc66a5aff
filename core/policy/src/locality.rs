//! Where something runs, and the rule by which nearer places come first.

mod pattern;
mod rule;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub use pattern::{LocalityPattern, PatternError};
pub use rule::{Distribution, LocalityRule, PriorityLabel, RegionFailover};

/// A place: region, zone within it, subzone within that; written `region/zone/subzone`.
///
/// A part that is unknown is empty, and is then equal only to an empty part, as in Istio.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    pub region: String,
    pub zone: String,
    pub subzone: String,
}

impl Locality {
    pub fn new(
        region: impl Into<String>,
        zone: impl Into<String>,
        subzone: impl Into<String>,
    ) -> Self {
        Self {
            region: region.into(),
            zone: zone.into(),
            subzone: subzone.into(),
        }
    }

    /// Whether nothing is known of the place.
    pub fn is_empty(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty() && self.subzone.is_empty()
    }
}

impl fmt::Display for Locality {
    /// Without trailing empty parts: what `parse` reads back to the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.region)?;
        if !self.zone.is_empty() || !self.subzone.is_empty() {
            write!(f, "/{}", self.zone)?;
        }
        if !self.subzone.is_empty() {
            write!(f, "/{}", self.subzone)?;
        }
        Ok(())
    }
}

/// The text is not `region/zone/subzone`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("locality `{text}` has more than three parts; write region/zone/subzone")]
pub struct LocalityParseError {
    pub text: String,
}

impl FromStr for Locality {
    type Err = LocalityParseError;

    /// Zone and subzone may be left out.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let locality = Self {
            region: part(),
            zone: part(),
            subzone: part(),
        };
        match parts.next() {
            None => Ok(locality),
            Some(_) => Err(LocalityParseError {
                text: text.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localities_parse_and_print() {
        for (text, locality, printed) in [
            ("", Locality::default(), ""),
            ("r", Locality::new("r", "", ""), "r"),
            ("r/z", Locality::new("r", "z", ""), "r/z"),
            ("r/z/s", Locality::new("r", "z", "s"), "r/z/s"),
            ("r//s", Locality::new("r", "", "s"), "r//s"),
            ("r/z/", Locality::new("r", "z", ""), "r/z"),
        ] {
            assert_eq!(text.parse(), Ok(locality.clone()), "{text}");
            assert_eq!(locality.to_string(), printed);
        }
        assert!("r/z/s/t".parse::<Locality>().is_err());
    }
}
