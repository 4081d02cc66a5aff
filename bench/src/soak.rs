//! A proxy under load while connections, endpoints and routes come and go, and whether it grows.

mod flat;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

pub(crate) use self::flat::{Growth, Sample};
use crate::contender::{self, HOST, Kind, Setup, control, listening, manifests, sibling};
use crate::load::Budget;
use crate::process::{Process, START, own_command};
use crate::steady::{Rhythm, Steady};
use crate::wire::{Protocol, Request};
use crate::{admin, churn};

/// Addresses that endpoints have in turn, all of them one upstream's.
const ADDRESSES: u8 = 60;
/// Endpoints at a time.
const ENDPOINTS: u8 = 8;
/// Of these, how many are others after a change.
const STEP: u8 = 3;
/// Clients that stay.
const CLIENTS: u8 = 16;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) protocol: Protocol,
    pub(crate) time: Duration,
    /// Requests a second on connections that stay.
    pub(crate) rate: u32,
    /// Connections a second that come, call once and go.
    pub(crate) churn: u32,
    /// Between two changes of endpoints and routes.
    pub(crate) change: Duration,
}

/// What a soak found; wrong answers end it with an error.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) connections: u64,
    /// Of endpoints and routes.
    pub(crate) changes: u32,
    /// Of these, updates that the proxy saw by themselves.
    pub(crate) applied: u64,
    pub(crate) samples: Vec<Sample>,
    pub(crate) growth: Growth,
}

struct Stage<'p> {
    plan: &'p Plan,
    setup: Setup,
    manifest: PathBuf,
    changes: u32,
    _upstream: Process,
    _controller: Process,
    proxy: Process,
    admin: String,
    target: SocketAddr,
}

pub(crate) fn run(plan: &Plan, dir: &Path) -> Result<Outcome> {
    let mut stage = Stage::open(plan, dir)?;
    let steady = stage.steady()?;
    let churn = stage.churn()?;
    let started = Instant::now();
    let mut samples = Vec::new();
    let mut next_change = plan.change;
    while started.elapsed() < plan.time && !steady.is_finished() && !churn.is_finished() {
        thread::sleep(LOOK.min(plan.change));
        if started.elapsed() >= next_change {
            stage.change()?;
            next_change += plan.change;
        }
        samples.push(Sample {
            seconds: started.elapsed().as_secs_f64(),
            resident: stage.proxy.resident()?,
            open_files: stage.proxy.open_files()?,
        });
    }
    let requests = join(steady).context("requests on connections that stay")?;
    let connections = join(churn).context("connections that come and go")?;
    stage.expect_last_change()?;
    let metrics = admin::page(&stage.admin, "/metrics")?;
    Ok(Outcome {
        requests,
        connections,
        changes: stage.changes,
        applied: admin::counter(&metrics, "meltemi_config_updates_total")?,
        growth: Growth::of(&samples),
        samples,
    })
}

impl<'p> Stage<'p> {
    fn open(plan: &'p Plan, dir: &Path) -> Result<Self> {
        let mut command = own_command()?;
        command.args(["echo", "--protocol", plan.protocol.name()]);
        command.args(["--listen", "0.0.0.0:0"]);
        let upstream = Process::start("upstream", &command, dir)?;
        let port = upstream
            .expect_line("listening ")?
            .parse::<SocketAddr>()?
            .port();

        let config = dir.join("manifests");
        fs::create_dir_all(&config)?;
        let manifest = config.join("bench.yaml");
        let setup = Setup {
            protocol: plan.protocol,
            endpoints: endpoints(0, port),
            upstreams: 1,
            dir: dir.to_owned(),
            in_one: false,
            wrap: Vec::new(),
        };
        write(&manifest, &setup, 0)?;
        let program = |name| {
            let missing = || format!("{name} is not beside this program: cargo build -p {name}");
            sibling(name).with_context(missing)
        };
        let (controller, xds) = control(plan.protocol, &config, &program("meltemi-controller")?)?;
        let mut command = Command::new(program("meltemi")?);
        command.args(["proxy", "--workers", "1", "--admin", "127.0.0.1:0"]);
        command.args(["--xds", &xds]);
        let mut proxy = Process::start("meltemi", &command, dir)?;
        let admin = proxy.expect_line("admin ")?;
        let target = listening(&proxy)?;
        contender::wait_until_it_answers(target, plan.protocol, Some(&mut proxy))?;
        Ok(Self {
            plan,
            setup,
            manifest,
            changes: 0,
            _upstream: upstream,
            _controller: controller,
            proxy,
            admin,
            target,
        })
    }

    fn request(&self) -> Request {
        Request::probe(self.plan.protocol)
    }

    fn steady(&self) -> Result<JoinHandle<Result<u64>>> {
        let rhythm = Rhythm {
            connections: CLIENTS,
            interval: Duration::from_secs(1) / self.plan.rate.max(1),
            request: self.request(),
        };
        let steady = Steady::connect(self.target, rhythm)?;
        let (started, time) = (Instant::now(), self.plan.time);
        spawn("steady", move || {
            let answered = steady.run(|| started.elapsed() >= time)?;
            Ok(answered.len() as u64)
        })
    }

    fn churn(&self) -> Result<JoinHandle<Result<u64>>> {
        let (target, request, rate) = (self.target, self.request(), self.plan.churn);
        let budget = Budget {
            time: self.plan.time,
            requests: u64::MAX,
        };
        spawn("churn", move || {
            Ok(churn::run(target, request, rate, budget)?.requests)
        })
    }

    /// Some endpoints go and others come, and all routes that nobody takes are others.
    fn change(&mut self) -> Result<()> {
        self.changes += 1;
        let port = self.setup.endpoints.first().map_or(0, SocketAddr::port);
        self.setup.endpoints = endpoints(self.changes, port);
        write(&self.manifest, &self.setup, self.changes)
    }

    /// The endpoints of the last change are those that the proxy has.
    fn expect_last_change(&self) -> Result<()> {
        let expected: BTreeSet<_> = self
            .setup
            .endpoints
            .iter()
            .map(ToString::to_string)
            .collect();
        let deadline = Instant::now() + START;
        loop {
            let page = admin::page(&self.admin, "/clusters")?;
            if expected.iter().all(|endpoint| page.contains(endpoint)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the last change of endpoints did not come into force: {page}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn spawn(
    name: &str,
    work: impl FnOnce() -> Result<u64> + Send + 'static,
) -> Result<JoinHandle<Result<u64>>> {
    Ok(thread::Builder::new().name(name.to_owned()).spawn(work)?)
}

fn join(thread: JoinHandle<Result<u64>>) -> Result<u64> {
    thread
        .join()
        .map_err(|_| anyhow!("the load generator panicked"))?
}

fn endpoints(change: u32, port: u16) -> Vec<SocketAddr> {
    let first = change.wrapping_mul(STEP.into());
    let address = |number: u32| {
        let last = (first.wrapping_add(number) % u32::from(ADDRESSES)) as u8 + 1;
        SocketAddr::from((Ipv4Addr::new(127, 0, 3, last), port))
    };
    (0..ENDPOINTS.into()).map(address).collect()
}

/// Puts the whole file there at once: it is watched.
fn write(manifest: &Path, setup: &Setup, change: u32) -> Result<()> {
    let text = manifests(Kind::Meltemi, setup);
    let text = text.replacen("  routes:\n", &format!("  routes:\n{}", routes(change)), 1);
    let draft = setup.dir.join("bench.yaml");
    fs::write(&draft, text)?;
    fs::rename(&draft, manifest).with_context(|| format!("write {}", manifest.display()))
}

/// Routes before those that are taken, up to fifty and with other names each time.
fn routes(change: u32) -> String {
    let mut text = String::new();
    for number in 0..change % 50 {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "  - name: passing-{change}-{number}\n    match: {{attributes: {{method: {{exact: \
             nobody{number}}}}}}}\n    route:\n    - destination: {{host: {HOST}, port: {{number: \
             20880}}}}"
        );
    }
    text
}
