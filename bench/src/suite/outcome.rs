//! What a run found.

use serde::Serialize;

use super::{RowPlan, Run};
use crate::contender::Kind;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    pub(crate) run: Run,
    pub(crate) rows: Vec<Row>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) absent: Vec<Absent>,
    /// Slices that count for nothing: a wrong answer, a closed connection, a silent proxy.
    pub(crate) void: Vec<String>,
}

impl Outcome {
    /// Notes once that `kind` is not on this machine.
    pub(super) fn is_absent(&mut self, contender: Kind, remedy: String) {
        if self
            .absent
            .iter()
            .all(|absent| absent.contender != contender)
        {
            eprintln!("{contender} is not installed: {remedy}");
            self.absent.push(Absent { contender, remedy });
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Row {
    #[serde(flatten)]
    pub(crate) plan: RowPlan,
    /// Requests a second, where the load was paced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    pub(crate) cells: Vec<Cell>,
}

/// One contender in one row: a value for each round that was not void.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) contender: Kind,
    /// CPU time of the proxy for each request, in microseconds.
    pub(crate) cost_us: Vec<f64>,
    pub(crate) speed: Vec<Speed>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Speed {
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
}

/// Resident memory of a proxy, in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) contender: Kind,
    /// After its start and one request.
    pub(crate) idle: u64,
    pub(crate) connections: u64,
    pub(crate) with_connections: u64,
    pub(crate) after_load: Option<u64>,
}

impl Memory {
    /// Bytes that each connection adds.
    pub(crate) fn for_each_connection(&self) -> Option<f64> {
        let grown = self.with_connections.saturating_sub(self.idle);
        (self.connections > 0).then(|| grown as f64 / self.connections as f64)
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Absent {
    pub(crate) contender: Kind,
    pub(crate) remedy: String,
}
