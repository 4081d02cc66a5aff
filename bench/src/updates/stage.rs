//! A proxy between steady requests and a fleet, and what updates cost it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::control::ControlPlane;
use super::fleet::Fleet;
use super::manifest::{SERVER, manifests};
use super::outcome::Stretch;
use super::{Change, Cost, Kind, Plan, Policy, Slice};
use crate::admin;
use crate::contender::{sibling, wait_until_it_answers};
use crate::load::{Budget, Load, Work};
use crate::process::{CpuTimes, Cpus, Process, own_command};
use crate::steady::{Answered, Rhythm, Steady};
use crate::wire::{Protocol, Request};

const REQUEST: Request = Request::Dubbo { argument: 128 };
/// The proxy's own place, so that localities count where the policy lets them.
const PLACE: &str = "region/zone0/subzone0";
/// What was in flight when an update came belongs to it.
const LEAD: Duration = Duration::from_millis(5);

/// Everything that runs.
pub(super) struct Stage<'p> {
    plan: &'p Plan,
    control: ControlPlane,
    fleet: Fleet,
    _upstream: Process,
    proxy: Process,
    admin: String,
    target: SocketAddr,
    /// Published.
    updates: u64,
}

impl<'p> Stage<'p> {
    pub(super) fn open(
        plan: &'p Plan,
        (policy, outlier): (Policy, bool),
        dir: &Path,
    ) -> Result<Self> {
        let mut command = own_command()?;
        command.args(["echo", "--protocol", "dubbo", "--listen", "0.0.0.0:0"]);
        let upstream = Process::start("upstream", &command, dir)?;
        let address: SocketAddr = upstream.expect_line("listening ")?.parse()?;

        let control = ControlPlane::start(&manifests(policy, outlier))?;
        let fleet = Fleet::new(plan.endpoints, address.port());
        control.publish(control.prepare(&fleet.assignment(&control.cluster)));

        let program = sibling("meltemi").context(
            "meltemi is not beside this program; build it: cargo build --release -p meltemi",
        )?;
        let mut command = Command::new(program);
        command.args(["proxy", "--workers", "1", "--admin", "127.0.0.1:0"]);
        command.args(["--xds", &control.address.to_string()]);
        command.args(["--locality", PLACE]);
        let proxy = Process::start("meltemi", &command, dir)?;
        let admin = proxy.expect_line("admin ")?;
        let target = proxy
            .expect_line(&format!("listening default/bench/{SERVER} "))?
            .parse()
            .context("the address that meltemi proxy printed")?;
        let mut stage = Self {
            plan,
            control,
            fleet,
            _upstream: upstream,
            proxy,
            admin,
            target,
            updates: 0,
        };
        wait_until_it_answers(target, Protocol::Dubbo, Some(&mut stage.proxy))?;
        stage.place()?;
        Ok(stage)
    }

    /// Where traffic is on one CPU, nothing else is.
    fn place(&self) -> Result<()> {
        let Some(cpu) = self.plan.pin else {
            return Ok(());
        };
        Cpus::Not(cpu).place(std::process::id())?;
        Cpus::One(cpu).place(self._upstream.id())?;
        self.proxy.place_threads(|name| match is_worker(name) {
            true => Cpus::One(cpu),
            false => Cpus::Not(cpu),
        })
    }

    pub(super) fn run(mut self) -> Result<Vec<Slice>> {
        let mut stretches = Vec::new();
        let mut answered = Vec::new();
        for &change in &self.plan.changes {
            self.warm_up()?;
            let traffic = Traffic::start(self.target, self.plan)?;
            for _ in 0..self.plan.updates {
                self.update(change, &mut stretches)?;
                if traffic.is_over() {
                    break;
                }
            }
            answered.extend(traffic.stop()?);
        }
        if let Some(refused) = self.control.refused() {
            bail!(refused);
        }
        self.expect_applied()?;
        let changes = self.plan.changes.iter().map(|change| Kind::Update(*change));
        let kinds = [Kind::Nothing].into_iter().chain(changes);
        Ok(kinds
            .map(|kind| Slice::new(kind, &stretches, &answered))
            .collect())
    }

    /// Has a good part of the endpoints connected.
    fn warm_up(&self) -> Result<()> {
        let work = Work {
            connections: 16,
            depth: 1,
            request: REQUEST,
            in_order: false,
        };
        let budget = Budget {
            time: Duration::from_secs(30),
            requests: self.plan.warm_up,
        };
        if budget.requests > 0 {
            Load::connect(self.target, work)?.run(budget)?;
        }
        Ok(())
    }

    /// A quiet stretch, and one that begins with an update.
    fn update(&mut self, change: Change, stretches: &mut Vec<Stretch>) -> Result<()> {
        self.fleet.change(change);
        let assignment = self.fleet.assignment(&self.control.cluster);
        let prepared = self.control.prepare(&assignment);
        drop(assignment);
        let window = self.plan.window;
        let (mut start, mut before) = (Instant::now(), self.cost()?);
        thread::sleep(window + LEAD);
        let quiet = since(before, self.cost()?);
        stretches.push(Stretch {
            kind: Kind::Nothing,
            start,
            end: start + window,
            cost: quiet,
        });
        (start, before) = (Instant::now(), self.cost()?);
        self.control.publish(prepared);
        self.updates += 1;
        thread::sleep(window + LEAD);
        let busy = since(before, self.cost()?);
        stretches.push(Stretch {
            kind: Kind::Update(change),
            start: start - LEAD,
            end: start + window,
            cost: since(quiet, busy),
        });
        Ok(())
    }

    fn cost(&self) -> Result<Cost> {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let CpuTimes { chosen, others } = self.proxy.cpu_times(is_worker)?;
        Ok(Cost {
            worker_ms: ms(chosen),
            control_ms: ms(others),
        })
    }

    /// Every update came into force.
    fn expect_applied(&self) -> Result<()> {
        let page = admin::page(&self.admin, "/metrics")?;
        let applied = admin::counter(&page, "meltemi_config_updates_total")?;
        // The first load is one, too.
        if applied <= self.updates {
            bail!(
                "{} updates were made, {applied} applied, the first load among them",
                self.updates
            );
        }
        Ok(())
    }
}

fn is_worker(thread: &str) -> bool {
    thread.starts_with("worker-")
}

fn since(before: Cost, after: Cost) -> Cost {
    Cost {
        worker_ms: after.worker_ms - before.worker_ms,
        control_ms: after.control_ms - before.control_ms,
    }
}

/// Requests that a thread sends.
struct Traffic {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Answered>>>,
}

impl Traffic {
    fn start(target: SocketAddr, plan: &Plan) -> Result<Self> {
        let rhythm = Rhythm {
            connections: plan.connections,
            interval: plan.interval,
            request: REQUEST,
        };
        let steady = Steady::connect(target, rhythm)?;
        let over = Arc::new(AtomicBool::new(false));
        let (seen, pin) = (Arc::clone(&over), plan.pin);
        let thread = thread::Builder::new()
            .name("traffic".into())
            .spawn(move || {
                if let Some(cpu) = pin {
                    Cpus::One(cpu).place_this_thread()?;
                }
                steady.run(|| seen.load(Ordering::Relaxed))
            })?;
        Ok(Self { over, thread })
    }

    /// It failed: nothing is left to measure.
    fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    fn stop(self) -> Result<Vec<Answered>> {
        self.over.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the load generator panicked"))?
    }
}
