//! What sends a row's requests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{RowPlan, Shape};
use crate::churn;
use crate::load::{Budget, Load, Sample, Work, latencies};
use crate::steady::{Rhythm, Steady};
use crate::wire::Request;

/// A paced stretch is not shorter, since a thousandth of its requests is what counts.
const PACED: Duration = Duration::from_secs(1);

pub(crate) enum Source {
    Open(Load),
    Churn {
        target: SocketAddr,
        request: Request,
        rate: u32,
    },
    Paced {
        target: SocketAddr,
        rhythm: Rhythm,
    },
}

impl Source {
    /// `rate` is of requests a second, where the row's shape asks for one.
    pub(crate) fn open(
        target: SocketAddr,
        row: &RowPlan,
        rate: Option<f64>,
        in_order: bool,
    ) -> Result<Self> {
        let request = row.request;
        let (connections, depth) = row.shape.connections();
        Ok(match (row.shape, rate) {
            (Shape::Churn { rate }, _) => Self::Churn {
                target,
                request,
                rate,
            },
            (_, Some(rate)) => Self::Paced {
                target,
                rhythm: Rhythm {
                    connections: u8::try_from(connections).unwrap_or(u8::MAX),
                    interval: Duration::from_secs_f64(1.0 / rate.max(1.0)),
                    request,
                },
            },
            _ => Self::Open(Load::connect(
                target,
                Work {
                    connections,
                    depth,
                    request,
                    in_order,
                },
            )?),
        })
    }

    pub(crate) fn warm_up(&mut self, time: Duration) -> Result<()> {
        let requests = u64::MAX;
        self.send(Budget { time, requests })?;
        Ok(())
    }

    pub(crate) fn run(&mut self, budget: Budget) -> Result<Sample> {
        let time = match self {
            Self::Paced { .. } => budget.time.max(PACED),
            _ => budget.time,
        };
        self.send(Budget { time, ..budget })
    }

    fn send(&mut self, budget: Budget) -> Result<Sample> {
        match self {
            Self::Open(load) => Ok(load.run(budget)?),
            Self::Churn {
                target,
                request,
                rate,
            } => Ok(churn::run(*target, *request, *rate, budget)?),
            Self::Paced { target, rhythm } => paced(*target, *rhythm, budget),
        }
    }
}

fn paced(target: SocketAddr, rhythm: Rhythm, budget: Budget) -> Result<Sample> {
    let all = rhythm.interval.as_secs_f64() * budget.requests as f64;
    let all = Duration::try_from_secs_f64(all).unwrap_or(Duration::MAX);
    let time = budget.time.min(all);
    let steady = Steady::connect(target, rhythm)?;
    let started = Instant::now();
    let answered = steady.run(|| started.elapsed() >= time)?;
    let elapsed = started.elapsed();
    let mut latency = latencies();
    for answered in &answered {
        let nanoseconds = u64::try_from(answered.latency.as_nanos()).unwrap_or(u64::MAX);
        latency.saturating_record(nanoseconds);
    }
    Ok(Sample {
        requests: latency.len(),
        elapsed,
        latency,
    })
}
