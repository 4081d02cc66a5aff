//! What it costs a proxy that endpoints change while requests flow.

mod control;
mod fleet;
mod manifest;
mod outcome;
mod stage;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

pub(crate) use self::fleet::Change;
pub(crate) use self::manifest::Policy;
pub(crate) use self::outcome::{Cost, Kind, Outcome, Row, Slice};
use self::stage::Stage;
use crate::idle;

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) endpoints: u32,
    pub(crate) policies: Vec<Policy>,
    /// With outlier detection, without, or one after the other.
    pub(crate) outlier: Vec<bool>,
    pub(crate) changes: Vec<Change>,
    /// Of each kind.
    pub(crate) updates: u32,
    /// From an update to the next quiet stretch, which is as long.
    pub(crate) window: Duration,
    /// Between two requests.
    pub(crate) interval: Duration,
    pub(crate) connections: u8,
    /// Requests before the first update of each kind, as fast as they are answered.
    pub(crate) warm_up: u64,
    /// The CPU of the worker, its clients and its upstream, with everything else on the others;
    /// `None`: wherever there is room.
    pub(crate) pin: Option<usize>,
}

/// Runs every policy, with and without outlier detection, each with a proxy of its own.
pub(crate) fn run(plan: &Plan, dir: &Path) -> Result<Outcome> {
    idle::raise_open_files().context("raise the limit of open files")?;
    let mut outcome = Outcome::new(plan);
    for &policy in &plan.policies {
        for &outlier in &plan.outlier {
            let name = format!("{policy}, outlier detection {}", on_or_off(outlier));
            let stage = Stage::open(plan, (policy, outlier), dir)?;
            match stage.run() {
                Ok(slices) => outcome.rows.push(Row {
                    policy,
                    outlier_detection: outlier,
                    slices,
                }),
                Err(error) => outcome.void.push(format!("{name}: {error:#}")),
            }
        }
    }
    Ok(outcome)
}

pub(crate) fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
