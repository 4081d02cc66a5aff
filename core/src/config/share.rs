//! A share of requests.

use meltemi_proto::envoy::r#type::v3::Percent;

use super::invalid::Invalid;

/// How many of all requests something happens to, as exact as Envoy's finest fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    per_million: u32,
}

impl Share {
    pub const NONE: Self = Self { per_million: 0 };
    pub const ALL: Self = Self {
        per_million: 1_000_000,
    };

    /// So many percent, of which there are 100 at most.
    #[must_use]
    pub const fn percent_of(percent: u32) -> Self {
        Self {
            per_million: percent * 10_000,
        }
    }

    /// Of a million requests, so many: from 0 to 1,000,000.
    #[must_use]
    pub const fn per_million(self) -> u32 {
        self.per_million
    }

    /// In percent, from 0 to 100.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.per_million) / 10_000.0
    }

    /// A field in percent, which may be left out.
    pub(super) fn parse(
        field: &str,
        percent: Option<Percent>,
        absent: Self,
    ) -> Result<Self, Invalid> {
        let Some(Percent { value }) = percent else {
            return Ok(absent);
        };
        if !(0.0..=100.0).contains(&value) {
            return Err(Invalid::new(field, "is not between 0 and 100"));
        }
        // In range, so that nothing is cut off but what is finer than a millionth.
        let per_million = (value * 10_000.0).round() as u32;
        Ok(Self { per_million })
    }
}
