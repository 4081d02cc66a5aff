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

/// What Meltemi's defaults say of a shared upstream connection: so many requests open the next, up
/// to so many connections for each endpoint and worker.
const REQUESTS_PER_CONNECTION: u32 = 1024;
const MOST_CONNECTIONS: u32 = 8;

impl RowPlan {
    /// Upstream connections to each endpoint that Meltemi shares under this load, where it shares any.
    pub(crate) fn shared_connections(&self) -> u32 {
        if self.request.is_large() {
            // A large message has a connection to itself.
            return self.shape.connections().0;
        }
        let (connections, depth) = self.shape.connections();
        let in_flight = connections.saturating_mul(depth);
        let endpoints = match self.request {
            // The floor takes the first alone, where keys are divided.
            Request::Redis(_) => 1,
            Request::Dubbo { .. } | Request::Thrift { .. } => self.endpoints,
        };
        in_flight
            .div_ceil(u32::try_from(endpoints).unwrap_or(u32::MAX))
            .div_ceil(REQUESTS_PER_CONNECTION)
            .clamp(1, MOST_CONNECTIONS)
    }

    pub(crate) fn is_deep(&self) -> bool {
        self.shape.connections().1 > 1
    }

    pub(crate) fn is_serial(&self) -> bool {
        matches!(
            self.shape,
            Shape::Open {
                connections: 1,
                depth: 1
            }
        )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Command;

    #[test]
    fn the_floor_shares_as_many_connections_as_meltemi() {
        for (shape, expected) in [
            ("serial", 1),
            ("64x16", 1),
            ("1025x1", 2),
            ("50x64", 4),
            ("5000x64", 8),
        ] {
            let row = RowPlan {
                shape: shape.parse().unwrap(),
                request: Request::Redis(Command::Get),
                endpoints: 1,
            };
            assert_eq!(row.shared_connections(), expected, "{shape}");
        }
        let row = RowPlan {
            shape: "4x1".parse().unwrap(),
            request: Request::Dubbo { argument: 1 << 20 },
            endpoints: 1,
        };
        assert_eq!(row.shared_connections(), 4);
    }
}
