//! One row of the table: the load, and how many upstreams divide it.

use std::fmt;

use serde::Serialize;

use super::Shape;
use crate::wire::Request;

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct RowPlan {
    pub(crate) shape: Shape,
    pub(crate) request: Request,
    pub(crate) endpoints: usize,
}

impl RowPlan {
    pub(crate) fn is_deep(&self) -> bool {
        self.shape.depth > 1
    }

    pub(crate) fn is_serial(&self) -> bool {
        self.shape.connections == 1 && !self.is_deep()
    }
}

impl fmt::Display for RowPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.shape, self.request)?;
        if self.endpoints > 1 {
            write!(f, ", {} endpoints", self.endpoints)?;
        }
        Ok(())
    }
}
