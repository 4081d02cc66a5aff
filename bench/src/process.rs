//! Child processes: what they print, cost and weigh, and on which CPU they run.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

/// How long a process may take to say that it is ready.
pub(crate) const START: Duration = Duration::from_secs(60);

/// A running child; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, its errors going to a log in `dir`. Where `setpriv` exists the child also
    /// dies with this process, so that a benchmark that was killed leaves nothing behind.
    pub(crate) fn start(name: &str, command: &Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let mut tied = tied_to_this_process(command);
        let mut child = tied
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).with_context(|| format!("{}", log.display()))?)
            .spawn()
            .with_context(|| format!("start {name}: {}", command.get_program().display()))?;
        let stdout = child
            .stdout
            .take()
            .expect("standard output was piped above");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads on after nobody listens: a full pipe would block the child.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            child,
            name: name.to_owned(),
            lines,
            log,
        })
    }

    /// The rest of the first line on standard output that starts with `prefix`.
    pub(crate) fn expect_line(&self, prefix: &str) -> Result<String> {
        let deadline = Instant::now() + START;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return Ok(rest.trim().to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} did not print `{prefix}…`{}", self.name, self.log_tail())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("{} ended at its start{}", self.name, self.log_tail())
                }
            }
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of all threads, user and system, by the scheduler's own clock in nanoseconds;
    /// utime and stime count ticks of 10 ms.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        self.cpu_times(|_| true).map(|times| times.chosen)
    }

    /// The same, apart for threads with names that are `chosen` and for the others.
    pub(crate) fn cpu_times(&self, chosen: impl Fn(&str) -> bool) -> Result<CpuTimes> {
        let mut times = CpuTimes::default();
        for thread in threads(self.id())? {
            let path = format!("/proc/{}/task/{thread}/schedstat", self.id());
            // A thread may end between the listing and the read.
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            let on_cpu: u64 = text
                .split_ascii_whitespace()
                .next()
                .and_then(|field| field.parse().ok())
                .with_context(|| format!("{path} holds no time"))?;
            let on_cpu = Duration::from_nanos(on_cpu);
            match chosen(&self.thread_name(thread)) {
                true => times.chosen += on_cpu,
                false => times.others += on_cpu,
            }
        }
        Ok(times)
    }

    fn thread_name(&self, thread: i32) -> String {
        let name = fs::read_to_string(format!("/proc/{}/task/{thread}/comm", self.id()));
        name.unwrap_or_default().trim_end().to_owned()
    }

    /// Moves each thread where `place` has those of its name.
    pub(crate) fn place_threads(&self, place: impl Fn(&str) -> Cpus) -> Result<()> {
        for thread in threads(self.id())? {
            let cpus = place(&self.thread_name(thread));
            cpus.place_thread(Pid::from_raw(thread))?;
        }
        Ok(())
    }

    /// Asks the process to end and waits until it has.
    pub(crate) fn interrupt(mut self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.id())?).context("a process has a number")?;
        kill_process(pid, Signal::INT)?;
        let deadline = Instant::now() + START;
        while self.is_running() {
            if Instant::now() > deadline {
                bail!("{} does not end{}", self.name, self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether a tracer looks at each of its threads.
    pub(crate) fn is_traced(&self) -> Result<bool> {
        let traced = |thread| {
            let path = format!("/proc/{}/task/{thread}/status", self.id());
            let status = fs::read_to_string(path).unwrap_or_default();
            let tracer = status.lines().find_map(|l| l.strip_prefix("TracerPid:"));
            tracer.is_some_and(|pid| pid.trim() != "0")
        };
        Ok(threads(self.id())?.into_iter().all(traced))
    }

    pub(crate) fn open_files(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.id());
        Ok(fs::read_dir(&path).with_context(|| path)?.count())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|number| number.trim().parse().ok())
            .with_context(|| format!("{path} holds no VmRSS"))?;
        Ok(kib * 1024)
    }

    /// The end of what the process wrote to standard error, for an error message.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(5)..)
            .unwrap_or_default();
        if tail.is_empty() {
            String::new()
        } else {
            format!(": {}", tail.join(" | "))
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of threads that were asked for, and of all others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTimes {
    pub(crate) chosen: Duration,
    pub(crate) others: Duration,
}

/// Where the threads of a process may run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cpus {
    All,
    One(usize),
    /// Everywhere else.
    Not(usize),
}

impl Cpus {
    /// Moves every thread of `process` there.
    pub(crate) fn place(self, process: u32) -> Result<()> {
        for thread in threads(process)? {
            self.place_thread(Pid::from_raw(thread))?;
        }
        Ok(())
    }

    /// Moves the thread that calls it there.
    pub(crate) fn place_this_thread(self) -> Result<()> {
        self.place_thread(None)
    }

    fn place_thread(self, thread: Option<Pid>) -> Result<()> {
        let mut set = CpuSet::new();
        let all = 0..CpuSet::MAX_CPU;
        match self {
            Self::One(cpu) => set.set(cpu),
            Self::Not(cpu) => all.filter(|it| *it != cpu).for_each(|cpu| set.set(cpu)),
            Self::All => all.for_each(|cpu| set.set(cpu)),
        }
        let placed = sched_setaffinity(thread, &set);
        // A thread that ended meanwhile has no place.
        if placed != Err(rustix::io::Errno::SRCH) {
            placed.with_context(|| format!("move a thread to {self:?}"))?;
        }
        Ok(())
    }
}

/// The path of `name` if PATH has it, or /usr/sbin, where Debian keeps proxies and which the PATH
/// of a plain user may lack.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}

pub(crate) fn own_command() -> Result<Command> {
    let program = std::env::current_exe().context("find this program's own path")?;
    Ok(Command::new(program))
}

/// An address that was free a moment ago, for programs that cannot say which one they took.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn threads(process: u32) -> Result<Vec<i32>> {
    let path = format!("/proc/{process}/task");
    let entries = fs::read_dir(&path).with_context(|| path)?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect())
}

fn tied_to_this_process(command: &Command) -> Command {
    let mut tied = match find_program("setpriv") {
        Some(setpriv) => {
            let mut tied = Command::new(setpriv);
            tied.args([
                OsStr::new("--pdeathsig"),
                OsStr::new("KILL"),
                OsStr::new("--"),
            ]);
            tied.arg(command.get_program());
            tied
        }
        None => Command::new(command.get_program()),
    };
    tied.args(command.get_args());
    // A backtrace would push the error out of the end of the log that is shown.
    tied.env_remove("RUST_BACKTRACE");
    tied
}
