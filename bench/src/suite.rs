//! One run: contenders interleaved, round by round, so that a noisy minute falls on all of them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::contender::{Contender, Kind, Setup, Start, start_echo};
use crate::idle::{self, Idle};
use crate::load::{Budget, Load, Sample, Work};
use crate::process::{Cpus, Process};

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

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) contenders: Vec<Kind>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) bodies: Vec<usize>,
    pub(crate) rounds: u32,
    pub(crate) warm_up: Duration,
    pub(crate) slice: Budget,
    /// Idle connections to hold for the memory figures; 0 leaves them out.
    pub(crate) idle: u32,
    /// Where everything runs while CPU time is counted; `None` measures both in one slice.
    pub(crate) pin: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Row>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) absent: Vec<Absent>,
    /// Slices that count for nothing: a wrong answer, a closed connection, a silent proxy.
    pub(crate) void: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) shape: Shape,
    pub(crate) body_bytes: usize,
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

#[derive(Debug, Serialize)]
pub(crate) struct Absent {
    pub(crate) contender: Kind,
    pub(crate) remedy: String,
}

pub(crate) fn run(plan: &Plan, mut setup: Setup) -> Result<Outcome> {
    let open_files = idle::raise_open_files().context("raise the limit of open files")?;
    let (echo, upstream) = start_echo(&setup.dir)?;
    setup.upstream = upstream;
    let mut outcome = Outcome {
        rows: Vec::new(),
        memory: Vec::new(),
        absent: Vec::new(),
        void: Vec::new(),
    };
    let mut contenders = Vec::new();
    for &kind in &plan.contenders {
        match Contender::start(kind, &setup)? {
            Start::Running(contender) => contenders.push(contender),
            Start::Absent(remedy) => {
                eprintln!("{kind} is absent: {remedy}");
                outcome.absent.push(Absent {
                    contender: kind,
                    remedy,
                });
            }
        }
    }
    let mut stage = Stage {
        plan,
        setup,
        echo,
        contenders,
    };
    stage.weigh_idle(open_files, &mut outcome)?;
    for &body in &plan.bodies {
        for &shape in &plan.shapes {
            let row = stage.row(shape, body, &mut outcome.void)?;
            outcome.rows.push(row);
        }
    }
    stage.weigh_after_load(&mut outcome.memory)?;
    Ok(outcome)
}

/// Everything that runs.
struct Stage<'p> {
    plan: &'p Plan,
    setup: Setup,
    echo: Process,
    contenders: Vec<Contender>,
}

impl Stage<'_> {
    fn weigh_idle(&mut self, open_files: u64, outcome: &mut Outcome) -> Result<()> {
        for index in 0..self.contenders.len() {
            let contender = &self.contenders[index];
            let Some(proxy) = &contender.proxy else {
                continue;
            };
            let most = open_files.saturating_sub(200) / contender.kind.files_per_connection();
            let count = self.plan.idle.min(u32::try_from(most).unwrap_or(u32::MAX));
            let idle = proxy.resident()?;
            eprintln!("memory of {} with {count} idle connections", contender.kind);
            match Idle::open(contender.target, count) {
                Ok(held) => outcome.memory.push(Memory {
                    contender: contender.kind,
                    idle,
                    connections: held.count(),
                    with_connections: proxy.resident()?,
                    after_load: None,
                }),
                Err(error) => {
                    outcome
                        .void
                        .push(format!("{} idle connections: {error}", contender.kind));
                }
            }
            // What the connections left behind must not count as memory after load.
            self.restart(index)?;
        }
        Ok(())
    }

    fn weigh_after_load(&self, memory: &mut [Memory]) -> Result<()> {
        for entry in memory {
            let contender = self.contenders.iter().find(|c| c.kind == entry.contender);
            if let Some(proxy) = contender.and_then(|contender| contender.proxy.as_ref()) {
                entry.after_load = Some(proxy.resident()?);
            }
        }
        Ok(())
    }

    fn row(&mut self, shape: Shape, body: usize, void: &mut Vec<String>) -> Result<Row> {
        let mut cells: Vec<_> = self
            .contenders
            .iter()
            .map(|c| Cell {
                contender: c.kind,
                cost_us: Vec::new(),
                speed: Vec::new(),
            })
            .collect();
        let work = Work {
            connections: shape.connections,
            depth: shape.depth,
            body,
        };
        for round in 1..=self.plan.rounds {
            for (index, cell) in cells.iter_mut().enumerate() {
                if let Err(error) = self.measure(index, work, cell) {
                    let kind = cell.contender;
                    let text = format!("{shape}, {body} B, round {round}, {kind}: {error:#}");
                    eprintln!("void: {text}");
                    void.push(text);
                    self.restart(index)?;
                }
            }
            eprintln!("{shape}, {body} B: round {round} of {}", self.plan.rounds);
        }
        Ok(Row {
            shape,
            body_bytes: body,
            cells,
        })
    }

    fn measure(&mut self, index: usize, work: Work, cell: &mut Cell) -> Result<()> {
        let contender = &self.contenders[index];
        let costs_apart = self.plan.pin.is_some() && contender.proxy.is_some();
        if let Some(cpu) = self.plan.pin.filter(|_| costs_apart) {
            let (sample, cpu_time) = self.slice(contender, work, Cpus::One(cpu))?;
            cell.cost_us
                .extend(cpu_time.map(|time| micros(time) / sample.requests as f64));
        }
        let (sample, cpu_time) = self.slice(contender, work, Cpus::All)?;
        if !costs_apart {
            cell.cost_us
                .extend(cpu_time.map(|time| micros(time) / sample.requests as f64));
        }
        let quantile = |q| sample.latency.value_at_quantile(q) as f64 / 1e3;
        cell.speed.push(Speed {
            requests_per_second: sample.requests as f64 / sample.elapsed.as_secs_f64(),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
        });
        Ok(())
    }

    /// One measured stretch of load, and the CPU time that the proxy spent on it.
    fn slice(
        &self,
        contender: &Contender,
        work: Work,
        cpus: Cpus,
    ) -> Result<(Sample, Option<Duration>)> {
        let proxy = contender.proxy.as_ref();
        let own = std::process::id();
        for process in [own, self.echo.id()]
            .into_iter()
            .chain(proxy.map(Process::id))
        {
            cpus.place(process)?;
        }
        let mut load = Load::connect(contender.target, work)?;
        load.run(Budget {
            time: self.plan.warm_up,
            requests: u64::MAX,
        })?;
        let before = proxy.map(Process::cpu_time).transpose()?;
        let sample = load.run(self.plan.slice)?;
        let after = proxy.map(Process::cpu_time).transpose()?;
        let spent = after
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before));
        Ok((sample, spent))
    }

    /// A proxy that failed may be gone or hold what the failure left: a fresh one takes its place.
    fn restart(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.contenders[index];
        if !slot.is_running() {
            let tail = slot
                .proxy
                .as_ref()
                .map(Process::log_tail)
                .unwrap_or_default();
            eprintln!("{} died{tail}", slot.kind);
        }
        match Contender::start(slot.kind, &self.setup)? {
            Start::Running(fresh) => *slot = fresh,
            Start::Absent(remedy) => anyhow::bail!("{} went away: {remedy}", slot.kind),
        }
        Ok(())
    }
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
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
