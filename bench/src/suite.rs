//! One run: contenders interleaved, round by round, so that a noisy minute falls on all of them.

mod outcome;
mod row;
mod run;
mod shape;
mod source;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

pub(crate) use self::outcome::{Absent, Cell, Memory, Outcome, Row, Speed};
pub(crate) use self::row::RowPlan;
pub(crate) use self::run::Run;
pub(crate) use self::shape::Shape;
pub(crate) use self::source::Source;
use crate::contender::{Contender, Kind, Setup, Start};
use crate::idle::{self, Idle};
use crate::load::{Budget, Sample};
use crate::process::{Cpus, Process};
use crate::upstream::{Program, Upstream};
use crate::wire::{Protocol, Request};

/// Stretches of which the best says what a contender reaches.
const PEAKS: u32 = 3;

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) protocol: Protocol,
    pub(crate) contenders: Vec<Kind>,
    pub(crate) rows: Vec<RowPlan>,
    pub(crate) upstream: Program,
    /// Upstream connections of the floor; `None` for as many as Meltemi shares in each row.
    pub(crate) upstreams: Option<u32>,
    /// Whether a contender that is not on this machine ends the run.
    pub(crate) require_all: bool,
    pub(crate) rounds: u32,
    pub(crate) warm_up: Duration,
    pub(crate) slice: Budget,
    /// Idle connections to hold for the memory figures; 0 leaves them out.
    pub(crate) idle: u32,
    /// Where everything runs while CPU time is counted; `None` measures both in one slice.
    pub(crate) pin: Option<usize>,
}

/// Runs the rows, those with as many endpoints together: contenders are started for each number.
pub(crate) fn run(plan: &Plan, dir: &Path) -> Result<Outcome> {
    let open_files = idle::raise_open_files().context("raise the limit of open files")?;
    let mut outcome = Outcome {
        run: Run::here(),
        ..Outcome::default()
    };
    if outcome.run.is_disturbed() {
        eprintln!("something else is at work here: {}", outcome.run);
    }
    let mut counts: Vec<_> = plan.rows.iter().map(|row| row.endpoints).collect();
    counts.sort_unstable();
    counts.dedup();
    for (number, endpoints) in counts.into_iter().enumerate() {
        let dir = dir.join(format!("{endpoints}-endpoints"));
        std::fs::create_dir_all(&dir)?;
        let mut stage = Stage::open(plan, endpoints, &dir, &mut outcome)?;
        let first = number == 0;
        if first {
            stage.weigh_idle(open_files, &mut outcome)?;
        }
        for row in plan.rows.iter().filter(|row| row.endpoints == endpoints) {
            outcome.rows.extend(stage.row(*row, &mut outcome.void)?);
        }
        if first {
            stage.weigh_after_load(&mut outcome.memory)?;
        }
    }
    Ok(outcome)
}

/// Everything that runs.
struct Stage<'p> {
    plan: &'p Plan,
    setup: Setup,
    upstreams: Vec<Upstream>,
    contenders: Vec<Contender>,
}

impl<'p> Stage<'p> {
    fn open(plan: &'p Plan, endpoints: usize, dir: &Path, outcome: &mut Outcome) -> Result<Self> {
        let upstreams = (0..endpoints)
            .map(|number| Upstream::start(&plan.upstream, number, dir))
            .collect::<Result<Vec<_>>>()?;
        let setup = Setup {
            protocol: plan.protocol,
            endpoints: upstreams.iter().map(|upstream| upstream.address).collect(),
            upstreams: plan.upstreams.unwrap_or(1),
            dir: dir.to_owned(),
            in_one: false,
            wrap: Vec::new(),
        };
        let mut contenders = Vec::new();
        for &kind in &plan.contenders {
            match Contender::start(kind, &setup)? {
                Start::Running(contender) => contenders.push(contender),
                Start::Absent(remedy) if plan.require_all => {
                    anyhow::bail!("{kind} is not installed: {remedy}")
                }
                Start::Absent(remedy) => outcome.is_absent(kind, remedy),
            }
        }
        Ok(Self {
            plan,
            setup,
            upstreams,
            contenders,
        })
    }

    fn weigh_idle(&mut self, open_files: u64, outcome: &mut Outcome) -> Result<()> {
        let protocol = self.plan.protocol;
        for index in 0..self.contenders.len() {
            let contender = &self.contenders[index];
            let Some(proxy) = &contender.proxy else {
                continue;
            };
            let files = contender.kind.files_per_connection(protocol);
            let most = open_files.saturating_sub(200) / files;
            let count = self.plan.idle.min(u32::try_from(most).unwrap_or(u32::MAX));
            let idle = proxy.resident()?;
            eprintln!("memory of {} with {count} idle connections", contender.kind);
            match Idle::open(contender.target, Request::probe(protocol), count) {
                Ok(held) => outcome.memory.push(Memory {
                    contender: contender.kind,
                    idle,
                    connections: held.count(),
                    with_connections: proxy.resident()?,
                    after_load: None,
                }),
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    let text = format!("{} idle connections: {error:#}", contender.kind);
                    outcome.void.push(text);
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

    /// Nothing where the row needs the rate of a contender that is not here.
    fn row(&mut self, plan: RowPlan, void: &mut Vec<String>) -> Result<Option<Row>> {
        self.fit_floor(&plan)?;
        let rate = match plan.shape {
            Shape::Half { of } => match self.peak(of, &plan)? {
                None => {
                    eprintln!("{plan}: left out, since {of} does not run");
                    return Ok(None);
                }
                peak => peak.map(|peak| (peak / 2.0).round()),
            },
            _ => None,
        };
        let cell = |contender: &Contender| Cell {
            contender: contender.kind,
            cost_us: Vec::new(),
            speed: Vec::new(),
        };
        let cells = self.contenders.iter().map(cell).collect();
        let mut row = Row { plan, rate, cells };
        for round in 1..=self.plan.rounds {
            for index in 0..self.contenders.len() {
                if let Err(error) = self.measure(index, &mut row) {
                    let kind = self.contenders[index].kind;
                    let text = format!("{plan}, round {round}, {kind}: {error:#}");
                    eprintln!("void: {text}");
                    void.push(text);
                    self.restart(index)?;
                }
            }
            eprintln!("{plan}: round {round} of {}", self.plan.rounds);
        }
        Ok(Some(row))
    }

    /// Requests that a contender answers in a second, one in flight on each connection.
    fn peak(&self, kind: Kind, row: &RowPlan) -> Result<Option<f64>> {
        let Some(contender) = self.contenders.iter().find(|it| it.kind == kind) else {
            return Ok(None);
        };
        let (connections, depth) = row.shape.connections();
        let row = RowPlan {
            shape: Shape::Open { connections, depth },
            ..*row
        };
        let mut peak: f64 = 0.0;
        for _ in 0..PEAKS {
            let (sample, _) = self.slice(contender, &row, None, Cpus::All)?;
            peak = peak.max(sample.requests as f64 / sample.elapsed.as_secs_f64());
        }
        Ok(Some(peak))
    }

    fn fit_floor(&mut self, row: &RowPlan) -> Result<()> {
        let upstreams = self.plan.upstreams.unwrap_or(row.shared_connections());
        let before = std::mem::replace(&mut self.setup.upstreams, upstreams);
        let floor = self.contenders.iter().position(|c| c.kind == Kind::Floor);
        match floor.filter(|_| before != upstreams) {
            Some(index) => self.restart(index),
            None => Ok(()),
        }
    }

    fn measure(&self, index: usize, row: &mut Row) -> Result<()> {
        let contender = &self.contenders[index];
        let plan = row.plan;
        let per_request = |sample: &Sample, time| micros(time) / sample.requests as f64;
        let mut cost = None;
        // A paced row is about time alone.
        let costs_apart = contender.proxy.is_some() && row.rate.is_none();
        if let Some(cpu) = self.plan.pin.filter(|_| costs_apart) {
            let (sample, time) = self.slice(contender, &plan, None, Cpus::One(cpu))?;
            cost = time.map(|time| per_request(&sample, time));
        }
        let (sample, time) = self.slice(contender, &plan, row.rate, Cpus::All)?;
        if self.plan.pin.is_none() && costs_apart {
            cost = time.map(|time| per_request(&sample, time));
        }
        let quantile = |q| sample.latency.value_at_quantile(q) as f64 / 1e3;
        let cell = &mut row.cells[index];
        cell.cost_us.extend(cost);
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
        row: &RowPlan,
        rate: Option<f64>,
        cpus: Cpus,
    ) -> Result<(Sample, Option<Duration>)> {
        let proxy = contender.proxy.as_ref();
        let own = std::process::id();
        let upstreams = self.upstreams.iter().map(|upstream| &upstream.process);
        for process in upstreams.chain(proxy).map(Process::id).chain([own]) {
            cpus.place(process)?;
        }
        let in_order = contender.kind.keeps_order(self.plan.protocol);
        let mut source = Source::open(contender.target, row, rate, in_order)?;
        source.warm_up(self.plan.warm_up)?;
        let before = proxy.map(Process::cpu_time).transpose()?;
        let sample = source.run(self.plan.slice)?;
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
