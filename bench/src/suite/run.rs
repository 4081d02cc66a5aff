//! What ran where.

use std::fmt;
use std::fs;

use serde::Serialize;

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Run {
    /// Of this program.
    pub(crate) arguments: Vec<String>,
    pub(crate) cpus: usize,
    pub(crate) cpu_model: String,
    pub(crate) kernel: String,
    /// Processes that wanted a CPU, on average of the minute before.
    pub(crate) load: f64,
}

impl Run {
    /// This process' arguments and this machine.
    pub(crate) fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let load = read("/proc/loadavg");
        Self {
            arguments: std::env::args().skip(1).collect(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            cpu_model: model
                .unwrap_or("unknown")
                .trim_start_matches([' ', '\t', ':'])
                .to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
        }
    }

    /// Whether something else was at work just before.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.load > 0.5
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpus,
            cpu_model,
            kernel,
            load,
            ..
        } = self;
        write!(
            f,
            "{cpus} CPUs ({cpu_model}), Linux {kernel}; load {load} before"
        )
    }
}
