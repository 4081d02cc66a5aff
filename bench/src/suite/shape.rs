//! What kind of load, and how much of it.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::contender::Kind;

/// Client connections of a paced load.
const PACED: u32 = 64;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// Connections that stay, with so many requests in flight on each, written `64x16`; `serial` is
    /// `1x1`.
    Open { connections: u32, depth: u32 },
    /// Connections that come, make one call and go, so many a second, written `churn1000`.
    Churn { rate: u32 },
    /// Requests at half of the rate that this contender reaches, whether answers come or not,
    /// written `half-meltemi`.
    Half { of: Kind },
}

#[derive(Debug, Error)]
#[error("expected `serial`, CONNECTIONSxDEPTH, churnRATE or half-CONTENDER, such as 64x16")]
pub(crate) struct ParseShapeError;

impl Shape {
    /// Client connections at a time, and what is in flight on each: where that is not fixed, what it
    /// may be.
    pub(crate) fn connections(self) -> (u32, u32) {
        match self {
            Self::Open { connections, depth } => (connections, depth),
            Self::Churn { .. } => (1, 1),
            Self::Half { .. } => (PACED, 1),
        }
    }
}

impl FromStr for Shape {
    type Err = ParseShapeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse().ok().filter(|&n| n > 0).ok_or(ParseShapeError);
        if text == "serial" {
            return Ok(Self::Open {
                connections: 1,
                depth: 1,
            });
        }
        if let Some(rate) = text.strip_prefix("churn") {
            return number(rate).map(|rate| Self::Churn { rate });
        }
        if let Some(name) = text.strip_prefix("half-") {
            let of = Kind::from_str(name, false).map_err(|_| ParseShapeError)?;
            return Ok(Self::Half { of });
        }
        let (connections, depth) = text.split_once('x').ok_or(ParseShapeError)?;
        Ok(Self::Open {
            connections: number(connections)?,
            depth: number(depth)?,
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open {
                connections: 1,
                depth: 1,
            } => f.write_str("serial"),
            Self::Open { connections, depth } => write!(f, "{connections}x{depth}"),
            Self::Churn { rate } => write!(f, "churn{rate}"),
            Self::Half { of } => write!(f, "half-{of}"),
        }
    }
}

impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_read_as_they_print() {
        let open = |connections, depth| Shape::Open { connections, depth };
        for (text, expected) in [
            ("serial", open(1, 1)),
            ("64x1", open(64, 1)),
            ("64x16", open(64, 16)),
            ("churn1000", Shape::Churn { rate: 1000 }),
            ("half-envoy", Shape::Half { of: Kind::Envoy }),
        ] {
            let shape: Shape = text.parse().unwrap();
            assert_eq!(shape, expected);
            assert_eq!(shape.to_string(), text);
        }
        for wrong in [
            "", "64", "x", "0x1", "64x0", "64x-1", "churn0", "churn", "half-all",
        ] {
            assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
        }
    }
}
