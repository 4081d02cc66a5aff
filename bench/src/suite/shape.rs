//! How many connections, and how busy each.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// Connections and requests in flight on each, written `64x16`; `serial` is `1x1`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape {
    pub(crate) connections: u32,
    pub(crate) depth: u32,
}

#[derive(Debug, Error)]
#[error("expected `serial` or CONNECTIONSxDEPTH, such as 64x16")]
pub(crate) struct ParseShapeError;

impl FromStr for Shape {
    type Err = ParseShapeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "serial" {
            return Ok(Self {
                connections: 1,
                depth: 1,
            });
        }
        let (connections, depth) = text.split_once('x').ok_or(ParseShapeError)?;
        let parse = |number: &str| {
            number
                .parse()
                .ok()
                .filter(|&n| n > 0)
                .ok_or(ParseShapeError)
        };
        Ok(Self {
            connections: parse(connections)?,
            depth: parse(depth)?,
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self {
                connections: 1,
                depth: 1,
            } => f.write_str("serial"),
            Self { connections, depth } => write!(f, "{connections}x{depth}"),
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
        for (text, connections, depth) in [("serial", 1, 1), ("64x1", 64, 1), ("64x16", 64, 16)] {
            let shape: Shape = text.parse().unwrap();
            assert_eq!(shape, Shape { connections, depth });
            assert_eq!(shape.to_string(), text);
        }
        for wrong in ["", "64", "x", "0x1", "64x0", "64x-1"] {
            assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
        }
    }
}
